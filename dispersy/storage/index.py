"""Look-ups by message id and by (lane, sequence) without writing random keys message by message.

Such keys fall all over a B-tree: each would dirty a page of its own, and a store would slow down as it grows.
So new entries gather in memory (the tail), and every RUN_RECORDS messages are written as one *sorted run*: a
contiguous piece of the `runs` database, page by page, under u8 table ‖ u32 run ‖ first entry of the page.
RUNS_MERGED runs are merged once, into a run numbered from MERGED on. At start the log behind the last run
fills the tail again.

A look-up asks the tail and seeks in each run. An entry may name a message that is not live or has been
removed: whoever looks up checks the record that the cursor names.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left, insort
from collections.abc import Iterator
from heapq import merge
from struct import Struct
from typing import Any

import lmdb

from dispersy.constants import RUNS_MERGED, SORTED_INSERT_MAX
from dispersy.ext.table import ABSENT, Table
from dispersy.protocol.wire.records import id_keys
from dispersy.storage.layout import (
    CURSOR,
    IDENTIFIER,
    SLOT,
    id_entries,
    slices,
)

RUN_KEY = Struct(">BI")
IDS, SLOTS = 1, 2
MERGED = 1 << 31
PAGE_BYTES = 4080
"""An LMDB overflow page of 4,096 bytes holds this much: 170 ids or 102 slots."""


class SortedRuns:
    """The runs of one table: fixed-size entries that sort as bytes."""

    def __init__(self, database: Any, table: int, entry_size: int) -> None:
        self._database = database
        self._table = table
        self._entry_size = entry_size

    def numbers(self, txn: lmdb.Transaction[bytes]) -> list[int]:
        """Every run there is: base runs by age, then merged ones by age."""
        found: list[int] = []
        cursor = txn.cursor(self._database)
        number = 0
        while cursor.set_range(RUN_KEY.pack(self._table, number)):
            table, number = RUN_KEY.unpack_from(cursor.key())
            if table != self._table:
                break
            found.append(number)
            number += 1
        return found

    def write(self, txn: lmdb.Transaction[bytes], number: int, entries: bytes) -> None:
        """Make a run of packed ascending entries."""
        prefix = RUN_KEY.pack(self._table, number)
        size = self._entry_size
        pages = slices(entries, PAGE_BYTES // size * size)
        txn.cursor(self._database).putmulti((prefix + page[:size], page) for page in pages)

    def take(self, txn: lmdb.Transaction[bytes], number: int) -> bytes:
        """Remove a run; its packed entries."""
        prefix = RUN_KEY.pack(self._table, number)
        cursor = txn.cursor(self._database)
        pages = []
        found = cursor.set_range(prefix)
        while found and cursor.key().startswith(prefix):
            pages.append(cursor.value())
            cursor.delete()
            found = cursor.key() != b""
        return b"".join(pages)

    def ascend(self, txn: lmdb.Transaction[bytes], number: int, probe: bytes) -> Iterator[bytes]:
        """Entries >= probe of one run, rising."""
        prefix = RUN_KEY.pack(self._table, number)
        cursor = txn.cursor(self._database)
        found = cursor.set_range(prefix + probe)
        if not found or cursor.key() != prefix + probe:
            # The page before may end behind the probe.
            before = cursor.prev() if found else cursor.last()
            found = (before and cursor.key().startswith(prefix)) or cursor.set_range(prefix)
        while found and cursor.key().startswith(prefix):
            page = cursor.value()
            for at in range(self._position(page, probe), len(page), self._entry_size):
                yield page[at : at + self._entry_size]
            found = cursor.next()

    def descend(self, txn: lmdb.Transaction[bytes], number: int, probe: bytes) -> Iterator[bytes]:
        """Entries < probe of one run, falling."""
        prefix = RUN_KEY.pack(self._table, number)
        cursor = txn.cursor(self._database)
        found = cursor.prev() if cursor.set_range(prefix + probe) else cursor.last()
        while found and cursor.key().startswith(prefix):
            page = cursor.value()
            for end in range(self._position(page, probe), 0, -self._entry_size):
                yield page[end - self._entry_size : end]
            found = cursor.prev()

    def _position(self, page: bytes, probe: bytes) -> int:
        """Offset of a page's first entry >= probe; cuts out only the entries that it compares."""
        size = self._entry_size
        starts = range(0, len(page), size)
        found = bisect_left(starts, probe, key=lambda at: page[at : at + size])
        return found * size


