"""The newest of every lane, kept on disk without a write per message.

Heads that follow from the messages in the log are written with a run, and after it the log tells them. What
was put by hand (an irregular mark, or what the log does not tell) is written with the next commit.
"""

from __future__ import annotations

from typing import Any

import lmdb

from dispersy.ext.table import Heads
from dispersy.storage.layout import HEAD, HEAD_KEY


class StoredHeads(Heads):
    """Heads that remember which lanes were put by hand since they were last written."""

    def __init__(self) -> None:
        self._put_by_hand: set[tuple[int, bytes, int]] = set()

    def put(
        self, community: int, author: bytes, kind: int, sequence: int, global_time: int, irregular: bool
    ) -> None:
        super().put(community, author, kind, sequence, global_time, irregular)
        self._put_by_hand.add((community, author, kind))

    def write(self, txn: lmdb.Transaction[bytes], database: Any, *, everything: bool) -> None:
        """Write what was put by hand, and with `everything` all that changed."""
        lanes = sorted(self._put_by_hand)
        rows = [(*lane, *head) for lane in lanes if (head := self.get(*lane)) is not None]
        if everything:
            rows = self.changed()
        cursor = txn.cursor(database)
        cursor.putmulti(
            (HEAD_KEY.pack(community, author, kind), HEAD.pack(sequence, global_time, irregular))
            for community, author, kind, sequence, global_time, irregular in rows
        )

    def written(self) -> None:
        """The transaction of write() is durable."""
        self._put_by_hand.clear()

    def open(
        self,
        txn: lmdb.Transaction[bytes],
        database: Any,
        replayed: dict[tuple[int, bytes, int], tuple[int, int]],
    ) -> None:
        """Read them, raised to what the log behind the last run tells: (sequence, global time) by lane."""
        self.clear()
        self._put_by_hand.clear()
        for key, value in txn.cursor(database):
            community, author, kind = HEAD_KEY.unpack(key)
            sequence, global_time, irregular = HEAD.unpack(value)
            super().put(community, author, kind, sequence, global_time, bool(irregular))
        for lane, (sequence, global_time) in replayed.items():
            stored = self.get(*lane) or (0, 0, False)
            super().put(*lane, max(stored[0], sequence), max(stored[1], global_time), stored[2])
        self.changed()
