"""Goal: large messages are put together from what was asked for alone, and whoever lies costs little and is
left."""

from __future__ import annotations

import tracemalloc
from dataclasses import replace
from random import Random

import pytest

from dispersy.constants import (
    ASSEMBLIES_SIZE_MAX,
    ASSEMBLY_EVICTED_S,
    ASSEMBLY_SIZE_PER_SOURCE_MAX,
    FRAGMENT_SIZE,
    LARGE_FAILED_S,
    LARGE_NAMED_MAX,
    LARGE_NAMED_PER_SOURCE_MAX,
    LARGE_SILENCE_S,
    LARGE_STORED_S,
)
from dispersy.protocol.address import make_address
from dispersy.protocol.holdings import KEY_SIZE
from dispersy.protocol.identifiers import MessageId
from dispersy.protocol.large_messages.assembly import AssemblyRoom
from dispersy.protocol.sync.expected_holdings import ExpectedHoldings
from dispersy.protocol.wire.frames import Fragment, LargeName
from dispersy.protocol.wire.large_frames import fragment_count
from dispersy.protocol.wire.stripped import strip
from tests.unit.fragments_house import OTHER, SOURCE, Held, House, answered, message


@pytest.fixture
def house() -> House:
    return House()


@pytest.mark.parametrize("size", [1_100, FRAGMENT_SIZE * 3 - 118, FRAGMENT_SIZE * 3, 30_000, 65_416])
def test_a_named_message_comes_whole(house: House, size: int) -> None:
    name, raw = message(1, size)
    house.fragments.receive_names(SOURCE, [name], 0.0)
    house.answer(Held([(name, raw)]), 0.1)
    assert house.whole == [(SOURCE, raw)]
    assert house.fragments.counts["fragments-unasked"] == 0


def test_what_is_held_is_not_asked_for(house: House) -> None:
    name, raw = message(1, 5_000)
    house.held.rows[name.packed_key] = raw
    house.fragments.receive_names(SOURCE, [name], 0.0)
    assert house.ask() == []
    assert house.fragments.expected(SOURCE) == []


def test_a_lost_fragment_costs_that_fragment(house: House) -> None:
    """Of 57 one is lost: it alone is asked for again, and soon after those behind it have come."""
    name, raw = message(1, 65_000)
    known = Held([(name, raw)])
    house.fragments.receive_names(SOURCE, [name], 0.0)
    lost, now = False, 0.0
    requested = 0
    while not house.whole and now < 10:
        asked = house.ask()
        if not asked:
            now = max(now, house.fragments.next_deadline() or now)
            house.fragments.handle_timer(now)
        for ask in asked:
            requested += ask.request.fragments.bit_count()
            now += 0.01
            for fragment in answered(ask.request, known):
                if fragment.index == 3 and not lost:
                    lost = True
                    continue
                house.fragments.receive_fragment(SOURCE, fragment, now)
        house.drain()
    assert house.whole == [(SOURCE, raw)]
    assert requested == fragment_count(len(raw)) + 1
    assert now < 1.0


def test_pieces_that_nobody_asked_for_are_dropped(house: House) -> None:
    """From strangers, under other numbers, from elsewhere, twice: none is kept, and nobody is disturbed."""
    name, raw = message(1, 30_000)
    piece = Fragment(7, len(raw), 0, raw[:FRAGMENT_SIZE])
    house.fragments.receive_fragment(SOURCE, piece, 0.0)
    house.fragments.receive_names(SOURCE, [name], 0.0)
    (ask,) = house.ask()
    house.fragments.receive_fragment(SOURCE, piece, 0.0)
    house.fragments.receive_fragment(OTHER, replace(piece, number=ask.request.number), 0.0)
    unasked = 1 << 40 | ask.request.fragments
    far = next(index for index in range(fragment_count(len(raw))) if not unasked >> index & 1)
    data = raw[far * FRAGMENT_SIZE : (far + 1) * FRAGMENT_SIZE]
    house.fragments.receive_fragment(SOURCE, Fragment(ask.request.number, len(raw), far, data), 0.0)
    first = replace(piece, number=ask.request.number)
    house.fragments.receive_fragment(SOURCE, first, 0.0)
    house.fragments.receive_fragment(SOURCE, first, 0.0)
    assert house.fragments.counts["fragments-unasked"] == 5
    # And it goes on as if nothing had been.
    for fragment in answered(ask.request, Held([(name, raw)])):
        house.fragments.receive_fragment(SOURCE, fragment, 0.1)
    house.answer(Held([(name, raw)]), 0.1)
    assert house.whole == [(SOURCE, raw)]


