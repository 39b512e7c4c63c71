"""The store as plain lists and dicts that are searched from end to end, and messages to fill stores with."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from hashlib import blake2b, sha256

from dispersy.protocol.identifiers import CommunityId, sum_key, symbols_key
from dispersy.protocol.intake.marks import DENIED, ERASED, INACTIVE, ON_REQUEST
from dispersy.protocol.wire.records import MESSAGE
from dispersy.protocol.wire.summary import Summary
from dispersy.storage.store import (
    ON_REQUEST_PART,
    Batch,
    BlockedRecord,
    CommunityRecord,
    CommunityState,
    EntryType,
    LogEntry,
    MessageBlock,
    RequestRecord,
    SlotEntry,
    on_request,
)
from tests.oracle import sketch


@dataclass(frozen=True, slots=True)
class Sample:
    """A well-formed message, unsigned: no store looks at signatures."""

    author: bytes
    kind: int
    global_time: int
    sequence: int
    payload_count: int = 1
    salt: int = 0
    size: int = 0
    """at least this many bytes"""
    second: bytes = b""
    """the second of two authors"""

    @property
    def header(self) -> bytes:
        previous = bytes(32) if self.kind < 64 else b""
        header = bytes([self.kind, bool(self.second)]) + self.author + self.second
        header += _uvarint(self.global_time) + _uvarint(self.sequence)
        return header + previous

    @property
    def payload_part(self) -> bytes:
        """Payloads of one byte, the first longer where the size asks for it."""
        first = bytes([self.salt]).ljust(self.size - len(self.header) - 3 * self.payload_count, b"\0")
        rest = b"\1\0" * (self.payload_count - 1)
        return _uvarint(self.payload_count) + _uvarint(len(first)) + first + rest

    @property
    def message(self) -> bytes:
        return self.header + self.payload_part + self.signatures

    @property
    def stripped(self) -> bytes:
        return self.header + sha256(self.payload_part).digest() + self.signatures

    @property
    def emptied(self) -> bytes:
        return self.header + _uvarint(self.payload_count) + bytes(self.payload_count) + self.signatures

    @property
    def signatures(self) -> bytes:
        return b"s" * (128 if self.second else 64)

    @property
    def message_id(self) -> bytes:
        return _message_id(self)

    @property
    def lane(self) -> bytes:
        """The name of its lane."""
        if self.second:
            return blake2b(b"dispersy/3 pair" + self.author + self.second, digest_size=32).digest()
        return self.author


def block(
    community: int, samples: Sequence[Sample], *, marks: bytes = b"", arrival_ms: int = 1_700_000_000_000
) -> MessageBlock:
    """Samples as verified messages come to the writer, stripped with ERASED; marks default to none."""
    records, arena = bytearray(), bytearray(b"before")
    marks = marks or bytes(len(samples))
    for sample, mark in zip(samples, marks, strict=True):
        message = sample.stripped if mark & ERASED else sample.message
        records += MESSAGE.pack(
            len(arena),
            len(message),
            sample.global_time,
            sample.sequence,
            0,
            sample.kind,
            bool(sample.second),
            sample.payload_count,
            1 + bool(sample.second),
            0,
            0,
            sample.message_id,
            bytes(32),
        )
        arena += message
    return MessageBlock(community, bytes(records), bytes(arena), marks, arrival_ms)


@dataclass(slots=True)
class Stored:
    """A message of the model."""

    community: int
    sample: Sample
    cursor: int
    is_live: bool = True
    is_inactive: bool = False
    on_request: bool = False

    @property
    def key(self) -> bytes:
        return self.sample.global_time.to_bytes(8, "big") + self.sample.message_id


class Model:
    """What a store has to answer. `add` must be given the samples of the batch's blocks, block by block."""

    def __init__(self, *, sum_bits: int) -> None:
        self.sum_bits = sum_bits
        self.records: dict[int, CommunityRecord] = {}
        self.clocks: dict[int, int] = {}
        self.pruned: dict[int, tuple[int, int]] = {}
        """(pruning time, horizon)"""
        self.headed: set[tuple[int, bytes, int]] = set()
        """Lanes of which something was removed as old: (community, name, kind)."""
        self.stored: list[Stored] = []
        self._entries: list[LogEntry] = []
        self.removed: dict[int, int] = {}
        """community by single cursor"""
        self.purges: dict[int, int] = {}
        self.blocked: list[BlockedRecord] = []
        self.start_id = ""
        self.highest_number = 0
        self.requests: list[RequestRecord] = []
        self.erased: set[int] = set()
        """Cursors."""
        self.next_cursor = 1

    def commit(self, batch: Batch, samples: Sequence[Sequence[Sample]]) -> tuple[int, int]:
        first = self.next_cursor
        for record in batch.communities:
            self.records[record.number] = record
            self.highest_number = max(self.highest_number, record.number)
        for messages, group in zip(batch.blocks, samples, strict=True):
            for sample, marks in zip(group, messages.marks, strict=True):
                self._add(messages, sample, marks)
        self.requests += batch.requests
        for cursor, marks in batch.marks:
            self._mark(cursor, marks)
        for stored in self.stored:
            stored.on_request = dict(batch.moved).get(stored.cursor, stored.on_request)
        for stored in self.stored:
            if stored.cursor in [*batch.unlive, *batch.inactive]:
                stored.is_live = False
                stored.is_inactive = stored.cursor in batch.inactive
                self._mark(stored.cursor, self._marks(stored.cursor))
        for stored in self.stored:
            if stored.cursor in dict(batch.relive):
                stored.is_live, stored.is_inactive = True, False
                self._mark(stored.cursor, dict(batch.relive)[stored.cursor])
        for cursor in batch.erased:
            self._erase(cursor)
        for event in batch.events:
            self._entries.append(
                LogEntry(
                    self.next_cursor,
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
            self.next_cursor += 1
        for cursor in batch.removed:
            self._remove(cursor)
        self.clocks |= batch.clocks
        self.pruned |= batch.pruned
        for community, entries_max in batch.purges:
            self._purge(community, entries_max)
        self.blocked = self.blocked if batch.blocked is None else batch.blocked
        self.start_id = self.start_id if batch.start_id is None else batch.start_id
        return first, self.next_cursor - 1

    @property
    def entries(self) -> list[LogEntry]:
        """The log: what is there, and a marker for each row of cursors that were removed. Where a purge has
        come to, a row ends: the next portion makes one of it and of what was removed below before."""
        markers = []
        for cursor, community in self.removed.items():
            reached = self.purges.get(community)
            if self.removed.get(cursor + 1) == community and cursor + 1 != reached:
                continue
            low = cursor
            while self.removed.get(low - 1) == community and low != reached:
                low -= 1
            markers.append(LogEntry(cursor, EntryType.REMOVED, community, b"", 0, 0, b"", low, ""))
        return sorted([*self._entries, *markers], key=lambda entry: entry.cursor)

    def _remove(self, cursor: int) -> None:
        (gone,) = [stored for stored in self.stored if stored.cursor == cursor]
        self.stored.remove(gone)
        self._entries = [entry for entry in self._entries if entry.cursor != cursor]
        self.removed |= dict.fromkeys(range(cursor, cursor + gone.sample.payload_count), gone.community)
        self.headed.add((gone.community, gone.sample.lane, gone.sample.kind))

    def _purge(self, community: int, entries_max: int) -> None:
        position = self.purges.get(community, self.next_cursor)
        below = [entry for entry in self.entries if entry.cursor < position][-entries_max:]
        sizes = {stored.cursor: stored.sample.payload_count for stored in self.stored}
        for entry in below:
            if entry.community == community and entry.type != EntryType.REMOVED:
                self._entries.remove(entry)
                size = sizes[entry.cursor] if entry.type == EntryType.MESSAGE else 1
                self.removed |= dict.fromkeys(range(entry.cursor, entry.cursor + size), community)
        gone = {entry.cursor for entry in below if entry.community == community}
        self.stored = [stored for stored in self.stored if stored.cursor not in gone]
        if below:
            low = below[0]
            position = low.message_cursor if low.type == EntryType.REMOVED else low.cursor
        self.purges[community] = position
        if len(below) < entries_max:
            del self.purges[community], self.records[community]
            self.clocks.pop(community, None)
            self.pruned.pop(community, None)

    def _add(self, messages: MessageBlock, sample: Sample, marks: int) -> None:
        cursor = self.next_cursor
        self.stored.append(Stored(messages.community, sample, cursor, on_request=bool(marks & ON_REQUEST)))
        marks &= ~ON_REQUEST
        if marks & ERASED:
            self.erased.add(cursor)
        self._entries.append(
            LogEntry(
                cursor,
                EntryType.MESSAGE,
                messages.community,
                sample.message_id,
                marks,
                messages.arrival_ms,
                sample.emptied if marks & ERASED else sample.message,
                cursor,
                "",
            )
        )
        self.next_cursor += sample.payload_count

    def _erase(self, cursor: int) -> None:
        self.erased.add(cursor)
        self._mark(cursor, self._marks(cursor))
        for index, entry in enumerate(self._entries):
            if entry.cursor == cursor:
                fields = {name: getattr(entry, name) for name in LogEntry.__slots__}
                message = next(stored.sample.emptied for stored in self.stored if stored.cursor == cursor)
                self._entries[index] = LogEntry(**{**fields, "message": message})

    def _marks(self, cursor: int) -> int:
        return next(entry.marks for entry in self.entries if entry.cursor == cursor)

    def _mark(self, cursor: int, marks: int) -> None:
        """New marks; what does not live is denied or inactive whatever else is said of it."""
        (stored,) = [stored for stored in self.stored if stored.cursor == cursor]
        if not stored.is_live:
            marks |= INACTIVE if stored.is_inactive else DENIED
        if cursor in self.erased:
            marks |= ERASED
        for index, entry in enumerate(self._entries):
            if entry.cursor == cursor:
                fields = {name: getattr(entry, name) for name in LogEntry.__slots__}
                self._entries[index] = LogEntry(**{**fields, "marks": marks})

    def live(self, community: int) -> list[Stored]:
        """In order; of what is on request with that bit set in the number."""
        part = community & ~ON_REQUEST_PART, bool(community & ON_REQUEST_PART)
        found = [each for each in self.stored if each.is_live and (each.community, each.on_request) == part]
        return sorted(found, key=lambda stored: stored.key)

    def lane(self, community: int, name: bytes, kind: int, *, unlive: bool = False) -> list[SlotEntry]:
        found = [
            SlotEntry(
                stored.sample.sequence,
                stored.sample.global_time,
                stored.sample.message_id,
                stored.cursor,
                self._marks(stored.cursor),
                stored.is_live,
            )
            for stored in self.stored
            if (stored.community, stored.sample.lane, stored.sample.kind) == (community, name, kind)
            and (unlive or stored.is_live)
        ]
        return sorted(found, key=lambda entry: (entry.sequence, entry.message_id))

    def symbols(self, community: int, count: int) -> bytes | None:
        if community not in self.records:
            return None
        key = symbols_key(CommunityId(self.records[community].community_id))
        ids = [stored.sample.message_id for stored in self.live(community)]
        return sketch.encoded(sketch.make_symbols(ids, key, count))

    def find_items(self, community: int, item: bytes) -> set[int]:
        return {each.cursor for each in self.live(community) if each.sample.message_id.startswith(item)}

    def lanes(self, community: int, kind: int) -> list[bytes]:
        own = [stored.sample for stored in self.stored if stored.community == community]
        headed = {name for owner, name, of in self.headed if (owner, of) == (community, kind)}
        return sorted({sample.lane for sample in own if sample.kind == kind} | headed)

    def retired(self, community: int, kind: int, high: int, limit: int) -> tuple[list[int], bool]:
        found = [
            (stored.key, stored.cursor)
            for stored in self.stored
            if (stored.community, stored.sample.kind, stored.is_live) == (community, kind, False)
            and stored.sample.global_time <= high
        ]
        return [cursor for _, cursor in sorted(found)][:limit], len(found) <= limit

    def control(self, community: int) -> list[LogEntry]:
        own = [stored for stored in self.stored if stored.community == community and stored.sample.kind < 64]
        return [
            next(entry for entry in self.entries if entry.cursor == stored.cursor)
            for stored in sorted(own, key=lambda stored: stored.key)
        ]

    def state(self, community: int) -> CommunityState:
        if community not in self.records:
            return CommunityState()
        live = self.live(community)
        key = sum_key(CommunityId(self.records[community].community_id))
        total = sum(
            int.from_bytes(blake2b(stored.sample.message_id, digest_size=16, key=key).digest()[:12], "big")
            for stored in live
        )
        summary = Summary(
            highest=max((stored.sample.global_time for stored in live), default=0),
            count=len(live),
            horizon=self.pruned.get(community, (0, 0))[1],
            sum=total % (1 << self.sum_bits),
        )
        reached = self.pruned.get(community, (0, 0))[0]
        requested = len(self.live(on_request(community)))
        return CommunityState(self.clocks.get(community, 0), summary, reached, requested)

    def scan(self, community: int, low: bytes, high: bytes, limit: int) -> tuple[bytes, list[int], bool]:
        # No global time reaches 2^63, so the top is above every key without a case of its own.
        inside = [stored for stored in self.live(community) if low <= stored.key[:24] < high]
        keys = b"".join(stored.key for stored in inside[:limit])
        return keys, [stored.cursor for stored in inside[:limit]], len(inside) <= limit

    def scan_back(self, community: int, low: bytes, high: bytes, limit: int) -> tuple[bytes, list[int], bool]:
        inside = [stored for stored in self.live(community) if low <= stored.key[:24] < high][::-1]
        keys = b"".join(stored.key for stored in inside[:limit])
        return keys, [stored.cursor for stored in inside[:limit]], len(inside) <= limit


@cache
def _message_id(sample: Sample) -> bytes:
    return sha256(sample.message).digest()


def _uvarint(value: int) -> bytes:
    encoded = bytearray()
    while value >= 0x80:
        encoded.append(value & 0x7F | 0x80)
        value >>= 7
    encoded.append(value)
    return bytes(encoded)
