"""The waiting room: bounded in all, for each bucket of hosts and for each author; the oldest leaves first."""

from __future__ import annotations

from dataclasses import replace

import pytest

from dispersy.constants import (
    WAITING_AUTHOR_SIZE_MAX,
    WAITING_MAX,
    WAITING_SIZE_MAX,
    WAITING_SOURCE_SIZE_MAX,
    WANTED_MAX,
)
from dispersy.protocol.address import make_address
from dispersy.protocol.hosts import bucket_of
from dispersy.protocol.intake.waiting import WAIT_MAX_S, Awaited, Waiter, WaitingRoom


def waiter(
    number: int,
    awaited: Awaited = Awaited.KIND,
    *,
    kind: int = 70,
    author: int = 0,
    source: int = 0,
    is_spared: bool = False,
) -> Waiter:
    name = number.to_bytes(2, "big")
    return Waiter(
        name,
        awaited,
        kind=kind,
        author=author.to_bytes(2, "big"),
        message=b"message " + name,
        source=source,
        is_spared=is_spared,
    )


def inside(room: WaitingRoom) -> list[int]:
    return [int.from_bytes(each.message_id, "big") for each in room.waiters()]


def numbers(waiters: list[Waiter]) -> list[int]:
    return [int.from_bytes(each.message_id, "big") for each in waiters]


def test_the_oldest_leaves_first() -> None:
    """Goal: a full room takes newcomers and forgets those who wait longest, and says so."""
    room = WaitingRoom(messages_max=3, author_max=3)
    assert all(room.add(waiter(number, author=number)) for number in range(5))
    assert inside(room) == [2, 3, 4]
    assert numbers(room.drain_evicted()) == [0, 1]
    assert room.drain_evicted() == []
    assert room.left == {"waiting-kind-full": 2}


def test_an_author_makes_room_for_itself() -> None:
    """Goal: nobody fills the room alone: its own oldest leaves, nobody else's."""
    room = WaitingRoom(messages_max=10, author_max=2)
    room.add(waiter(9, author=1))
    for number in range(3):
        room.add(waiter(number))
    assert inside(room) == [9, 1, 2]


def test_a_bucket_of_hosts_makes_room_for_itself() -> None:
    """Goal: one host with any number of keys costs the messages of others nothing."""
    room = WaitingRoom(messages_max=10, source_max=3)
    room.add(waiter(100, author=100, source=7))
    room.add(waiter(101, author=101))
    for number in range(20):
        room.add(waiter(number, author=number, source=8))
    assert inside(room) == [100, 101, 17, 18, 19]


def test_control_messages_of_power_holders_go_last() -> None:
    """Goal: a flood does not wash away what other members' permissions rest on, until all else is gone."""
    room = WaitingRoom(messages_max=3)
    room.add(waiter(1, Awaited.POWER, kind=1, author=1, is_spared=True))
    room.add(waiter(2, Awaited.POWER, kind=1, author=2, is_spared=True))
    for number in range(3, 9):
        room.add(waiter(number, author=number))
    assert inside(room) == [1, 2, 8]
    room.add(waiter(9, Awaited.POWER, kind=1, author=9, is_spared=True))
    room.add(waiter(10, author=10))
    assert inside(room) == [2, 9, 10]


def test_shares_follow_whoever_leaves() -> None:
    """Goal: what was taken out, put out or late frees the shares that it filled."""
    room = WaitingRoom(messages_max=4, source_max=2, author_max=2)
    for turn in range(5):
        for number in range(2):
            assert room.add(waiter(10 * turn + number, author=turn % 2, source=3))
        assert len(room) == 2
        if turn % 2:
            assert room.expire(1e6 * turn) == []
            assert len(room.expire(2e6 * turn)) == 2
        else:
            assert len(room.take([each.message_id for each in room.waiters()])) == 2
        assert len(room) == 0
    assert not room.drain_evicted()


def test_a_message_waits_once() -> None:
    """Goal: a copy neither waits nor counts."""
    room = WaitingRoom(messages_max=3, author_max=2)
    assert room.add(waiter(1))
    assert not room.add(waiter(1))
    assert room.add(waiter(2))
    assert inside(room) == [1, 2]


def test_a_whole_message_takes_the_place_of_what_is_left_of_it() -> None:
    """Goal: anybody can strip a message and send that first; it keeps nothing from waiting, and is waited for
    once."""
    room = WaitingRoom()
    assert room.add(waiter(1, Awaited.UNDO))
    assert not room.add(waiter(1, Awaited.UNDO))
    assert room.add(waiter(1, Awaited.PERMISSION))
    assert not room.add(waiter(1, Awaited.UNDO))
    assert room.counts() == {"permission": 1}
    assert numbers(room.take([waiter(1).message_id])) == [1]
    assert len(room) == 0


