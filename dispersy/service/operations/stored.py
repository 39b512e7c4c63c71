"""Stored messages as applications get them."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

from dispersy.ext.wire import DROP_REASONS, pack, parse_messages, split_payloads
from dispersy.protocol.intake.marks import DENIED, ERASED, HIDDEN_BY_EQUIVOCATION, HIDDEN_BY_ORDER, UNDONE
from dispersy.protocol.wire.records import MESSAGE
from dispersy.service.interface.directory import Directory
from dispersy.storage.store import LogEntry, StoreReader

_TWO_AUTHORS = 1
_NO_AUTHOR = 2
_AREA_MAX = 1 << 24
AUTHOR = slice(2, 34)
"""Where a stored message has its author; an event's entry has no message."""
SECOND_AUTHOR = slice(34, 66)
"""Where it has the one that signed it, too, if there is one."""
MARK_NAMES = {
    HIDDEN_BY_EQUIVOCATION: "equivocation",
    HIDDEN_BY_ORDER: "order",
    UNDONE: "undone",
    DENIED: "denied",
    ERASED: "erased",
}
"""Why a message is not shown, as `hidden` lists it."""


@dataclass(frozen=True, slots=True)
class Header:
    """What stands before a message's payloads."""

    kind: int
    author: bytes
    second_author: bytes
    global_time: int
    sequence: int


def headers(messages: Sequence[bytes]) -> list[Header]:
    """The headers of stored messages (they are well formed: they were checked before they were stored)."""
    if not messages:
        return []
    ((_, area),) = pack(list(messages), _AREA_MAX)
    records = parse_messages(area, bytearray(4 * len(DROP_REASONS)))
    found = []
    for record, message in zip(MESSAGE.iter_unpack(records), messages, strict=True):
        _, _, global_time, sequence, _, kind, flags, *_ = record
        author = b"" if flags & _NO_AUTHOR else message[AUTHOR]
        second_author = message[SECOND_AUTHOR] if flags & _TWO_AUTHORS else b""
        found.append(Header(kind, author, second_author, global_time, sequence))
    return found


def described(entries: Sequence[LogEntry], directory: Directory, reader: StoreReader) -> list[dict[str, Any]]:
    """One map a message entry, with all of its payloads; those that are undone one by one are empty."""
    undone = reader.undone([entry.cursor for entry in entries])
    return [
        {
            "community": directory.community_id(entry.community),
            "kind": directory.kind_name(entry.community, header.kind),
            "kind_number": header.kind,
            "author": header.author,
            "second_author": header.second_author,
            "global_time": header.global_time,
            "sequence": header.sequence,
            "message_id": entry.message_id,
            "cursor": entry.cursor,
            "payloads": shown_payloads(entry, undone.get(entry.cursor, ())),
            "undone": [index for index in undone.get(entry.cursor, ()) if index < len(payloads_of(entry))],
            "arrival_ms": entry.arrival_ms,
            "hidden": hidden(entry.marks),
        }
        for entry, header in zip(entries, headers([entry.message for entry in entries]), strict=True)
    ]


def payloads_of(entry: LogEntry) -> list[bytes]:
    """A message's payloads; none where they are erased."""
    return [] if entry.marks & ERASED else split_payloads(entry.message)


def shown_payloads(entry: LogEntry, undone: Collection[int]) -> list[bytes]:
    """The same, where what is undone is empty, so that the others keep their places."""
    return [b"" if index in undone else payload for index, payload in enumerate(payloads_of(entry))]


def hidden(marks: int) -> list[str]:
    """The names of the marks that keep a message from being shown; empty: it is shown."""
    return [name for mark, name in MARK_NAMES.items() if marks & mark]
