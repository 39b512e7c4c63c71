"""Goal: a typed stream tells what counts, and in its place what no longer does."""

from __future__ import annotations

from collections.abc import Iterator

from dispersy.declaration import Declared
from dispersy.messages import Event
from dispersy.typed_messages import BlockingTypedMessages, FollowOptions

ID = bytes(32)
EVENTS = (
    Event("message", 1, kind="text", message_id=ID, index=0, payload=b"a", second_author=b"2" * 32),
    Event("message", 2, kind="text", message_id=ID, index=1, payload=b"b"),
    Event("undone", 3, kind="text", message_id=ID, index=1, message_cursor=1, reason="payload-1"),
    Event("restored", 4, kind="text", message_id=ID, index=1, message_cursor=1, payloads=(b"b",)),
    Event("denied", 5, kind="text", message_id=ID, message_cursor=1, reason="revoked"),
    Event("restored", 6, kind="text", message_id=ID, message_cursor=1, payloads=(b"a", b"b")),
    Event("caught-up", 6),
)


def stream(options: FollowOptions) -> BlockingTypedMessages[str]:
    def events() -> Iterator[Event]:
        yield from EVENTS

    declared = Declared(str, {"number": 64}, "")
    declared.declare("text")
    return BlockingTypedMessages(events(), {"text": declared}, options)


def test_what_is_withdrawn_is_told_in_its_place() -> None:
    """Who adds and takes away by message id and index ends where the node is."""
    shown: dict[tuple[bytes, int], str] = {}
    history: list[list[str]] = []

    def take_away(event: Event) -> None:
        history.append(sorted(shown.values()))
        for key in [key for key in shown if event.index is None or key[1] == event.index]:
            del shown[key]
        history.append(sorted(shown.values()))

    for message in stream({"on_withdrawn": take_away}):
        shown[message.message_id, message.index] = message.payload
    assert history == [["a", "b"], ["a"], ["a", "b"], []]
    assert shown == {(ID, 0): "a", (ID, 1): "b"}


def test_who_does_not_ask_is_told_only_what_counts() -> None:
    """The restored ones come again, with the index that each has in its message."""
    messages = list(stream({}))
    assert messages[0].second_author == b"2" * 32
    assert [(message.payload, message.index, message.restored) for message in messages] == [
        ("a", 0, False),
        ("b", 1, False),
        ("b", 1, True),
        ("a", 0, True),
        ("b", 1, True),
    ]
