"""Reading the LMDB store: what readers of any process and the writer share."""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from itertools import islice, takewhile
from pathlib import Path

import lmdb
import msgspec

from dispersy.errors import StorageError
from dispersy.ext.rows import scanned
from dispersy.ext.sketch import SYMBOL_SIZE
from dispersy.protocol.holdings import KEY_SIZE
from dispersy.protocol.intake.marks import DENIED
from dispersy.protocol.tree import NodeSum
from dispersy.protocol.wire.summary import Summary
from dispersy.storage.environment import close_environment, errors_named, open_environment
from dispersy.storage.facts import read_undone
from dispersy.storage.items import Items
from dispersy.storage.layout import (
    COMMUNITY,
    CURSOR,
    MARKS_OFFSET,
    MESSAGE_OFFSET,
    META_BLOCKED,
    META_COMMUNITY,
    META_HOME,
    META_NEXT,
    META_PURGE,
    META_STARTED,
    META_STATE,
    RECORD_SIZE,
    RECORD_WORDS,
    STATE,
    TIME_WORD,
    cursor_keys,
    decode_entry,
    order_keys,
    part_key,
    shown_marks,
    slices,
    synchronised_message,
)
from dispersy.storage.store import (
    ITEM_SIZE,
    LOG_READ_SIZE_MAX,
    BlockedRecord,
    CommunityRecord,
    CommunityState,
    EntryType,
    LogEntry,
    on_request,
)
from dispersy.storage.stored_symbols import read_symbols
from dispersy.storage.stored_tree import read_tree

SCAN_FIRST, SCAN_GROWTH, SCAN_CHUNK_MAX = 64, 4, 16_384
"""Keys read before the upper bound is looked at again: a narrow range costs little, a wide one few looks."""
STATES_DECODED_MAX = 1_024
"""Remembered of all communities: each datagram's turn takes a snapshot, and seldom shows another state.
How many are joined and purged has no end."""


