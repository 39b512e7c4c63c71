"""The waiting room: verified messages that cannot be decided yet, each with what it waits for.

They are not live, not stored and not forwarded, and may leave at any time: a restart loses them, and
synchronisation brings back what is live elsewhere. So every share is bounded, in messages and in bytes: the
whole room, what came from one bucket of hosts, and what one author signed. The oldest makes room, of the
share that is full; control messages of members that are known to hold a power are the last to go, for all
that those members permit rests on them.

A message's time begins with the next expire(), which is told what time it is.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from itertools import zip_longest

from dispersy.constants import (
    WAITING_AUTHOR_MAX,
    WAITING_AUTHOR_SIZE_MAX,
    WAITING_MAX,
    WAITING_SIZE_MAX,
    WAITING_SOURCE_MAX,
    WAITING_SOURCE_SIZE_MAX,
)
from dispersy.protocol.wants import SequenceRange, Wants, bounded


class Awaited(StrEnum):
    """What a message waits for; the value is how it is counted."""

    KIND = "kind"
    """A definition that names its kind."""
    PERMISSION = "permission"
    """What permits its author."""
    POWER = "power"
    """A control message: what gives its author the power that it uses."""
    UNDO = "undo"
    """A stripped message: the undo of its own author."""
    SEQUENCE = "sequence"
    """The messages below it in its lane."""


WAIT_MAX_S = {
    Awaited.KIND: 3600.0,
    Awaited.PERMISSION: 300.0,
    Awaited.POWER: 3600.0,
    Awaited.UNDO: 300.0,
    Awaited.SEQUENCE: 10.0,
}
"""How long a message may wait. What waits for those below it is taken then, with the gap. The rest leaves,
and comes again if it is live elsewhere: a proof comes within seconds or nobody has it; definitions and chains
of control messages are few, and worth more patience."""


@dataclass(frozen=True, slots=True)
class Waiter:
    """A message that waits.

    lane        its author, or the name of its two authors' lane
    source      bucket of the host that it came from; 0: unknown
    is_spared   a control message of a member that holds a power, as far as is known
    """

    message_id: bytes
    awaited: Awaited
    kind: int
    author: bytes
    message: bytes
    lane: bytes = b""
    global_time: int = 0
    sequence: int = 0
    source: int = 0
    is_spared: bool = False


class WaitingRoom:
    """One a community; holds whole messages by id, in order of arrival.

    left    how many had to leave, by what they waited for and why: "waiting-power-full", "waiting-power-late"
    """

    def __init__(
        self,
        *,
        messages_max: int = WAITING_MAX,
        source_max: int = WAITING_SOURCE_MAX,
        author_max: int = WAITING_AUTHOR_MAX,
    ) -> None:
        self.left: Counter[str] = Counter()
        self._messages_max = messages_max
        self._source_max = source_max
        self._author_max = author_max
        self._waiters: dict[bytes, Waiter] = {}
        # None: it has come since the room was last told what time it is.
        self._since: dict[bytes, float | None] = {}
        # Dictionaries as sets that keep the order of arrival.
        self._by_author: dict[bytes, dict[bytes, None]] = {}
        self._by_source: dict[int, dict[bytes, None]] = {}
        self._size = 0
        self._author_sizes: Counter[bytes] = Counter()
        self._source_sizes: Counter[int] = Counter()
        self._evicted: list[Waiter] = []

    def __len__(self) -> int:
        return len(self._waiters)

    def __contains__(self, message_id: bytes) -> bool:
        return message_id in self._waiters

    def get(self, message_id: bytes) -> Waiter | None:
        return self._waiters.get(message_id)

    def waiters(self, *awaited: Awaited) -> Iterator[Waiter]:
        """Those that wait for one of these, or all, in order of arrival."""
        return (each for each in self._waiters.values() if not awaited or each.awaited in awaited)

    def counts(self) -> Counter[str]:
        """How many wait, by what they wait for."""
        return Counter(str(each.awaited) for each in self._waiters.values())

    def add(self, waiter: Waiter) -> bool:
        """Let a message wait; False when it does already. A whole one takes the place of what is left of it,
        which anybody can make of it and send first."""
        known = self._waiters.get(waiter.message_id)
        if known is not None:
            if waiter.awaited == Awaited.UNDO or known.awaited != Awaited.UNDO:
                return False
            self._remove(waiter.message_id)
        while (share := self._full_share(waiter)) is not None:
            self._evict(share)
        size = len(waiter.message)
        self._size += size
        self._author_sizes[waiter.author] += size
        self._source_sizes[waiter.source] += size
        self._waiters[waiter.message_id] = waiter
        self._since[waiter.message_id] = None
        self._by_author.setdefault(waiter.author, {})[waiter.message_id] = None
        if waiter.source:
            self._by_source.setdefault(waiter.source, {})[waiter.message_id] = None
        return True

    def take(self, message_ids: Iterable[bytes]) -> list[Waiter]:
        """Take these out, as far as they wait here: what they waited for has come."""
        return [self._remove(each) for each in message_ids if each in self._waiters]

    def expire(self, now: float) -> list[Waiter]:
        """Take out those that have waited long enough, in order of arrival. now: monotonic seconds."""
        late = []
        for each in self._waiters.values():
            since = self._since[each.message_id]
            if since is None:
                self._since[each.message_id] = now
            elif now >= since + WAIT_MAX_S[each.awaited]:
                late.append(each)
        for each in late:
            self._remove(each.message_id)
            self.left[f"waiting-{each.awaited}-late"] += 1
        return late

    def drain_evicted(self) -> list[Waiter]:
        """Those that had to make room since the last call."""
        evicted, self._evicted = self._evicted, []
        return evicted

    def wanted(self, messages: Iterable[bytes] = (), ranges: Iterable[SequenceRange] = ()) -> Wants:
        """What would let them go on: of every author and kind the proof of the oldest and of the newest that
        wait, for what permits one of them mostly permits all; and what else is missing. Whose turn it is, by
        where they came from."""
        first: dict[tuple[bytes, int], Waiter] = {}
        last: dict[tuple[bytes, int], Waiter] = {}
        for each in self.waiters(Awaited.PERMISSION, Awaited.POWER):
            first.setdefault((each.author, each.kind), each)
            last[each.author, each.kind] = each
        asked = by_turns({each.message_id: each for each in [*first.values(), *last.values()]}.values())
        return bounded(
            messages=messages,
            proofs=(each.message_id for each in asked),
            ranges=ranges,
            offered_by={each.message_id: each.source for each in asked if each.source},
        )

    def _full_share(self, waiter: Waiter) -> Iterable[bytes] | None:
        """The share in which there is no room for it."""
        size = len(waiter.message)
        of_author = self._by_author.get(waiter.author, {})
        of_source = self._by_source.get(waiter.source, {}) if waiter.source else {}
        author_size, source_size = self._author_sizes[waiter.author], self._source_sizes[waiter.source]
        if len(of_author) >= self._author_max or author_size + size > WAITING_AUTHOR_SIZE_MAX:
            return of_author
        if len(of_source) >= self._source_max or (of_source and source_size + size > WAITING_SOURCE_SIZE_MAX):
            return of_source
        if len(self._waiters) >= self._messages_max or self._size + size > WAITING_SIZE_MAX:
            return self._waiters
        return None

    def _evict(self, share: Iterable[bytes]) -> None:
        oldest = next(iter(share))
        evicted = self._remove(next((each for each in share if not self._waiters[each].is_spared), oldest))
        self._evicted.append(evicted)
        self.left[f"waiting-{evicted.awaited}-full"] += 1

    def _remove(self, message_id: bytes) -> Waiter:
        waiter = self._waiters.pop(message_id)
        del self._since[message_id]
        size = len(waiter.message)
        self._size -= size
        self._author_sizes[waiter.author] -= size
        self._source_sizes[waiter.source] -= size
        of_author = self._by_author[waiter.author]
        del of_author[message_id]
        if not of_author:
            del self._by_author[waiter.author], self._author_sizes[waiter.author]
        if waiter.source:
            of_source = self._by_source[waiter.source]
            del of_source[message_id]
            if not of_source:
                del self._by_source[waiter.source]
        return waiter


def by_turns(waiters: Iterable[Waiter]) -> list[Waiter]:
    """In turns of the buckets that they came from, each its newest first: who sends many comes no sooner for
    it, and what has been asked for in vain for long makes room."""
    buckets: dict[int, list[Waiter]] = {}
    for each in waiters:
        buckets.setdefault(each.source, []).insert(0, each)
    turns = zip_longest(*buckets.values())
    return [each for turn in turns for each in turn if each is not None]
