"""The newest of every lane, kept on disk without a write per message.

Heads that rose with the messages in the log are written with a run, and behind it the log tells them. What
the log does not tell is written with the commit that brought it: irregular marks, and their end. A head is
never lowered: what is in the log and not live holds it where it is, so that the same message, should it come
again, does not pass for a new one.
"""

from __future__ import annotations

from collections.abc import Set as AbstractSet
from typing import Any

import lmdb

from dispersy.ext.table import Heads
from dispersy.storage.layout import HEAD, HEAD_KEY

Lane = tuple[int, bytes, int]
"""community number, name (protocol.identifiers.lane_name), kind"""


class StoredHeads:
    """The writer's heads and which of them the disk does not know yet."""

    def __init__(self) -> None:
        self.heads = Heads()
        self._unwritten: dict[Lane, tuple[int, int, bool]] = {}
        self._irregular: set[Lane] = set()
        self._kept: set[Lane] = set()

    def keep(self, lane: Lane) -> None:
        """Write this one with the commit that is under way: the log tells it no more."""
        self._kept.add(lane)

    def write(
        self,
        txn: lmdb.Transaction[bytes],
        database: Any,
        *,
        everything: bool,
    ) -> None:
        """Write what the log does not tell, with `everything` what changed. If `txn` fails: open() again."""
        if not (everything or self.heads.was_put or self._kept):
            # All that changed rose with messages of the log: the kernel remembers which, until the next run.
            return
        changed = {row[:3]: row[3:] for row in self.heads.changed()}
        chosen = [lane for lane, head in changed.items() if head[2] or lane in self._irregular]
        self._irregular.update(lane for lane in chosen if changed[lane][2])
        self._unwritten |= changed
        if everything:
            chosen = sorted(self._unwritten)
        rows = {lane: self._unwritten[lane] for lane in chosen}
        for lane in sorted(self._kept):
            head = self.heads.get(*lane)
            if head is not None:
                rows[lane] = head
        self._kept.clear()
        txn.cursor(database).putmulti((HEAD_KEY.pack(*lane), HEAD.pack(*head)) for lane, head in rows.items())
        if everything:
            self._unwritten.clear()

    def forget(self, community: int) -> None:
        """Know nothing of a community any more, and write nothing of it. If its transaction fails: open()
        again."""
        self.heads.forget(community)
        self._unwritten = {lane: head for lane, head in self._unwritten.items() if lane[0] != community}
        self._irregular = {lane for lane in self._irregular if lane[0] != community}

    def open(
        self,
        txn: lmdb.Transaction[bytes],
        database: Any,
        replayed: dict[Lane, tuple[int, int]],
        *,
        forgotten: AbstractSet[int],
    ) -> None:
        """Read them, raised to what the log behind the last run tells: (sequence, global time) by lane;
        nothing of the communities that are being purged."""
        self.heads.clear()
        self._unwritten.clear()
        self._irregular.clear()
        self._kept.clear()
        for key, value in txn.cursor(database):
            community, name, kind = HEAD_KEY.unpack(key)
            if community in forgotten:
                continue
            sequence, global_time, irregular = HEAD.unpack(value)
            self.heads.put(community, name, kind, sequence, global_time, bool(irregular))
            if irregular:
                self._irregular.add((community, name, kind))
        self.heads.changed()
        for lane, (sequence, global_time) in replayed.items():
            if lane[0] in forgotten:
                continue
            stored = self.heads.get(*lane) or (0, 0, False)
            self.heads.put(*lane, max(stored[0], sequence), max(stored[1], global_time), stored[2])