def test_a_forged_message_costs_its_sender_its_standing_and_another_gives_the_right_one(house: House) -> None:
    name, raw = message(1, 30_000)
    forged = bytearray(raw)
    forged[20_000] ^= 1
    house.fragments.receive_names(SOURCE, [name], 0.0)
    house.fragments.receive_names(OTHER, [name], 0.0)
    lying, honest = Held([(name, bytes(forged))]), Held([(name, raw)])
    for _ in range(20):
        for ask in house.ask():
            for fragment in answered(ask.request, lying if ask.address == SOURCE else honest):
                house.fragments.receive_fragment(ask.address, fragment, 0.1)
    assert house.whole == [(OTHER, raw)]
    assert house.fragments.counts["large-forged"] == 1
    assert house.fragments.expected(SOURCE) == []
    second, _ = message(2, 30_000)
    house.fragments.receive_names(SOURCE, [second], LARGE_FAILED_S - 1)
    assert house.ask() == []
    house.fragments.receive_names(SOURCE, [second], LARGE_FAILED_S + 1)
    assert house.ask() != []


def test_another_size_than_was_named_ends_it_at_the_first_fragment(house: House) -> None:
    name, raw = message(1, 30_000)
    house.fragments.receive_names(SOURCE, [replace(name, size=60_000)], 0.0)
    (ask,) = house.ask()
    (first, *_) = answered(ask.request, Held([(name, raw)]))
    house.fragments.receive_fragment(SOURCE, first, 0.1)
    assert house.fragments.counts["large-forged"] == 1
    assert house.room.size == 0


def test_who_falls_silent_is_left_and_the_next_one_asked(house: House) -> None:
    """Goal: a source that sends half holds a message up for a bounded time, where somebody else has it."""
    name, raw = message(1, 30_000)
    house.fragments.receive_names(SOURCE, [name], 0.0)
    house.fragments.receive_names(OTHER, [name], 0.0)
    asked = house.ask()
    assert {ask.address for ask in asked} == {SOURCE}
    half = answered(asked[0].request, Held([(name, raw)]))[:3]
    for fragment in half:
        house.fragments.receive_fragment(SOURCE, fragment, 0.1)
    now = 0.1
    while not house.whole:
        now = max(now, house.fragments.next_deadline() or now)
        house.fragments.handle_timer(now)
        for ask in house.ask():
            if ask.address == OTHER:
                for fragment in answered(ask.request, Held([(name, raw)])):
                    house.fragments.receive_fragment(OTHER, fragment, now)
                    house.drain()
        assert now < 2.5 * LARGE_SILENCE_S
    assert house.whole == [(OTHER, raw)]
    assert house.fragments.expected(SOURCE) == []


def test_who_has_it_no_longer_says_so_at_once(house: House) -> None:
    """Its author took it back: what is left of it comes with the next answer, and nobody waits."""
    name, raw = message(1, 30_000)
    house.fragments.receive_names(SOURCE, [name], 0.0)
    house.answer(Held([(name, strip(raw))]), 0.1)
    assert house.whole == []
    assert house.fragments.expected(SOURCE) == []
    house.fragments.receive_names(SOURCE, [name], 0.2)
    assert house.ask() == []


def test_a_busy_neighbour_is_asked_later(house: House) -> None:
    name, raw = message(1, 30_000)
    house.fragments.receive_names(SOURCE, [name], 0.0)
    (ask,) = house.ask()
    house.fragments.receive_busy(SOURCE, ask.request.number, 0.4, 0.1)
    house.fragments.handle_timer(0.3)
    assert house.ask() == []
    assert house.fragments.next_deadline() == pytest.approx(0.5)
    house.fragments.handle_timer(0.5)
    house.answer(Held([(name, raw)]), 0.6)
    assert house.whole == [(SOURCE, raw)]


