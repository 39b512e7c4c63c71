"""Look-ups by message id and by lane, which only the writer has: by the index, and checked in the log."""

from __future__ import annotations

from array import array
from collections.abc import Iterator
from itertools import groupby, islice, takewhile
from pathlib import Path

import lmdb

from dispersy.protocol.intake.marks import INACTIVE
from dispersy.protocol.wire.records import MESSAGE
from dispersy.storage.environment import errors_named
from dispersy.storage.heads import Lane
from dispersy.storage.index import Index
from dispersy.storage.layout import (
    COMMUNITY,
    CURSOR,
    ID_OFFSET,
    MARKS_OFFSET,
    MESSAGE_OFFSET,
    META_INDEXED,
    RETIRED_KEY,
    SLOT,
    UNLIVE,
    lane_hash,
    message_place,
    shown_marks,
    slices,
)
from dispersy.storage.lmdb_reader import LmdbReader
from dispersy.storage.store import EntryType, SlotEntry


class IndexedReader(LmdbReader):
    """A reader with the index beside it, which its process keeps up with the log."""

    def __init__(self, path: str | Path) -> None:
        super().__init__(path)
        self._index = Index(self._databases.runs)

    def _replay(self, txn: lmdb.Transaction[bytes]) -> dict[Lane, tuple[int, int]]:
        """Fill the index's tail from the log behind the last run; newest (sequence, global time) by lane."""
        newest: dict[Lane, tuple[int, int]] = {}
        hashes: dict[Lane, bytes] = {}
        records, slots, cursors = [], [], array("Q")
        cursor = txn.cursor(self._databases.log)
        found = cursor.set_range(CURSOR.pack(self._indexed(txn)))
        for key, entry in cursor if found else ():
            if entry[0] != EntryType.MESSAGE:
                continue
            community = COMMUNITY.unpack_from(entry, 1)[0]
            message = entry[MESSAGE_OFFSET:]
            kind, name, global_time, sequence = message_place(message)
            lane = community, name, kind
            last_sequence, last_time = newest.get(lane, (0, 0))
            newest[lane] = (max(last_sequence, sequence), max(last_time, global_time))
            message_id = entry[ID_OFFSET:MESSAGE_OFFSET]
            records.append(MESSAGE.pack(0, 0, global_time, sequence, 0, kind, 0, 1, 0, 0, 0, message_id, b""))
            cursors.append(CURSOR.unpack(key)[0])
            if lane not in hashes:
                hashes[lane] = lane_hash(*lane)
            slots.append(SLOT.pack(hashes[lane], sequence, global_time, cursors[-1]))
        if cursors:
            self._index.add(b"".join(records), cursors.tobytes(), b"".join(slots))
        return newest

    def _indexed(self, txn: lmdb.Transaction[bytes]) -> int:
        """The cursor behind which no run reaches."""
        return int(CURSOR.unpack(txn.get(META_INDEXED, CURSOR.pack(0), db=self._databases.meta))[0])

    def find_ids(self, ids: bytes, *, inactive: bool = False, unlive: bool = False) -> list[int | None]:
        words = array("Q", ids)
        prefixes = array("Q", bytes(len(ids) // 2))
        prefixes[0::2] = words[0::4]
        prefixes[1::2] = words[1::4]
        with errors_named(self._path):
            txn = self._snapshot()
            candidates = zip(slices(ids, 32), self._index.find(txn, prefixes.tobytes()), strict=True)
            asked = (inactive, unlive)
            return [
                next((each for each in cursors if self._is_found(txn, each, message_id, *asked)), None)
                for message_id, cursors in candidates
            ]

    def slot(
        self, community: int, name: bytes, kind: int, sequence: int, *, unlive: bool = False
    ) -> list[SlotEntry]:
        found = _by_id(self._lane_from(community, name, kind, sequence, sequence, unlive=unlive))
        return found if unlive else found[:2]

    def neighbours(
        self, community: int, name: bytes, kind: int, sequence: int
    ) -> tuple[SlotEntry | None, SlotEntry | None]:
        probe = lane_hash(community, name, kind) + CURSOR.pack(sequence)
        lower = None
        with errors_named(self._path):
            txn = self._snapshot()
            for found, at, global_time, cursor in self._index.descend(txn, probe):
                if found != probe[:16]:
                    break
                lower = self._entry(txn, at, global_time, cursor)
                if lower is not None and lower.live:
                    break
                lower = None
            return lower, next(self._lane_from(community, name, kind, sequence + 1), None)

    def holds_between(self, community: int, name: bytes, kind: int, low: int, high: int) -> bool:
        return any(True for _ in self._lane_from(community, name, kind, low, high, unlive=True))

    def lane(self, community: int, name: bytes, kind: int, *, unlive: bool = False) -> Iterator[SlotEntry]:
        found = self._lane_from(community, name, kind, 0, unlive=unlive)
        for _, slot in groupby(found, key=lambda entry: entry.sequence):
            yield from _by_id(slot)

    def _lane_from(
        self,
        community: int,
        name: bytes,
        kind: int,
        low: int,
        high: int | None = None,
        *,
        unlive: bool = False,
    ) -> Iterator[SlotEntry]:
        """Entries of a lane with low <= sequence <= high, by rising sequence; live ones unless `unlive`."""
        lane = lane_hash(community, name, kind)
        with errors_named(self._path):
            txn = self._snapshot()
            for found, sequence, global_time, cursor in self._index.ascend(txn, lane + CURSOR.pack(low)):
                if found != lane or (high is not None and sequence > high):
                    break
                entry = self._entry(txn, sequence, global_time, cursor)
                if entry is not None and (entry.live or unlive):
                    yield entry

    def _entry(
        self, txn: lmdb.Transaction[bytes], sequence: int, global_time: int, cursor: int
    ) -> SlotEntry | None:
        """What an entry of the slots table stands for, None when its message has been removed."""
        entry = txn.get(CURSOR.pack(cursor), db=self._databases.log)
        if entry is None or entry[0] != EntryType.MESSAGE:
            return None
        marks = entry[MARKS_OFFSET]
        message_id = entry[ID_OFFSET:MESSAGE_OFFSET]
        return SlotEntry(sequence, global_time, message_id, cursor, shown_marks(marks), not marks & UNLIVE)

    def _is_found(
        self, txn: lmdb.Transaction[bytes], cursor: int, message_id: bytes, inactive: bool, unlive: bool
    ) -> bool:
        entry = self._entry(txn, 0, 0, cursor)
        if entry is None or entry.message_id != message_id:
            return False
        return entry.live or unlive or (inactive and bool(entry.marks & INACTIVE))

    def retired(self, community: int, kind: int, high: int, limit: int) -> tuple[list[int], bool]:
        low = RETIRED_KEY.pack(community, kind, 0)
        end = RETIRED_KEY.pack(community, kind, high + 1)
        with errors_named(self._path):
            cursor = self._snapshot().cursor(self._databases.retired)
            rows = cursor.iternext() if cursor.set_range(low) else iter(())
            inside = takewhile(lambda row: row[0] < end, rows)
            found = [int(CURSOR.unpack(value)[0]) for _, value in islice(inside, limit + 1)]
        return found[:limit], len(found) <= limit


def _by_id(slot: Iterator[SlotEntry]) -> list[SlotEntry]:
    """What is in a slot, lowest id first.

    A store of before this format may hold a message twice: as it was when it was no longer live, and as it
    was stored anew. Then the one that lives counts, or else the later one.
    """
    by_id: dict[bytes, SlotEntry] = {}
    for entry in sorted(slot, key=lambda entry: (entry.live, entry.cursor)):
        by_id[entry.message_id] = entry
    return sorted(by_id.values(), key=lambda entry: entry.message_id)
