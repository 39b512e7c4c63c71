"""Taking entries out of the sorted runs that name what the log holds no more.

Runs are written once, and what is pruned or purged later stays named in them: 64 bytes a message, for ever.
So each commit that removes something looks at some pages, from where the last one ended, round and round. A
page has as much as some 64 messages need: SWEPT_PAGES_MAX of them are twice what one commit prunes, so that
what is gone fills no more than half of the runs.
"""

from __future__ import annotations

import lmdb

from dispersy.constants import SWEPT_PAGES_MAX, SWEPT_SIZE_MAX
from dispersy.storage.environment import Databases
from dispersy.storage.index import IDS, RUN_KEY, SLOTS
from dispersy.storage.layout import CURSOR, IDENTIFIER, SLOT, slices
from dispersy.storage.store import EntryType

_SIZES = {IDS: IDENTIFIER.size, SLOTS: SLOT.size}
_BEHIND_PAGE = b"\xff"


class Sweep:
    """The writer's; how far it has come is forgotten with the process, which does no harm."""

    def __init__(self, databases: Databases) -> None:
        self._databases = databases
        self._position = b""

    def sweep(self, txn: lmdb.Transaction[bytes]) -> None:
        """Look at the next pages, up to the last one."""
        pages = txn.cursor(self._databases.runs)
        left = SWEPT_SIZE_MAX
        for _ in range(SWEPT_PAGES_MAX):
            if not pages.set_range(self._position):
                self._position = b""
                return
            key, page = pages.item()
            entries = slices(page, _SIZES[key[0]])
            kept = []
            for entry in entries:
                found = txn.get(entry[-CURSOR.size :], b"", db=self._databases.log)
                left -= len(found)
                if found[:1] == bytes([EntryType.MESSAGE]):
                    kept.append(entry)
            if len(kept) < len(entries):
                pages.delete()
                if kept:
                    txn.put(key[: RUN_KEY.size] + kept[0], b"".join(kept), db=self._databases.runs)
            self._position = key[: RUN_KEY.size] + entries[-1] + _BEHIND_PAGE
            if left <= 0:
                return
