"""The store in memory: the same semantics as the LMDB store's, for tests and simulations of many nodes."""

from __future__ import annotations

from array import array
from bisect import bisect_left, insort
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import accumulate

from dispersy.constants import REQUESTS_KEPT, SORTED_INSERT_MAX
from dispersy.ext.digest import sum_many
from dispersy.ext.table import Heads
from dispersy.ext.wire import split_payloads
from dispersy.protocol.identifiers import CommunityId, lane_name, sum_key
from dispersy.protocol.intake.marks import DENIED, ERASED, INACTIVE
from dispersy.protocol.tree import NOTHING, NodeSum
from dispersy.protocol.wire.numbers import COMMUNITY_KIND_MIN
from dispersy.protocol.wire.records import MESSAGE
from dispersy.protocol.wire.stripped import Stripped, payload_count, strip, with_empty_payloads
from dispersy.protocol.wire.summary import Summary
from dispersy.storage.layout import joined_rows
from dispersy.storage.memory_places import Community, Place, order_key
from dispersy.storage.store import (
    LOG_READ_SIZE_MAX,
    Batch,
    BlockedRecord,
    CommunityRecord,
    CommunityState,
    EntryType,
    LogEntry,
    MessageBlock,
    RequestRecord,
    SlotEntry,
)