def test_what_a_busy_neighbour_has_not_begun_to_give_another_one_gives(house: House) -> None:
    name, _ = message(1, 30_000)
    for source in (SOURCE, OTHER):
        house.fragments.receive_names(source, [name], 0.0)
    (ask,) = house.ask()
    house.fragments.receive_busy(SOURCE, ask.request.number, 0.5, 0.1)
    house.fragments.handle_timer(0.1)
    assert {ask.address for ask in house.ask()} == {OTHER}


def test_what_is_expected_counts_towards_its_source_alone(house: House) -> None:
    """Goal: a pull ends where only what is on its way differs, and a false name keeps nothing from others."""
    pairs = [message(time, 30_000 + time) for time in range(1, 9)]
    names = [name for name, _ in pairs]
    theirs = Held(pairs).summary()
    house.held.rows[names[7].packed_key] = pairs[7][1]
    house.fragments.receive_names(SOURCE, names, 0.0)
    ours = ExpectedHoldings(house.held, house.fragments, SOURCE)
    assert ours.summary().same_set(theirs)
    assert ExpectedHoldings(house.held, house.fragments, OTHER).summary().same_set(house.held.summary())
    keys, cursors, complete = ours.scan(bytes(24), b"\xff" * 24, 100)
    assert keys == b"".join(sorted(name.packed_key for name in names))
    assert (len(cursors), complete) == (8 * 8, True)
    keys, _, complete = ours.scan(bytes(24), b"\xff" * 24, 3)
    assert keys == b"".join(sorted(name.packed_key for name in names))[: 3 * KEY_SIZE]
    assert not complete
    low = names[2].key
    assert ours.scan(low, names[5].key, 9)[0] == b"".join(name.packed_key for name in names[2:5])


def test_what_the_store_has_taken_counts_once(house: House) -> None:
    name, raw = message(1, 30_000)
    theirs = Held([(name, raw)])
    house.fragments.receive_names(SOURCE, [name], 0.0)
    house.answer(theirs, 0.1)
    ours = ExpectedHoldings(house.held, house.fragments, SOURCE)
    assert ours.summary().same_set(theirs.summary())
    house.held.rows[name.packed_key] = raw
    assert ours.summary().same_set(theirs.summary())
    house.fragments.receive_committed(0.2)
    assert house.fragments.expected(SOURCE) == []
    assert ours.summary().same_set(theirs.summary())
    assert house.room.size_whole == 0


def test_what_the_store_does_not_take_is_given_up_after_a_while(house: House) -> None:
    """Its signature did not hold, or it waits for permission: it is asked of others, and not again of this
    one."""
    name, raw = message(1, 30_000)
    house.fragments.receive_names(SOURCE, [name], 0.0)
    house.answer(Held([(name, raw)]), 0.1)
    assert house.room.size_whole == len(raw)
    house.fragments.handle_timer(0.1 + LARGE_STORED_S)
    assert (house.fragments.expected(SOURCE), house.room.size_whole) == ([], 0)
    house.fragments.receive_names(SOURCE, [name], 1.0 + LARGE_STORED_S)
    assert house.ask() == []
    house.fragments.receive_names(OTHER, [name], 1.0 + LARGE_STORED_S)
    assert house.ask() != []


def test_what_was_lost_on_its_way_to_the_store_is_fetched_again(house: House) -> None:
    name, raw = message(1, 30_000)
    house.fragments.receive_names(SOURCE, [name], 0.0)
    house.answer(Held([(name, raw)]), 0.1)
    house.fragments.receive_loss(0.2)
    house.answer(Held([(name, raw)]), 0.3)
    assert house.whole == [(SOURCE, raw)] * 2