class LmdbReader:
    """A reader of the store in the folder `path`, in any process, also beside the writer in its own.

    A read that follows release() takes a fresh snapshot by itself. StorageError names the path.
    """

    def __init__(self, path: str | Path) -> None:
        self._path = Path(path)
        self._environment = open_environment(self._path, create=False)
        self._databases = self._environment.databases
        self._items = Items(self._databases)
        self._txn: lmdb.Transaction[bytes] | None = None
        # Of the snapshot: whoever synchronises asks for it with all that arrives.
        self._seen_states: dict[int, CommunityState] = {}

    def refresh(self) -> None:
        self.release()
        self._snapshot()

    def release(self) -> None:
        if self._txn is not None:
            txn, self._txn = self._txn, None
            # LMDB resets an aborted read transaction and renews it at the next begin.
            with errors_named(self._path):
                txn.abort()
            self._seen_states.clear()

    def close(self) -> None:
        self.release()
        close_environment(self._environment)

    def clear_dead_readers(self) -> int:
        """Free the snapshots of killed processes, which pin pages; how many. Call after every death."""
        with errors_named(self._path):
            return self._environment.lmdb.reader_check()

    def last_cursor(self) -> int:
        with errors_named(self._path):
            return self._next_cursor(self._snapshot()) - 1

    def communities(self) -> list[CommunityRecord]:
        """All communities, by number."""
        decoder = msgspec.msgpack.Decoder(CommunityRecord)
        with errors_named(self._path):
            cursor = self._snapshot().cursor(self._databases.meta)
            found = []
            if cursor.set_range(META_COMMUNITY):
                for key, value in cursor:
                    if not key.startswith(META_COMMUNITY):
                        break
                    found.append(decoder.decode(value))
        return found

    def purges(self) -> dict[int, int]:
        with errors_named(self._path):
            return self._purges(self._snapshot())

    def blocked(self) -> list[BlockedRecord]:
        with errors_named(self._path):
            data = self._snapshot().get(META_BLOCKED, db=self._databases.meta)
        return [] if data is None else msgspec.msgpack.decode(data, type=list[BlockedRecord])

    def start_id(self) -> str:
        with errors_named(self._path):
            return self._snapshot().get(META_STARTED, b"", db=self._databases.meta).decode()

    def state(self, community: int) -> CommunityState:
        known = self._seen_states.get(community)
        if known is None:
            with errors_named(self._path):
                known = self._seen_states[community] = self._state(self._snapshot(), community)
        return known

    def mark(self) -> bytes:
        """What ties the store to its home (stamp.py), b"" for a store without a mark."""
        with errors_named(self._path):
            found: bytes | None = self._snapshot().get(META_HOME, db=self._databases.meta)
        return found or b""

    def scan(self, community: int, low: bytes, high: bytes, limit: int) -> tuple[bytes, bytes, bool]:
        prefix = COMMUNITY.pack(community)
        upper = prefix + high
        with errors_named(self._path):
            cursor = self._snapshot().cursor(self._databases.order)
            if not cursor.set_range(prefix + low):
                return b"", b"", True
            return _portion(cursor.iternext(), limit, upper)

    def scan_back(self, community: int, low: bytes, high: bytes, limit: int) -> tuple[bytes, bytes, bool]:
        prefix = COMMUNITY.pack(community)
        lower = prefix + low
        with errors_named(self._path):
            cursor = self._snapshot().cursor(self._databases.order)
            if not (cursor.prev() if cursor.set_range(prefix + high) else cursor.last()):
                return b"", b"", True
            return _portion(cursor.iterprev(), limit, lower, descends=True)

    def messages(self, cursors: Sequence[int]) -> list[bytes]:
        with errors_named(self._path):
            rows = self._snapshot().cursor(self._databases.log).getmulti(cursor_keys(cursors))
        message = EntryType.MESSAGE
        found = [synchronised_message(entry) for _, entry in rows if entry[0] == message]
        if len(found) < len(cursors):
            there = {CURSOR.unpack(key)[0] for key, entry in rows if entry[0] == message}
            raise KeyError(next(cursor for cursor in cursors if cursor not in there))
        return found

    def entries(self, cursors: Sequence[int]) -> list[LogEntry]:
        found = []
        with errors_named(self._path):
            get = self._snapshot().cursor(self._databases.log).get
            for cursor, key in zip(cursors, cursor_keys(cursors), strict=True):
                entry = get(key)
                if entry is None or entry[0] != EntryType.MESSAGE:
                    raise KeyError(cursor)
                found.append(decode_entry(cursor, entry))
        return found

    def held(self, community: int, records: bytes) -> bytes:
        with errors_named(self._path):
            rows = self._snapshot().cursor(self._databases.order)
            is_any_on_request = self._has_on_request(rows, community)
            if not is_any_on_request and not self._reaches(rows, community, records):
                return bytes(len(records) // RECORD_SIZE)
            keys = order_keys(community, records)
            if not is_any_on_request:
                return bytes([rows.get(key) is not None for key in keys])
            both = ((key, part_key(key, on_request=True)) for key in keys)
            return bytes([any(rows.get(key) is not None for key in parts) for parts in both])

    def find(self, community: int, global_time: int, message_id: bytes) -> int | None:
        key = COMMUNITY.pack(community) + CURSOR.pack(global_time) + message_id
        with errors_named(self._path):
            get = self._snapshot().cursor(self._databases.order).get
            found = get(key) or get(part_key(key, on_request=True))
        return None if found is None else int(CURSOR.unpack(found)[0])

    def _reaches(self, rows: lmdb.Cursor[bytes], community: int, records: bytes) -> bool:
        """Whether what is held reaches the times of these: mostly not where a store is being filled, and then
        one look tells it of all."""
        lowest = min(array("Q", records)[TIME_WORD::RECORD_WORDS], default=0)
        prefix = COMMUNITY.pack(community)
        return rows.set_range(prefix + CURSOR.pack(lowest)) and rows.key().startswith(prefix)

    def _has_on_request(self, rows: lmdb.Cursor[bytes], community: int) -> bool:
        """Whether anything of a community is: mostly not, and then one look tells it of all."""
        prefix = COMMUNITY.pack(on_request(community))
        return rows.set_range(prefix) and rows.key().startswith(prefix)

    def symbols(self, community: int, first: int, count: int) -> bytes | None:
        with errors_named(self._path):
            txn = self._snapshot()
            data = txn.get(META_COMMUNITY + COMMUNITY.pack(community), db=self._databases.meta)
            if data is None:
                return None
            record = msgspec.msgpack.decode(data, type=CommunityRecord)
            summary = self._state(txn, community).summary
            symbols = read_symbols(txn, self._databases.meta, record, summary)
        return None if symbols is None else symbols[first * SYMBOL_SIZE : (first + count) * SYMBOL_SIZE]

    def tree(self, community: int, level: int, indexes: Sequence[int]) -> list[NodeSum] | None:
        with errors_named(self._path):
            txn = self._snapshot()
            summary = self._state(txn, community).summary
            return read_tree(txn, self._databases.meta, community, summary, level, indexes)

    def find_items(self, community: int, items: bytes) -> list[int]:
        with errors_named(self._path):
            return self._items.find(self._snapshot(), community, slices(items, ITEM_SIZE))

    def undone(self, cursors: Sequence[int]) -> dict[int, tuple[int, ...]]:
        with errors_named(self._path):
            return read_undone(self._snapshot(), self._databases.meta, cursors)

    def control(self, community: int) -> list[LogEntry]:
        with errors_named(self._path):
            return self.entries([CURSOR.unpack(key)[0] for key in self._control_keys(community)])

    def live_control(self, community: int) -> bytes:
        with errors_named(self._path):
            found = self._snapshot().cursor(self._databases.log).getmulti(self._control_keys(community))
        return bytes(
            entry[MESSAGE_OFFSET] for _, entry in found if not shown_marks(entry[MARKS_OFFSET]) & DENIED
        )

    def _control_keys(self, community: int) -> list[bytes]:
        """Keys in the log of a community's control messages."""
        prefix = COMMUNITY.pack(community)
        cursor = self._snapshot().cursor(self._databases.control)
        if not cursor.set_range(prefix):
            return []
        return [value for _, value in takewhile(lambda row: row[0].startswith(prefix), cursor)]

    def log(self, first: int, limit: int, *, size_max: int = LOG_READ_SIZE_MAX) -> list[LogEntry]:
        with errors_named(self._path):
            cursor = self._snapshot().cursor(self._databases.log)
            if not cursor.set_range(CURSOR.pack(first)):
                return []
            return self._decoded(islice(cursor, limit), size_max)

    def log_back(self, behind: int, limit: int, *, size_max: int = LOG_READ_SIZE_MAX) -> list[LogEntry]:
        with errors_named(self._path):
            cursor = self._snapshot().cursor(self._databases.log)
            if not (cursor.prev() if cursor.set_range(CURSOR.pack(behind)) else cursor.last()):
                return []
            return self._decoded(islice(cursor.iterprev(), limit), size_max)

    def _decoded(self, items: Iterable[tuple[bytes, bytes]], size_max: int) -> list[LogEntry]:
        found: list[LogEntry] = []
        size = 0
        try:
            for key, value in items:
                found.append(decode_entry(CURSOR.unpack(key)[0], value))
                size += len(found[-1].message)
                if size >= size_max:
                    break
            return found
        except ValueError as error:
            raise StorageError(f"{self._path}: a log entry of no known type ({error})") from error

    def _snapshot(self) -> lmdb.Transaction[bytes]:
        if self._txn is None:
            self._txn = self._environment.begin()
        return self._txn

    def _next_cursor(self, txn: lmdb.Transaction[bytes]) -> int:
        data = txn.get(META_NEXT, db=self._databases.meta)
        return 1 if data is None else int(CURSOR.unpack(data)[0])

    def _purges(self, txn: lmdb.Transaction[bytes]) -> dict[int, int]:
        found = {}
        cursor = txn.cursor(self._databases.meta)
        if cursor.set_range(META_PURGE):
            for key, value in cursor:
                if not key.startswith(META_PURGE):
                    break
                found[COMMUNITY.unpack_from(key, len(META_PURGE))[0]] = CURSOR.unpack(value)[0]
        return found

    def _state(self, txn: lmdb.Transaction[bytes], community: int) -> CommunityState:
        data = txn.get(META_STATE + COMMUNITY.pack(community), db=self._databases.meta)
        if data is None:
            return CommunityState()
        return _decoded_state(data)


@lru_cache(STATES_DECODED_MAX)
def _decoded_state(data: bytes) -> CommunityState:
    # Stores of before have no pruning time, and nothing on request.
    clock, count, highest, horizon, total, *more = STATE.unpack(data.ljust(STATE.size, b"\0"))
    return CommunityState(clock, Summary(highest, count, horizon, int.from_bytes(total, "big")), *more)


def _portion(
    items: Iterator[tuple[bytes, bytes]], limit: int, bound: bytes, *, descends: bool = False
) -> tuple[bytes, bytes, bool]:
    """What scan() gives of rows of the order, as far as the bound."""
    keys = cursors = b""
    count = 0
    size = SCAN_FIRST
    # One more than asked for tells whether the range goes on.
    while count <= limit and (chunk := list(islice(items, min(size, limit + 1 - count)))):
        chunk_keys, chunk_cursors = scanned(chunk, bound, descends=descends)
        keys += chunk_keys
        cursors += chunk_cursors
        inside = len(chunk_cursors) // CURSOR.size
        count += inside
        if inside < len(chunk):
            break
        size = min(size * SCAN_GROWTH, SCAN_CHUNK_MAX)
    return keys[: limit * KEY_SIZE], cursors[: limit * CURSOR.size], count <= limit
