"""What every store offers: one writer that commits whole batches, readers that see only what was committed.

The LMDB store (lmdb_store.py) keeps it on disk, the memory store (memory_store.py) for tests and simulations;
one property suite runs both. A log entry's cursor is its key; a message with n payloads takes n cursors and
is kept under the first.

Every stored message has an author, so it stands in a lane, control messages too; a lane's name is its author
or a hash of two (protocol.identifiers.lane_name). A message that is no longer live keeps its entry in the
log, and lives again under the same cursor (Batch.relive): it is never committed a second time while that
entry is there. Look-ups (held, find, find_ids, neighbours) know live messages only, slot, lane and find_ids
also others when asked for them. To commit a message that is live, to make one unlive that is not or live that
is: each is our own bug, an assert.

Of what is live, messages marked ON_REQUEST are kept apart: summary, symbols, tree, items and scan() leave
them out, all other look-ups know them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Protocol

from dispersy.ext.table import Heads
from dispersy.protocol.tree import NodeSum
from dispersy.protocol.wire.summary import Summary

ITEM_SIZE = 8
"""An item is the first bytes of a message id, which coded symbols tell."""
ITEM_MESSAGES_MAX = 4
"""Messages that are found by one item: chance gives one, more are made on purpose."""

ON_REQUEST_PART = 1 << 31
"""Set in a community's number it names what the store has of it on request; so numbers stay below."""

LOG_READ_SIZE_MAX = 4 << 20
"""Bytes of messages that one read of the log gives, and one message more."""


class EntryType(IntEnum):
    """First byte of a log entry; numbered once."""

    MESSAGE = 1
    DENIED = 2
    RESTORED = 3
    UNDONE = 4
    REMOVED = 5
    CONTROL_STATE = 6


@dataclass(frozen=True, slots=True)
class CommunityRecord:
    """What this node keeps about a community it has joined (number: see identifiers)."""

    number: int
    community_id: bytes
    name: str
    member_id: bytes
    definition: bytes = b""
    """The newest definition message, whole; empty until it is known."""
    bootstrap: tuple[str, ...] = ()
    """Addresses HOST:PORT to walk to first."""
    is_master: bool = False
    autoload: str = "always"
    """What becomes of it when the node starts: "always" loaded; "on-packet" loaded when somebody who receives
    at his address says its tag; "never" loaded but by hand."""
    loaded: bool = True
    left: bool = False
    """Whether the node takes part no more; what it held stays in the store until it is purged."""
    restored: bool = False
    """Whether neighbours are still to be asked for what we have published, since the home was restored or
    copied: where it was not served then, that is due when it is."""
    created_by: bytes = b""
    """The id of the request that made it here: repeating that one gives the first answer."""

    @property
    def served(self) -> bool:
        """Whether this node walks, synchronises and publishes in it."""
        return self.loaded and not self.left


@dataclass(frozen=True, slots=True)
class BlockedRecord:
    """Whom this node does not listen to: a member (32 bytes) or an address (HOST or HOST:PORT, canonical).

    The other of the two is empty. Community 0 means everywhere.
    """

    community: int
    member: bytes
    address: str


@dataclass(frozen=True, slots=True)
class CommunityState:
    """As of the last commit.

    clock           global time that this node has reached
    summary         of the live set, without what is on request
    pruning_time    up to which what is too old has left (protocol.pruning)
    on_request      how many messages are live and on request
    """

    clock: int = 0
    summary: Summary = field(default_factory=Summary)
    pruning_time: int = 0
    on_request: int = 0


@dataclass(frozen=True, slots=True)
class MessageBlock:
    """Messages of one community that became durable together.

    records      packed message_records (dispersy.protocol.wire.records.MESSAGE), offsets into arena
    marks        one byte a record (protocol.marks); with ERASED the arena has a stripped message, which is
                 header, digest and signatures (protocol.stripped); ON_REQUEST where its kind is
    arrival_ms   unix time in milliseconds
    """

    community: int
    records: bytes
    arena: bytes
    marks: bytes
    arrival_ms: int


