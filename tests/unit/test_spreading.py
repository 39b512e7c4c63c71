"""Goal: a new message is pushed, announced and asked for no more often than needed, whatever others send."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from hashlib import sha256
from random import Random

import pytest

from dispersy.constants import DATAGRAM_MESSAGE_SIZE_MAX
from dispersy.protocol.address import Address, make_address
from dispersy.protocol.identifiers import MemberId
from dispersy.protocol.spreading.held_summaries import NEWS_S, HeldSummaries
from dispersy.protocol.spreading.recent import KEPT_BYTES_MAX, Kept, Known
from dispersy.protocol.spreading.spreading import (
    ANNOUNCED_PER_ADDRESS_MAX,
    ARRIVALS_MAX,
    AUTHOR_PUSHES,
    GATHER_S,
    GIVEN_BYTES_MAX,
    HOPS_MAX,
    LOADED_PUSHES,
    RELAYED_PUSHES,
    REPEAT_S,
    REPEATED_PUSHES,
    REPEATS_MAX,
    Spreader,
)
from dispersy.protocol.spreading.wanted_ids import (
    ASK_AGAIN_S,
    PASSED_OVER_S,
    VAIN_MAX,
    VERIFYING_S,
    WANTED_PER_ANNOUNCER_MAX,
    WantedIds,
)
from dispersy.protocol.walk.walk_events import SendFrame
from dispersy.protocol.wire.announcements import Have, IdPrefix, Want
from dispersy.protocol.wire.frames import MessagesHeader, Push
from dispersy.protocol.wire.numbers import FrameType
from dispersy.protocol.wire.summary import Summary


def address(number: int) -> Address:
    return make_address(f"198.51.100.{number}", 6421)


def message(number: int) -> bytes:
    """As long as one must be; its author is nobody here."""
    return b"\x40\0" + bytes(32) + number.to_bytes(4, "big") + bytes(80)


def prefix_of(whole: bytes) -> IdPrefix:
    return IdPrefix(sha256(whole).digest()[:8])


def identify(area: bytes) -> list[tuple[IdPrefix, bytes]]:
    """Of lists of messages whose length is one byte."""
    found = []
    while area:
        size = area[0]
        found.append((prefix_of(area[1 : 1 + size]), area[1 : 1 + size]))
        area = area[1 + size :]
    return found


class Near:
    """Twenty neighbours, the first five of them listen and announce."""

    def unmetered(self, now: float) -> Sequence[tuple[Address, MemberId]]:  # noqa: ARG002
        return [(address(number), MemberId(bytes([number]) * 32)) for number in range(1, 21)]

    def listeners(self, now: float) -> Sequence[Address]:  # noqa: ARG002
        return [address(number) for number in range(1, 6)]

    def is_announcer(self, source: Address) -> bool:
        return source in self.listeners(0.0)


class House:
    """A spreader and what it has sent."""

    def __init__(self, *, is_metered: bool = False) -> None:
        self.counts: Counter[str] = Counter()
        self.spreader = Spreader(
            Near(), identify=identify, rng=Random(1), counts=self.counts, is_metered=is_metered
        )

    def sent(self, frame_type: FrameType) -> list[SendFrame]:
        """What it sends now, which is all of one type."""
        sent = self.spreader.drain()
        assert {each.frame_type for each in sent} <= {frame_type}
        return sent

    def commit(self, *messages: bytes, now: float, own: bool = False) -> None:
        prefixes = b"".join(map(prefix_of, messages))
        self.spreader.receive_fresh(messages if own else [], [] if own else messages, prefixes, now)

    def run_until(self, now: float) -> None:
        """Let its deadlines pass up to a moment."""
        while (deadline := self.spreader.next_deadline()) is not None and deadline <= now:
            self.spreader.handle_timer(deadline)


@pytest.fixture
def house() -> House:
    return House()


def test_an_author_pushes_to_few_and_announces_to_who_listens_and_was_not_pushed_to(house: House) -> None:
    house.commit(message(1), now=0.0, own=True)
    pushed = house.sent(FrameType.PUSH)
    assert len({each.address for each in pushed}) == AUTHOR_PUSHES
    assert {each.body for each in pushed} == {Push(HOPS_MAX - 1, message(1)).encode()}
    house.run_until(GATHER_S)
    told = house.sent(FrameType.HAVE)
    assert {each.body for each in told} == {Have((prefix_of(message(1)),)).encode()}
    assert {each.address for each in told} == set(Near().listeners(0.0)) - {each.address for each in pushed}


def test_a_metered_node_pushes_its_own_messages_alone_and_once() -> None:
    house = House(is_metered=True)
    house.commit(message(1), now=0.0, own=True)
    assert len(house.sent(FrameType.PUSH)) == LOADED_PUSHES
    house.run_until(REPEAT_S * REPEATS_MAX)
    house.sent(FrameType.HAVE)
    assert house.spreader.receive_push(address(9), HOPS_MAX - 1, message(2), 10.0)
    house.commit(message(2), now=10.0)
    assert not house.spreader.drain()


def test_a_pushed_message_goes_on_when_it_is_committed_and_not_before(house: House) -> None:
    assert house.spreader.receive_push(address(9), HOPS_MAX - 1, message(1), 0.0)
    house.run_until(1.0)
    assert not house.spreader.drain()
    house.commit(message(1), now=1.0)
    pushed = house.sent(FrameType.PUSH)
    assert len(pushed) == RELAYED_PUSHES
    assert address(9) not in {each.address for each in pushed}
    assert {Push.decode(each.body).hops_left for each in pushed} == {HOPS_MAX - 2}


def test_where_pushes_meet_none_is_relayed_until_they_bring_news_again(house: House) -> None:
    """Nobody knows how many members there are: that others push what is known tells that they are few."""

    def relayed(time: int) -> int:
        assert house.spreader.receive_push(address(9), HOPS_MAX - 1, message(time), float(time))
        house.commit(message(time), now=float(time))
        return len(house.sent(FrameType.PUSH))

    assert relayed(1) == RELAYED_PUSHES
    for _ in range(30):
        assert not house.spreader.receive_push(address(8), HOPS_MAX - 1, message(1), 1.5)
    assert [relayed(time) for time in range(2, 12)] == [0] * 10
    assert sum(relayed(time) for time in range(100, 200)) > 1.5 * 100


@pytest.mark.parametrize(("hops_left", "expected"), [(0, 0), (1, RELAYED_PUSHES), (255, RELAYED_PUSHES)])
def test_a_push_goes_no_farther_than_its_hops(house: House, hops_left: int, expected: int) -> None:
    """Whoever says more than there can be is not believed."""
    house.spreader.receive_push(address(9), hops_left, message(1), 0.0)
    house.commit(message(1), now=0.0)
    pushed = house.sent(FrameType.PUSH)
    assert len(pushed) == expected
    assert all(Push.decode(each.body).hops_left < HOPS_MAX - 1 for each in pushed)


def test_what_came_otherwise_is_not_spread(house: House) -> None:
    """Synchronisation brings old messages: they are new here alone."""
    house.commit(message(1), now=0.0)
    assert house.spreader.next_deadline() is None
    assert not house.spreader.drain()


def test_a_known_push_is_not_verified_again_and_one_with_other_bytes_is(house: House) -> None:
    assert house.spreader.receive_push(address(9), 1, message(1), 0.0)
    assert not house.spreader.receive_push(address(8), 1, message(1), 0.0)
    house.commit(message(1), now=0.0)
    assert not house.spreader.receive_push(address(7), 1, message(1), 0.1)
    assert house.counts["pushes-known"] == 2
    # As if one signature of the same message were wrong: its id says nothing of it.
    same = lambda area: [(IdPrefix(bytes(8)), area[1:])]  # noqa: E731
    same_id = Spreader(Near(), identify=same, rng=Random(1), counts=Counter())
    assert same_id.receive_push(address(9), 1, message(1), 0.0)
    assert same_id.receive_push(address(8), 1, message(2), 0.0)


def test_an_announced_message_is_asked_for_from_one_after_the_other(house: House) -> None:
    wanted = prefix_of(message(1))
    for number in (1, 2):
        house.spreader.receive_have(address(number), Have((wanted,)), 0.0)
    house.spreader.handle_timer(0.0)
    (first,) = house.sent(FrameType.WANT)
    assert (first.address, Want.decode(first.body).prefixes) == (address(1), (wanted,))
    house.run_until(ASK_AGAIN_S)
    (second,) = house.sent(FrameType.WANT)
    assert second.address == address(2)
    house.run_until(2 * ASK_AGAIN_S)
    assert house.counts["announced-given-up"] == 1
    assert house.spreader.next_deadline() is None


def test_an_answer_ends_the_asking_and_a_wrong_one_only_for_a_while(house: House) -> None:
    wanted = prefix_of(message(1))
    for number in (1, 2):
        house.spreader.receive_have(address(number), Have((wanted,)), 0.0)
    house.spreader.handle_timer(0.0)
    (asked,) = house.sent(FrameType.WANT)
    number = Want.decode(asked.body).number
    assert not house.spreader.answers(address(2), number)
    assert house.spreader.answers(address(1), number)
    house.spreader.receive_answer(address(1), bytes([len(message(1))]) + message(1), 0.1)
    house.run_until(0.1 + VERIFYING_S - 0.01)
    assert not house.spreader.drain()
    house.run_until(0.1 + VERIFYING_S)
    (again,) = house.sent(FrameType.WANT)
    assert again.address == address(2)
    house.commit(message(1), now=1.2)
    house.run_until(1.2 + GATHER_S)
    # Those who are known to have it are told nothing.
    assert {each.address for each in house.sent(FrameType.HAVE)} == {address(number) for number in (3, 4, 5)}


def test_what_was_announced_is_given_to_who_asks(house: House) -> None:
    house.commit(*map(message, range(3)), now=0.0, own=True)
    house.run_until(GATHER_S)
    house.spreader.drain()
    asked = Want(77, (prefix_of(message(0)), prefix_of(message(2)), IdPrefix(b"no such.")))
    house.spreader.receive_want(address(3), asked, 0.1)
    (given,) = house.sent(FrameType.MESSAGES)
    header, area = MessagesHeader.decode(given.body)
    assert (header.number, header.last) == (77, True)
    assert [found for _, found in identify(area)] == [message(0), message(2)]
    assert house.counts["wanted-unknown"] == 1


def test_an_author_repeats_until_it_hears_its_message(house: House) -> None:
    house.commit(message(1), now=0.0, own=True)
    house.run_until(REPEAT_S - 0.1)
    house.spreader.drain()
    house.run_until(REPEAT_S)
    assert len(house.sent(FrameType.PUSH)) == REPEATED_PUSHES
    house.spreader.receive_have(address(1), Have((prefix_of(message(1)),)), REPEAT_S)
    house.run_until(100.0)
    assert not house.spreader.drain()


def test_an_author_that_hears_nothing_ends_some_time(house: House) -> None:
    house.commit(message(1), now=0.0, own=True)
    house.run_until(REPEAT_S * (REPEATS_MAX + 2))
    assert house.spreader.next_deadline() is None
    assert house.counts["pushes-repeated"] <= REPEATED_PUSHES * REPEATS_MAX


def test_under_load_only_authors_push_and_to_fewer(house: House) -> None:
    for number in range(100):
        house.spreader.receive_push(address(9), 3, message(number), 0.0)
        house.commit(message(number), now=number / 100)
    house.spreader.drain()
    house.spreader.receive_push(address(9), 3, message(200), 1.0)
    house.commit(message(200), now=1.0)
    assert not house.spreader.drain()
    house.commit(message(201), now=1.0, own=True)
    assert len(house.sent(FrameType.PUSH)) == LOADED_PUSHES


def test_a_flood_of_announcements_costs_what_it_may(house: House) -> None:
    """So many of one address are looked at a second, so many asked for at once; the rest is not kept."""
    prefixes = [IdPrefix(number.to_bytes(8, "big")) for number in range(2 * ANNOUNCED_PER_ADDRESS_MAX)]
    for start in range(0, len(prefixes), 128):
        house.spreader.receive_have(address(1), Have(tuple(prefixes[start : start + 128])), 0.0)
    assert house.counts["announced-dropped-rate"] == ANNOUNCED_PER_ADDRESS_MAX
    house.spreader.handle_timer(0.0)
    asked = sum(len(Want.decode(each.body).prefixes) for each in house.sent(FrameType.WANT))
    assert asked == WANTED_PER_ANNOUNCER_MAX
    house.run_until(10.0)
    assert house.counts["announced-given-up"] == WANTED_PER_ANNOUNCER_MAX
    assert house.spreader.next_deadline() is None


def test_of_a_flood_the_first_are_asked_for(house: House) -> None:
    """The same in every process, whatever its sets do."""
    prefixes = [IdPrefix(number.to_bytes(8, "big")) for number in range(2 * WANTED_PER_ANNOUNCER_MAX)]
    for start in range(0, len(prefixes), 146):
        house.spreader.receive_have(address(1), Have(tuple(prefixes[start : start + 146])), 0.0)
    house.spreader.handle_timer(0.0)
    asked = [prefix for each in house.sent(FrameType.WANT) for prefix in Want.decode(each.body).prefixes]
    assert asked == prefixes[:WANTED_PER_ANNOUNCER_MAX]


def test_nothing_is_kept_of_a_large_message_whose_name_was_pushed() -> None:
    """Memory is for what a push or an announcement carries."""
    areas: list[bytes] = []

    def note(area: bytes) -> list[tuple[IdPrefix, bytes]]:
        areas.append(area)
        return []

    spreader = Spreader(Near(), identify=note, rng=Random(1), counts=Counter())
    spreader.note_pushed(bytes(DATAGRAM_MESSAGE_SIZE_MAX + 1), [address(1)], 0.0)
    assert not areas
    spreader.note_pushed(bytes(DATAGRAM_MESSAGE_SIZE_MAX), [address(1)], 0.0)
    assert len(areas) == 1


def test_nobody_announces_who_was_not_asked_to(house: House) -> None:
    house.spreader.receive_have(address(15), Have((IdPrefix(bytes(8)),)), 0.0)
    assert house.spreader.next_deadline() is None
    assert house.counts["announced-unasked"] == 1


def test_pushes_that_nothing_comes_of_are_forgotten(house: House) -> None:
    for number in range(2 * ARRIVALS_MAX):
        house.spreader.receive_push(address(9), 3, message(number), 0.0)
    house.commit(message(0), now=0.1)
    assert not house.spreader.drain()
    house.commit(message(2 * ARRIVALS_MAX - 1), now=0.1)
    assert house.sent(FrameType.PUSH)


def test_wants_of_one_announcer_leave_room_for_others() -> None:
    counts: Counter[str] = Counter()
    wants = WantedIds(rng=Random(1), counts=counts)
    many = [IdPrefix(number.to_bytes(8, "big")) for number in range(WANTED_PER_ANNOUNCER_MAX + 10)]
    wants.hear(address(1), many, 0.0, delay_s=0.0)
    assert (len(wants), counts["announced-dropped-full"]) == (WANTED_PER_ANNOUNCER_MAX, 10)
    wants.hear(address(2), [IdPrefix(b"another.")], 0.0, delay_s=0.0)
    assert len(wants) == WANTED_PER_ANNOUNCER_MAX + 1


def test_what_is_kept_for_others_has_a_size() -> None:
    kept = Kept()
    for number in range(3_000):
        kept.put(IdPrefix(number.to_bytes(8, "big")), bytes(1_000), 0.0)
    found = [number for number in range(3_000) if kept.get(IdPrefix(number.to_bytes(8, "big")))]
    assert found == list(range(3_000 - KEPT_BYTES_MAX // 1_000, 3_000))


def test_what_was_known_long_ago_is_forgotten() -> None:
    known = Known()
    first, second = IdPrefix(b"1" * 8), IdPrefix(b"2" * 8)
    known.add([first], 100.0)
    known.add([second], 140.0)
    assert known.without([first, second]) == set()
    known.add([], 180.0)
    assert known.without([first, second]) == {first}


def test_small_differences_wait_until_it_is_quiet(house: House) -> None:
    """And are then heard as they were said last; large ones are heard at once."""
    house.commit(message(1), now=0.0, own=True)
    ours = Summary(count=100, sum=1)
    assert house.spreader.hear_summary(address(1), Summary(count=500, sum=2), ours, 0.1)
    assert not house.spreader.hear_summary(address(1), Summary(count=99, sum=3), ours, 0.1)
    assert not house.spreader.hear_summary(address(1), Summary(count=99, sum=4), ours, 0.2)
    house.run_until(0.9)
    assert house.spreader.drain_summaries() == []
    house.run_until(1.0)
    assert house.spreader.drain_summaries() == [(address(1), Summary(count=99, sum=4))]
    assert house.spreader.hear_summary(address(1), Summary(count=99, sum=5), ours, 1.1)


def test_what_is_news_to_us_has_a_moment_to_come_by_itself(house: House) -> None:
    """A neighbour has one more than we, above all ours: it most likely spreads. What lies further down does
    not, and of an empty set everything is missing."""
    ours, news = Summary(highest=7, count=100, sum=1), Summary(highest=8, count=101, sum=2)
    assert not house.spreader.hear_summary(address(1), news, ours, 0.0)
    house.run_until(0.4)
    assert house.spreader.drain_summaries() == []
    house.run_until(0.5)
    assert house.spreader.drain_summaries() == [(address(1), news)]
    assert house.spreader.hear_summary(address(1), replace(news, highest=7), ours, 2.0)
    assert house.spreader.hear_summary(address(1), replace(news, count=200), ours, 2.0)
    assert house.spreader.hear_summary(address(1), news, Summary(), 2.0)


def test_news_of_one_neighbour_delay_no_other_word() -> None:
    """Whoever says that it has the newest again and again is waited for alone."""
    held, ours = HeldSummaries(), Summary(highest=7, count=100, sum=1)
    honest, liar = Summary(highest=7, count=101, sum=2), Summary(highest=1 << 60, count=101, sum=3)
    assert held.hold(address(1), honest, ours, 0.0, quiet_at=0.1, rate=0.0)
    assert held.hold(address(2), liar, ours, 0.05, quiet_at=0.1, rate=0.0)
    assert held.next_deadline() == 0.1
    assert held.due(0.1) == [(address(1), honest)]
    assert held.next_deadline() == 0.05 + NEWS_S
    assert held.due(0.05 + NEWS_S) == [(address(2), liar)]


def test_where_few_messages_come_no_word_is_held_for_long(house: House) -> None:
    """Who comes and goes fast must not wait for a quiet that does not come."""
    ours = Summary(count=100, sum=1)
    for tick in range(20):
        house.commit(message(tick), now=tick / 4, own=True)
        if tick == 0:
            assert not house.spreader.hear_summary(address(1), Summary(count=99, sum=3), ours, 0.0)
        house.run_until(tick / 4)
    assert house.spreader.drain_summaries() == [(address(1), Summary(count=99, sum=3))]


def test_who_announces_what_nobody_has_is_passed_over_after_a_while() -> None:
    """Goal: ids cost their announcer nothing, and must not cost us one question each for ever."""
    counts: Counter[str] = Counter()
    wants = WantedIds(rng=Random(1), counts=counts)
    asked, now = 0, 0.0
    for second in range(20):
        ids = [IdPrefix(sha256(b"%d %d" % (second, each)).digest()[:8]) for each in range(140)]
        wants.hear(address(1), ids, now, delay_s=0.0)
        for _ in range(4):
            asked += sum(len(prefixes) for _, _, prefixes in wants.due(now))
            now += 0.25
    assert VAIN_MAX <= asked < VAIN_MAX + 2 * 140
    assert counts["announced-in-vain"] == 20 * 140 - asked
    wants.hear(address(2), ids[:1], now, delay_s=0.0)
    assert [source for source, _, _ in wants.due(now)] == [address(2)]
    now += PASSED_OVER_S
    wants.hear(address(1), ids, now, delay_s=0.0)
    assert sum(len(prefixes) for _, _, prefixes in wants.due(now)) == 140


def test_who_gives_now_and_then_is_not_passed_over() -> None:
    """Goal: loss is no lie."""
    counts: Counter[str] = Counter()
    wants = WantedIds(rng=Random(1), counts=counts)
    now = 0.0
    for second in range(20):
        ids = [IdPrefix(sha256(b"%d %d" % (second, each)).digest()[:8]) for each in range(140)]
        wants.hear(address(1), ids, now, delay_s=0.0)
        wants.due(now)
        wants.arrive(address(1), ids[0], now)
        now += 1.0
        wants.due(now)
    assert counts["announced-in-vain"] == 0


def test_a_host_of_many_addresses_is_given_one_share(house: House) -> None:
    """Whatever one machine asks for from all its ports, others are given what they ask for."""
    messages = [message(number) for number in range(200)]
    house.commit(*messages, now=0.0, own=True)
    asked = Want(77, tuple(map(prefix_of, messages)))
    for port in range(1, 60):
        for _ in range(20):
            house.spreader.receive_want(make_address("198.51.100.9", port), asked, 1.0)
    assert house.counts["wanted-refused"]
    assert 119 * house.counts["wanted-given"] <= GIVEN_BYTES_MAX // 2
    house.spreader.drain()
    house.spreader.receive_want(address(3), asked, 1.0)
    assert {each.address for each in house.sent(FrameType.MESSAGES)} == {address(3)}
