"""Removing all that the LMDB store holds of one community, a bounded portion a transaction.

The log is walked from its newest entry to its oldest, so that no event is left whose message is gone. Every
row of entries that are removed gives way to one marker, which the next portion lengthens where it goes on.
How far a purge has come is durable with the portion: a crash costs none of it. The sorted runs keep entries
that name what is gone; look-ups check the record, as they do for what is no longer live.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import islice, takewhile

import lmdb

from dispersy.protocol.wire.numbers import COMMUNITY_KIND_MIN
from dispersy.storage.environment import Databases
from dispersy.storage.facts import forget_signed, forget_undone
from dispersy.storage.layout import (
    COMMUNITY,
    CURSOR,
    ENTRY_HEAD,
    HEAD_KEY,
    MARKS_OFFSET,
    MESSAGE_OFFSET,
    META_COMMUNITY,
    META_PURGE,
    META_STATE,
    REMOVED_BODY,
    UNLIVE,
    encode_removed,
    entry_order_key,
    retired_key,
)
from dispersy.storage.store import EntryType


@dataclass(frozen=True, slots=True)
class Portion:
    """What one portion did: whether it was the last, and the order's keys of live messages that are gone."""

    is_last: bool
    unlived: list[bytes]


def purge_portion(
    txn: lmdb.Transaction[bytes], databases: Databases, *, community: int, end: int, entries_max: int
) -> Portion:
    """Remove what belongs to a community among the next entries_max entries.

    end       the log's end: where the first portion begins, while nothing says how far the purge has come
    """
    progress_key = META_PURGE + COMMUNITY.pack(community)
    position = CURSOR.unpack(txn.get(progress_key, CURSOR.pack(end), db=databases.meta))[0]
    cursor = txn.cursor(databases.log)
    found = cursor.set_range(CURSOR.pack(position))
    high = _marker_at(cursor, community, position) if found else None
    entries = []
    if cursor.prev() if found else cursor.last():
        entries = list(islice(cursor.iterprev(), entries_max))
    unlived = []
    low = position
    for key, entry in entries:
        entry_type, owner = ENTRY_HEAD.unpack_from(entry)
        first = CURSOR.unpack(key)[0]
        if entry_type == EntryType.REMOVED:
            first = REMOVED_BODY.unpack_from(entry, ENTRY_HEAD.size)[0]
        if owner == community:
            if high is None:
                high = low - 1
            txn.delete(key, db=databases.log)
            forget_undone(txn, databases.meta, key)
            if entry_type == EntryType.MESSAGE:
                unlived += _remove_keys(txn, databases, entry)
        elif high is not None:
            txn.put(CURSOR.pack(high), encode_removed(community, low, high), db=databases.log)
            high = None
        low = first
    if high is not None:
        txn.put(CURSOR.pack(high), encode_removed(community, low, high), db=databases.log)
    txn.put(progress_key, CURSOR.pack(low), db=databases.meta)
    is_last = len(entries) < entries_max
    # Nearly every lane has a message in the log: the last portion finds few that are left.
    _remove_heads(txn, databases, community, None if is_last else entries_max)
    if is_last:
        for prefix in (META_COMMUNITY, META_STATE, META_PURGE):
            txn.delete(prefix + COMMUNITY.pack(community), db=databases.meta)
        forget_signed(txn, databases.meta, community)
    return Portion(is_last, unlived)


def _marker_at(cursor: lmdb.Cursor[bytes], community: int, low: int) -> int | None:
    """The last cursor of the community's marker that begins at `low`, where the portion before ended."""
    entry = cursor.value()
    if ENTRY_HEAD.unpack_from(entry) != (EntryType.REMOVED, community):
        return None
    marked_low, high = REMOVED_BODY.unpack_from(entry, ENTRY_HEAD.size)
    return int(high) if marked_low == low else None


def _remove_keys(txn: lmdb.Transaction[bytes], databases: Databases, entry: bytes) -> list[bytes]:
    """Take a message's entry out of the order and the control messages; its key there if it was live."""
    key = entry_order_key(entry)
    if entry[MESSAGE_OFFSET] < COMMUNITY_KIND_MIN:
        txn.delete(key, db=databases.control)
    if entry[MARKS_OFFSET] & UNLIVE:
        txn.delete(retired_key(entry), db=databases.retired)
        return []
    is_removed = txn.delete(key, db=databases.order)
    assert is_removed, "a live message was not in the order"
    return [key]


def _remove_heads(
    txn: lmdb.Transaction[bytes], databases: Databases, community: int, rows_max: int | None
) -> None:
    prefix = COMMUNITY.pack(community)
    cursor = txn.cursor(databases.heads)
    if cursor.set_range(prefix.ljust(HEAD_KEY.size, b"\0")):
        # Behind them come those of every higher number, which may be very many.
        own = takewhile(lambda key: key.startswith(prefix), cursor.iternext(values=False))
        for key in list(islice(own, rows_max)):
            txn.delete(key, db=databases.heads)