@dataclass(frozen=True, slots=True)
class EventEntry:
    """A later change to a message: DENIED, RESTORED or UNDONE; reason: a short name ('order')."""

    type: EntryType
    community: int
    message_id: bytes
    message_cursor: int
    reason: str


@dataclass(frozen=True, slots=True)
class RequestRecord:
    """A client's publish request that this batch answers: its messages' first cursor, and how many they are.

    request_id is 16 bytes. The writer knows the cursors beforehand: the next one is last_cursor() + 1.
    """

    request_id: bytes
    first_cursor: int
    message_count: int


@dataclass(frozen=True, slots=True)
class SignedRecord:
    """Up to which sequence of a lane this node has signed as the second author; 0: it need not be remembered.

    lane  its name
    """

    community: int
    lane: bytes
    kind: int
    sequence: int


@dataclass(slots=True)
class Batch:
    """All that one commit makes durable, applied in the order of the fields."""

    communities: list[CommunityRecord] = field(default_factory=list)
    blocks: list[MessageBlock] = field(default_factory=list)
    requests: list[RequestRecord] = field(default_factory=list)
    marks: list[tuple[int, int]] = field(default_factory=list)
    """(cursor of a stored message, its new marks)"""
    moved: list[tuple[int, bool]] = field(default_factory=list)
    """(cursor of a stored message, live or not, whether its kind is on request now)"""
    unlive: list[int] = field(default_factory=list)
    """Cursors of live messages that are so no longer: out of order, summary, look-ups; still in the log,
    where they are marked DENIED from then on."""
    inactive: list[int] = field(default_factory=list)
    """The same of messages that are too old: they keep their marks, and are INACTIVE besides, not DENIED."""
    relive: list[tuple[int, int]] = field(default_factory=list)
    """(cursor of a message that is in the log and not live, its new marks): live again, in order, summary and
    look-ups, under the cursor that it has."""
    erased: list[int] = field(default_factory=list)
    """Cursors of stored messages whose payload part is dropped: header, digest and signatures stay, marked
    ERASED whatever their marks are changed to later. Those of this batch's blocks too."""
    events: list[EventEntry] = field(default_factory=list)
    removed: list[int] = field(default_factory=list)
    """Cursors of data messages that are not live (any more): they are gone, and a marker says so."""
    clocks: dict[int, int] = field(default_factory=dict)
    pruned: dict[int, tuple[int, int]] = field(default_factory=dict)
    """(pruning time, horizon) of communities of which all that is too old then has left."""
    purges: list[tuple[int, int]] = field(default_factory=list)
    """(community, entries of the log to look at, >= 1): a portion of removing all that is held of it."""
    blocked: list[BlockedRecord] | None = None
    """All that are blocked from now on; None: as before."""
    start_id: str | None = None
    """The node's start that `loaded` is about; None: as before."""
    undone: list[tuple[int, tuple[int, ...]]] = field(default_factory=list)
    """(cursor of a message, the indices of its payloads that are undone one by one from now on)"""
    signed: list[SignedRecord] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class LogEntry:
    """One entry of the log as a reader gets it.

    message entries   message_id, marks, arrival_ms, message (whole), message_cursor = cursor, reason "";
                      of an ERASED one all payloads are empty, and its signatures do not hold
    event entries     message_id, message_cursor, reason; message b""
    removed entries   message_cursor = first removed cursor, cursor of the entry = last one
    """

    cursor: int
    type: EntryType
    community: int
    message_id: bytes
    marks: int
    arrival_ms: int
    message: bytes
    message_cursor: int
    reason: str


