"""Goal: what came of an interrupted message is not fetched again, and nobody's lies cost an honest source."""

from __future__ import annotations

from random import Random

import pytest

from dispersy.constants import (
    ASSEMBLY_EVICTED_S,
    ASSEMBLY_SIZE_PER_SOURCE_MAX,
    FRAGMENT_SIZE,
    FRAGMENTS_FIRST,
    LARGE_FAILED_S,
    LARGE_SILENCE_S,
    LARGE_STORED_S,
    REMAINS_SIZE_MAX,
    REMAINS_TIME_MAX_S,
    SEPARATED_MAX,
    SEPARATED_PER_HOST_MAX,
)
from dispersy.protocol.address import Address, make_address
from dispersy.protocol.identifiers import CommunityId
from dispersy.protocol.large_messages.assembly import Assembly, AssemblyRoom
from dispersy.protocol.large_messages.fragment_sources import NamingSource
from dispersy.protocol.large_messages.fragments import Fragments
from dispersy.protocol.large_messages.remains import MessageKey, Remains
from dispersy.protocol.wire.frames import Fragment, LargeName
from dispersy.protocol.wire.large_frames import fragment_count
from tests.unit.fragments_house import COMMUNITY, OTHER, SOURCE, Held, House, answered, message

THIRD = make_address("192.0.2.3", 6421)
LEFT_S = 3 * LARGE_SILENCE_S
"""After which whoever was silent is listened to again."""


@pytest.fixture
def house() -> House:
    return House()


def give(house: House, holdings: Held, now: float, *, count: int, spoilt: bool = False) -> int:
    """Answer until so many fragments have been given; how many were.

    spoilt   the first one is not what was named
    """
    given = 0
    for step in range(100):
        house.fragments.handle_timer(now + step / 100)
        for ask in house.ask():
            for fragment in answered(ask.request, holdings)[: count - given]:
                data = bytes(len(fragment.data)) if spoilt and not given else fragment.data
                part = Fragment(fragment.number, fragment.size, fragment.index, data)
                house.fragments.receive_fragment(ask.address, part, now + step / 100)
                given += 1
    house.drain()
    return given


def fall_silent(house: House, now: float) -> None:
    """Nothing comes until whoever is asked is given up."""
    until = now + LARGE_SILENCE_S + 1.0
    while (deadline := house.fragments.next_deadline()) is not None and deadline <= until:
        house.fragments.handle_timer(deadline)
    house.ask()


@pytest.mark.parametrize("source", [SOURCE, OTHER], ids=["the-same-source", "another"])
def test_what_a_silence_interrupts_goes_on_where_it_was(house: House, source: Address) -> None:
    """In twenty seconds of a slow link less comes than a message has: it began anew each time."""
    name, raw = message(1, 60_000)
    held = Held([(name, raw)])
    house.fragments.receive_names(SOURCE, [name], 0.0)
    assert give(house, held, 0.1, count=30) == 30
    fall_silent(house, 0.1)
    assert house.fragments.expected(SOURCE) == []
    assert is_kept(house, name)
    house.fragments.receive_names(source, [name], LEFT_S)
    assert give(house, held, LEFT_S, count=100) == fragment_count(name.size) - 30
    assert house.whole == [(source, raw)]
    assert house.room.remains.size == house.room.size == 0


def test_what_was_begun_is_ended_before_another_is_begun(house: House) -> None:
    """Where a window holds half a message and eight are wanted, all of them would be begun and none ended."""
    pairs = [message(time, 60_000) for time in range(1, 9)]
    house.fragments.receive_names(SOURCE, [name for name, _ in pairs], 0.0)
    give(house, Held(pairs), 0.1, count=20)
    fall_silent(house, 0.1)
    begun = {name for name, _ in pairs if is_kept(house, name)}
    house.fragments.receive_names(SOURCE, [name for name, _ in pairs], LEFT_S)
    [ask, *_] = house.ask()
    assert begun
    assert ask.request.key in {name.key for name in begun}


def test_what_makes_room_for_others_goes_on_later() -> None:
    name, raw = message(1, 60_000)
    second, _ = message(2, 60_000)
    house = House(AssemblyRoom(size_max=70_000))
    house.fragments.receive_names(SOURCE, [name], 0.0)
    give(house, Held([(name, raw)]), 0.1, count=30)
    house.fragments.receive_names(OTHER, [second], ASSEMBLY_EVICTED_S + 0.2)
    assert house.room.remains.size == 30 * FRAGMENT_SIZE
    fall_silent(house, ASSEMBLY_EVICTED_S + 0.2)
    house.fragments.receive_names(THIRD, [name], 2 * LEFT_S)
    given = give(house, Held([(name, raw)]), 2 * LEFT_S, count=100)
    assert given == fragment_count(name.size) - 30


