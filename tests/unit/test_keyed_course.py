"""Goal: ranges under fresh keys repair what two sets differ in, whatever is lost; and who lies, or does not
know them, costs a bounded number of questions."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from itertools import pairwise
from random import Random

import pytest

from dispersy.constants import (
    ANSWER_BUDGET_MAX,
    KEYED_ANSWERED_MAX,
    KEYED_BUSY_MAX,
    KEYED_REQUESTS_MAX,
    KEYED_SCAN_MAX,
    KEYED_SILENCES_MAX,
    TREE_GAPS_MAX,
)
from dispersy.protocol.flow.backlog import Backlog
from dispersy.protocol.identifiers import ORDER_LOW, ORDER_TOP
from dispersy.protocol.sync import keyed_course
from dispersy.protocol.sync.course import Arrival, Asking, Question
from dispersy.protocol.sync.keyed_answer import KeyedRange, answer_range
from dispersy.protocol.sync.keyed_course import KeyedCourse
from dispersy.protocol.sync.pull_sources import Source
from dispersy.protocol.wire.frames import Busy, MessagesHeader, Symbols, SymbolsRequest
from dispersy.protocol.wire.numbers import FrameType
from dispersy.protocol.wire.sync_frames import ITEM_SIZE, Lacked, RangeDescribed, Untold
from simulation.holdings import StoreHoldings, history, make_holdings
from simulation.measures import frames_of
from tests.unit.test_responder import House

ALL = history(1_200, seed=3)
Answerer = Callable[[SymbolsRequest], list[bytes]]


def holding(lacks: int = 0, *, seed: int = 0) -> StoreHoldings:
    """Everything but so many."""
    holdings = make_holdings()
    lacked = set(Random(seed).sample(range(len(ALL)), lacks))
    holdings.add([message for index, message in enumerate(ALL) if index not in lacked])
    return holdings


class Exchange:
    """A course with a neighbour; what arrives is in the store at once.

    answer   how it answers; None: as is right
    loses    the share of all datagrams that do not arrive
    """

    def __init__(
        self,
        ours: StoreHoldings,
        theirs: StoreHoldings,
        *,
        expected: int = 1,
        answer: Answerer | None = None,
        loses: float = 0.0,
    ) -> None:
        self.ours, self.theirs = ours, theirs
        self.rng = Random(5)
        self.answer = answer or self._answer
        self.loses = loses
        self.now = 0.0
        self.asked = self.given = self.bytes = 0
        asking = Asking(Random(1), ours, Backlog(), Counter(), ANSWER_BUDGET_MAX)
        self.course = KeyedCourse(asking, Source(theirs.summary(), 0.0), expected=expected)

    def run(self) -> None:
        """To the end of the course."""
        for _ in range(2_000):
            questions = self.course.step(self.now)
            for question in questions:
                self._carry(question)
            if self.course.is_over():
                return
            deadlines = [self.course.next_deadline(), self.course.next_step()]
            self.now = max(self.now, min((each for each in deadlines if each is not None), default=self.now))
            self.course.handle_timer(self.now)
        raise AssertionError("a course that does not end")

    def _answer(self, request: SymbolsRequest) -> list[bytes]:
        asked = request.asked
        assert isinstance(asked, RangeDescribed)
        return answer_range(
            request.number, asked, self.theirs, self.theirs.summary(), budget=request.budget
        ).frames

    def _carry(self, question: Question) -> None:
        if question.type == FrameType.MESSAGES:
            messages = self.theirs.read(MessagesHeader.decode(question.encode())[1])
            self.given += len(messages)
            self.theirs.add(messages)
            return
        self.asked += 1
        body = question.encode()
        self.bytes += len(body)
        if self.rng.random() < self.loses:
            return
        for frames in self.answer(SymbolsRequest.decode(body)):
            if self.rng.random() >= self.loses:
                self._receive(frames)

    def _receive(self, frames: bytes) -> None:
        self.now += 0.001
        for frame_type, body in frames_of(bytes(18) + frames):
            if frame_type == FrameType.SYMBOLS:
                self.course.receive_reply(Symbols.decode(body), self.now)
            elif frame_type == FrameType.BUSY:
                busy = Busy.decode(body)
                self.is_left = not self.course.receive_busy(busy.number, busy.wait_ms / 1000, self.now)
            else:
                header, area = MessagesHeader.decode(body)
                messages = self.ours.read(area)
                self.ours.add(messages)
                flags = int.from_bytes(body[4:5], "big")
                arrival = Arrival(header.number, flags, header.low, header.high, len(messages))
                self.course.receive_messages(arrival, self.now)


@pytest.mark.parametrize("loses", [0.0, 0.2])
@pytest.mark.parametrize("lacks", [0, 100])
def test_two_sets_become_one(lacks: int, loses: float) -> None:
    """In both directions, by ranges of as many messages as symbols tell the differences of."""
    exchange = Exchange(holding(lacks), holding(lacks, seed=1), expected=2 * lacks, loses=loses)
    exchange.run()
    if exchange.course.has_everything:
        assert exchange.ours.ids() >= exchange.theirs.ids()
    if not loses:
        assert exchange.course.has_everything
        assert exchange.ours.ids() == exchange.theirs.ids()
        assert exchange.bytes <= 3_000 + 75 * 2 * lacks


def test_more_than_symbols_tell_is_cut_and_where_little_is_held_left_to_filters() -> None:
    """Nothing is forgotten: what is not here afterwards lies in what is left."""
    ours, theirs = holding(500), holding()
    exchange = Exchange(ours, theirs)
    exchange.run()
    _, left = exchange.course.gaps()
    assert len(left) <= TREE_GAPS_MAX
    keys, _, _ = theirs.scan(ORDER_LOW, ORDER_TOP, 10_000)
    for at in range(0, len(keys), 40):
        if keys[at + 8 : at + 40] not in ours.ids():
            assert any(low <= keys[at : at + 24] < high for low, high in left)


def untold(request: SymbolsRequest) -> list[bytes]:
    told = Untold(65_535, 100)
    return framed(Symbols(request.number, last=True, told=told))


def promises(request: SymbolsRequest) -> list[bytes]:
    """So many are lacked, and none of them comes."""
    header = MessagesHeader(number=request.number, low=ORDER_LOW, high=ORDER_LOW, last=True)
    body = header.encode()
    return [
        *framed(Symbols(request.number, last=False, told=Lacked(65_535, b""))),
        bytes((FrameType.MESSAGES, len(body))) + body,
    ]


def framed(symbols: Symbols) -> list[bytes]:
    body = symbols.encode()
    length = bytes((len(body),)) if len(body) < 128 else bytes((len(body) & 0x7F | 0x80, len(body) >> 7))
    return [bytes((FrameType.SYMBOLS,)) + length + body]


@pytest.mark.parametrize("lie", [untold, promises])
def test_a_liar_is_described_a_bounded_number_of_ranges(lie: Answerer) -> None:
    exchange = Exchange(holding(), holding(5), expected=100, answer=lie)
    exchange.run()
    assert exchange.asked <= KEYED_REQUESTS_MAX + 2 * (1_200 // (32 * 1_200 // 100) + 1)
    assert not exchange.course.has_everything
    assert exchange.course.gaps()[1]


def test_who_says_that_it_lacks_everything_is_given_so_much(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keyed_course, "KEYED_GIVEN_MAX", 200)
    ours = holding()

    def lacks_all(request: SymbolsRequest) -> list[bytes]:
        asked = request.asked
        assert isinstance(asked, RangeDescribed)
        held = KeyedRange(ours, asked.low, asked.high, key=asked.key, limit=KEYED_SCAN_MAX)
        items = held._items[: 140 * ITEM_SIZE]
        return framed(Symbols(request.number, last=False, told=Lacked(1, items)))

    exchange = Exchange(ours, make_holdings(), expected=1_200, answer=lacks_all)
    exchange.run()
    assert 0 < exchange.given <= 200


def test_who_does_not_know_ranges_is_asked_twice() -> None:
    exchange = Exchange(holding(5), holding(), answer=lambda _: [])
    exchange.run()
    assert exchange.asked == KEYED_SILENCES_MAX
    assert not exchange.course.has_everything
    assert exchange.course.gaps()[1] == []


def test_who_is_busy_is_asked_later_and_not_for_ever() -> None:
    times: list[float] = []

    def busy(request: SymbolsRequest) -> list[bytes]:
        times.append(exchange.now)
        body = Busy(request.number, 500).encode()
        return [bytes((FrameType.BUSY, len(body))) + body]

    exchange = Exchange(holding(5), holding(), answer=busy)
    exchange.is_left = False
    for _ in range(2 * KEYED_BUSY_MAX):
        for question in exchange.course.step(exchange.now):
            exchange._carry(question)
        if exchange.is_left:
            break
        exchange.now = exchange.course.next_step() or exchange.now
    assert len(times) == KEYED_BUSY_MAX
    assert all(later - earlier >= 0.5 for earlier, later in pairwise(times))


def test_so_many_ranges_a_second_are_answered() -> None:
    """Each is a look at thousands of ids; who asks for more hears that it is to wait, and others do not."""
    house = House()
    request = SymbolsRequest(1, 4, RangeDescribed(bytes(16), ORDER_LOW, ORDER_TOP, 0, bytes(13))).encode()
    for _ in range(KEYED_ANSWERED_MAX + 5):
        house.receive(FrameType.SYMBOLS_REQUEST, request)
    assert house.sent_types().count(FrameType.BUSY) == 5
    house.receive(FrameType.SYMBOLS_REQUEST, request, source=2)
    assert house.sent_types().count(FrameType.BUSY) == 5