def test_names_without_end_are_bounded() -> None:
    """Goal: names cost nothing to send, so they must cost little to have; measured in bytes."""
    house = House()
    rng = Random(2)
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        for number in range(80):
            source = make_address(f"10.{number}.0.1", 6421)
            for _ in range(12):
                names = [
                    LargeName(rng.randrange(1, 1 << 40), MessageId(rng.randbytes(32)), 65_536)
                    for _ in range(30)
                ]
                house.fragments.receive_names(source, names, 1.0)
            house.drain()
            house.asked.clear()
        taken = tracemalloc.get_traced_memory()[0] - before
    finally:
        tracemalloc.stop()
    assert len(house.fragments._wanted) <= LARGE_NAMED_MAX
    assert max(len(each.names) for each in house.fragments._sources.values()) <= LARGE_NAMED_PER_SOURCE_MAX
    assert house.room.size <= ASSEMBLIES_SIZE_MAX
    assert taken < 4 << 20


def test_names_without_end_leave_room_for_those_of_others() -> None:
    """Goal: one host with all its ports names as much as there is room for, and another is still heard."""
    house = House()
    rng = Random(3)

    def name_some(host: str, port: int, count: int) -> None:
        names = [LargeName(1, MessageId(rng.randbytes(32)), 65_536) for _ in range(count)]
        house.fragments.receive_names(make_address(host, port), names, 1.0)

    for port in range(1, 1 + LARGE_NAMED_MAX // LARGE_NAMED_PER_SOURCE_MAX):
        name_some("10.0.0.1", port, LARGE_NAMED_PER_SOURCE_MAX)
    assert len(house.fragments._wanted) == LARGE_NAMED_MAX
    name_some("10.0.0.2", 1, 30)
    assert len(house.fragments.expected(make_address("10.0.0.2", 1))) == 30
    assert len(house.fragments._wanted) == LARGE_NAMED_MAX


def test_halves_without_end_are_bounded_and_leave_room_for_others() -> None:
    """Many sources each send half of two messages: 4 MiB at most, and an honest one has its turn after 5
    s."""
    house = House()
    pairs = [message(time, 65_000) for time in range(1, 81)]
    for number in range(40):
        source = make_address(f"10.{number}.0.1", 6421)
        named = pairs[2 * number : 2 * number + 2]
        house.fragments.receive_names(source, [name for name, _ in named], 0.0)
        for _ in range(3):
            for ask in house.ask():
                for fragment in answered(ask.request, Held(pairs))[::2]:
                    house.fragments.receive_fragment(ask.address, fragment, 0.1)
    assert ASSEMBLIES_SIZE_MAX - 2 * 65_536 <= house.room.size <= ASSEMBLIES_SIZE_MAX
    name, raw = message(1_000, 65_000)
    honest = make_address("192.0.2.99", 6421)
    house.fragments.receive_names(honest, [name], 1.0)
    assert honest not in {ask.address for ask in house.ask()}
    for now in (1.0 + ASSEMBLY_EVICTED_S, 2.0 + ASSEMBLY_EVICTED_S):
        house.fragments.handle_timer(now)
        for _ in range(20):
            for ask in house.ask():
                if ask.address == honest:
                    for fragment in answered(ask.request, Held([(name, raw)])):
                        house.fragments.receive_fragment(honest, fragment, now)
    assert (honest, raw) in house.whole


def test_one_source_has_its_share_of_the_room(house: House) -> None:
    pairs = [message(time, 60_000) for time in range(1, 30)]
    house.fragments.receive_names(SOURCE, [name for name, _ in pairs], 0.0)
    for step in range(300):
        for ask in house.ask():
            # All but the last fragment of each.
            for fragment in answered(ask.request, Held(pairs)):
                if fragment.index < fragment_count(fragment.size) - 1:
                    house.fragments.receive_fragment(SOURCE, fragment, step / 100)
        house.fragments.handle_timer(step / 100)
        assert house.room.size <= ASSEMBLY_SIZE_PER_SOURCE_MAX
    assert house.room.size > ASSEMBLY_SIZE_PER_SOURCE_MAX - 61_000


def test_what_is_over_is_not_kept(house: House) -> None:
    """Halves that are given up one after the other would fill the memory of a node, each kept for what of it
    may come late."""
    pairs = [message(time, 60_000) for time in range(1, 40)]
    for name, raw in pairs:
        now = 20.0 * name.global_time
        house.fragments.receive_names(SOURCE, [name], now)
        for _ in range(8):
            for ask in house.ask():
                for fragment in answered(ask.request, Held([(name, raw)]))[1:]:
                    house.fragments.receive_fragment(SOURCE, fragment, now)
        for second in range(1, 19):
            house.fragments.handle_timer(now + second)
        house.ask()
    known = house.fragments._sources[SOURCE]
    assert house.room.size == 0
    assert not known.late
    assert known.flow.in_flight() == 0


def test_a_source_that_names_and_never_gives_is_borne_for_days(house: House) -> None:
    """It is asked again and again, ever more seldom, and nothing overflows."""
    names = [message(time, 60_000)[0] for time in range(1, 5)]
    now = asked = 0.0
    while now < 3 * 86_400:
        house.fragments.receive_names(SOURCE, names, now)
        asked += len(house.ask())
        deadline = house.fragments.next_deadline()
        now = max(now + 1.0, min(now + 30.0, deadline or now + 30.0))
        house.fragments.handle_timer(now)
    assert 100 < asked < 20_000


def test_fragments_of_what_made_room_for_others_are_no_loss() -> None:
    """They come all the same, and their source is neither silent nor behind a full queue."""
    house = House(AssemblyRoom(size_max=70_000))
    (name, raw), (other, _) = message(1, 65_000), message(2, 65_000)
    house.fragments.receive_names(SOURCE, [name], 0.0)
    flow, now = house.fragments._sources[SOURCE].flow, 0.0
    for _ in range(3):
        for ask in house.ask():
            for fragment in answered(ask.request, Held([(name, raw)])):
                now += 0.01
                house.fragments.receive_fragment(SOURCE, fragment, now)
    on_the_way = house.ask()
    assert flow.in_flight() > 0
    house.fragments.receive_names(OTHER, [other], ASSEMBLY_EVICTED_S)
    for ask in on_the_way:
        for fragment in answered(ask.request, Held([(name, raw)])):
            house.fragments.receive_fragment(SOURCE, fragment, ASSEMBLY_EVICTED_S + 0.01)
    house.fragments.handle_timer(ASSEMBLY_EVICTED_S + 1.0)
    assert flow.in_flight() == 0
    assert flow.round_trips.timeouts == 0
    assert not flow.losses.are_ours(in_doubt=True)


def test_a_slow_store_holds_up_what_would_wait_for_it() -> None:
    """Goal: whole messages that nobody takes do not pile up."""
    house = House()
    pairs = [message(time, 65_000) for time in range(1, 120)]
    house.fragments.receive_names(SOURCE, [name for name, _ in pairs], 0.0)

    def fill(seconds: range) -> None:
        for step in range(100 * seconds.start, 100 * seconds.stop):
            house.answer(Held(pairs), step / 100)
            house.fragments.handle_timer(step / 100)

    fill(range(9))
    taken = sum(len(raw) for _, raw in house.whole)
    assert ASSEMBLIES_SIZE_MAX <= taken < ASSEMBLIES_SIZE_MAX + ASSEMBLY_SIZE_PER_SOURCE_MAX
    for name, raw in pairs:
        if (SOURCE, raw) in house.whole:
            house.held.rows[name.packed_key] = raw
    house.fragments.receive_committed(9.0)
    fill(range(9, 15))
    assert len(house.whole) == len(pairs)


def test_a_community_that_is_left_leaves_its_room(house: House) -> None:
    pairs = [message(time, 60_000) for time in range(1, 5)]
    house.fragments.receive_names(SOURCE, [name for name, _ in pairs], 0.0)
    for ask in house.ask():
        for fragment in answered(ask.request, Held(pairs))[1:]:
            house.fragments.receive_fragment(SOURCE, fragment, 0.1)
    assert house.room.size
    house.fragments.close()
    assert (house.room.size, house.room.size_whole) == (0, 0)