def interrupt(house: House, name: LargeName, raw: bytes, *, from_s: float, spoilt: bool = False) -> None:
    """One source gives nine parts, the first of them wrong if it is spoilt, and falls silent."""
    house.fragments.receive_names(SOURCE, [name], from_s)
    give(house, Held([(name, raw)]), from_s, count=9, spoilt=spoilt)
    fall_silent(house, from_s)
    assert is_kept(house, name)


def test_a_wrong_part_of_one_source_costs_another_no_more_than_the_whole(house: House) -> None:
    name, raw = message(1, 30_000)
    count = fragment_count(name.size)
    interrupt(house, name, raw, from_s=0.0, spoilt=True)
    house.fragments.receive_names(OTHER, [name], LEFT_S)
    given = give(house, Held([(name, raw)]), LEFT_S, count=100)
    assert given == count, "first what the liar had not given, then what it had"
    assert house.whole == [(OTHER, raw)]
    assert house.fragments.counts["large-forged"] == 0


def test_nobody_spoils_a_message_twice(house: House) -> None:
    """Each time the honest sources would have to give it again; and what each of them gave is not lost when
    it is another's turn."""
    name, raw = message(1, 30_000)
    held, count = Held([(name, raw)]), fragment_count(name.size)
    house.room.remains.separate((COMMUNITY, name), OTHER)
    now, given = 0.0, 0
    for turn in range(5):
        interrupt(house, name, raw, from_s=now, spoilt=True)
        source = (OTHER, THIRD)[turn % 2]
        house.fragments.receive_names(source, [name], now + LEFT_S)
        given += give(house, held, now + LEFT_S, count=9)
        house.held.rows.update(dict.fromkeys([name.packed_key] * len(house.whole), raw))
        house.fragments.receive_committed(now + LEFT_S)
        fall_silent(house, now + LEFT_S)
        now += 4 * LEFT_S
    assert house.whole == [(OTHER, raw)]
    assert given <= 2 * count
    assert house.room.remains.size == 0, "what the others gave of it is of no use any more"


def test_a_wrong_signature_among_the_parts_is_as_bad(house: House) -> None:
    """The id leaves signatures out, so the verifier finds it: an honest source was refused for a minute, and
    again each time."""
    name, raw = message(1, 30_000)
    interrupt(house, name, raw, from_s=0.0)
    house.fragments.receive_names(OTHER, [name], 2 * LEFT_S)
    give(house, Held([(name, raw)]), 2 * LEFT_S, count=100)
    assert house.whole == [(OTHER, raw)]
    house.fragments.handle_timer(2 * LEFT_S + LARGE_STORED_S + 1.0)
    assert house.fragments.expected(OTHER) == [name], "it is not the one that is blamed"
    fall_silent(house, 2 * LEFT_S + LARGE_STORED_S + 1.0)
    interrupt(house, name, raw, from_s=4 * LEFT_S)
    house.fragments.receive_names(OTHER, [name], 5 * LEFT_S)
    assert give(house, Held([(name, raw)]), 5 * LEFT_S, count=100) == 9, "what the other one had given"
    house.fragments.handle_timer(5 * LEFT_S + LARGE_STORED_S + 2.0)
    assert house.fragments.expected(OTHER) == [], "now it has given all of it itself"


def test_whoever_gives_all_the_wrong_parts_is_caught(house: House) -> None:
    """That somebody else was asked in between, and gave nothing, is no excuse."""
    name, raw = message(1, 30_000)
    interrupt(house, name, raw, from_s=0.0, spoilt=True)
    house.fragments.receive_names(OTHER, [name], LEFT_S)
    fall_silent(house, LEFT_S)
    house.fragments.receive_names(SOURCE, [name], 2 * LEFT_S)
    give(house, Held([(name, raw)]), 2 * LEFT_S, count=100)
    assert house.fragments.counts["large-forged"] == 1
    assert house.room.remains.size == 0


def test_who_is_busy_with_what_it_inherited_gives_way(house: House) -> None:
    name, raw = message(1, 30_000)
    interrupt(house, name, raw, from_s=0.0)
    house.fragments.receive_names(OTHER, [name], LEFT_S)
    house.fragments.receive_names(THIRD, [name], LEFT_S)
    [ask] = house.ask()
    house.fragments.receive_busy(ask.address, ask.request.number, 30.0, LEFT_S + 0.1)
    house.fragments.handle_timer(LEFT_S + 0.2)
    [other] = house.ask()
    assert {ask.address, other.address} == {OTHER, THIRD}
    assert other.request.fragments.bit_count() < fragment_count(name.size) - 9 + 1


