"""One pull from one source: the ranges still to ask for, the request under way, and what its answer
covered.

Ranges are asked from the bottom upwards. The next request goes out when the last datagram of an answer is
here, and begins where that answer stopped; what arrived is not yet in our filters then, and need not be,
for it lies below. Intervals that no datagram covered are gaps. They are asked for again later, when all
that has arrived is in the store and so in the filter: one request then repairs many gaps.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Iterable
from math import ceil, log
from random import Random

from dispersy.constants import (
    FILTER_ERROR_MAX,
    FILTER_ERROR_MIN,
    FILTER_ERROR_RATIO,
    FILTER_FILL_MAX,
    FILTER_SIZE_MIN,
    FRAMES_SIZE_MAX,
    PULL_GAPS_MAX,
)
from dispersy.ext.bloom import BloomFilter
from dispersy.protocol.frames import SyncRequest
from dispersy.protocol.holdings import ID_SIZE, KEY_SIZE, Holdings, ids_of, order_key_at
from dispersy.protocol.identifiers import OrderKey
from dispersy.protocol.records import END_OF_RANGE, LAST_OF_ANSWER, STRIPPED_LIST

Range = tuple[OrderKey, OrderKey]

FILTER_SIZE_MAX = FRAMES_SIZE_MAX - 64
"""Bytes: frame header 3, number 4, flags, budget, bounds 2 x 25, salt 4, hash count."""
GAPS_REPAIR = 64
"""Gaps at which a transfer stops to repair them, before they outgrow what one request can describe."""
LATE_REQUESTS_MAX = 8
"""Requests whose datagrams may still come after their answer is over."""
ANSWER_DATAGRAMS_RATIO = 2
"""Datagrams of one answer, duplicates included, to those asked for; more is a flood."""
EMPTY_ANSWERS_MAX = 3
"""Answers in a row without a message and without an end: more is somebody who keeps us busy."""


def error_rate_for(*, held: int, missing: int) -> float:
    """The false positive rate that costs fewest bytes where `missing` of what the source has is not held."""
    return min(FILTER_ERROR_MAX, max(FILTER_ERROR_MIN, FILTER_ERROR_RATIO * held / max(1, missing)))


def filter_capacity(error_rate: float) -> int:
    """How many ids one request describes at this rate."""
    return int(FILTER_SIZE_MAX * 8 / _bits_per_key(error_rate))


def make_request(
    *, holdings: Holdings, wanted: Range, number: int, budget: int, error_rate: float, rng: Random
) -> SyncRequest:
    """A request for what we lack of the range, or of so much of its lower part as one filter describes."""
    low, high = wanted
    capacity = filter_capacity(error_rate)
    keys, _, _ = holdings.scan(low, high, capacity + 1)
    count = len(keys) // KEY_SIZE
    if count == 0:
        return SyncRequest(number=number, budget=budget, low=low, high=high)
    if count > capacity:
        high, count = order_key_at(keys, capacity), capacity
        keys = keys[: capacity * KEY_SIZE]
    # A wrong positive costs another round; where few ids leave room in the datagram, bits are cheaper than
    # that.
    while error_rate > FILTER_ERROR_MIN and count * _bits_per_key(error_rate / 2) <= FILTER_SIZE_MAX * 4:
        error_rate /= 2
    size = min(FILTER_SIZE_MAX, max(FILTER_SIZE_MIN, ceil(count * _bits_per_key(error_rate) / 8)))
    bloom = BloomFilter.from_size(size_bits=size * 8, error_rate=error_rate, salt=rng.getrandbits(32))
    bloom.add_many(ids_of(keys), ID_SIZE)
    assert bloom.fill() <= FILTER_FILL_MAX
    return SyncRequest(
        number=number,
        budget=budget,
        low=low,
        high=high,
        salt=bloom.salt,
        hash_count=bloom.hash_count,
        filter=bloom.to_bytes(),
    )


def gaps_between(low: OrderKey, high: OrderKey, covered: Iterable[Range]) -> list[Range]:
    """The parts of [low, high) that no covered interval touches, ascending."""
    gaps: list[Range] = []
    for start, end in sorted(covered):
        if start >= high:
            break
        if start > low:
            gaps.append((low, start))
        low = max(low, end)
    if low < high:
        gaps.append((low, high))
    return gaps


class Transfer:
    """What one pull asks and gets. Whoever owns it sends its requests and tells it what arrived.

    number      of the request under way, 0: none is
    received    messages so far
    datagrams   of the answer under way
    """

    def __init__(self) -> None:
        self.number = 0
        self.received = 0
        self.datagrams = 0
        self._todo: deque[Range] = deque()
        self._gaps: list[Range] = []
        self._asked: Range | None = None
        self._repairs = False
        self._covered: list[Range] = []
        self._stop: OrderKey | None = None
        self._count = 0
        self._budget = 0
        self._empty_answers = 0
        self._late: OrderedDict[int, Range] = OrderedDict()

    def add(self, wanted: Range) -> None:
        self._todo.append(wanted)

    def is_under_way(self) -> bool:
        return self.number != 0

    def is_complete(self) -> bool:
        """Whether nothing is left to ask."""
        return not self.number and not self._todo and not self._gaps

    def must_repair(self) -> bool:
        """Whether the gaps come next: only when all that has arrived is in the store."""
        return bool(self._gaps) and (not self._todo or len(self._gaps) >= GAPS_REPAIR)

    def next_request(
        self, *, holdings: Holdings, number: int, budget: int, error_rate: float, rng: Random
    ) -> SyncRequest:
        """Begin the next request; there must be something to ask and none under way."""
        assert not self.number
        self._repairs = self.must_repair()
        if self._repairs:
            wanted = self._gaps[0][0], self._gaps[-1][1]
            request = make_request(
                holdings=holdings, wanted=wanted, number=number, budget=budget, error_rate=error_rate, rng=rng
            )
            # Not beyond the last gap that the filter reaches: between gaps far apart we lack nothing.
            high = max((end for _, end in self._gaps if end <= request.high), default=request.high)
            if high < request.high:
                request = make_request(
                    holdings=holdings,
                    wanted=(request.low, high),
                    number=number,
                    budget=budget,
                    error_rate=error_rate,
                    rng=rng,
                )
            self._gaps = gaps_left(self._gaps, (request.low, request.high))
        else:
            wanted = self._todo.popleft()
            request = make_request(
                holdings=holdings, wanted=wanted, number=number, budget=budget, error_rate=error_rate, rng=rng
            )
            if request.high < wanted[1]:
                self._todo.appendleft((request.high, wanted[1]))
        self.number = number
        self.datagrams = 0
        self._asked = (request.low, request.high)
        self._covered = []
        self._stop = None
        self._count = 0
        self._budget = budget
        return request

    def receive(self, *, number: int, flags: int, low: OrderKey, high: OrderKey, count: int) -> bool:
        """A datagram of an answer has come; True: it was the last one of the request under way."""
        if number != self.number or self._asked is None:
            late = self._late.get(number)
            if late is not None:
                self.received += count
                clipped = (max(low, late[0]), min(high, late[1]))
                if clipped[0] < clipped[1]:
                    self._gaps = gaps_left(self._gaps, clipped)
            return False
        asked_low, asked_high = self._asked
        self.received += count
        # A stripped frame rides in the datagram of the messages frame that covers its messages.
        self.datagrams += not flags & STRIPPED_LIST
        self._count += count
        if flags & END_OF_RANGE or high > asked_high:
            high = asked_high
        if low < asked_low:
            low = asked_low
        if low < high:
            self._covered.append((low, high))
        if flags & LAST_OF_ANSWER:
            self._stop = high
        return bool(flags & LAST_OF_ANSWER) or self.datagrams >= ANSWER_DATAGRAMS_RATIO * self._budget

    def end_answer(self) -> tuple[int, bool, int]:
        """The answer is over, because its last datagram is here or nothing came for too long.

        returns   how many datagrams seem lost, whether it got us anywhere (else all of it is asked again),
                  and how many messages came
        """
        assert self._asked is not None
        low, high = self._asked
        stop = max((end for _, end in self._covered), default=low) if self._stop is None else self._stop
        stop = max(low, stop)
        gaps = gaps_between(low, stop, self._covered) if stop > low else []
        # Several in a row make one gap; but an answer that did not reach the end has used its budget up.
        lost = len(gaps) if stop == high else max(len(gaps), self._budget - self.datagrams)
        self._late[self.number] = self._asked
        if len(self._late) > LATE_REQUESTS_MAX:
            self._late.popitem(last=False)
        self.number = 0
        self._asked = None
        self._empty_answers = 0 if self._count or stop == high else self._empty_answers + 1
        if stop < high:
            if self._repairs:
                gaps.append((stop, high))
            else:
                self._todo.appendleft((stop, high))
        self._gaps = sorted(self._gaps + gaps)[:PULL_GAPS_MAX]
        return lost, stop > low and self._empty_answers < EMPTY_ANSWERS_MAX, self._count


def gaps_left(gaps: Iterable[Range], covered: Range) -> list[Range]:
    """The gaps without what one interval covers."""
    return [left for low, high in gaps for left in gaps_between(low, high, (covered,))]


def _bits_per_key(error_rate: float) -> float:
    return -log(error_rate) / log(2) ** 2
