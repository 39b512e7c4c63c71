"""How a community's clock follows what a batch brings, and what is stored above it."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from functools import partial

from dispersy.constants import CLOCK_AHEAD_MIN
from dispersy.protocol.holdings import first_key_of, highest_stored
from dispersy.protocol.identifiers import ORDER_LOW
from dispersy.protocol.intake import clock
from dispersy.storage.store import StoreWriter
from dispersy.workers.keeping.communities import Community


def follow(store: StoreWriter, community: Community, times: Sequence[int]) -> None:
    """Lift it to what it may follow of these global times, ascending, and of the stored ones."""
    if not times:
        return
    stored_highest = store.state(community.record.number).summary.highest

    def highest_within(low: int, high: int) -> int | None:
        place = bisect_right(times, high)
        found = [time for time in times[max(0, place - 1) : place] if time > low]
        if stored_highest > low:
            stored = highest_stored(partial(store.scan, community.record.number), low, high)
            found += [] if stored is None else [stored]
        return max(found, default=None)

    community.clock = clock.follow(
        community.clock,
        times,
        highest=max(stored_highest, times[-1]),
        highest_within=highest_within,
        ahead_max=clock.ahead_max(community.intake.prunings().values()),
    )
    below = bisect_right(times, community.clock)
    community.followed = max([community.followed, *times[max(0, below - 1) : below]])


def borne_out(store: StoreWriter, community: Community, *, up_to: int) -> int:
    """As far as a message might lift our clock now, whatever it is, if it had come up to there."""
    number = community.record.number
    highest = store.state(number).summary.highest
    if highest > up_to:
        keys, _, _ = store.scan_back(number, ORDER_LOW, first_key_of(up_to + 1), 1)
        highest = int.from_bytes(keys[:8], "big")
    if community.intake.definitions.current is None:
        return max(community.followed, highest) + CLOCK_AHEAD_MIN  # who knows how little it will allow
    return max(community.followed, highest) + clock.ahead_max(community.intake.prunings().values())


def clock_after_own(store: StoreWriter, community: Community, kind: int, last: int) -> int:
    """Our clock once we have published messages of a kind, of which the last has this global time.

    Of what is on request others hear nothing: should our clock run further ahead of theirs than one message
    lifts a clock, nobody would follow what we publish next.
    """
    if not community.intake.definitions.is_on_request(kind):
        return last
    return max(community.clock, min(last, borne_out(store, community, up_to=community.clock) - 1))
