"""The waiting room: bounded in all and for each author, the oldest leaves first."""

from __future__ import annotations

from dispersy.protocol.waiting import WaitingRoom


def add(room: WaitingRoom, number: int, *, kind: int = 70, author: int = 0) -> bool:
    name = bytes([number])
    return room.add(name, kind=kind, author=bytes([author]), message=b"message " + name)


def test_the_oldest_leaves_first() -> None:
    """Goal: a full room takes newcomers and forgets those who wait longest."""
    room = WaitingRoom(messages_max=3, author_max=3)
    assert all(add(room, number, author=number) for number in range(5))
    assert len(room) == 3
    assert room.release({70}) == [b"message \2", b"message \3", b"message \4"]
    assert len(room) == 0


def test_an_author_has_a_share() -> None:
    """Goal: nobody fills the room alone, and a share is free again once its messages have left."""
    room = WaitingRoom(messages_max=10, author_max=2)
    assert [add(room, number) for number in range(3)] == [True, True, False]
    assert add(room, 9, author=1)
    assert room.release({70}) == [b"message \0", b"message \1", b"message \t"]
    assert add(room, 3)


def test_who_leaves_for_others_frees_the_share() -> None:
    """Goal: the counts by author follow those that were put out."""
    room = WaitingRoom(messages_max=2, author_max=2)
    for number in range(6):
        assert add(room, number, author=number % 2)
    assert len(room) == 2


def test_a_message_waits_once() -> None:
    """Goal: a copy neither waits nor counts."""
    room = WaitingRoom(messages_max=3, author_max=2)
    assert add(room, 1)
    assert not add(room, 1)
    assert add(room, 2)
    assert len(room) == 2


def test_only_the_kinds_asked_for_leave() -> None:
    """Goal: a definition that names one kind lets the others wait on."""
    room = WaitingRoom()
    add(room, 1, kind=70)
    add(room, 2, kind=71)
    assert room.release({71, 99}) == [b"message \2"]
    assert room.release({71}) == []
    assert room.release({70}) == [b"message \1"]
