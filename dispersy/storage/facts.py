"""What the LMDB store keeps in `meta` of single messages and lanes, one small key each.

undone ‖ u64 cursor              u8 index of every payload of the message that is undone by itself
signed ‖ u32 ‖ 32 B lane ‖ u8    u64 sequence up to which this node has signed as the second author
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import takewhile
from typing import Any

import lmdb

from dispersy.storage.layout import COMMUNITY, CURSOR, HEAD_KEY, META_SIGNED, META_UNDONE, cursor_keys
from dispersy.storage.store import Batch, SignedRecord


def write_facts(txn: lmdb.Transaction[bytes], meta: Any, batch: Batch) -> None:
    """What a batch says of both."""
    for cursor, indices in batch.undone:
        key = META_UNDONE + CURSOR.pack(cursor)
        if indices:
            txn.put(key, bytes(indices), db=meta)
        else:
            txn.delete(key, db=meta)
    for record in batch.signed:
        key = META_SIGNED + HEAD_KEY.pack(record.community, record.lane, record.kind)
        if record.sequence:
            txn.put(key, CURSOR.pack(record.sequence), db=meta)
        else:
            txn.delete(key, db=meta)


def read_undone(
    txn: lmdb.Transaction[bytes], meta: Any, cursors: Sequence[int]
) -> dict[int, tuple[int, ...]]:
    """By cursor, of those of which single payloads are undone."""
    rows = ((cursor, txn.get(META_UNDONE + key, db=meta)) for cursor, key in _keyed(cursors))
    return {cursor: tuple(indices) for cursor, indices in rows if indices}


def read_signed(txn: lmdb.Transaction[bytes], meta: Any) -> list[SignedRecord]:
    """All of them."""
    found = []
    for key, value in _rows(txn, meta, META_SIGNED):
        community, lane, kind = HEAD_KEY.unpack(key[len(META_SIGNED) :])
        found.append(SignedRecord(community, lane, kind, CURSOR.unpack(value)[0]))
    return found


def forget_undone(txn: lmdb.Transaction[bytes], meta: Any, cursor_key: bytes) -> None:
    """The message under this key of the log is gone."""
    txn.delete(META_UNDONE + cursor_key, db=meta)


def forget_signed(txn: lmdb.Transaction[bytes], meta: Any, community: int) -> None:
    """All of the community is gone."""
    for key, _ in _rows(txn, meta, META_SIGNED + COMMUNITY.pack(community)):
        txn.delete(key, db=meta)


def _keyed(cursors: Sequence[int]) -> list[tuple[int, bytes]]:
    return list(zip(cursors, cursor_keys(cursors), strict=True))


def _rows(txn: lmdb.Transaction[bytes], meta: Any, prefix: bytes) -> list[tuple[bytes, bytes]]:
    cursor = txn.cursor(meta)
    if not cursor.set_range(prefix):
        return []
    return list(takewhile(lambda row: row[0].startswith(prefix), cursor))
