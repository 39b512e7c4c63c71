"""Goal: two sets become one by symbols, in few round trips, whatever the link or a liar does."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from random import Random

import pytest

from dispersy.constants import (
    ANSWER_BUDGET_MAX,
    SYMBOL_ROUNDS_MAX,
    SYMBOL_SETS_CHANGED_MAX,
    SYMBOL_SILENCES_MAX,
)
from dispersy.errors import WireError
from dispersy.protocol.flow.backlog import Backlog
from dispersy.protocol.sync.course import Arrival, Asking, Question
from dispersy.protocol.sync.pull_sources import Source
from dispersy.protocol.sync.symbols_answer import SymbolSets, answer_symbols
from dispersy.protocol.sync.symbols_course import BURST_MIN, UNPROVEN_BURST, SymbolsCourse
from dispersy.protocol.wire.frames import (
    Busy,
    MessagesHeader,
    Symbols,
    SymbolsRequest,
    decode_frame,
    frame,
)
from dispersy.protocol.wire.numbers import FrameType, MessagesFlag
from dispersy.protocol.wire.summary import Summary
from dispersy.protocol.wire.sync_frames import (
    ANY_SET,
    Described,
    Further,
    Items,
    Lacked,
    SetSymbols,
)
from simulation.holdings import StoreHoldings, history, make_holdings
from simulation.measures import frames_of

ALL = history(4_000, seed=3)
ROUND_TRIP_S = 0.1


def holding(messages: Sequence[bytes]) -> StoreHoldings:
    holdings = make_holdings()
    holdings.add(list(messages))
    return holdings


def without(count: int, seed: int, of: int = 1_000) -> list[bytes]:
    lacked = set(Random(seed).sample(range(of), count))
    return [message for index, message in enumerate(ALL[:of]) if index not in lacked]


class Exchange:
    """An asker and an answerer, what goes between them and what becomes of it on the way.

    lose      whether this frame is lost
    change    what an answer becomes
    """

    def __init__(
        self,
        ours: StoreHoldings,
        theirs: StoreHoldings,
        *,
        lose: Callable[[], bool] = lambda: False,
        change: Callable[[list[bytes]], list[bytes]] = lambda frames: frames,
        between: Callable[[], None] = lambda: None,
    ) -> None:
        self.ours, self.theirs = ours, theirs
        self.sets = SymbolSets()
        self.now = 0.0
        self.lose, self.change, self.between = lose, change, between
        self.rounds = 0
        self.questions: list[SymbolsRequest] = []
        self.bytes = 0
        asking = Asking(Random(1), ours, Backlog(), Counter(), ANSWER_BUDGET_MAX)
        self.course = SymbolsCourse(asking, Source(theirs.summary(), 0.0))

    def run(self, rounds_max: int = 60) -> None:
        """To the end of the course; what arrives is in the store at once."""
        for _ in range(rounds_max):
            self.between()
            questions = self.course.step(self.now)
            if self.course.is_over():
                return
            self._carry(questions)
            if self.course.is_under_way():
                deadline = self.course.next_deadline()
                assert deadline is not None
                self.now = deadline
                self.course.handle_timer(self.now)
        raise AssertionError("a course that does not end")

    def _carry(self, questions: Sequence[Question]) -> None:
        asked = [each for each in questions if each.type == FrameType.SYMBOLS_REQUEST]
        self.rounds += bool(asked)
        for question in questions:
            self.bytes += len(question.encode()) * (question.type == FrameType.SYMBOLS_REQUEST)
            if self.lose():
                continue
            if question.type == FrameType.MESSAGES:
                self.theirs.add(self.ours.read(MessagesHeader.decode(question.encode())[1]))
                continue
            request = decode_frame(question.type, question.encode())
            assert isinstance(request, SymbolsRequest)
            self.questions.append(request)
            answered = answer_symbols(request, self.theirs, self.sets, self.theirs.summary())
            assert len(answered.frames) <= request.budget
            self.now += ROUND_TRIP_S / len(asked)
            for frames in self.change(answered.frames):
                if not self.lose():
                    self.receive(frames)

    def receive(self, frames: bytes) -> None:
        for frame_type, body in frames_of(bytes(18) + frames):
            if frame_type == FrameType.MESSAGES:
                header, area = MessagesHeader.decode(body)
                messages = self.ours.read(area)
                flags = int.from_bytes(body[4:5], "big")
                self.ours.add(messages)
                arrival = Arrival(
                    header.number, flags, header.low, header.high, len(messages), header.summary
                )
                self.course.receive_messages(arrival, self.now)
            elif frame_type == FrameType.SYMBOLS:
                self.bytes += len(body)
                reply = decode_frame(frame_type, body)
                assert isinstance(reply, Symbols)
                self.course.receive_reply(reply, self.now)


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("differences", [1, 20, 45])
def test_few_differences_take_one_datagram_and_one_round_trip(seed: int, differences: int) -> None:
    cut = Random(seed).randrange(differences + 1)
    exchange = Exchange(holding(without(cut, seed)), holding(without(differences - cut, seed + 100)))
    both = exchange.ours.ids() | exchange.theirs.ids()
    exchange.run()
    assert exchange.ours.ids() == exchange.theirs.ids() == both
    assert exchange.course.has_everything
    assert [type(each.asked) for each in exchange.questions] == [Described]


@pytest.mark.parametrize("seed", range(3))
def test_some_hundred_take_symbols_of_theirs_and_then_items(seed: int) -> None:
    """Goal: three round trips, some 20 bytes a difference; and they get what they lack, unasked."""
    exchange = Exchange(holding(without(150, seed)), holding(without(150, seed + 9)))
    both = exchange.ours.ids() | exchange.theirs.ids()
    exchange.run()
    assert exchange.ours.ids() == exchange.theirs.ids() == both
    assert exchange.course.has_everything
    assert exchange.rounds <= 3
    assert exchange.bytes < 300 * 28 + 2_000
    # Both of few messages and of many each step is asked for once.
    assert isinstance(exchange.questions[-1].asked, Items)


def test_what_is_too_much_ends_with_an_estimate() -> None:
    """Goal: one datagram each way, and other means are told how much it is."""
    exchange = Exchange(holding(ALL[:500]), holding(ALL))
    exchange.run()
    assert not exchange.course.has_everything
    assert exchange.course.estimate is not None
    assert 2_300 < exchange.course.estimate < 5_500
    assert exchange.bytes < 2_500


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("differences", [30, 240])
def test_loss_and_repetition_cost_rounds(seed: int, differences: int) -> None:
    """Goal: a fifth of all frames lost, others twice and out of order: what is told to be there arrives."""
    rng = Random(seed)

    def disturbed(frames: list[bytes]) -> list[bytes]:
        frames = [*frames, *rng.sample(frames, len(frames) // 3)]
        rng.shuffle(frames)
        return frames

    exchange = Exchange(
        holding(without(differences // 2, seed)),
        holding(without(differences // 2, seed + 7)),
        lose=lambda: rng.random() < 0.2,
        change=disturbed,
    )
    exchange.run()
    if exchange.course.has_everything:
        assert exchange.theirs.ids() <= exchange.ours.ids()
    else:
        assert len(exchange.ours.ids()) >= 1_000 - differences // 2


def test_bursts_that_do_not_fit_become_smaller() -> None:
    """Many ask one neighbour at once: of each answer its queue takes the beginning, and the rest is lost."""
    exchange = Exchange(holding(without(400, 1)), holding(ALL[:1_000]), change=lambda frames: frames[:10])
    source = exchange.course._source
    before = source.burst_max
    exchange.run()
    assert exchange.course.has_everything
    assert BURST_MIN <= source.burst_max < before
    exchange = Exchange(holding(without(400, 1)), holding(ALL[:1_000]))
    exchange.run()
    assert exchange.course._source.burst_max == before


def test_a_link_that_loses_little_is_no_hindrance() -> None:
    """Goal: with one frame in twenty lost nearly every exchange still gets everything."""
    complete = 0
    for seed in range(12):
        rng = Random(seed)
        lose = lambda rng=rng: rng.random() < 0.05  # noqa: E731
        exchange = Exchange(holding(without(100, seed)), holding(without(100, seed + 7)), lose=lose)
        exchange.run()
        complete += exchange.theirs.ids() <= exchange.ours.ids()
    assert complete >= 11


def test_sets_that_change_meanwhile_end_in_time() -> None:
    """Goal: new messages on both sides at every step cost rounds and bytes, never sense."""
    ours, theirs = holding(without(100, 1)), holding(without(100, 2))
    fresh = iter(ALL[1_000:])

    def grow() -> None:
        ours.add([next(fresh) for _ in range(2)])
        theirs.add([next(fresh) for _ in range(3)])

    before = theirs.ids()
    exchange = Exchange(ours, theirs, between=grow)
    exchange.run()
    assert len(before - ours.ids()) < 100


@pytest.mark.parametrize("seed", range(8))
def test_made_up_symbols_cost_a_bounded_number_of_questions(seed: int) -> None:
    """Goal: whatever a liar answers, nothing wrong gets in, and it is over after a few rounds."""
    rng = Random(seed)

    def lies(frames: list[bytes]) -> list[bytes]:
        number = exchange.questions[-1].number
        count = rng.randrange(90)
        symbols = b"".join(
            rng.randbytes(12) + rng.choice(b"\1\xff\0\7").to_bytes(1, "big") for _ in range(count)
        )
        told = rng.choice(
            [
                SetSymbols(
                    rng.choice([b"one set.", b"another."]), rng.choice([0, 89, 2_000, 60_000]), symbols
                ),
                SetSymbols(ANY_SET, 0, bytes(13 * count)),
                Lacked(rng.randrange(9), rng.randbytes(8 * 146)),
                Lacked(0, next(iter(exchange.ours.ids()))[:8] * 146),
            ]
        )
        made = Symbols(number, last=rng.random() < 0.5, told=told)
        return [frame(made.type, made.encode()), *frames[: rng.randrange(2)]]

    exchange = Exchange(holding(without(20, 1)), holding(without(20, 2)), change=lies)
    exchange.run()
    assert len(exchange.questions) < 40
    assert exchange.bytes < 80_000
    assert exchange.ours.ids() <= {*exchange.theirs.ids(), *holding(ALL[:1_000]).ids()}


@pytest.mark.parametrize(("now", "is_given_all"), [(0.5, False), (1.5, True)])
def test_who_gets_what_it_lacks_by_asking_is_sent_little_unasked(now: float, is_given_all: bool) -> None:
    """Goal: a newcomer behind a slow link is not sent a second time, and at once, what it is asking for."""
    exchange = Exchange(holding(ALL[:3_000]), holding(ALL[:2_300]))
    exchange.now = now
    exchange.course._source.draws_until = 1.0
    before, given = exchange.theirs.summary().count, 0
    while not given and not exchange.course.is_over():
        questions = exchange.course.step(exchange.now)
        given = sum(each.type == FrameType.MESSAGES for each in questions)
        exchange._carry(questions)
    assert exchange.theirs.summary().count > before
    assert (given > UNPROVEN_BURST) is is_given_all


@pytest.mark.parametrize("fruitful", [False, True])
def test_who_brought_nothing_yet_is_given_little_of_what_it_says_to_lack(fruitful: bool) -> None:
    """Goal: whoever names what it was told of as lacking is not sent all of that for it."""
    exchange = Exchange(holding(ALL[:1_000]), holding(ALL[:1_000]))
    source = Source(exchange.theirs.summary(), 0.0)
    source.fruitful = fruitful
    course = SymbolsCourse(Asking(Random(1), exchange.ours, Backlog(), Counter(), ANSWER_BUDGET_MAX), source)
    [question] = course.step(0.0)
    assert isinstance(question, SymbolsRequest)
    items = b"".join(sorted(exchange.ours.ids())[at][:8] for at in range(146))
    course.receive_reply(Symbols(question.number, last=True, told=Lacked(0, items)), 0.1)
    given = course.step(0.1)
    assert {each.type for each in given} == {FrameType.MESSAGES}
    assert (len(given) > UNPROVEN_BURST) is fruitful


def test_promises_are_believed_a_few_times() -> None:
    """Goal: messages that are said to come and never do, symbols of ever other sets, and answers that tell
    nothing new end it soon."""

    def promise(_frames: list[bytes]) -> list[bytes]:
        told = Symbols(exchange.questions[-1].number, last=False, told=Lacked(5, b""))
        last = MessagesHeader(number=exchange.questions[-1].number, last=True)
        return [frame(told.type, told.encode()) + frame(last.type, last.encode())]

    def change(_frames: list[bytes]) -> list[bytes]:
        count = exchange.ours.summary().count
        name = count.to_bytes(4, "big") + len(exchange.questions).to_bytes(4, "big")
        # All but one symbol are ours: nothing seems to differ, and something does.
        symbols = bytearray(exchange.ours.symbols(0, 30) or b"")
        symbols[-13] ^= 1
        told = SetSymbols(name, 0, bytes(symbols))
        made = Symbols(exchange.questions[-1].number, last=True, told=told)
        return [frame(made.type, made.encode())]

    def end(_frames: list[bytes]) -> list[bytes]:
        told = Symbols(exchange.questions[-1].number, last=True, told=Lacked(5, b""))
        return [frame(told.type, told.encode())]

    def repeat(_frames: list[bytes]) -> list[bytes]:
        name = exchange.ours.summary().count.to_bytes(4, "big") + bytes(4)
        symbols = bytearray(exchange.ours.symbols(0, 30) or b"")
        symbols[-13] ^= 1
        made = Symbols(exchange.questions[-1].number, last=True, told=SetSymbols(name, 0, bytes(symbols)))
        return [frame(made.type, made.encode())]

    for lie, asked_max in (
        (promise, SYMBOL_ROUNDS_MAX + 1),
        (change, SYMBOL_SETS_CHANGED_MAX + 2),
        (end, SYMBOL_ROUNDS_MAX + 1),
        (repeat, SYMBOL_ROUNDS_MAX + 2),
    ):
        exchange = Exchange(holding(without(20, 1)), holding(without(20, 2)), change=lie)
        exchange.run()
        assert not exchange.course.has_everything
        assert len(exchange.questions) <= asked_max


def test_silence_ends_it() -> None:
    """Goal: somebody who does not speak of symbols is soon asked by other means."""
    exchange = Exchange(holding(without(20, 1)), holding(without(20, 2)), lose=lambda: True)
    exchange.run()
    assert not exchange.course.has_everything
    assert exchange.rounds == SYMBOL_SILENCES_MAX


def answer(
    what: Described | Further | Items,
    holdings: StoreHoldings,
    described: bytes | None = None,
    budget: int = 16,
) -> list[tuple[int, bytes]]:
    request = SymbolsRequest(5, budget, what)
    answered = answer_symbols(request, holdings, SymbolSets(), holdings.summary(), described=described)
    assert len(answered.frames) <= budget
    return [each for frames in answered.frames for each in frames_of(bytes(18) + frames)]


def test_of_two_that_ask_each_other_one_goes_on() -> None:
    """Goal: where much differs one of them is told to wait; where little does both are answered."""
    one, other = holding(without(200, 1)), holding(without(200, 2))
    asked = [Described(each.summary().count, each.symbols(0, 89) or b"") for each in (one, other)]
    answers = [answer(asked[1], one, asked[0].symbols), answer(asked[0], other, asked[1].symbols)]
    assert sorted(each[0][0] for each in answers) == [FrameType.BUSY, FrameType.SYMBOLS]
    busy = next(body for each in answers for frame_type, body in each if frame_type == FrameType.BUSY)
    assert Busy.decode(busy).number == 5
    near = holding(without(10, 3))
    described = Described(near.summary().count, near.symbols(0, 89) or b"")
    whole = holding(ALL[:1_000])
    mine = whole.symbols(0, 89) or b""
    told = Symbols.decode(answer(described, whole, mine)[0][1]).told
    assert told == Lacked(10, b"")


def test_an_answer_keeps_to_its_budget_and_says_whether_it_is_whole() -> None:
    whole, empty = holding(ALL[:1_000]), holding([])
    items = b"".join(sorted(message_id[:8] for message_id in whole.ids())[:146])
    for budget, is_whole in ((2, False), (ANSWER_BUDGET_MAX, True)):
        frames = answer(Items(items), whole, budget=budget)
        flags = frames[-1][1][4]
        assert flags & MessagesFlag.LAST_OF_ANSWER
        assert bool(flags & MessagesFlag.END_OF_RANGE) == is_whole
        assert MessagesHeader.decode(frames[-1][1])[0].summary == whole.summary()
    assert [frame_type for frame_type, _ in answer(Items(items), empty)] == [FrameType.MESSAGES]
    with pytest.raises(WireError, match="budget-too-large"):
        answer_symbols(SymbolsRequest(1, 65, Items(items)), whole, SymbolSets(), Summary())


@pytest.mark.parametrize(
    ("first", "count", "firsts"),
    [(0, 100, [0, 89]), (2_000, 500, [2_000]), (2_048, 1, [2_048]), (60_000, 5_000, [60_000])],
)
def test_further_symbols_are_those_that_are_kept(first: int, count: int, firsts: list[int]) -> None:
    """Goal: as many as there are, and one frame that says so where there are none."""
    holdings = holding(ALL[:50])
    sets = SymbolSets()
    name, symbols = sets.current(holdings) or (b"", b"")
    answered = answer_symbols(SymbolsRequest(1, 9, Further(name, first, count)), holdings, sets, None)
    told = [Symbols.decode(body) for each in answered.frames for _, body in frames_of(bytes(18) + each)]
    assert [each.told.first for each in told if isinstance(each.told, SetSymbols)] == firsts
    given = b"".join(each.told.symbols for each in told if isinstance(each.told, SetSymbols))
    assert given == symbols[13 * first : 13 * (first + count)]
    assert [each.last for each in told] == [False] * (len(told) - 1) + [True]


def test_a_set_that_was_described_is_told_further_after_it_has_changed() -> None:
    """Goal: symbols of one name fit together; of a name that is gone all are told anew."""
    holdings = holding(ALL[:500])
    sets = SymbolSets()
    name, symbols = sets.current(holdings) or (b"", b"")
    holdings.add(ALL[500:510])
    for asked, expected, first in ((name, symbols, 89), (b"is gone.", holdings.symbols(0, 2_048), 0)):
        request = SymbolsRequest(1, 9, Further(asked, 89, 89))
        answered = answer_symbols(request, holdings, sets, None)
        _, body = frames_of(bytes(18) + answered.frames[0])[0]
        told = Symbols.decode(body).told
        assert isinstance(told, SetSymbols)
        assert (told.set_name == name, told.first) == (asked == name, first)
        assert expected is not None
        assert told.symbols == expected[13 * first : 13 * (first + 89)]
