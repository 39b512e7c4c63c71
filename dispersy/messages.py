"""What a node tells of messages, as its clients' callers get it: events, messages, pages, publications."""

from __future__ import annotations

from dataclasses import dataclass, fields

from dispersy.conversation import Frame


@dataclass(frozen=True, slots=True)
class Event:
    """One event of a follow, see docs/interface.md.

    event          message, denied, restored, undone, removed or caught-up
    cursor         of this node's log; give the last one as `since` to go on after it; 0: in no log, for
                   messages of its kind are not stored
    index          which of the message's payloads this is, or is about; None: all of the message
    payload        of message events
    payloads       of restored events: those that count again
    arrival_ms     unix time in milliseconds at which this node stored it
    second_author  the key that signed the message, too; empty where one signs alone
    """

    event: str
    cursor: int
    community: bytes = b""
    kind: str = ""
    author: bytes = b""
    global_time: int = 0
    sequence: int = 0
    index: int | None = None
    message_id: bytes = b""
    payload: bytes = b""
    payloads: tuple[bytes, ...] = ()
    arrival_ms: int = 0
    message_cursor: int = 0
    reason: str = ""
    low: int = 0
    second_author: bytes = b""


_EVENT_FIELDS = frozenset(field.name for field in fields(Event))


@dataclass(frozen=True, slots=True)
class Published:
    """What the node answered: stored, signed, and on its way.

    repeated   whether this request id had been answered before; nothing was published again
    """

    first_cursor: int
    last_cursor: int
    ids: tuple[bytes, ...]
    repeated: bool


@dataclass(frozen=True, slots=True)
class Message:
    """A stored message, see docs/interface.md.

    kind           its name; empty for Dispersy's own
    cursor         of its first payload in this node's log
    hidden         why it does not count: equivocation, order, undone, denied, erased; empty when it does
    undone         indices of payloads that were taken back one by one: these are empty
    second_author  the key that signed it, too; empty where one signs alone
    """

    community: bytes
    kind: str
    kind_number: int
    author: bytes
    global_time: int
    sequence: int
    message_id: bytes
    cursor: int
    payloads: tuple[bytes, ...]
    arrival_ms: int
    hidden: tuple[str, ...]
    undone: tuple[int, ...] = ()
    second_author: bytes = b""


_MESSAGE_FIELDS = frozenset(field.name for field in fields(Message))


@dataclass(frozen=True, slots=True)
class Page:
    """Some messages, and what to give as `next` for those that follow; None when there are none."""

    messages: tuple[Message, ...]
    next: bytes | None


def message_of(found: Frame) -> Message:
    """A message of a reply; fields that came with a later version are left out."""
    values = {key: value for key, value in found.items() if key in _MESSAGE_FIELDS}
    lists = {key: tuple(value) for key, value in values.items() if isinstance(value, list)}
    return Message(**values | lists)


def event_of(frame: Frame) -> Event:
    """An event's frame as an Event; fields that came with a later version are left out."""
    values = {key: value for key, value in frame.items() if key in _EVENT_FIELDS}
    if "payloads" in values:
        values["payloads"] = tuple(values["payloads"])
    return Event(**values)
