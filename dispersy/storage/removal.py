"""Removing single messages from the LMDB store's log: those that are too old to be kept.

What is gone leaves a marker, one for each unbroken row of cursors, which lengthens those that it touches: so
the log does not fill with markers where all that is old leaves in the end.
"""

from __future__ import annotations

from collections.abc import Iterable

import lmdb

from dispersy.protocol.wire.numbers import COMMUNITY_KIND_MIN
from dispersy.storage.environment import Databases
from dispersy.storage.facts import forget_undone
from dispersy.storage.heads import Lane
from dispersy.storage.layout import (
    COMMUNITY,
    CURSOR,
    ENTRY_HEAD,
    MARKS_OFFSET,
    MESSAGE_OFFSET,
    REMOVED_BODY,
    UNLIVE,
    Row,
    encode_removed,
    entry_size,
    joined_rows,
    message_place,
    retired_key,
)
from dispersy.storage.store import EntryType


def remove_messages(
    txn: lmdb.Transaction[bytes], databases: Databases, cursors: Iterable[int]
) -> set[tuple[int, Lane]]:
    """Remove data messages that are not live; (cursor, lane) of each: its head stays."""
    rows: list[Row] = []
    lanes: set[tuple[int, Lane]] = set()
    for cursor in sorted(cursors):
        key = CURSOR.pack(cursor)
        entry = txn.get(key, db=databases.log)
        assert entry is not None, "no such cursor"
        assert entry[0] == EntryType.MESSAGE, "the cursor of an event"
        assert entry[MESSAGE_OFFSET] >= COMMUNITY_KIND_MIN, "control messages are kept"
        assert entry[MARKS_OFFSET] & UNLIVE, "a message was removed that is live"
        txn.delete(retired_key(entry), db=databases.retired)
        txn.delete(key, db=databases.log)
        forget_undone(txn, databases.meta, key)
        community = COMMUNITY.unpack_from(entry, 1)[0]
        kind, name, _, _ = message_place(entry[MESSAGE_OFFSET:])
        lanes.add((cursor, (community, name, kind)))
        rows.append((community, cursor, cursor + entry_size(entry) - 1))
    for row in joined_rows(rows):
        _mark(txn, databases, row)
    return lanes


def _mark(txn: lmdb.Transaction[bytes], databases: Databases, row: Row) -> None:
    """Say that a row is gone, together with the rows beside it that are."""
    community, low, high = row
    cursor = txn.cursor(databases.log)
    found = cursor.set_range(CURSOR.pack(low))
    behind = _marked(cursor) if found else None
    before = _marked(cursor) if (cursor.prev() if found else cursor.last()) else None
    if before is not None and (before[0], before[2] + 1) == (community, low):
        txn.delete(CURSOR.pack(before[2]), db=databases.log)
        low = before[1]
    if behind is not None and (behind[0], behind[1]) == (community, high + 1):
        high = behind[2]
    txn.put(CURSOR.pack(high), encode_removed(community, low, high), db=databases.log)


def _marked(cursor: lmdb.Cursor[bytes]) -> Row | None:
    """The row that the marker at a place of the log is about; None for another entry."""
    entry = cursor.value()
    entry_type, community = ENTRY_HEAD.unpack_from(entry)
    if entry_type != EntryType.REMOVED:
        return None
    low, high = REMOVED_BODY.unpack_from(entry, ENTRY_HEAD.size)
    return community, int(low), int(high)
