"""Goal: symbols in a pull: who is asked, who need not be, what comes next, how many a neighbour may ask."""

from __future__ import annotations

from random import Random

from dispersy.constants import (
    ASKED_FIRST_S,
    HELD_BACK_MAX_S,
    PARTNERS_MISSING_MIN,
    SHARED_EXCHANGE_S,
    SYMBOLS_ANSWERED_MAX,
)
from dispersy.protocol.address import Address
from dispersy.protocol.holdings import KEY_SIZE
from dispersy.protocol.identifiers import ORDER_LOW, ORDER_TOP
from dispersy.protocol.sync.answering import LARGE_PER_ANSWER
from dispersy.protocol.sync.courses import make_course
from dispersy.protocol.sync.means import Means
from dispersy.protocol.sync.pull import Pull
from dispersy.protocol.sync.pull_sources import Source
from dispersy.protocol.sync.puller import Puller
from dispersy.protocol.sync.range_course import RangeCourse
from dispersy.protocol.wire.frames import Busy, Large, Symbols, SymbolsRequest
from dispersy.protocol.wire.numbers import FrameType
from dispersy.protocol.wire.records import LAST_OF_ANSWER
from dispersy.protocol.wire.summary import Summary
from dispersy.protocol.wire.sync_frames import ITEM_SIZE, Described, Items, Lacked, SetSymbols
from simulation.holdings import StoreHoldings, history, make_holdings, make_message
from simulation.measures import frames_of
from tests.unit.test_responder import NUMBER, House

SOURCE = Address(bytes(10) + b"\xff\xff" + bytes([192, 0, 2, 1]) + b"\x10\x10")
HELD = history(1_500)


def make_puller() -> tuple[Puller, StoreHoldings, Summary]:
    """Of a node that holds much, and the summary of one that holds a little more."""
    holdings = make_holdings()
    holdings.add(HELD)
    puller = Puller(rng=Random(1), holdings=holdings, now=0.0, audits=False)
    puller.set_definition_known(0.0)
    ours = holdings.summary()
    return puller, holdings, Summary(ours.highest, ours.count + 1, 0, ours.sum + 1)


def asked(puller: Puller) -> list[FrameType]:
    return [event.frame_type for event in puller.drain()]


def describe(puller: Puller, theirs: Summary) -> SymbolsRequest:
    """The one question with which a pull begins."""
    puller.receive_summary(SOURCE, theirs, 0.0)
    [event] = puller.drain()
    assert event.frame_type is FrameType.SYMBOLS_REQUEST
    request = SymbolsRequest.decode(event.body)
    assert isinstance(request.asked, Described)
    return request


def test_a_pull_begins_with_symbols_and_ends_where_they_tell_all() -> None:
    """Nothing else is asked, and they get what they lack; while nobody's word changes it stays so."""
    puller, holdings, theirs = make_puller()
    request = describe(puller, theirs)
    assert puller.described_to(SOURCE) == request.asked.symbols  # type: ignore[union-attr]
    item = next(iter(holdings.ids()))[:8]
    puller.receive_reply(SOURCE, Symbols(request.number, last=False, told=Lacked(0, item)), 0.1)
    puller.receive_envelope(SOURCE, request.number, LAST_OF_ANSWER, ORDER_LOW, ORDER_LOW, theirs, 0, 0, 0.1)
    puller.proceed(0.1)
    assert asked(puller) == [FrameType.MESSAGES]
    assert puller.described_to(SOURCE) is None
    puller.handle_timer(20.0)
    assert asked(puller) == []


def test_where_symbols_are_no_use_ranges_come_next() -> None:
    """In the same pull; and they are not tried again at once."""
    puller, _, theirs = make_puller()
    request = describe(puller, theirs)
    told = SetSymbols(b"one set.", 0, b"")
    puller.receive_reply(SOURCE, Symbols(request.number, last=True, told=told), 0.1)
    assert asked(puller) == [FrameType.RANGE_REQUEST]
    assert (puller.counts["by-symbols"], puller.counts["by-tip"]) == (1, 1)


def test_where_much_differs_on_both_sides_it_is_asked_for_in_random_order() -> None:
    """Counts alone say that nothing is missing: all who ask one neighbour would get the same of it, and have
    nothing for each other."""
    puller, holdings, theirs = make_puller()
    pull = Pull(SOURCE, Source(theirs, 0.0), holdings.summary(), 0.0)
    for differing, is_scattered in ((2 * PARTNERS_MISSING_MIN - 10, False), (2 * PARTNERS_MISSING_MIN, True)):
        pull.differing, pull.floor = differing, ORDER_TOP
        course = make_course(Means.EVERYTHING, puller._asking, pull, is_alone=False)
        assert isinstance(course, RangeCourse)
        assert course._transfer._is_scattered == is_scattered
        assert (course.left() >= PARTNERS_MISSING_MIN) == is_scattered