class MemoryStore:
    """Reader and writer in one; commits are seen at once.

    sum_bits    the summary's sum is taken modulo 2^sum_bits; fewer than 96 only to forge equal sums in tests
    pool        stores that are given the same dict keep one copy of each message
    """

    def __init__(self, *, sum_bits: int = 96, pool: dict[bytes, bytes] | None = None) -> None:
        self.heads = Heads()
        self._sum_modulus = 1 << sum_bits
        self._pool = pool
        self._communities: dict[int, Community] = {}
        self._log: dict[int, LogEntry] = {}
        self._log_cursors: list[int] = []
        self._ids: dict[bytes, int] = {}
        self._inactive_ids: dict[bytes, int] = {}
        self._places: dict[int, Place] = {}
        self._live: set[int] = set()
        self._stripped: dict[int, Stripped] = {}
        self._requests: dict[int, RequestRecord] = {}
        self._durable_heads: dict[tuple[int, bytes, int], tuple[int, int, bool]] = {}
        self._purges: dict[int, int] = {}
        self._blocked: list[BlockedRecord] = []
        self._start_id = ""
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

    def highest_number(self) -> int:
        return self._highest_number

    def scan(self, community: int, low: bytes, high: bytes, limit: int) -> tuple[bytes, bytes, bool]:
        known = self._communities.get(community)
        if known is None:
            return b"", b"", True
        start, end = bisect_left(known.order, low), bisect_left(known.order, high)
        keys = known.order[start : min(end, start + limit)]
        cursors = array("Q", [known.cursors[key] for key in keys])
        return b"".join(keys), cursors.tobytes(), end - start <= limit

    def scan_back(self, community: int, low: bytes, high: bytes, limit: int) -> tuple[bytes, bytes, bool]:
        known = self._communities.get(community)
        if known is None:
            return b"", b"", True
        start, end = bisect_left(known.order, low), bisect_left(known.order, high)
        keys = known.order[max(start, end - limit) : end][::-1]
        cursors = array("Q", [known.cursors[key] for key in keys])
        return b"".join(keys), cursors.tobytes(), end - start <= limit

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

    def commit(self, batch: Batch) -> tuple[int, int]:
        first = self._next
        for record in batch.communities:
            known = self._communities.setdefault(record.number, Community(record))
            known.record = record
            self._highest_number = max(self._highest_number, record.number)
        for block in batch.blocks:
            self._add_block(block)
        for request in batch.requests:
            self._requests[request.first_cursor] = request
        for cursor, marks in batch.marks:
            assert self._log[cursor].type == EntryType.MESSAGE, "marks are for messages"
            before = self._log[cursor].marks
            kept = 0 if cursor in self._live else before & INACTIVE or DENIED
            kept |= before & ERASED
            self._log[cursor] = replace(self._log[cursor], marks=marks | kept)
        self._unlive(batch.unlive, DENIED)
        self._unlive(batch.inactive, INACTIVE)
        self._relive(batch.relive)
        for cursor in batch.erased:
            self._erase(cursor)
        for event in batch.events:
            self._append(
                LogEntry(
                    self._next,
                    event.type,
                    event.community,
                    event.message_id,
                    0,
                    0,
                    b"",
                    event.message_cursor,
                    event.reason,
                )
            )
            self._next += 1
        self._remove(batch.removed)
        for community, clock in batch.clocks.items():
            known = self._communities[community]
            known.state = replace(known.state, clock=clock)
        for community, (pruning_time, horizon) in batch.pruned.items():
            known = self._communities[community]
            summary = replace(known.state.summary, horizon=horizon)
            known.state = replace(known.state, summary=summary, pruning_time=pruning_time)
        for community, entries_max in batch.purges:
            self._purge(community, entries_max)
        if batch.blocked is not None:
            self._blocked = list(batch.blocked)
        if batch.start_id is not None:
            self._start_id = batch.start_id
        for community, author, kind, *head in self.heads.changed():
            self._durable_heads[community, author, kind] = (head[0], head[1], bool(head[2]))
        return first, self._next - 1

    def find_ids(self, ids: bytes, *, inactive: bool = False) -> list[int | None]:
        known = self._inactive_ids | self._ids if inactive else self._ids
        return [known.get(ids[at : at + 32]) for at in range(0, len(ids), 32)]

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

    def lane(self, community: int, name: bytes, kind: int, *, unlive: bool = False) -> Iterator[SlotEntry]:
        for entry in self._lane(community, name, kind):
            if unlive or entry[3] in self._live:
                yield self._slot_entry(entry)

    def lanes(self, community: int, kind: int) -> Iterator[bytes]:
        return iter(self.heads.lanes(community, kind))

    def reload(self) -> None:
        self.heads.clear()
        for lane, head in self._durable_heads.items():
            self.heads.put(*lane, *head)
        self.heads.changed()

    def requests(self) -> list[RequestRecord]:
        return [self._requests[first] for first in sorted(self._requests)[-REQUESTS_KEPT:]]

    def _lane(self, community: int, name: bytes, kind: int) -> list[tuple[int, bytes, int, int]]:
        known = self._communities.get(community)
        return known.lanes.get((name, kind), []) if known else []

    def _slot_entry(self, entry: tuple[int, bytes, int, int]) -> SlotEntry:
        sequence, message_id, global_time, cursor = entry
        marks = self._log[cursor].marks
        return SlotEntry(sequence, global_time, message_id, cursor, marks, cursor in self._live)

    def _append(self, entry: LogEntry) -> None:
        self._log[entry.cursor] = entry
        self._log_cursors.append(entry.cursor)

    def _add_block(self, block: MessageBlock) -> None:
        known = self._communities[block.community]
        added = []
        for fields, marks in zip(MESSAGE.iter_unpack(block.records), block.marks, strict=True):
            offset, length, global_time, sequence = fields[:4]
            kind, message_id = fields[5], fields[11]
            message = block.arena[offset : offset + length]
            if self._pool is not None:
                message = self._pool.setdefault(message, message)
            key, lane, cursor = order_key(fields), (lane_name(message), kind), self._next
            if marks & ERASED:
                self._stripped[cursor] = Stripped(message)
                message = with_empty_payloads(message, fields[7])
            self._append(
                LogEntry(
                    cursor,
                    EntryType.MESSAGE,
                    block.community,
                    message_id,
                    marks,
                    block.arrival_ms,
                    message,
                    cursor,
                    "",
                )
            )
            self._next += fields[7]
            self._places[cursor] = Place(block.community, key, lane, sequence)
            insort(known.lanes.setdefault(lane, []), (sequence, message_id, global_time, cursor))
            if kind < COMMUNITY_KIND_MIN:
                insort(known.control, (key, cursor))
            added.append(cursor)
        self._enter_order(known, added)

    def _enter_order(self, known: Community, cursors: list[int]) -> None:
        keys = [self._places[cursor].key for cursor in cursors]
        for key, cursor in zip(keys, cursors, strict=True):
            assert key not in known.cursors, "a message that is live already was committed again"
            known.cursors[key] = self._ids[key[8:]] = cursor
        self._live.update(cursors)
        if len(keys) <= SORTED_INSERT_MAX:
            for key in keys:
                insort(known.order, key)
        else:
            known.order += sorted(keys)
            known.order.sort()
        times = [self._places[cursor].global_time for cursor in cursors]
        self._count(known, cursors, added=1, highest=max([known.state.summary.highest, *times]))

    def _unlive(self, cursors: list[int], mark: int) -> None:
        removed: dict[int, list[int]] = {}
        for cursor in cursors:
            place = self._places[cursor]
            self._live.remove(cursor)
            self._log[cursor] = replace(self._log[cursor], marks=self._log[cursor].marks | mark)
            known = self._communities[place.community]
            known.retire(place, cursor)
            if mark == INACTIVE:
                self._inactive_ids[place.message_id] = cursor
            del known.cursors[place.key]
            del known.order[bisect_left(known.order, place.key)]
            del self._ids[place.message_id]
            removed.setdefault(place.community, []).append(cursor)
        for community, gone in removed.items():
            known = self._communities[community]
            highest = int.from_bytes(known.order[-1][:8], "big") if known.order else 0
            self._count(known, gone, added=-1, highest=highest)

    def _relive(self, chosen: list[tuple[int, int]]) -> None:
        for cursor, marks in chosen:
            kept = self._log[cursor].marks & ERASED
            self._log[cursor] = replace(self._log[cursor], marks=marks | kept)
            place = self._places[cursor]
            known = self._communities[place.community]
            known.unretire(place, cursor)
            self._inactive_ids.pop(place.message_id, None)
            self._enter_order(known, [cursor])

    def _erase(self, cursor: int) -> None:
        entry = self._log[cursor]
        if cursor in self._stripped:
            return
        stripped = self._stripped[cursor] = strip(entry.message)
        message = with_empty_payloads(stripped, payload_count(entry.message))
        self._log[cursor] = replace(entry, marks=entry.marks | ERASED, message=message)

    def _purge(self, community: int, entries_max: int) -> None:
        self.heads.forget(community)
        self._durable_heads = {k: v for k, v in self._durable_heads.items() if k[0] != community}
        position = self._purges.get(community, self._next)
        below = bisect_left(self._log_cursors, position)
        walked = self._log_cursors[max(0, below - entries_max) : below]
        own = [cursor for cursor in walked if self._is_message_of(community, cursor)]
        live = [cursor for cursor in own if cursor in self._live]
        self._unlive(live, DENIED)
        for cursor in own:
            self._forget(cursor)
        above = self._log[self._log_cursors[below]] if below < len(self._log_cursors) else None
        high = None
        if above and (above.type, above.community) == (EntryType.REMOVED, community):
            high = above.cursor if above.message_cursor == position else None
        for cursor in reversed(walked):
            entry = self._log[cursor]
            if entry.community == community:
                high = position - 1 if high is None else high
                del self._log[cursor]
            elif high is not None:
                self._mark_removed(community, position, high)
                high = None
            position = entry.message_cursor if entry.type == EntryType.REMOVED else cursor
        if high is not None:
            self._mark_removed(community, position, high)
        self._log_cursors = sorted(self._log)
        self._purges[community] = position
        if len(walked) < entries_max:
            del self._purges[community], self._communities[community]

    def _is_message_of(self, community: int, cursor: int) -> bool:
        place = self._places.get(cursor)
        return place is not None and place.community == community

    def _forget(self, cursor: int) -> None:
        place = self._places.pop(cursor)
        self._stripped.pop(cursor, None)
        self._inactive_ids.pop(place.message_id, None)
        self._communities[place.community].forget(place, cursor)

    def _remove(self, cursors: Sequence[int]) -> None:
        rows = []
        for cursor in sorted(cursors):
            assert cursor not in self._live, "a message was removed that is live"
            entry = self._log.pop(cursor)
            rows.append((entry.community, cursor, cursor + len(split_payloads(entry.message)) - 1))
            self._forget(cursor)
        self._log_cursors = sorted(self._log)
        for community, low, high in joined_rows(rows):
            place = bisect_left(self._log_cursors, low)
            for beside in self._log_cursors[max(0, place - 1) : place + 1]:
                near = self._log.get(beside)
                if near is None or (near.type, near.community) != (EntryType.REMOVED, community):
                    continue
                if near.cursor + 1 == low:
                    low = near.message_cursor
                    del self._log[near.cursor]
                elif near.message_cursor == high + 1:
                    high = near.cursor
            self._mark_removed(community, low, high)
        self._log_cursors = sorted(self._log)

    def _mark_removed(self, community: int, low: int, high: int) -> None:
        self._log[high] = LogEntry(high, EntryType.REMOVED, community, b"", 0, 0, b"", low, "")

    def _count(self, known: Community, cursors: list[int], *, added: int, highest: int) -> None:
        """Messages have become live (added 1) or are so no longer (-1)."""
        summary = known.state.summary
        changed = [self._places[cursor].message_id for cursor in cursors]
        known.sketch.change(changed, added=added)
        known.tree.change([self._places[cursor].key for cursor in cursors], added=added)
        change = added * sum_many(b"".join(changed), sum_key(CommunityId(known.record.community_id)))
        known.state = replace(
            known.state,
            summary=Summary(
                highest,
                summary.count + added * len(cursors),
                summary.horizon,
                (summary.sum + change) % self._sum_modulus,
            ),
        )
