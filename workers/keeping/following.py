"""How a community's clock follows what a batch brings, and what is stored above it."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from functools import partial

from dispersy.protocol.holdings import highest_stored
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