def test_a_neighbour_that_finds_out_itself_is_not_asked_meanwhile() -> None:
    """It sends what we lack; should it not, it is asked after a while."""
    puller, holdings, theirs = make_puller()
    puller.receive_summary(SOURCE, holdings.summary(), 0.0)
    puller.share(SOURCE, 0.0)
    puller.receive_summary(SOURCE, theirs, 0.1)
    assert asked(puller) == []
    puller.handle_timer(SHARED_EXCHANGE_S + 0.01)
    assert asked(puller) == [FrameType.SYMBOLS_REQUEST]


def test_who_has_a_little_more_lets_the_other_ask() -> None:
    """Where nothing comes it asks itself after a moment, and after a second in any case."""
    puller, holdings, _ = make_puller()
    ours = holdings.summary()
    theirs = Summary(ours.highest, ours.count - 1, 0, ours.sum - 1)
    puller.receive_summary(SOURCE, theirs, 0.0)
    puller.handle_timer(ASKED_FIRST_S - 0.01)
    assert asked(puller) == []
    for tenth in range(2, 11):
        puller.receive_summary(SOURCE, theirs, tenth / 10)
        assert bool(asked(puller)) == (tenth / 10 >= HELD_BACK_MAX_S)


def test_busy_makes_symbols_wait_too() -> None:
    """The neighbour is at it itself: nothing more is asked until the time is over."""
    puller, _, theirs = make_puller()
    request = describe(puller, theirs)
    puller.receive_busy(SOURCE, Busy(request.number, 2_000), 0.1)
    puller.handle_timer(2.0)
    assert asked(puller) == []
    puller.handle_timer(2.2)
    assert asked(puller) == [FrameType.SYMBOLS_REQUEST]


def test_a_responder_answers_so_many_symbols_requests_a_second() -> None:
    """Goal: more of one address are dropped and counted; others and the next second are not touched."""
    house = House()
    request = SymbolsRequest(1, 4, Items(b"whatever")).encode()
    for _ in range(SYMBOLS_ANSWERED_MAX + 5):
        house.receive(FrameType.SYMBOLS_REQUEST, request)
    assert house.sent_types() == [FrameType.MESSAGES] * SYMBOLS_ANSWERED_MAX
    assert house.reporter.counters["symbols-refused"] == 5
    house.receive(FrameType.SYMBOLS_REQUEST, request, source=2)
    house.receive(FrameType.SYMBOLS_REQUEST, request, now=1.0)
    assert house.sent_types()[SYMBOLS_ANSWERED_MAX:] == [FrameType.MESSAGES] * 2


def test_naming_large_messages_counts_as_more_answers() -> None:
    """Goal: who asks for many that have to be read whole is answered less often; for one twice, once."""
    house = House()
    for time in range(1, 2 * LARGE_PER_ANSWER + 1):
        message = make_message(author=b"a" * 32, global_time=time, sequence=time, payload=bytes(2_000))
        house.keep(message)
    keys, _, _ = house.store.scan(NUMBER, ORDER_LOW, ORDER_TOP, 1_000)
    items = [keys[at + 8 : at + 8 + ITEM_SIZE] for at in range(0, len(keys), KEY_SIZE)]
    assert len(items) == 2 * LARGE_PER_ANSWER
    request = SymbolsRequest(1, 4, Items(b"".join(items))).encode()
    for _ in range(SYMBOLS_ANSWERED_MAX):
        house.receive(FrameType.SYMBOLS_REQUEST, request)
    # The last one is begun before it is known what it costs.
    answered = -(-SYMBOLS_ANSWERED_MAX // 3)
    assert house.reporter.counters["symbols-refused"] == SYMBOLS_ANSWERED_MAX - answered
    house.sent.clear()
    house.receive(FrameType.SYMBOLS_REQUEST, SymbolsRequest(2, 4, Items(items[0] * 99)).encode(), now=1.0)
    [(_, sent)] = house.sent
    named = [body for frame_type, body in frames_of(bytes(18) + sent) if frame_type == FrameType.LARGE]
    assert [len(Large.decode(body).names) for body in named] == [1]


def test_a_responder_names_what_is_wrong_with_a_request() -> None:
    """Goal: too large a budget and garbage are counted by their reasons, and nothing is sent."""
    house = House()
    house.receive(FrameType.SYMBOLS_REQUEST, SymbolsRequest(1, 65, Items(b"whatever")).encode())
    house.receive(FrameType.SYMBOLS_REQUEST, bytes(5) + b"\x04")
    house.receive(FrameType.SYMBOLS, bytes(4) + b"\0\x05")
    assert house.sent_types() == []
    assert house.reporter.counters["budget-too-large"] == 1
    assert house.reporter.counters["count-zero"] == 1
    assert house.reporter.counters["symbols-malformed"] == 1
