"""The LMDB store's one writer: a transaction a batch, and memory that follows only what is durable.

What a commit writes near the end of a tree is cheap (log, order, requests); what falls anywhere is gathered
in memory and written in sorted runs (index.py), and with them the changed heads. Memory follows once the
transaction has committed; only heads are ahead of it, since the intake advanced them: hence reload() after a
failed commit.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import lmdb
import msgspec

from dispersy.constants import RUN_RECORDS
from dispersy.errors import StorageError
from dispersy.ext.rows import block_rows
from dispersy.ext.table import Heads
from dispersy.protocol.intake.marks import ERASED, INACTIVE, ON_REQUEST
from dispersy.protocol.wire.numbers import COMMUNITY_KIND_MIN
from dispersy.storage.answered import read_requests, write_requests
from dispersy.storage.description import Description
from dispersy.storage.environment import (
    MAP_SIZE,
    WriterLock,
    close_environment,
    errors_named,
    open_environment,
)
from dispersy.storage.facts import read_signed, write_facts
from dispersy.storage.heads import StoredHeads
from dispersy.storage.layout import (
    COMMUNITY,
    COUNT_BYTE,
    CURSOR,
    KIND_BYTE,
    MARKS_OFFSET,
    MESSAGE_OFFSET,
    META_BLOCKED,
    META_COMMUNITY,
    META_HOME,
    META_INDEXED,
    META_NEXT,
    META_NUMBERED,
    META_STARTED,
    META_STATE,
    RECORD_SIZE,
    STATE,
    UNLIVE,
    encode_event,
    entry_order_key,
    erase,
    message_head,
    retired_key,
    with_marks,
)
from dispersy.storage.live_order import Changes, LiveOrder
from dispersy.storage.lmdb_reader import LmdbReader
from dispersy.storage.look_ups import IndexedReader
from dispersy.storage.purge import purge_portion
from dispersy.storage.removal import remove_messages
from dispersy.storage.store import (
    Batch,
    EntryType,
    MessageBlock,
    RequestRecord,
    SignedRecord,
)
from dispersy.storage.stored_symbols import StoredSymbols
from dispersy.storage.stored_tree import StoredTrees
from dispersy.storage.sweep import Sweep

__all__ = ["LmdbReader", "LmdbStore"]


class LmdbStore(IndexedReader):
    """The writer of the store in the folder `path`, made if it is not there.

    sum_bits     the summary's sum is taken modulo 2^sum_bits; fewer than 96 only to forge equal sums in tests
    run_records  messages between two sorted runs
    map_size     bytes of address space; what the file may grow to
    raises       StorageError naming the path: a second writer, a foreign format, no disk
    """

    heads: Heads

    def __init__(
        self,
        path: str | Path,
        *,
        sum_bits: int = 96,
        run_records: int = RUN_RECORDS,
        map_size: int = MAP_SIZE,
    ) -> None:
        self._lock = WriterLock(Path(path))
        try:
            # The reader's own opening finds this one and shares it.
            environment = open_environment(Path(path), create=True, map_size=map_size)
        except StorageError:
            self._lock.release()
            raise
        super().__init__(path)
        close_environment(environment)
        self._descriptions: tuple[Description, ...] = (
            StoredSymbols(self._databases),
            StoredTrees(self._databases),
        )
        self._live = LiveOrder(self._databases, sum_bits=sum_bits)
        self._run_records = run_records
        self._sweep = Sweep(self._databases)
        self._stored_heads = StoredHeads()
        self.heads = self._stored_heads.heads
        self.clear_dead_readers()
        self.reload()

    def close(self) -> None:
        super().close()
        self._lock.release()

    def reload(self) -> None:
        self.refresh()
        txn = self._snapshot()
        with errors_named(self._path):
            self._next = self._next_cursor(txn)
            records = self.communities()
            states = {record.number: self._state(txn, record.number) for record in records}
            self._live.open(states, records)
            self._index.open(txn)
            self._stored_heads.open(
                txn, self._databases.heads, self._replay(txn), forgotten=self._purges(txn).keys()
            )
            wrong = []
            for each in self._descriptions:
                each.open(records)
                wrong.append({number: states[number] for number in each.wrong(txn, states)})
            if any(wrong):
                self.release()
                with self._environment.begin(write=True) as mending:
                    for mended, found in zip(self._descriptions, wrong, strict=True):
                        mended.rebuild(mending, found)
        self._reload_needed = False

    def put_mark(self, mark: bytes) -> None:
        """Keep what ties this store to its home, durably."""
        self.release()
        with errors_named(self._path), self._environment.begin(write=True) as txn:
            txn.put(META_HOME, mark, db=self._databases.meta)

    # Committing

    def commit(self, batch: Batch) -> tuple[int, int]:
        if self._reload_needed:
            raise StorageError(f"{self._path}: the last commit failed; reload() before the next")
        # Our own snapshot would keep the pages that this transaction could use again.
        self.release()
        self._reload_needed = True
        first = self._next
        changes = Changes(first)
        with errors_named(self._path), self._environment.begin(write=True) as txn:
            self._write(txn, batch, changes)
        self._reload_needed = False
        self._take_over(changes)
        return first, self._next - 1

    def _take_over(self, changes: Changes) -> None:
        self._next = changes.next_cursor
        self._live.take_over(changes)
        if changes.runs is not None:
            self._index.committed_run(changes.runs)
        for added in changes.added:
            self._index.add(*added)

    def _write(self, txn: lmdb.Transaction[bytes], batch: Batch, changes: Changes) -> None:
        databases = self._databases
        for record in batch.communities:
            data = msgspec.msgpack.encode(record)
            txn.put(META_COMMUNITY + COMMUNITY.pack(record.number), data, db=databases.meta)
            for each in self._descriptions:
                each.add(record)
            self._live.add(record)
            changes.states[record.number] = self._live.state_of(record.number, changes)
        for block in batch.blocks:
            if block.records:
                self._write_block(txn, block, changes)
        write_requests(txn, databases.requests, batch.requests)
        for cursor, marks in batch.marks:
            self._write_marks(txn, cursor, marks)
        for cursor, on_request in batch.moved:
            self._write_moved(txn, cursor, on_request, changes)
        self._write_unlive(txn, batch.unlive, UNLIVE, changes)
        self._write_unlive(txn, batch.inactive, UNLIVE | INACTIVE, changes)
        self._write_relive(txn, batch.relive, changes)
        for cursor in batch.erased:
            entry = self._message_entry(txn, cursor)
            txn.put(CURSOR.pack(cursor), erase(entry), db=self._databases.log)
        for event in batch.events:
            txn.put(CURSOR.pack(changes.next_cursor), encode_event(event), append=True, db=databases.log)
            changes.next_cursor += 1
        if batch.removed:
            self._remove(txn, batch.removed)
        for community, clock in batch.clocks.items():
            changes.states[community] = replace(self._live.state_of(community, changes), clock=clock)
        for community, (pruning_time, horizon) in batch.pruned.items():
            state = self._live.state_of(community, changes)
            summary = replace(state.summary, horizon=horizon)
            changes.states[community] = replace(state, summary=summary, pruning_time=pruning_time)
        for community, entries_max in batch.purges:
            self._purge(txn, community, entries_max, changes)
        if batch.removed or batch.purges:
            self._sweep.sweep(txn)
        self._write_meta(txn, batch)
        for each in self._descriptions:
            each.write(txn, changes.sets, before=self._live.states, after=changes.states)
        for community, state in changes.states.items():
            summary = state.summary
            total = summary.sum.to_bytes(12, "big")
            data = STATE.pack(
                state.clock,
                summary.count,
                summary.highest,
                summary.horizon,
                total,
                state.pruning_time,
                state.on_request,
            )
            txn.put(META_STATE + COMMUNITY.pack(community), data, db=databases.meta)
        txn.put(META_NEXT, CURSOR.pack(changes.next_cursor), db=databases.meta)
        is_run_due = self._index.tail_count >= self._run_records
        if is_run_due:
            # Of what was durable before; this batch begins the next tail.
            changes.runs = self._index.write_run(txn)
            txn.put(META_INDEXED, CURSOR.pack(self._next), db=databases.meta)
        self._stored_heads.write(txn, databases.heads, everything=is_run_due)

    def _write_meta(self, txn: lmdb.Transaction[bytes], batch: Batch) -> None:
        meta = self._databases.meta
        if batch.communities:
            highest = max(self._numbered(txn), *(record.number for record in batch.communities))
            txn.put(META_NUMBERED, COMMUNITY.pack(highest), db=meta)
        if batch.blocked is not None:
            txn.put(META_BLOCKED, msgspec.msgpack.encode(batch.blocked), db=meta)
        if batch.start_id is not None:
            txn.put(META_STARTED, batch.start_id.encode(), db=meta)
        write_facts(txn, meta, batch)

    def _purge(
        self, txn: lmdb.Transaction[bytes], community: int, entries_max: int, changes: Changes
    ) -> None:
        self._stored_heads.forget(community)
        portion = purge_portion(
            txn, self._databases, community=community, end=changes.next_cursor, entries_max=entries_max
        )
        if portion.is_last:
            changes.gone.append(community)
            changes.states.pop(community, None)
            for each in self._descriptions:
                each.forget(txn, community)
        elif portion.unlived:
            self._live.leave(txn, community, portion.unlived, changes)

    def _write_block(self, txn: lmdb.Transaction[bytes], block: MessageBlock, changes: Changes) -> None:
        records, arena = block.records, block.arena
        heads = {mark: message_head(block.community, mark, block.arrival_ms) for mark in set(block.marks)}
        log, order, slots, cursors = block_rows(
            records, arena, block.marks, changes.next_cursor, block.community, heads
        )
        changes.next_cursor += sum(records[COUNT_BYTE::RECORD_SIZE])
        txn.cursor(self._databases.log).putmulti(log, append=True)
        kinds = records[KIND_BYTE::RECORD_SIZE]
        if min(kinds) < COMMUNITY_KIND_MIN:
            control = {row[0] for row, kind in zip(log, kinds, strict=True) if kind < COMMUNITY_KIND_MIN}
            txn.cursor(self._databases.control).putmulti([row for row in order if row[1] in control])
        self._live.enter(txn, block.community, order, changes)
        changes.added.append((records, cursors, slots))

    def _write_marks(self, txn: lmdb.Transaction[bytes], cursor: int, marks: int) -> None:
        entry = self._message_entry(txn, cursor)
        kept = entry[MARKS_OFFSET] & (UNLIVE | ERASED | INACTIVE | ON_REQUEST)
        txn.put(CURSOR.pack(cursor), with_marks(entry, marks | kept), db=self._databases.log)

    def _write_moved(
        self, txn: lmdb.Transaction[bytes], cursor: int, on_request: bool, changes: Changes
    ) -> None:
        entry = self._message_entry(txn, cursor)
        marks = entry[MARKS_OFFSET]
        if bool(marks & ON_REQUEST) == on_request:
            return
        moved = with_marks(entry, marks ^ ON_REQUEST)
        txn.put(CURSOR.pack(cursor), moved, db=self._databases.log)
        if marks & UNLIVE:
            return
        community = COMMUNITY.unpack_from(entry, 1)[0]
        before, after = entry_order_key(entry), entry_order_key(moved)
        is_removed = txn.delete(before, db=self._databases.order)
        assert is_removed, "a live message was not in the order"
        self._live.leave(txn, community, [before], changes)
        self._live.enter(txn, community, [(after, CURSOR.pack(cursor))], changes)

    def _write_unlive(
        self, txn: lmdb.Transaction[bytes], cursors: list[int], bits: int, changes: Changes
    ) -> None:
        removed: dict[int, list[bytes]] = {}
        for cursor in cursors:
            entry = self._message_entry(txn, cursor)
            key = CURSOR.pack(cursor)
            txn.put(key, with_marks(entry, entry[MARKS_OFFSET] | bits), db=self._databases.log)
            if entry[MESSAGE_OFFSET] >= COMMUNITY_KIND_MIN:
                txn.put(retired_key(entry), key, db=self._databases.retired)
            order_key = entry_order_key(entry)
            is_removed = txn.delete(order_key, db=self._databases.order)
            assert is_removed, "a message that is not live was made so again"
            community = COMMUNITY.unpack_from(entry, 1)[0]
            removed.setdefault(community, []).append(order_key)
        for community, keys in removed.items():
            self._live.leave(txn, community, keys, changes)

    def _write_relive(
        self, txn: lmdb.Transaction[bytes], chosen: list[tuple[int, int]], changes: Changes
    ) -> None:
        places: dict[int, list[tuple[bytes, bytes]]] = {}
        for cursor, marks in chosen:
            entry = self._message_entry(txn, cursor)
            key = CURSOR.pack(cursor)
            kept = entry[MARKS_OFFSET] & (ERASED | ON_REQUEST)
            txn.put(key, with_marks(entry, marks | kept), db=self._databases.log)
            txn.delete(retired_key(entry), db=self._databases.retired)
            community = COMMUNITY.unpack_from(entry, 1)[0]
            places.setdefault(community, []).append((entry_order_key(entry), key))
        for community, rows in places.items():
            self._live.enter(txn, community, sorted(rows), changes)

    def _remove(self, txn: lmdb.Transaction[bytes], cursors: list[int]) -> None:
        for cursor, lane in remove_messages(txn, self._databases, cursors):
            if cursor >= self._indexed(txn):
                # The log behind the last run told its head, and does no more.
                self._stored_heads.keep(lane)

    def _message_entry(self, txn: lmdb.Transaction[bytes], cursor: int) -> bytes:
        entry = txn.get(CURSOR.pack(cursor), db=self._databases.log)
        assert entry is not None, "no such cursor"
        assert entry[0] == EntryType.MESSAGE, "the cursor of an event"
        return entry

    # Reading

    def lanes(self, community: int, kind: int) -> Iterator[bytes]:
        return iter(self.heads.lanes(community, kind))

    def highest_number(self) -> int:
        with errors_named(self._path):
            return self._numbered(self._snapshot())

    def _numbered(self, txn: lmdb.Transaction[bytes]) -> int:
        data = txn.get(META_NUMBERED, db=self._databases.meta)
        # A store of before has no such number, and nothing that was purged.
        return max(self._live.states, default=0) if data is None else int(COMMUNITY.unpack(data)[0])

    def signed(self) -> list[SignedRecord]:
        with errors_named(self._path):
            return read_signed(self._snapshot(), self._databases.meta)

    def requests(self) -> list[RequestRecord]:
        with errors_named(self._path):
            return read_requests(self._snapshot(), self._databases.requests)