class SlotTail:
    """Slots entries since the last run; sorted at the first look-up that needs it, and kept so from then."""

    def __init__(self) -> None:
        self._chunks: list[bytes] = []
        self._sorted: list[bytes] = []

    def add(self, entries: bytes) -> None:
        self._chunks.append(entries)

    def entries(self) -> list[bytes]:
        """All entries, ascending; do not change the list."""
        if self._chunks:
            fresh = slices(b"".join(self._chunks), SLOT.size)
            self._chunks.clear()
            if len(fresh) <= SORTED_INSERT_MAX:
                for entry in fresh:
                    insort(self._sorted, entry)
            else:
                # Two rising pieces: the sort merges them.
                self._sorted += sorted(fresh)
                self._sorted.sort()
        return self._sorted

    def clear(self) -> None:
        self._chunks.clear()
        self._sorted = []


class Index:
    """Both tables with their tails. The writer alone owns one; the tails hold only what is committed."""

    def __init__(self, database: Any) -> None:
        self._ids = SortedRuns(database, IDS, IDENTIFIER.size)
        self._slots = SortedRuns(database, SLOTS, SLOT.size)
        self._runs: list[int] = []
        self._id_tail = Table()
        self._slot_tail = SlotTail()
        self.tail_count = 0

    def open(self, txn: lmdb.Transaction[bytes]) -> None:
        """Forget everything and learn which runs there are."""
        self._runs = self._slots.numbers(txn)
        self._clear_tail()

    def add(self, records: bytes, cursors: bytes, slots: bytes) -> None:
        """Take committed messages into the tail: message_records, their packed native u64 cursors and their
        entries of the slots table."""
        packed = id_keys(records)
        inserted = self._id_tail.insert_many(packed, cursors)
        if 0 in inserted:
            # Stored anew after it was no longer live: the newer cursor counts.
            for index, (is_new, cursor) in enumerate(zip(inserted, array("Q", cursors), strict=True)):
                if not is_new:
                    self._id_tail.replace(packed[16 * index : 16 * index + 16], cursor)
        self._slot_tail.add(slots)
        self.tail_count += len(inserted)

    def write_run(self, txn: lmdb.Transaction[bytes]) -> list[int]:
        """Write the tail as a run, merging when there are enough; the runs there are once `txn` commits."""
        # Of a run that is swept empty the other table may have some entries left, which name nothing either.
        numbers = {*self._ids.numbers(txn), *self._slots.numbers(txn)}
        bases = sorted(number for number in numbers if number < MERGED)
        number = max((number & ~MERGED for number in numbers), default=-1) + 1
        prefixes, cursors = self._id_tail.sorted_items()
        self._ids.write(txn, number, id_entries(prefixes, cursors))
        self._slots.write(txn, number, b"".join(self._slot_tail.entries()))
        bases.append(number)
        merged = sorted(number for number in numbers if number >= MERGED)
        if len(bases) == RUNS_MERGED:
            for table, size in ((self._ids, IDENTIFIER.size), (self._slots, SLOT.size)):
                entries = slices(b"".join([table.take(txn, base) for base in bases]), size)
                # Rising pieces one after another: the sort merges them.
                entries.sort()
                table.write(txn, MERGED | number, b"".join(entries))
            return [*merged, MERGED | number]
        return bases + merged

    def committed_run(self, runs: list[int]) -> None:
        """The transaction of write_run() is durable."""
        self._runs = runs
        self._clear_tail()

    def _clear_tail(self) -> None:
        self._id_tail.clear()
        self._slot_tail.clear()
        self.tail_count = 0

    def find(self, txn: lmdb.Transaction[bytes], prefixes: bytes) -> list[list[int]]:
        """Per packed 16-byte id prefix the cursors that may hold it."""
        tails = array("Q", self._id_tail.find_many(prefixes))
        found: list[list[int]] = []
        for prefix, tail in zip(slices(prefixes, 16), tails, strict=True):
            cursors = [] if tail == ABSENT else [tail]
            for number in self._runs:
                for entry in self._ids.ascend(txn, number, prefix):
                    if not entry.startswith(prefix):
                        break
                    cursors.append(CURSOR.unpack_from(entry, 16)[0])
            found.append(cursors)
        return found

    def ascend(self, txn: lmdb.Transaction[bytes], probe: bytes) -> Iterator[tuple[bytes, int, int, int]]:
        """(lane hash, sequence, global time, cursor) of slots entries >= probe, rising."""
        tail = self._slot_tail.entries()
        rising = map(tail.__getitem__, range(bisect_left(tail, probe), len(tail)))
        for entry in merge(rising, *(self._slots.ascend(txn, number, probe) for number in self._runs)):
            yield SLOT.unpack(entry)

    def descend(self, txn: lmdb.Transaction[bytes], probe: bytes) -> Iterator[tuple[bytes, int, int, int]]:
        """The same of slots entries < probe, falling."""
        tail = self._slot_tail.entries()
        falling = map(tail.__getitem__, range(bisect_left(tail, probe) - 1, -1, -1))
        sources = (self._slots.descend(txn, number, probe) for number in self._runs)
        for entry in merge(falling, *sources, reverse=True):
            yield SLOT.unpack(entry)
