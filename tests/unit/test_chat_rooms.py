"""Goal: the chat in examples/ shows each text once, in its order, under a name, and as harmless text."""

from __future__ import annotations

import asyncio
import importlib.util
import sys
from collections import defaultdict
from collections.abc import AsyncIterator
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from dispersy.client import Event
from dispersy.errors import UsageError

ROOMS = Path(__file__).resolve().parents[2] / "examples" / "chat" / "rooms.py"
ANNA, BERT = b"\xaa" * 32, b"\xbb" * 32


@pytest.fixture(scope="module")
def rooms() -> ModuleType:
    return load("chat_rooms", ROOMS)


def load(name: str, file: Path) -> ModuleType:
    """A module of the example, which is in no package."""
    spec = importlib.util.spec_from_file_location(name, file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    # Its dataclasses look their own module up.
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(sys.modules, spec.name, module)
        spec.loader.exec_module(module)
    return module


def said(text: str, time: int, **fields: Any) -> Event:
    """A message event."""
    given = {"kind": "text", "author": ANNA, "message_id": b"%32d" % time, "payload": text.encode()}
    return Event("message", time, **{**given, "global_time": time, **fields})


def texts(room: Any) -> list[str]:
    return [line.text for line in room.lines]


def test_lines_stand_in_the_order_of_their_global_time(rooms: ModuleType) -> None:
    """What arrives late is put where it belongs, and the screen is to be made anew."""
    room = rooms.Room()
    room.take(said("first", 1))
    room.take(said("third", 3))
    assert (texts(room), room.changed, room.unread) == (["first", "third"], False, 2)
    room.take(said("second", 2))
    assert (texts(room), room.changed) == (["first", "second", "third"], True)


def test_what_no_longer_counts_goes_and_may_come_back(rooms: ModuleType) -> None:
    """By message id, with all its payloads; said twice it is there once."""
    room = rooms.Room()
    room.take(said("a", 1, message_id=b"m", index=0))
    room.take(said("b", 1, message_id=b"m", index=1))
    room.take(said("c", 2))
    room.take(Event("denied", 4, message_id=b"m"))
    assert texts(room) == ["c"]
    back = Event(
        "restored", 5, kind="text", author=ANNA, message_id=b"m", global_time=1, payloads=(b"a", b"b")
    )
    room.take(back)
    room.take(back)
    assert texts(room) == ["a", "b", "c"]


def test_one_payload_goes_and_comes_back_in_its_place(rooms: ModuleType) -> None:
    """Where an event has an index, the other payloads of the message stay."""
    room = rooms.Room()
    for index, text in enumerate("abc"):
        room.take(said(text, 1, message_id=b"m", index=index))
    room.take(Event("undone", 4, message_id=b"m", index=1))
    assert texts(room) == ["a", "c"]
    room.take(
        Event("restored", 5, kind="text", message_id=b"m", global_time=1, index=1, payloads=(b"b",)),
    )
    assert texts(room) == ["a", "b", "c"]


def test_a_name_that_no_longer_counts_is_not_used(rooms: ModuleType) -> None:
    """As after a start, when a replay leaves it out."""
    room = rooms.Room()
    room.take(said("anna", 5, kind="nick"))
    room.take(Event("undone", 6, author=ANNA, message_id=b"%32d" % 4))
    assert room.name(ANNA) == "anna~aaaa"
    room.take(Event("undone", 7, author=ANNA, message_id=b"%32d" % 5))
    assert room.name(ANNA) == "aaaa"


def test_after_a_long_absence_it_follows_on_from_where_it_was(
    rooms: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Goal: when the node was away for longer than a follow waits, nothing comes twice or is left out; one
    that was restored is followed from the beginning."""
    monkeypatch.setitem(sys.modules, "rooms", rooms)
    chat = load("chat_terminal", ROOMS.with_name("chat.py"))
    monkeypatch.setattr(chat, "STATE_EVERY_S", 0)
    asked: list[str | int] = []
    absences: list[str] = []
    streams: list[list[Event] | str] = [
        [said("a", 7, community=b"c"), said("heard", 0, community=b"c", message_id=b"h" * 32)],
        "timeout",
        "cursor-ahead",
        [said("a", 2, community=b"c", message_id=b"%32d" % 7, global_time=7)],
    ]

    async def follow(*, since: str | int, **_: object) -> AsyncIterator[Event]:
        asked.append(since)
        if not streams:
            raise asyncio.CancelledError
        stream = streams.pop(0)
        if isinstance(stream, str):
            raise UsageError("no", code=stream)
        for event in stream:
            yield event

    shown = SimpleNamespace(
        client=SimpleNamespace(follow=follow),
        rooms=defaultdict(rooms.Room),
        is_caught_up=False,
        note_absence=lambda: absences.append("away"),
    )
    with pytest.raises(asyncio.CancelledError):
        asyncio.run(chat.Chat.follow.__wrapped__(shown))
    assert asked == ["begin", 7, 7, "begin", 2]
    assert absences == ["away"]
    assert texts(shown.rooms[b"c"]) == ["heard", "a"]


def test_an_author_is_called_by_the_newest_name_and_a_part_of_the_key(rooms: ModuleType) -> None:
    """A name is free to choose, so two may have chosen the same."""
    room = rooms.Room()
    assert room.name(ANNA) == "aaaa"
    room.take(said("anna", 5, kind="nick"))
    room.take(said("older", 3, kind="nick"))
    room.take(said("anna", 6, kind="nick", author=BERT))
    assert (room.name(ANNA), room.name(BERT)) == ("anna~aaaa", "anna~bbbb")
    assert texts(room) == []
    assert room.changed


def test_what_is_shown_is_bounded(rooms: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    """The oldest lines go, and long names are cut."""
    monkeypatch.setattr(rooms, "LINES_MAX", 3)
    room = rooms.Room()
    for number in range(1, 6):
        room.take(said(str(number), number))
    room.take(said("n" * 60, 6, kind="nick"))
    assert texts(room) == ["3", "4", "5"]
    assert room.name(ANNA) == "n" * rooms.NICK_LENGTH_MAX + "~aaaa"


@pytest.mark.parametrize("payload", [b"\x1b[2J", b"a\r\nb", b"\x07", b"\xff", "\u202eevil".encode()])
def test_nothing_that_a_terminal_obeys_is_left(rooms: ModuleType, payload: bytes) -> None:
    """Anybody may have written it."""
    assert rooms.readable(payload).isprintable()