def test_another_community_does_not_get_at_them(house: House) -> None:
    name, raw = message(1, 30_000)
    interrupt(house, name, raw, from_s=0.0)
    other = Fragments(community_id=CommunityId(bytes(32)), rng=Random(1), holdings=Held(), room=house.room)
    other.receive_names(OTHER, [name], LEFT_S)
    other.close()
    assert house.room.remains.size == 9 * FRAGMENT_SIZE
    house.fragments.close()
    assert house.room.remains.size == 0


def test_what_a_liar_gave_is_forgotten_when_it_is_caught(house: House) -> None:
    name, raw = message(1, 30_000)
    second, other = message(2, 5_000)
    interrupt(house, name, raw, from_s=0.0)
    house.fragments.receive_names(SOURCE, [second], LEFT_S)
    give(house, Held([(second, other)]), LEFT_S, count=100, spoilt=True)
    assert house.fragments.counts["large-forged"] == 1
    assert house.room.remains.size == 0


def test_what_has_come_by_another_way_leaves_no_remains(house: House) -> None:
    name, raw = message(1, 30_000)
    interrupt(house, name, raw, from_s=0.0)
    house.held.rows[name.packed_key] = raw
    house.fragments.receive_names(OTHER, [name], LEFT_S)
    assert house.room.remains.size == 0


def is_kept(house: House, name: LargeName) -> bool:
    """Whether anybody's parts of it are."""
    remains = house.room.remains
    return any(remains.is_begun((COMMUNITY, name), each) for each in (SOURCE, OTHER, THIRD))


def parts(count: int) -> dict[int, bytes]:
    return dict.fromkeys(range(count), b"x" * FRAGMENT_SIZE)


def keys(count: int) -> list[MessageKey]:
    ids = [message(time, 2_000)[0].message_id for time in range(1, count + 1)]
    return [(COMMUNITY, LargeName(time, each, 60_000)) for time, each in enumerate(ids, 1)]


def test_one_host_has_its_share_and_all_together_theirs() -> None:
    remains = Remains()
    own = ASSEMBLY_SIZE_PER_SOURCE_MAX // (50 * FRAGMENT_SIZE)
    hosts = REMAINS_SIZE_MAX // ASSEMBLY_SIZE_PER_SOURCE_MAX + 2
    kept = keys((3 + hosts) * own)
    first, others = kept[: 3 * own], kept[3 * own :]
    for port, key in enumerate(first):
        remains.keep(key, make_address("192.0.2.1", 6421 + port), parts(50), 0.0)
        assert remains.size <= ASSEMBLY_SIZE_PER_SOURCE_MAX
    assert [key for key in first if remains.is_begun(key, SOURCE)] == first[-own:]
    for host, key in enumerate(others):
        remains.keep(key, make_address(f"10.0.0.{1 + host // own}", 6421), parts(50), 0.0)
        assert remains.size <= REMAINS_SIZE_MAX
    assert not remains.is_begun(first[-1], SOURCE)
    assert remains.is_begun(others[-1], SOURCE)
    assert remains.size > REMAINS_SIZE_MAX - 2 * ASSEMBLY_SIZE_PER_SOURCE_MAX


