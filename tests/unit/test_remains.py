"""Goal: what came of an interrupted message is not fetched again, and nobody's lies cost an honest source."""

from __future__ import annotations

import pytest

from dispersy.constants import (
    ASSEMBLY_SIZE_PER_SOURCE_MAX,
    FRAGMENT_SIZE,
    FRAGMENTS_FIRST,
    LARGE_FAILED_S,
    LARGE_SILENCE_S,
    REMAINS_SIZE_MAX,
)
from dispersy.protocol.address import Address, make_address
from dispersy.protocol.large_messages.fragment_sources import NamingSource
from dispersy.protocol.large_messages.remains import Remainder, Remains
from dispersy.protocol.wire.frames import Fragment, LargeName
from dispersy.protocol.wire.large_frames import fragment_count
from tests.unit.fragments_house import OTHER, SOURCE, Held, House, answered, message

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
    assert name in house.room.remains
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
    begun = {name for name, _ in pairs if name in house.room.remains}
    house.fragments.receive_names(SOURCE, [name for name, _ in pairs], LEFT_S)
    [ask, *_] = house.ask()
    assert begun
    assert ask.request.key in {name.key for name in begun}


def test_a_wrong_part_of_one_source_costs_another_nothing_but_its_parts(house: House) -> None:
    name, raw = message(1, 30_000)
    count = fragment_count(name.size)
    house.fragments.receive_names(SOURCE, [name], 0.0)
    give(house, Held([(name, raw)]), 0.1, count=9, spoilt=True)
    fall_silent(house, 0.1)
    house.fragments.receive_names(OTHER, [name], LEFT_S)
    given = give(house, Held([(name, raw)]), LEFT_S, count=100)
    assert given == count - 9 + count, "the first attempt ends wrong, the second has nothing of the liar's"
    assert house.whole == [(OTHER, raw)]
    assert house.fragments.counts["large-forged"] == 0


def test_nobody_spoils_a_message_twice(house: House) -> None:
    """Each time the honest source would have to give all of it again."""
    name, raw = message(1, 30_000)
    held = Held([(name, raw)])
    count = fragment_count(name.size)
    now = 0.0
    for source, parts in [(SOURCE, 9), (OTHER, count - 9)]:
        house.fragments.receive_names(source, [name], now)
        give(house, held, now, count=parts, spoilt=source == SOURCE)
        fall_silent(house, now)
        now += LEFT_S
    house.fragments.receive_names(SOURCE, [name], now)
    give(house, held, now, count=9, spoilt=True)
    fall_silent(house, now)
    assert name in house.room.remains
    house.fragments.receive_names(OTHER, [name], now + LEFT_S)
    assert give(house, held, now + LEFT_S, count=100) == count
    assert house.whole == [(OTHER, raw)]


def test_what_a_liar_gave_is_forgotten_when_it_is_caught(house: House) -> None:
    name, raw = message(1, 30_000)
    second, other = message(2, 5_000)
    house.fragments.receive_names(SOURCE, [name], 0.0)
    give(house, Held([(name, raw)]), 0.1, count=9)
    fall_silent(house, 0.1)
    house.fragments.receive_names(SOURCE, [second], LEFT_S)
    give(house, Held([(second, other)]), LEFT_S, count=100, spoilt=True)
    assert house.fragments.counts["large-forged"] == 1
    assert house.room.remains.size == 0


def test_what_has_come_by_another_way_leaves_no_remains(house: House) -> None:
    name, raw = message(1, 30_000)
    house.fragments.receive_names(SOURCE, [name], 0.0)
    give(house, Held([(name, raw)]), 0.1, count=9)
    fall_silent(house, 0.1)
    house.held.rows[name.packed_key] = raw
    house.fragments.receive_names(OTHER, [name], LEFT_S)
    assert house.room.remains.size == 0


def remainder(source: Address, fragments: int) -> Remainder:
    return Remainder(source, frozenset((source,)), dict.fromkeys(range(fragments), b"x" * FRAGMENT_SIZE))


def names(count: int) -> list[LargeName]:
    return [LargeName(time, message(time, 2_000)[0].message_id, 60_000) for time in range(1, count + 1)]


def test_one_source_has_its_share_and_all_together_theirs() -> None:
    remains = Remains()
    own = ASSEMBLY_SIZE_PER_SOURCE_MAX // (50 * FRAGMENT_SIZE)
    kept = names(3 * own)
    for name in kept:
        remains.keep(name, remainder(SOURCE, 50))
        assert remains.size <= ASSEMBLY_SIZE_PER_SOURCE_MAX
    assert [name for name in kept if name in remains] == kept[-own:]
    hosts = REMAINS_SIZE_MAX // ASSEMBLY_SIZE_PER_SOURCE_MAX + 2
    for host, name in enumerate(names(len(kept) + hosts * own)[len(kept) :]):
        remains.keep(name, remainder(make_address(f"10.0.0.{1 + host // own}", 6421), 50))
        assert remains.size <= REMAINS_SIZE_MAX
    assert kept[-1] not in remains


def test_a_part_of_one_byte_counts_as_any_other() -> None:
    """Else a thousand entries would fit where four do."""
    remains = Remains()
    last = Remainder(SOURCE, frozenset((SOURCE,)), {0: b"x"})
    kept = names(2 * ASSEMBLY_SIZE_PER_SOURCE_MAX // FRAGMENT_SIZE)
    for name in kept:
        remains.keep(name, last)
    assert sum(name in remains for name in kept) == ASSEMBLY_SIZE_PER_SOURCE_MAX // FRAGMENT_SIZE


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


def test_silences_end_in_a_minute_each() -> None:
    source = NamingSource(0.0)
    assert [source.fall_silent() for _ in range(3)] == [2.0, 4.0, 8.0]
    assert [source.fall_silent() for _ in range(7)][-2:] == [LARGE_FAILED_S, LARGE_FAILED_S]


def test_a_source_whose_answers_take_long_is_waited_for() -> None:
    """At 5 kbit/s a fragment takes two seconds, and one that is lost is missed after four more."""
    source = NamingSource(0.0)
    assert source.silent_at() == LARGE_SILENCE_S
    source.flow.round_trips.measure(6.0)
    assert source.silent_at() > 2 * LARGE_SILENCE_S
