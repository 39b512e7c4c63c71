"""Reading the store in memory: all that it answers, to readers and to the writer."""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from itertools import accumulate

from dispersy.constants import REQUESTS_KEPT
from dispersy.ext.table import Heads
from dispersy.protocol.intake.marks import DENIED, INACTIVE
from dispersy.protocol.tree import NOTHING, NodeSum
from dispersy.protocol.wire.records import MESSAGE
from dispersy.protocol.wire.stripped import Stripped
from dispersy.storage.memory_places import Community, Place, order_key
from dispersy.storage.store import (
    LOG_READ_SIZE_MAX,
    ON_REQUEST_PART,
    BlockedRecord,
    CommunityRecord,
    CommunityState,
    EntryType,
    LogEntry,
    RequestRecord,
    SignedRecord,
    SlotEntry,
)


class MemoryReads:
    """What a MemoryStore holds, and every read of it; there is one state, and nothing to refresh."""

    def __init__(self) -> None:
        self.heads = Heads()
        self._communities: dict[int, Community] = {}
        self._log: dict[int, LogEntry] = {}
        self._log_cursors: list[int] = []
        self._ids: dict[bytes, int] = {}
        self._unlive_ids: dict[bytes, int] = {}
        self._places: dict[int, Place] = {}
        self._live: set[int] = set()
        self._stripped: dict[int, Stripped] = {}
        self._requests: dict[int, RequestRecord] = {}
        self._purges: dict[int, int] = {}
        self._blocked: list[BlockedRecord] = []
        self._start_id = ""
        self._undone: dict[int, tuple[int, ...]] = {}
        self._signed: dict[tuple[int, bytes, int], SignedRecord] = {}
        self._highest_number = 0
        self._next = 1

    def refresh(self) -> None:
        """Nothing to do: there is one state."""

    def release(self) -> None:
        """Nothing to let go of."""

    def close(self) -> None:
        """Nothing to close."""

    def last_cursor(self) -> int:
        return self._next - 1

    def communities(self) -> list[CommunityRecord]:
        return [self._communities[number].record for number in sorted(self._communities)]

    def state(self, community: int) -> CommunityState:
        known = self._communities.get(community)
        return known.state if known else CommunityState()

    def purges(self) -> dict[int, int]:
        return dict(self._purges)

    def blocked(self) -> list[BlockedRecord]:
        return list(self._blocked)

    def start_id(self) -> str:
        return self._start_id

    def undone(self, cursors: Sequence[int]) -> dict[int, tuple[int, ...]]:
        return {cursor: self._undone[cursor] for cursor in cursors if self._undone.get(cursor)}

    def signed(self) -> list[SignedRecord]:
        return list(self._signed.values())

    def highest_number(self) -> int:
        return self._highest_number

    def scan(self, community: int, low: bytes, high: bytes, limit: int) -> tuple[bytes, bytes, bool]:
        known, order = self._part(community)
        if known is None:
            return b"", b"", True
        start, end = bisect_left(order, low), bisect_left(order, high)
        keys = order[start : min(end, start + limit)]
        cursors = array("Q", [known.cursors[key] for key in keys])
        return b"".join(keys), cursors.tobytes(), end - start <= limit

    def scan_back(self, community: int, low: bytes, high: bytes, limit: int) -> tuple[bytes, bytes, bool]:
        known, order = self._part(community)
        if known is None:
            return b"", b"", True
        start, end = bisect_left(order, low), bisect_left(order, high)
        keys = order[max(start, end - limit) : end][::-1]
        cursors = array("Q", [known.cursors[key] for key in keys])
        return b"".join(keys), cursors.tobytes(), end - start <= limit

    def _part(self, number: int) -> tuple[Community | None, list[bytes]]:
        """A community and the keys that its number, or on_request() of it, stands for."""
        known = self._communities.get(number & ~ON_REQUEST_PART)
        return known, known.part(on_request=bool(number & ON_REQUEST_PART)) if known else []

    def messages(self, cursors: Sequence[int]) -> list[bytes]:
        return [self._stripped.get(entry.cursor, entry.message) for entry in self.entries(cursors)]

    def entries(self, cursors: Sequence[int]) -> list[LogEntry]:
        found = []
        for cursor in cursors:
            entry = self._log[cursor]
            if entry.type != EntryType.MESSAGE:
                raise KeyError(cursor)
            found.append(entry)
        return found

    def held(self, community: int, records: bytes) -> bytes:
        known = self._communities.get(community)
        keys = [order_key(fields) for fields in MESSAGE.iter_unpack(records)]
        return bytes([known is not None and key in known.cursors for key in keys])

    def find(self, community: int, global_time: int, message_id: bytes) -> int | None:
        known = self._communities.get(community)
        return known.cursors.get(global_time.to_bytes(8, "big") + message_id) if known else None

    def symbols(self, community: int, first: int, count: int) -> bytes | None:
        known = self._communities.get(community)
        return known.sketch.symbols(known.ids(), first, count) if known else None

    def tree(self, community: int, level: int, indexes: Sequence[int]) -> list[NodeSum] | None:
        known = self._communities.get(community)
        return known.tree.nodes(known.order, level, indexes) if known else [NOTHING] * len(indexes)

    def find_items(self, community: int, items: bytes) -> list[int]:
        known = self._communities.get(community)
        return [self._ids[found] for found in known.sketch.find(known.ids(), items)] if known else []

    def control(self, community: int) -> list[LogEntry]:
        known = self._communities.get(community)
        return [self._log[cursor] for _, cursor in known.control] if known else []

    def live_control(self, community: int) -> bytes:
        return bytes(each.message[0] for each in self.control(community) if not each.marks & DENIED)

    def log(self, first: int, limit: int, *, size_max: int = LOG_READ_SIZE_MAX) -> list[LogEntry]:
        start = bisect_left(self._log_cursors, first)
        return self._entries_of(self._log_cursors[start : start + limit], size_max)

    def log_back(self, behind: int, limit: int, *, size_max: int = LOG_READ_SIZE_MAX) -> list[LogEntry]:
        end = bisect_left(self._log_cursors, behind)
        return self._entries_of(self._log_cursors[max(0, end - limit) : end][::-1], size_max)

    def _entries_of(self, cursors: Sequence[int], size_max: int) -> list[LogEntry]:
        sizes = accumulate(len(self._log[cursor].message) for cursor in cursors)
        count = next((at for at, size in enumerate(sizes, start=1) if size >= size_max), len(cursors))
        return [self._log[cursor] for cursor in cursors[:count]]

    def find_ids(self, ids: bytes, *, inactive: bool = False, unlive: bool = False) -> list[int | None]:
        return [
            self._find_id(ids[at : at + 32], inactive=inactive, unlive=unlive)
            for at in range(0, len(ids), 32)
        ]

    def _find_id(self, message_id: bytes, *, inactive: bool, unlive: bool) -> int | None:
        cursor = self._unlive_ids.get(message_id)
        if cursor is None or not (unlive or (inactive and self._log[cursor].marks & INACTIVE)):
            return self._ids.get(message_id)
        return cursor

    def retired(self, community: int, kind: int, high: int, limit: int) -> tuple[list[int], bool]:
        known = self._communities.get(community)
        rows = known.retired if known else []
        end = bisect_left(rows, (kind, (high + 1).to_bytes(8, "big"), 0))
        inside = rows[bisect_left(rows, (kind, b"", 0)) : end]
        return [cursor for _, _, cursor in inside[:limit]], len(inside) <= limit

    def slot(
        self, community: int, name: bytes, kind: int, sequence: int, *, unlive: bool = False
    ) -> list[SlotEntry]:
        lane = self._lane(community, name, kind)
        inside = lane[bisect_left(lane, (sequence,)) : bisect_left(lane, (sequence + 1,))]
        found = [self._slot_entry(entry) for entry in inside if unlive or entry[3] in self._live]
        return found if unlive else found[:2]

    def neighbours(
        self, community: int, name: bytes, kind: int, sequence: int
    ) -> tuple[SlotEntry | None, SlotEntry | None]:
        lane = self._lane(community, name, kind)
        below = reversed(lane[: bisect_left(lane, (sequence,))])
        above = lane[bisect_left(lane, (sequence + 1,)) :]
        lower, higher = (
            next((self._slot_entry(entry) for entry in side if entry[3] in self._live), None)
            for side in (below, above)
        )
        return lower, higher

    def holds_between(self, community: int, name: bytes, kind: int, low: int, high: int) -> bool:
        lane = self._lane(community, name, kind)
        return bisect_left(lane, (low,)) < bisect_left(lane, (high + 1,))

    def lane(self, community: int, name: bytes, kind: int, *, unlive: bool = False) -> Iterator[SlotEntry]:
        for entry in self._lane(community, name, kind):
            if unlive or entry[3] in self._live:
                yield self._slot_entry(entry)

    def lanes(self, community: int, kind: int) -> Iterator[bytes]:
        return iter(self.heads.lanes(community, kind))

    def requests(self) -> list[RequestRecord]:
        return [self._requests[first] for first in sorted(self._requests)[-REQUESTS_KEPT:]]

    def _lane(self, community: int, name: bytes, kind: int) -> list[tuple[int, bytes, int, int]]:
        known = self._communities.get(community)
        return known.lanes.get((name, kind), []) if known else []

    def _slot_entry(self, entry: tuple[int, bytes, int, int]) -> SlotEntry:
        sequence, message_id, global_time, cursor = entry
        marks = self._log[cursor].marks
        return SlotEntry(sequence, global_time, message_id, cursor, marks, cursor in self._live)