@dataclass(frozen=True, slots=True)
class SlotEntry:
    """A stored message's place in its lane (community, name, kind).

    marks    as LogEntry has them: what is not live is DENIED, or INACTIVE
    """

    sequence: int
    global_time: int
    message_id: bytes
    cursor: int
    marks: int = 0
    live: bool = True


def is_cut(entries: Sequence[LogEntry], limit: int, *, size_max: int = LOG_READ_SIZE_MAX) -> bool:
    """Whether a read of the log may have ended before the log does."""
    return len(entries) >= limit or sum(len(entry.message) for entry in entries) >= size_max


def on_request(community: int) -> int:
    """The number under which scan() finds what of a community is on request."""
    assert community < ON_REQUEST_PART
    return community | ON_REQUEST_PART


class StoreReader(Protocol):
    """Reads of what was committed when `refresh` was last called (or the reader was opened)."""

    def refresh(self) -> None:
        """See all that is committed by now. Call once a step: an old snapshot pins pages."""

    def release(self) -> None:
        """Let go of the snapshot until the next refresh."""

    def last_cursor(self) -> int: ...

    def communities(self) -> list[CommunityRecord]: ...

    def state(self, community: int) -> CommunityState: ...

    def purges(self) -> dict[int, int]:
        """Community that is being purged -> cursor below which the log is still to be looked at."""

    def blocked(self) -> list[BlockedRecord]: ...

    def start_id(self) -> str:
        """The start of the node that the records' `loaded` is about; empty before the first."""

    def scan(self, community: int, low: bytes, high: bytes, limit: int) -> tuple[bytes, bytes, bool]:
        """The live messages with low <= order key < high, in order, at most limit of them.

        community  its number, for what is offered; on_request() of it for the rest
        low, high  24-byte order keys (protocol.identifiers); ORDER_TOP as high includes everything
        returns    packed 40-byte keys (u64 global time big-endian ‖ 32-byte id), packed native u64 cursors,
                   and whether the range ends here (False: there is more)
        """

    def scan_back(self, community: int, low: bytes, high: bytes, limit: int) -> tuple[bytes, bytes, bool]:
        """As scan(), but the last ones of the range, falling; False: there is more before them."""

    def messages(self, cursors: Sequence[int]) -> list[bytes]:
        """Messages by cursor as neighbours get them: whole, or Stripped (protocol.stripped) where they are
        erased; KeyError for a cursor that is none."""

    def entries(self, cursors: Sequence[int]) -> list[LogEntry]:
        """Message entries by cursor; KeyError for a cursor that is none."""

    def held(self, community: int, records: bytes) -> bytes:
        """One byte a packed message_record (ids filled): 1 if it is live here."""

    def find(self, community: int, global_time: int, message_id: bytes) -> int | None:
        """The cursor of a live message; None for one that is not live here."""

    def symbols(self, community: int, first: int, count: int) -> bytes | None:
        """Coded symbols [first, first + count) of the live set (ext.sketch, under symbols_key), as far as
        SYMBOLS_KEPT reaches, of the very set that state() sums up; None where the store has to make them
        first."""

    def tree(self, community: int, level: int, indexes: Sequence[int]) -> list[NodeSum] | None:
        """Nodes of one level of the tree (protocol.tree) of the very set that state() sums up; None where the
        store has to make it first."""

    def find_items(self, community: int, items: bytes) -> list[int]:
        """Cursors of live messages whose ids begin with these packed items, at most ITEM_MESSAGES_MAX of
        each, in no order; costs a seek in every run an item."""

    def undone(self, cursors: Sequence[int]) -> dict[int, tuple[int, ...]]:
        """By cursor, of messages of which single payloads are undone, their indices."""

    def control(self, community: int) -> list[LogEntry]:
        """Entries of all stored control messages (kinds below 64) by (global time, id), also those that are
        not live (marked DENIED)."""

    def live_control(self, community: int) -> bytes:
        """The kinds, a byte each, of those of control() that are live: many are counted more often than they
        are read."""

    def log(self, first: int, limit: int, *, size_max: int = LOG_READ_SIZE_MAX) -> list[LogEntry]:
        """Entries with cursor >= first, in order, at most limit, and none more once their messages have
        size_max bytes (is_cut)."""

    def log_back(self, behind: int, limit: int, *, size_max: int = LOG_READ_SIZE_MAX) -> list[LogEntry]:
        """Entries with cursor < behind, the newest first, as many as of log().

        (An entry is kept under its first cursor: a message may have payloads at `behind` and after.)
        """

    def close(self) -> None: ...


