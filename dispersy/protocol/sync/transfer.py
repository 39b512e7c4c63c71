"""What one course has still to ask of its source: ranges, requests under way, and what their answers covered.

Several requests are under way at once, each for a range of its own, so none is ever asked for twice: ranges
are cut to what one request brings where it is known about how much there is (outline.py), and where it is
not, the next request begins where the answer before it stopped. Every datagram states the interval that it
covers. What lies between two of them is a range to ask again, exactly, so what arrived near it need not be in
the store yet.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from enum import Enum, auto
from math import ceil, log
from random import Random

from dispersy.constants import (
    ANSWER_BUDGET_MAX,
    FILTER_ERROR_ALONE,
    FILTER_ERROR_MAX,
    FILTER_ERROR_MIN,
    FILTER_ERROR_RATIO,
    FILTER_FILL_MAX,
    FILTER_SIZE_MIN,
    FRAMES_SIZE_MAX,
    PULL_GAPS_MAX,
)
from dispersy.ext.bloom import BloomFilter
from dispersy.protocol.holdings import (
    ID_SIZE,
    KEY_SIZE,
    Holdings,
    MessageHoldings,
    first_key_of,
    ids_of,
    order_key_at,
    time_of,
)
from dispersy.protocol.identifiers import ORDER_LOW, ORDER_TOP, OrderKey
from dispersy.protocol.sync.gaps import Range, gaps_between, gaps_left
from dispersy.protocol.sync.outline import Outline
from dispersy.protocol.wire.frames import RangeRequest, SyncRequest
from dispersy.protocol.wire.range_frames import says_shortly
from dispersy.protocol.wire.records import END_OF_RANGE, LAST_OF_ANSWER, STRIPPED_LIST

FILTER_SIZE_MAX = FRAMES_SIZE_MAX - 64
"""Bytes: frame header 3, number 4, flags, budget, bounds 2 x 25, salt 4, hash count; a range-request, with
the two sizes of a coded filter, takes less."""
MESSAGES_PER_DATAGRAM_START = 5.0
PLAIN_SLACK, FILTER_SLACK = 6, 6
"""Datagrams that a request may bring above what is expected, without and with a filter: those held at random
leave now more and now less."""
LATE_REQUESTS_MAX = 256
"""Requests whose datagrams may still come after their answer is over."""
ANSWER_DATAGRAMS_RATIO = 2
"""Datagrams of one answer, duplicates included, to those asked for; more is a flood."""
CODED_SLACK = 1.05
"""A Rice code takes up to 2 % more than the entropy of its gaps; the rest is chance."""
FULL_DATAGRAMS_MIN = 8
"""Of an answer that reaches the end of its range: its last datagram, half full on average, hides little."""
EMPTY_ANSWERS_MAX = 3
"""Answers in a row without a message and without an end: more is somebody who keeps us busy."""


class Coverage(Enum):
    """What a datagram was to a transfer."""

    FOREIGN = auto()
    LATE = auto()
    """Of an answer that was given up."""
    PART = auto()
    WHOLE = auto()
    """The answer is complete with it, or has had more datagrams than it may."""


@dataclass(frozen=True, slots=True)
class Answered:
    """An answer that is over.

    lost       datagrams that seem lost
    has_come   anything of it
    count      of its messages
    progress   whether it got us anywhere, or is merely lost; else its sender keeps us busy
    """

    lost: int
    has_come: bool
    count: int
    progress: bool


def error_rate_for(*, held: int, missing: int) -> float:
    """The false positive rate that costs fewest bytes where `missing` of what the source has is not held."""
    return min(FILTER_ERROR_MAX, max(FILTER_ERROR_MIN, FILTER_ERROR_RATIO * held / max(1, missing)))


def filter_capacity(error_rate: float, *, coded: bool = True, beside: int = 0) -> int:
    """How many ids one request describes at this rate, with so many bytes of other things in it."""
    bits = _coded_bits_per_key(error_rate) if coded and _is_coded(error_rate) else _bits_per_key(error_rate)
    return int((FILTER_SIZE_MAX - beside) * 8 / bits)


def make_request(
    *,
    holdings: Holdings,
    wanted: Range,
    number: int,
    budget: int,
    error_rate: float,
    rng: Random,
    is_alone: bool = True,
) -> SyncRequest:
    """A request for what we lack of the range, or of so much of its lower part as one filter describes.

    is_alone   it is not one of many whose wrong positives something else finds in the end
    """
    low, high = wanted
    if is_alone:
        error_rate = min(error_rate, FILTER_ERROR_ALONE)
    is_short = says_shortly(low, high)
    capacity = filter_capacity(error_rate, coded=is_short)
    keys, _, _ = holdings.scan(low, high, capacity + 1)
    count = len(keys) // KEY_SIZE
    if count > capacity:
        high = order_key_at(keys, capacity)
        if high >= first_key_of(time_of(low) + 1):
            high = first_key_of(time_of(high))
        else:
            is_short = False
            high = order_key_at(keys, filter_capacity(error_rate, coded=False))
        while count and order_key_at(keys, count - 1) >= high:
            count -= 1
    kind = RangeRequest if is_short else SyncRequest
    if count == 0:
        return kind(number=number, budget=budget, low=low, high=high)
    bloom = _filter_for(
        count, error_rate, salt=number if is_short else rng.getrandbits(32), may_be_coded=is_short
    )
    bloom.add_many(ids_of(keys[: count * KEY_SIZE]), ID_SIZE)
    assert bloom.fill() <= FILTER_FILL_MAX
    behind = first_key_of(time_of(order_key_at(keys, count - 1)) + 1)
    return kind(
        number=number,
        budget=budget,
        low=low,
        high=high,
        salt=bloom.salt,
        hash_count=bloom.hash_count,
        filter=bloom.to_bytes(),
        described=behind if is_short and behind < high else ORDER_TOP,
    )


def make_filter(
    ids: bytes, *, error_rate: float, rng: Random, is_alone: bool = True, beside: int = 0
) -> tuple[int, int, bytes]:
    """(salt, hash count, bits) of a filter of these ids, none of no ids; is_alone as make_request()."""
    count = len(ids) // ID_SIZE
    if not count:
        return 0, 0, b""
    size_max = FILTER_SIZE_MAX - beside
    # A wrong positive costs another round; where few ids leave room in the datagram, bits are cheaper than
    # that.
    half = size_max * 4
    while is_alone and error_rate > FILTER_ERROR_MIN and count * _bits_per_key(error_rate / 2) <= half:
        error_rate /= 2
    size = min(size_max, max(FILTER_SIZE_MIN, ceil(count * _bits_per_key(error_rate) / 8)))
    bloom = BloomFilter.from_size(size_bits=size * 8, error_rate=error_rate, salt=rng.getrandbits(32))
    bloom.add_many(ids, ID_SIZE)
    assert bloom.fill() <= FILTER_FILL_MAX
    return bloom.salt, bloom.hash_count, bloom.to_bytes()


def _filter_for(count: int, error_rate: float, *, salt: int, may_be_coded: bool) -> BloomFilter:
    """An empty filter of the fewest bytes on its way for so many ids."""
    if may_be_coded and _is_coded(error_rate):
        return BloomFilter(size_bits=8 * ceil(count / error_rate / 8), hash_count=1, salt=salt)
    size = min(FILTER_SIZE_MAX, max(FILTER_SIZE_MIN, ceil(count * _bits_per_key(error_rate) / 8)))
    bloom = BloomFilter.from_size(size_bits=size * 8, error_rate=error_rate, salt=salt)
    if bloom.hash_count > 1 or not may_be_coded:
        return bloom
    # One hash is always coded on its way.
    return BloomFilter(size_bits=size * 8, hash_count=2, salt=salt)


class _Asked:
    """A request under way: its range, and what its answer covered so far.

    is_again   it begins below what has been asked for: it repeats a gap, of which most may have come late
    """

    __slots__ = ("budget", "count", "covered", "datagrams", "is_again", "range", "stop")

    def __init__(self, wanted: Range, budget: int, *, is_again: bool) -> None:
        self.range = wanted
        self.is_again = is_again
        self.budget = budget
        self.covered: list[Range] = []
        self.stop: OrderKey | None = None
        self.datagrams = 0
        self.count = 0

    def gaps(self) -> list[Range]:
        """What no datagram covered, below where the answer stopped or, if that is unknown, got to."""
        low, _ = self.range
        stop = max((end for _, end in self.covered), default=low) if self.stop is None else self.stop
        return gaps_between(low, stop, self.covered) if stop > low else []


class Transfer:
    """What one course asks and gets. Whoever owns it sends its requests and tells it what arrived.

    is_one_of_many   its filters are, so they are as small as they may be
    is_scattered     pieces are asked for in random order: those who ask the same of one source then have
                     different ones of it, and get the others from each other
    received         messages so far
    per_datagram   messages that a datagram held lately
    """

    empty_answers_max = EMPTY_ANSWERS_MAX

    def __init__(self, outline: Outline, *, is_one_of_many: bool = False, is_scattered: bool = False) -> None:
        self._is_scattered = is_scattered
        self.received = 0
        self._is_one_of_many = is_one_of_many
        self.per_datagram = MESSAGES_PER_DATAGRAM_START
        self._outline = outline
        self._todo: list[Range] = []
        self._asked: dict[int, _Asked] = {}
        self._late: OrderedDict[int, Range] = OrderedDict()
        self._empty_answers = self._nothing_found = self._answers = 0
        self._asked_to = ORDER_LOW

    def add(self, wanted: Range) -> None:
        """Ask for this range too, behind what there is."""
        self._todo.append(wanted)

    def is_complete(self) -> bool:
        """Whether nothing is left to ask and nothing under way."""
        return not self._todo and not self._asked

    def has_more(self) -> bool:
        """Whether anything is left to ask."""
        return bool(self._todo)

    def begins_held(self, holdings: MessageHoldings) -> bool:
        """Whether some of what is next may be held."""
        return bool(self._todo) and self._is_held(holdings, self._todo[0][0])

    def is_asked(self, number: int) -> bool:
        """Whether this request is under way."""
        return number in self._asked

    def next_request(
        self,
        *,
        holdings: MessageHoldings,
        number: int,
        budget: int,
        room: int,
        budget_max: int = ANSWER_BUDGET_MAX,
        error_rate: float,
        rng: Random,
        is_single: bool = False,
    ) -> tuple[SyncRequest, int]:
        """Begin the next request, of which so many datagrams are expected; there must be something to ask.

        budget      datagrams of a request, where it is known how many a range brings
        room        at most, where that is not known: then no other request can go on behind it
        budget_max  at most in any case
        is_single   no other is to be under way, so it may go on as far as it gets
        """
        low, high = self._take_next(min(room, budget_max), rng)
        is_held = self._is_held(holdings, low)
        left = self._outline.expected(low, high) / self.per_datagram
        datagrams = self._wanted_datagrams(left, budget, room, budget_max, is_held=is_held)
        cut = self._outline.cut(low, high, datagrams * self.per_datagram)
        expected = budget = room if cut is None else ceil(datagrams)
        if cut is not None and is_single and high > first_key_of(holdings.summary().highest):
            expected = min(room, max(1, ceil(left)))
            budget, cut = room, None
        elif cut is not None:
            expected = min(budget, max(1, ceil(self._outline.expected(low, cut) / self.per_datagram)))
            # What does not fit would be another request, and where we hold some another filter.
            budget = min(budget_max, expected + expected // (4 if is_held else 16) + 2)
        if cut is not None and cut < high:
            self._todo.insert(0, (cut, high))
            high = cut
        request, wanted = self._describe(
            holdings=holdings,
            wanted=(low, high),
            number=number,
            budget=budget,
            error_rate=error_rate,
            rng=rng,
        )
        if wanted[1] < high:
            self._todo.insert(0, (wanted[1], high))
        is_again = wanted[0] < self._asked_to and not self._is_scattered
        self._asked[number] = _Asked(wanted, budget, is_again=is_again)
        self._asked_to = max(self._asked_to, wanted[1])
        return request, min(expected, budget)

    def left(self) -> float:
        """How many messages are thought to be in what is left; 0.0 where nobody knows."""
        return sum(self._outline.expected(low, high) for low, high in self._todo)

    def _take_next(self, datagrams: int, rng: Random) -> Range:
        """What to ask for next, or begin with, of what is left; a request brings `datagrams` at most."""
        if not self._is_scattered:
            return self._todo.pop(0)
        low, high = self._todo.pop(rng.randrange(len(self._todo)))
        expected = self._outline.expected(low, high)
        pieces = round(expected / (datagrams * self.per_datagram))
        if pieces > 1 and len(self._todo) < PULL_GAPS_MAX // 2:
            middle = self._outline.cut(low, high, expected * rng.randrange(pieces) / pieces)
            if middle is not None and low < middle < high:
                self._todo.insert(0, (low, middle))
                low = middle
        return low, high

    def _is_held(self, holdings: MessageHoldings, low: OrderKey) -> bool:
        """Whether anything that we hold may lie above."""
        ours = holdings.summary()
        return ours.count > 0 and low <= first_key_of(ours.highest)

    def _describe(
        self,
        *,
        holdings: MessageHoldings,
        wanted: Range,
        number: int,
        budget: int,
        error_rate: float,
        rng: Random,
    ) -> tuple[SyncRequest, Range]:
        """A request for a range, and how much of it from its low on that is."""
        request = make_request(
            holdings=holdings,
            wanted=wanted,
            number=number,
            budget=budget,
            error_rate=error_rate,
            rng=rng,
            is_alone=not self._is_one_of_many,
        )
        return request, (request.low, request.high)

    def _learn_size(self, per_datagram: float) -> None:
        self._answers += 1
        self.per_datagram += (per_datagram - self.per_datagram) * max(1 / 8, 1 / (self._answers + 1))

    def _wanted_datagrams(
        self, left: float, budget: int, room: int, budget_max: int, *, is_held: bool
    ) -> float:
        """What the next request is cut to, of so many that its range is thought to bring."""
        most = max(1, min(room, budget_max - (FILTER_SLACK if is_held else PLAIN_SLACK)))
        # A filter has a price of its own, whatever it describes.
        wanted = min(most, max(budget, most if is_held else 1))
        # In equal parts, for a last small one costs as much as the others.
        return left / ceil(left / wanted) if left > wanted else wanted

    def receive(self, *, number: int, flags: int, low: OrderKey, high: OrderKey, count: int) -> Coverage:
        """A datagram of an answer has come."""
        asked = self._asked.get(number)
        if asked is None:
            late = self._late.get(number)
            if late is None:
                return Coverage.FOREIGN
            self.received += count
            clipped = (max(low, late[0]), min(high, late[1]))
            # Each may cut a range in two: what is too many is asked for again.
            if clipped[0] < clipped[1] and len(self._todo) < PULL_GAPS_MAX:
                self._todo = gaps_left(self._todo, clipped)
            return Coverage.LATE
        asked_low, asked_high = asked.range
        self.received += count
        # A stripped frame rides in the datagram of the messages frame that covers its messages.
        asked.datagrams += not flags & STRIPPED_LIST
        asked.count += count
        if flags & END_OF_RANGE or high > asked_high:
            high = asked_high
        if low < asked_low:
            low = asked_low
        if low < high:
            asked.covered.append((low, high))
        if flags & LAST_OF_ANSWER:
            asked.stop = high
        is_whole = asked.stop is not None and not asked.gaps()
        if is_whole or asked.datagrams >= ANSWER_DATAGRAMS_RATIO * asked.budget:
            return Coverage.WHOLE
        return Coverage.PART

    def has_ended(self, number: int) -> bool:
        """Whether the end of an answer has come, which may have gaps."""
        return number in self._asked and self._asked[number].stop is not None

    def close(self, number: int) -> Answered:
        """An answer is over, because all of it is here or no more of it is to be waited for."""
        asked = self._asked.pop(number)
        low, high = asked.range
        stop = max((end for _, end in asked.covered), default=low) if asked.stop is None else asked.stop
        stop = max(low, stop)
        gaps = asked.gaps()
        # Several in a row make one gap; but an answer that did not reach the end has used its budget up.
        lost = len(gaps) if asked.stop is not None else max(1, asked.budget - asked.datagrams)
        self._late[number] = asked.range
        if len(self._late) > LATE_REQUESTS_MAX:
            self._late.popitem(last=False)
        if asked.datagrams:
            if asked.count and (stop < high or asked.datagrams >= FULL_DATAGRAMS_MIN):
                self._learn_size(asked.count / (asked.datagrams - (stop == high) / 2))
            self._empty_answers = 0 if asked.count or stop == high else self._empty_answers + 1
            if not asked.is_again:
                self._nothing_found = 0 if asked.count else self._nothing_found + 1
            if self._nothing_found >= EMPTY_ANSWERS_MAX:
                # It said it had more. What is left is one range then, and not as many as it likes.
                self._outline = Outline()
            if not gaps and asked.stop is not None:
                self._outline.learn(low, stop, asked.count)
        if stop < high:
            gaps.append((stop, high))
        # Lowest first, so that what was begun is finished before anything new.
        self._todo[:0] = gaps
        del self._todo[PULL_GAPS_MAX:]
        progress = not asked.datagrams or (stop > low and self._empty_answers < self.empty_answers_max)
        return Answered(lost=lost, has_come=asked.datagrams > 0, count=asked.count, progress=progress)


def _bits_per_key(error_rate: float) -> float:
    """Of a filter of as many hashes as suit it."""
    return -log(error_rate) / log(2) ** 2


def _coded_bits_per_key(error_rate: float) -> float:
    """Of a filter of one hash whose bits are coded: what the gaps between its bits take, and what their
    code takes more."""
    return (-log(error_rate) + 1) / log(2) * CODED_SLACK


def _is_coded(error_rate: float) -> bool:
    """Whether that is the smaller one."""
    return _coded_bits_per_key(error_rate) < _bits_per_key(error_rate)