def test_a_part_of_one_byte_counts_as_any_other() -> None:
    """Else a thousand entries would fit where four do."""
    remains = Remains()
    kept = keys(2 * ASSEMBLY_SIZE_PER_SOURCE_MAX // FRAGMENT_SIZE)
    for key in kept:
        remains.keep(key, SOURCE, {0: b"x"}, 0.0)
    assert sum(remains.is_begun(key, SOURCE) for key in kept) == ASSEMBLY_SIZE_PER_SOURCE_MAX // FRAGMENT_SIZE


def test_what_nobody_asks_for_again_is_forgotten_after_a_day() -> None:
    remains = Remains()
    old, new = keys(2)
    remains.keep(old, SOURCE, parts(3), 0.0)
    remains.keep(new, SOURCE, parts(3), 60.0)
    remains.expire(REMAINS_TIME_MAX_S - 1.0)
    assert len(remains) == 2
    remains.expire(REMAINS_TIME_MAX_S)
    assert not remains.is_begun(old, SOURCE)
    assert remains.is_begun(new, SOURCE)


def test_days_later_a_message_is_begun_anew(house: House) -> None:
    name, raw = message(1, 30_000)
    interrupt(house, name, raw, from_s=0.0)
    house.fragments.receive_names(SOURCE, [name], 2 * REMAINS_TIME_MAX_S)
    assert give(house, Held([(name, raw)]), 2 * REMAINS_TIME_MAX_S, count=100) == fragment_count(name.size)


def test_what_a_source_gave_itself_counts_before_what_others_gave() -> None:
    """The less is put together, the fewer may have spoilt it."""
    remains = Remains()
    [key] = keys(1)
    remains.keep(key, OTHER, parts(3), 0.0)
    remains.keep(key, SOURCE, parts(2), 0.0)
    assembly = Assembly(*key, SOURCE, 1.0)
    assert assembly.inherit(remains.given(key, SOURCE)) == [SOURCE]
    remains.take(key, [SOURCE])
    assert assembly.given() == {SOURCE: parts(2)}
    assert remains.given(key, OTHER) == {OTHER: parts(3)}, "what overlaps is not thrown away"


def test_what_would_be_whole_leaves_something_to_ask_for() -> None:
    """Parts that were no message together, when it has been forgotten that they were not."""
    [key] = keys(1)
    count = fragment_count(key[1].size)
    half = parts(count // 2)
    rest = dict.fromkeys(range(count // 2, count), b"x" * FRAGMENT_SIZE)
    assembly = Assembly(*key, THIRD, 1.0)
    assembly.inherit({SOURCE: half, OTHER: rest})
    assert assembly.given() == {SOURCE: half}
    assert assembly.unasked.bit_count() == count - count // 2


def test_no_host_has_it_forgotten_what_others_parts_are_to_be_kept_apart() -> None:
    """Messages that never were cost little to invent: one host had all others forgotten in a minute."""
    remains = Remains()
    every = keys(SEPARATED_PER_HOST_MAX + 2)
    for key in every:
        remains.separate(key, SOURCE if key is every[0] else OTHER)
        remains.separate(key, OTHER)
        remains.keep(key, THIRD, parts(2), 0.0)
    assert [key for key in every if remains.given(key, SOURCE)] == [every[1]]
    assert [key for key in every if remains.is_begun(key, SOURCE)] == [every[1]]
    assert remains.given(every[0], THIRD) == {THIRD: parts(2)}
    for host, time in enumerate(range(1_000, 1_000 + SEPARATED_MAX)):
        invented = LargeName(time, every[0][1].message_id, 60_000)
        remains.separate((COMMUNITY, invented), make_address(f"10.{host >> 8}.{host & 255}.1", 6421))
    assert len(remains._separated) == SEPARATED_MAX
    assert sum(remains._separations.values()) == SEPARATED_MAX


def test_what_a_source_gives_later_is_kept_with_what_it_gave_before() -> None:
    remains = Remains()
    [key] = keys(1)
    remains.keep(key, SOURCE, parts(2), 0.0)
    remains.keep(key, SOURCE, {5: b"later"}, 1.0)
    assert remains.given(key, SOURCE) == {SOURCE: parts(2) | {5: b"later"}}
    assert remains.size == 3 * FRAGMENT_SIZE


@pytest.mark.parametrize(("given", "left_alone_s"), [(FRAGMENTS_FIRST, 2.0), (FRAGMENTS_FIRST - 1, 8.0)])
def test_who_gives_something_between_two_silences_is_asked_again_soon(
    house: House, given: int, left_alone_s: float
) -> None:
    """Its link is there now and then; who names and never gives is asked ever more seldom."""
    name, raw = message(1, 60_000)
    for turn in range(3):
        house.fragments.receive_names(SOURCE, [name], turn * LEFT_S)
        assert give(house, Held([(name, raw)]), turn * LEFT_S, count=given) == given
        fall_silent(house, turn * LEFT_S)
    known = house.fragments._sources[SOURCE]
    assert known.shunned_until - known.silent_at() == pytest.approx(left_alone_s)


def test_what_comes_late_was_given_too(house: House) -> None:
    """On a slow link most of what was given up comes after all."""
    name, raw = message(1, 60_000)
    house.fragments.receive_names(SOURCE, [name], 0.0)
    [ask, *_] = house.ask()
    house.fragments.handle_timer(5.0)
    known = house.fragments._sources[SOURCE]
    assert ask.request.number in known.late
    [first, *_] = answered(ask.request, Held([(name, raw)]))
    house.fragments.receive_fragment(SOURCE, first, 5.1)
    assert known.given == 1


def test_silences_end_in_a_minute_each() -> None:
    source = NamingSource(0.0)
    assert [source.fall_silent() for _ in range(3)] == [2.0, 4.0, 8.0]
    assert [source.fall_silent() for _ in range(7)][-2:] == [LARGE_FAILED_S, LARGE_FAILED_S]