@pytest.mark.parametrize("awaited", Awaited)
def test_waiting_ends(awaited: Awaited) -> None:
    """Goal: nothing waits for ever, and nothing less long for having come into a room that was empty long."""
    room = WaitingRoom()
    assert room.expire(1_000.0) == []
    room.add(waiter(1, awaited))
    assert room.expire(90_000.0) == []
    room.add(waiter(2, awaited))
    room.expire(90_001.0)
    assert numbers(room.expire(90_000.0 + WAIT_MAX_S[awaited])) == [1]
    assert inside(room) == [2]
    assert numbers(room.expire(90_001.0 + WAIT_MAX_S[awaited])) == [2]
    assert room.left == {f"waiting-{awaited}-late": 2}


def test_one_proof_is_wanted_however_many_wait_for_it() -> None:
    """Goal: of each author and kind that of the oldest and of the newest, and who sent them."""
    room = WaitingRoom()
    for number in range(100):
        room.add(waiter(number, Awaited.PERMISSION, author=number % 2, kind=70 + number % 4 // 2, source=5))
    room.add(waiter(200, Awaited.KIND, author=7))
    room.add(waiter(201, Awaited.SEQUENCE, author=8))
    room.add(waiter(202, Awaited.POWER, author=9, kind=1))
    wants = room.wanted(messages=[b"m", b"m"], ranges=[(b"a", 70, 1, 4)])
    ids = [int.from_bytes(each, "big") for each in wants.proofs]
    assert sorted(ids) == [0, 1, 2, 3, 96, 97, 98, 99, 202]
    assert wants.messages == [b"m"]
    assert wants.ranges == [(b"a", 70, 1, 4)]
    assert set(wants.offered_by.values()) == {5}
    assert len(wants.offered_by) == 8


def test_wants_are_bounded() -> None:
    """Goal: a room full of strangers' messages asks for little at a time."""
    room = WaitingRoom()
    for number in range(WAITING_MAX):
        room.add(waiter(number, Awaited.PERMISSION, author=number, source=1 + number % 255))
    wants = room.wanted(messages=(bytes([each]) for each in range(100)), ranges=[(b"a", 70, 1, 4)] * 100)
    assert len(wants.proofs) == len(wants.offered_by) == WANTED_MAX
    assert len(wants.messages) == len(wants.ranges) == WANTED_MAX


def test_a_flood_does_not_keep_others_from_being_asked_for() -> None:
    """Goal: what one host sends a hundred of takes turns with what another sends one of, the newest first."""
    room = WaitingRoom()
    room.add(waiter(5_000, Awaited.PERMISSION, author=5_000, source=7))
    for number in range(WAITING_MAX // 2):
        room.add(waiter(number, Awaited.PERMISSION, author=number, source=8))
    proofs = [int.from_bytes(each, "big") for each in room.wanted().proofs]
    assert 5_000 in proofs[:2]
    assert WAITING_MAX // 2 - 1 in proofs[:2]


def test_buckets_are_keyed_by_host() -> None:
    """Goal: a host has one bucket however many ports it uses, and nobody can tell which without the key."""
    one, other = make_address("203.0.113.9", 1), make_address("203.0.113.9", 2)
    hosts = [make_address(f"203.0.{third}.{fourth}", 1) for third in range(4) for fourth in range(1, 255)]
    assert bucket_of(one, key=b"k") == bucket_of(other, key=b"k")
    assert {bucket_of(each, key=b"k") for each in hosts} <= set(range(1, 256))
    assert len({bucket_of(each, key=b"k") for each in hosts}) > 200
    assert len({bucket_of(one, key=bytes([each])) for each in range(100)}) > 30


def test_large_messages_are_bounded_by_their_bytes() -> None:
    """Goal: 64 KiB each, the room holds few of them: of one author, from one bucket, and in all."""
    room = WaitingRoom()

    def add(number: int, *, author: int, source: int = 0) -> None:
        room.add(replace(waiter(number, author=author, source=source), message=bytes(65_536)))

    for number in range(40):
        add(number, author=7)
    assert inside(room) == list(range(40 - WAITING_AUTHOR_SIZE_MAX // 65_536, 40))
    for number in range(100, 160):
        add(number, author=number, source=9)
    assert len([each for each in room.waiters() if each.source]) == WAITING_SOURCE_SIZE_MAX // 65_536
    for number in range(200, 300):
        add(number, author=number)
    assert len(room) == WAITING_SIZE_MAX // 65_536
    # Small ones find room again where these have left.
    room.take([each.message_id for each in list(room.waiters())])
    for number in range(300, 310):
        room.add(waiter(number, author=7, source=9))
    assert inside(room) == list(range(300, 310))
