"""What one course has still to ask of its source: ranges, requests under way, and what their answers covered.

Several requests are under way at once, each for a range of its own, so none is ever asked for twice: ranges
are cut to what one request brings where it is known about how much there is (outline.py), and where it is
not, the next request begins where the answer before it stopped. Every datagram states the interval that it
covers. What lies between two of them is a range to ask again, exactly, so what arrived near it need not be in
the store yet.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Collection
from dataclasses import dataclass
from enum import Enum, auto
from math import ceil
from random import Random

from dispersy.constants import ANSWER_BUDGET_MAX, PULL_GAPS_MAX
from dispersy.protocol.holdings import MessageHoldings, first_key_of
from dispersy.protocol.identifiers import ORDER_LOW, OrderKey
from dispersy.protocol.sync.filtered_request import make_request
from dispersy.protocol.sync.gaps import Range, gaps_between, gaps_left
from dispersy.protocol.sync.outline import Outline
from dispersy.protocol.wire.frames import SyncRequest
from dispersy.protocol.wire.records import END_OF_RANGE, LAST_OF_ANSWER, STRIPPED_LIST

MESSAGES_PER_DATAGRAM_START = 5.0
PLAIN_SLACK, FILTER_SLACK = 6, 6
"""Datagrams that a request may bring above what is expected, without and with a filter: those held at random
leave now more and now less."""
LATE_REQUESTS_MAX = 256
"""Requests whose datagrams may still come after their answer is over."""
ANSWER_DATAGRAMS_RATIO = 2
"""Datagrams of one answer, duplicates included, to those asked for; more is a flood."""
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

    lost       datagrams that seem lost; is_cut: the last ones of it
    has_come   anything of it
    count      of its messages
    progress   whether it got us anywhere, or is merely lost; else its sender keeps us busy
    covered    how far it came, and has_ended: to the end of what was asked for
    is_again   what was asked for is a gap, of which most may have come late
    """

    lost: int
    is_cut: bool
    has_come: bool
    count: int
    progress: bool
    covered: Range
    has_ended: bool
    is_again: bool


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
        self._answers = 0
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

    def expected(self, part: Range) -> float:
        """How many messages a range is thought to have; 0.0 where nobody knows."""
        return self._outline.expected(*part)

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

    def under_way(self) -> Collection[int]:
        """The numbers of requests that are not closed yet, of all who take part."""
        return self._asked.keys()

    def has_ended(self, number: int) -> bool:
        """Whether the end of an answer has come, which may have gaps."""
        return number in self._asked and self._asked[number].stop is not None

    def doubt(self) -> None:
        """The source said that it had more than it has: what is left is one range then, and not as many as
        it likes."""
        self._outline = Outline()

    def close(self, number: int, *, learns: bool = True) -> Answered:
        """An answer is over, because all of it is here or no more of it is to be waited for.

        learns   how much was found says how much there is elsewhere
        """
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
            if learns and not gaps and asked.stop is not None:
                self._outline.learn(low, stop, asked.count)
        if stop < high:
            gaps.append((stop, high))
        # Lowest first, so that what was begun is finished before anything new.
        self._todo[:0] = gaps
        del self._todo[PULL_GAPS_MAX:]
        return Answered(
            lost=lost,
            is_cut=asked.stop is None,
            has_come=asked.datagrams > 0,
            count=asked.count,
            progress=not asked.datagrams or stop > low,
            covered=(low, stop),
            has_ended=stop == high,
            is_again=asked.is_again,
        )
