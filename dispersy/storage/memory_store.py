"""The store in memory: the same semantics as the LMDB store's, for tests and simulations of many nodes."""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Sequence
from dataclasses import replace

from dispersy.constants import SORTED_INSERT_MAX
from dispersy.ext.digest import sum_many
from dispersy.ext.wire import split_payloads
from dispersy.protocol.identifiers import CommunityId, lane_name, sum_key
from dispersy.protocol.intake.marks import DENIED, ERASED, INACTIVE, ON_REQUEST
from dispersy.protocol.wire.numbers import COMMUNITY_KIND_MIN
from dispersy.protocol.wire.records import MESSAGE
from dispersy.protocol.wire.stripped import Stripped, payload_count, strip, with_empty_payloads
from dispersy.protocol.wire.summary import Summary
from dispersy.storage.layout import joined_rows
from dispersy.storage.memory_places import Community, Place, order_key
from dispersy.storage.memory_reads import MemoryReads
from dispersy.storage.store import (
    Batch,
    EntryType,
    LogEntry,
    MessageBlock,
)


class MemoryStore(MemoryReads):
    """Reader and writer in one; commits are seen at once.

    sum_bits    the summary's sum is taken modulo 2^sum_bits; fewer than 96 only to forge equal sums in tests
    pool        stores that are given the same dict keep one copy of each message
    """

    def __init__(self, *, sum_bits: int = 96, pool: dict[bytes, bytes] | None = None) -> None:
        super().__init__()
        self._sum_modulus = 1 << sum_bits
        self._pool = pool
        self._durable_heads: dict[tuple[int, bytes, int], tuple[int, int, bool]] = {}

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
        for cursor, on_request in batch.moved:
            self._move(cursor, on_request)
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
        self._undone |= dict(batch.undone)
        self._signed |= {(each.community, each.lane, each.kind): each for each in batch.signed}
        self._signed = {lane: each for lane, each in self._signed.items() if each.sequence}
        for community, author, kind, *head in self.heads.changed():
            self._durable_heads[community, author, kind] = (head[0], head[1], bool(head[2]))
        return first, self._next - 1

    def reload(self) -> None:
        self.heads.clear()
        for lane, head in self._durable_heads.items():
            self.heads.put(*lane, *head)
        self.heads.changed()

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
                    marks & ~ON_REQUEST,
                    block.arrival_ms,
                    message,
                    cursor,
                    "",
                )
            )
            self._next += fields[7]
            self._places[cursor] = Place(block.community, key, lane, sequence, bool(marks & ON_REQUEST))
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
        for on_request in (False, True):
            part = [cursor for cursor in cursors if self._places[cursor].on_request == on_request]
            self._enter_part(known.part(on_request=on_request), [self._places[each].key for each in part])
        self._count(known, cursors, added=1)

    def _enter_part(self, order: list[bytes], keys: list[bytes]) -> None:
        if len(keys) <= SORTED_INSERT_MAX:
            for key in keys:
                insort(order, key)
        else:
            order += sorted(keys)
            order.sort()

    def _leave_order(self, known: Community, cursor: int) -> None:
        place = self._places[cursor]
        del known.cursors[place.key]
        order = known.part(on_request=place.on_request)
        del order[bisect_left(order, place.key)]
        del self._ids[place.message_id]
        self._live.remove(cursor)

    def _move(self, cursor: int, on_request: bool) -> None:
        """Into the other part of the order, now or once it is live again."""
        place = self._places[cursor]
        known = self._communities[place.community]
        is_live = cursor in self._live
        if is_live and place.on_request != on_request:
            self._leave_order(known, cursor)
            self._count(known, [cursor], added=-1)
        self._places[cursor] = replace(place, on_request=on_request)
        if is_live and place.on_request != on_request:
            self._enter_order(known, [cursor])

    def _unlive(self, cursors: list[int], mark: int) -> None:
        removed: dict[int, list[int]] = {}
        for cursor in cursors:
            place = self._places[cursor]
            self._log[cursor] = replace(self._log[cursor], marks=self._log[cursor].marks | mark)
            known = self._communities[place.community]
            known.retire(place, cursor)
            self._unlive_ids[place.message_id] = cursor
            self._leave_order(known, cursor)
            removed.setdefault(place.community, []).append(cursor)
        for community, gone in removed.items():
            self._count(self._communities[community], gone, added=-1)

    def _relive(self, chosen: list[tuple[int, int]]) -> None:
        for cursor, marks in chosen:
            kept = self._log[cursor].marks & ERASED
            self._log[cursor] = replace(self._log[cursor], marks=marks | kept)
            place = self._places[cursor]
            known = self._communities[place.community]
            known.unretire(place, cursor)
            self._unlive_ids.pop(place.message_id, None)
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
            self._signed = {lane: each for lane, each in self._signed.items() if lane[0] != community}

    def _is_message_of(self, community: int, cursor: int) -> bool:
        place = self._places.get(cursor)
        return place is not None and place.community == community

    def _forget(self, cursor: int) -> None:
        self._undone.pop(cursor, None)
        place = self._places.pop(cursor)
        self._stripped.pop(cursor, None)
        if self._unlive_ids.get(place.message_id) == cursor:
            del self._unlive_ids[place.message_id]
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

    def _count(self, known: Community, cursors: list[int], *, added: int) -> None:
        """Messages have become live (added 1) or are so no longer (-1)."""
        summary = known.state.summary
        places = [self._places[cursor] for cursor in cursors]
        offered = [place for place in places if not place.on_request]
        changed = [place.message_id for place in offered]
        known.sketch.change(changed, added=added)
        known.tree.change([place.key for place in offered], added=added)
        highest = int.from_bytes(known.order[-1][:8], "big") if known.order else 0
        change = added * sum_many(b"".join(changed), sum_key(CommunityId(known.record.community_id)))
        known.state = replace(
            known.state,
            summary=Summary(
                highest,
                summary.count + added * len(offered),
                summary.horizon,
                (summary.sum + change) % self._sum_modulus,
            ),
            on_request=known.state.on_request + added * (len(places) - len(offered)),
        )
