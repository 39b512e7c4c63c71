"""Goal: the chat in examples/ shows each text once, in its order, under a name, and as harmless text."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from dispersy.client import Event

ROOMS = Path(__file__).resolve().parents[2] / "examples" / "chat" / "rooms.py"
ANNA, BERT = b"\xaa" * 32, b"\xbb" * 32


@pytest.fixture(scope="module")
def rooms() -> ModuleType:
    """The example's module, which is in no package."""
    spec = importlib.util.spec_from_file_location("chat_rooms", ROOMS)
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
