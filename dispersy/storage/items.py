"""Look-ups by an item, the first 8 bytes of a message id, which any reader can do.

The sorted runs of the index are in the store; of what came after the last of them the log tells, and a reader
that is asked keeps up with it: at most what lies between two runs, some 4 MB.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import lmdb

from dispersy.protocol.intake.marks import ON_REQUEST
from dispersy.storage.environment import Databases
from dispersy.storage.index import IDS, SortedRuns
from dispersy.storage.layout import (
    COMMUNITY,
    CURSOR,
    ID_OFFSET,
    IDENTIFIER,
    MARKS_OFFSET,
    MESSAGE_OFFSET,
    META_INDEXED,
    UNLIVE,
)
from dispersy.storage.store import ITEM_MESSAGES_MAX, ITEM_SIZE, EntryType

_ANY = CURSOR.pack(0)


class Items:
    """Cursors by item, for one reader."""

    def __init__(self, databases: Databases) -> None:
        self._log = databases.log
        self._meta = databases.meta
        self._runs = SortedRuns(databases.runs, IDS, IDENTIFIER.size)
        self._indexed = _ANY
        self._read_to = 0
        self._recent: dict[bytes, list[int]] = {}

    def find(self, txn: lmdb.Transaction[bytes], community: int, items: list[bytes]) -> list[int]:
        """Cursors of what the community offers with these items, at most ITEM_MESSAGES_MAX of each."""
        self._follow(txn)
        numbers = self._runs.numbers(txn)
        get = txn.cursor(self._log).get
        found: list[int] = []
        for item in items:
            # What was stored anew may stand in several runs under one cursor.
            cursors = dict.fromkeys(self._cursors(txn, numbers, item))
            head = COMMUNITY.pack(community)
            live = [cursor for cursor in cursors if _is_offered(get(CURSOR.pack(cursor)), head, item)]
            found += live[:ITEM_MESSAGES_MAX]
        return found

    def _cursors(self, txn: lmdb.Transaction[bytes], numbers: list[int], item: bytes) -> Iterator[int]:
        yield from self._recent.get(item, ())
        for number in numbers:
            for entry in self._runs.ascend(txn, number, item):
                if not entry.startswith(item):
                    break
                yield CURSOR.unpack_from(entry, 16)[0]

    def _follow(self, txn: lmdb.Transaction[bytes]) -> None:
        """Read what the log has more than when this was last done."""
        indexed = txn.get(META_INDEXED, _ANY, db=self._meta)
        if indexed != self._indexed:
            self._indexed = indexed
            self._recent.clear()
            self._read_to = CURSOR.unpack(indexed)[0]
        rows = txn.cursor(self._log)
        if not rows.set_range(CURSOR.pack(self._read_to)):
            return
        for key, entry in rows:
            cursor = CURSOR.unpack(key)[0]
            if entry[0] == EntryType.MESSAGE:
                self._recent.setdefault(entry[ID_OFFSET : ID_OFFSET + ITEM_SIZE], []).append(cursor)
            self._read_to = cursor + 1


def _is_offered(entry: Any, community: bytes, item: bytes) -> bool:
    return (
        entry is not None
        and entry[0] == EntryType.MESSAGE
        and entry[1:5] == community
        and not entry[MARKS_OFFSET] & (UNLIVE | ON_REQUEST)
        and entry[ID_OFFSET:MESSAGE_OFFSET].startswith(item)
    )