class StoreWriter(StoreReader, Protocol):
    """The one writer. Its reads see its own commits at once."""

    def commit(self, batch: Batch) -> tuple[int, int]:
        """Make the batch durable; (first cursor it was given, last cursor of the log now).

        Cursors go to blocks in order, record by record (one a payload), then to events. The summary of every
        touched community follows. A purge goes from the newest entry to the oldest, so that no event outlives
        its message: entries of the community give way to markers, one for each row of them; with the first
        portion nothing of it may be added any more and its heads are forgotten, with the last one its record
        and state are gone. StorageError when the disk refuses: then nothing of the batch has happened,
        and reload() has to be called before the next commit.
        """

    def find_ids(self, ids: bytes, *, inactive: bool = False, unlive: bool = False) -> list[int | None]:
        """Cursors of packed 32-byte message ids, None where not live here; with `inactive` also of those that
        are INACTIVE, with `unlive` of all that the log has.

        Costs a seek in every run per id: for whole batches of messages held() is some 50 times cheaper.
        """

    def slot(
        self, community: int, name: bytes, kind: int, sequence: int, *, unlive: bool = False
    ) -> list[SlotEntry]:
        """What is live in a slot, lowest id first: at most two, as no more can be (rule 13); with `unlive`
        all that the log has of it."""

    def neighbours(
        self, community: int, name: bytes, kind: int, sequence: int
    ) -> tuple[SlotEntry | None, SlotEntry | None]:
        """The nearest live messages with a strictly lower and a strictly higher sequence, for regular lanes.

        (In a lane with an equivocation use lane(): which of two in a slot is given is not specified.)
        """

    def holds_between(self, community: int, name: bytes, kind: int, low: int, high: int) -> bool:
        """Whether the log has anything, live or not, of a lane with low <= sequence <= high."""

    def lane(self, community: int, name: bytes, kind: int, *, unlive: bool = False) -> Iterator[SlotEntry]:
        """All live messages of a lane by rising (sequence, id), with `unlive` all that the log has of it.

        Read it to its end before the next commit.
        """

    def lanes(self, community: int, kind: int) -> Iterator[bytes]:
        """Names of all lanes of a kind that have a head, ascending: those with anything in the log, live or
        not, those of which all was removed as old, and those that the intake has begun since the last
        commit."""

    def retired(self, community: int, kind: int, high: int, limit: int) -> tuple[list[int], bool]:
        """Cursors of the data messages of a kind that are in the log, not live, and have at most this global
        time, the oldest first; whether these are all."""

    def highest_number(self) -> int:
        """The highest number that any community here was given, purged ones included."""

    heads: Heads
    """Highest sequence and global time of every lane with anything in the log, live or not, or removed as
    old: whose messages are gone goes on counting behind them.

    The intake advances and puts, and never lowers: a message that is in the log and not live would pass for a
    new one when it comes again. The store makes what changed durable with the commit that brought it, and
    rebuilds it at start: what was put (an irregular mark) as it was put, raised to what the messages stored
    since the last run tell.
    """

    def reload(self) -> None:
        """Throw away what is in memory and read it again: after a commit that failed."""

    def signed(self) -> list[SignedRecord]:
        """What this node has signed as the second author, as far as it has to be remembered."""

    def requests(self) -> list[RequestRecord]:
        """The newest 100,000 publish requests, oldest first."""
