"""How the LMDB store's bytes are laid out, and the column work that packs blocks without a loop per message.

Every integer on disk is big-endian, so that keys sort as numbers do. docs/store.md shows the databases; this
file is the one place that encodes and decodes their keys and values. Packed message_records (ext/records.h)
are taken apart by columns: a record is 12 words of 8 bytes; a slice of an array with a stride copies one
column in C.
"""

from __future__ import annotations

import sys
from array import array
from collections.abc import Iterable, Iterator, Sequence
from hashlib import blake2b
from struct import Struct, pack

from dispersy.protocol.identifiers import lane_name
from dispersy.protocol.intake.marks import DENIED, ERASED, INACTIVE, ON_REQUEST
from dispersy.protocol.wire.stripped import Stripped, payload_count, strip, with_empty_payloads
from dispersy.storage.store import ON_REQUEST_PART, EntryType, EventEntry, LogEntry

FORMAT_NAME = "dispersy store"
FORMAT_VERSION = 4
OLDEST_VERSION = 1
"""What the writer brings up to date when it opens it: 1 has no database of control messages, 2 none of what
is retired, 3 nothing on request."""

CURSOR = Struct(">Q")
COMMUNITY = Struct(">I")
ENTRY_HEAD = Struct(">BI")
"""type, community: what every log entry starts with."""
MESSAGE_HEAD = Struct(">BIBHI")
"""type, community, marks, arrival in ms (48 bits in two parts); then 32-byte id, message."""
EVENT_BODY = Struct(">32sQ")
"""message id, message cursor; then the reason in ASCII."""
REMOVED_BODY = Struct(">QQ")
STATE = Struct(">QQQH12sQQ")
"""clock, count, highest, horizon, sum, pruning time, how many are on request"""
REQUEST = Struct(">16sI")
HEAD_KEY = Struct(">I32sB")
HEAD = Struct(">QQB")
"""sequence, global time, irregular"""
SLOT = Struct(">16sQQQ")
"""lane hash, sequence, global time, cursor: an entry of the slots table"""
RETIRED_KEY = Struct(">IBQ")
"""community, kind, global time; then the 32-byte id"""
IDENTIFIER = Struct(">16sQ")
"""id prefix, cursor: an entry of the ids table"""

MARKS_OFFSET = 5
ID_OFFSET = MESSAGE_HEAD.size
MESSAGE_OFFSET = ID_OFFSET + 32
UNLIVE = 64
"""Bit of a stored marks byte: the message is not in the order any more. Readers see DENIED instead."""

META_FORMAT = b"format"
META_NEXT = b"next"
META_INDEXED = b"indexed"
META_COMMUNITY = b"community"
META_STATE = b"state"
META_SYMBOLS = b"symbols"
META_SYMBOLS_CHANGED = b"symbols changed"
META_TREE = b"tree"
META_PURGE = b"purge"
META_NUMBERED = b"numbered"
META_BLOCKED = b"blocked"
META_STARTED = b"started"
META_UNDONE = b"undone"
META_SIGNED = b"signed"
META_HOME = b"home"
"""What ties the store to its home (stamp.py)."""

ORDER_KEY_SIZE, ORDER_ID_OFFSET = 44, 12
KEY_ID_OFFSET = 8
"""Of a packed key, which is one of the order without the community."""
RECORD_SIZE = 96
RECORD_WORDS = RECORD_SIZE // 8
TIME_WORD, SEQUENCE_WORD, ID_WORD = 1, 2, 4
KIND_BYTE, COUNT_BYTE = 26, 28
_PART_BIT = ON_REQUEST_PART >> 24
"""Of the first byte of an order key."""


def big_endian(values: Iterable[int]) -> array[int]:
    """u64 values as words whose bytes are big-endian (not numbers any more: only to be copied)."""
    words = values if isinstance(values, array) else array("Q", values)
    if sys.byteorder == "little":
        words.byteswap()
    return words


def slices(packed: bytes, size: int) -> list[bytes]:
    """Packed rows of `size` bytes, one by one."""
    return [packed[at : at + size] for at in range(0, len(packed), size)]


def cursor_keys(cursors: Sequence[int]) -> list[bytes]:
    """Keys of the log."""
    return slices(pack(f">{len(cursors)}Q", *cursors), CURSOR.size)


def order_keys(community: int, records: bytes) -> list[bytes]:
    """The order's key of each message_record: u32 community ‖ u64 global time ‖ 32-byte id."""
    count = len(records) // RECORD_SIZE
    words = array("I", records)
    times = array("I", big_endian(array("Q", records)[TIME_WORD::RECORD_WORDS]).tobytes())
    rows = array("I", COMMUNITY.pack(community)) * (11 * count)
    rows[1::11] = times[0::2]
    rows[2::11] = times[1::2]
    for word in range(8):
        rows[3 + word :: 11] = words[2 * ID_WORD + word :: 2 * RECORD_WORDS]
    return slices(rows.tobytes(), ORDER_KEY_SIZE)


def is_on_request(order_key: bytes) -> bool:
    """Whether a key of the order is one of what is on request."""
    return bool(order_key[0] & _PART_BIT)


def part_key(order_key: bytes, *, on_request: bool) -> bytes:
    """The key of the order that a message has in one of its community's two parts."""
    number = order_key[0] & ~_PART_BIT | (_PART_BIT if on_request else 0)
    return bytes([number]) + order_key[1:]


def id_entries(prefixes: bytes, values: bytes) -> bytes:
    """Packed ids entries of packed 16-byte prefixes and packed native u64 cursors."""
    words = array("Q", prefixes)
    rows = array("Q", bytes(len(values) * 3))
    rows[0::3] = words[0::2]
    rows[1::3] = words[1::2]
    rows[2::3] = big_endian(array("Q", values))
    return rows.tobytes()


def lane_hash(community: int, name: bytes, kind: int) -> bytes:
    """16 bytes that stand for a lane in the slots table."""
    return blake2b(HEAD_KEY.pack(community, name, kind), digest_size=16).digest()


def message_head(community: int, marks: int, arrival_ms: int) -> bytes:
    """What stands before id and message in a log entry."""
    return MESSAGE_HEAD.pack(
        EntryType.MESSAGE, community, marks, arrival_ms >> 32 & 0xFFFF, arrival_ms & 0xFFFFFFFF
    )


def with_marks(entry: bytes, marks: int) -> bytes:
    """A message's log entry with other marks."""
    return entry[:MARKS_OFFSET] + bytes([marks]) + entry[MARKS_OFFSET + 1 :]


def erase(entry: bytes) -> bytes:
    """A message's log entry without its payload part; one that is erased already stays as it is."""
    if entry[MARKS_OFFSET] & ERASED:
        return entry
    head = with_marks(entry[:MESSAGE_OFFSET], entry[MARKS_OFFSET] | ERASED)
    message = entry[MESSAGE_OFFSET:]
    return head + erased_body(strip(message), payload_count(message))


def erased_body(stripped: bytes, count: int) -> bytes:
    """What stands in a log entry for an erased message, which does not tell any more how many payloads it had
    and so how many cursors it takes."""
    return stripped + bytes([count])


def synchronised_message(entry: bytes) -> bytes:
    """The message of a log entry as neighbours get it."""
    if entry[MARKS_OFFSET] & ERASED:
        return Stripped(entry[MESSAGE_OFFSET:-1])
    return entry[MESSAGE_OFFSET:]


def read_message(entry: bytes) -> bytes:
    """The message of a log entry as those get it who show it."""
    if entry[MARKS_OFFSET] & ERASED:
        return with_empty_payloads(entry[MESSAGE_OFFSET:-1], entry[-1])
    return entry[MESSAGE_OFFSET:]


def shown_marks(stored: int) -> int:
    """A stored marks byte as readers get it: who knows no order shall still see what does not count."""
    denied = DENIED if stored & UNLIVE and not stored & INACTIVE else 0
    return stored & ~(UNLIVE | ON_REQUEST) | denied


def encode_event(event: EventEntry) -> bytes:
    """A log entry of an event, whole."""
    return (
        ENTRY_HEAD.pack(event.type, event.community)
        + EVENT_BODY.pack(event.message_id, event.message_cursor)
        + event.reason.encode("ascii")
    )


def encode_removed(community: int, low: int, high: int) -> bytes:
    """The marker that stands under the cursor `high` for entries that were removed."""
    return ENTRY_HEAD.pack(EntryType.REMOVED, community) + REMOVED_BODY.pack(low, high)


def decode_entry(cursor: int, data: bytes) -> LogEntry:
    """A log entry as readers get it; ValueError for a type that this format does not have."""
    kind, community = ENTRY_HEAD.unpack_from(data)
    if kind == EntryType.MESSAGE:
        _, _, marks, arrival_high, arrival_low = MESSAGE_HEAD.unpack_from(data)
        return LogEntry(
            cursor,
            EntryType.MESSAGE,
            community,
            data[ID_OFFSET:MESSAGE_OFFSET],
            shown_marks(marks),
            arrival_high << 32 | arrival_low,
            read_message(data),
            cursor,
            "",
        )
    if kind == EntryType.REMOVED:
        low, high = REMOVED_BODY.unpack_from(data, ENTRY_HEAD.size)
        return LogEntry(high, EntryType.REMOVED, community, b"", 0, 0, b"", low, "")
    message_id, message_cursor = EVENT_BODY.unpack_from(data, ENTRY_HEAD.size)
    reason = data[ENTRY_HEAD.size + EVENT_BODY.size :].decode("ascii")
    return LogEntry(cursor, EntryType(kind), community, message_id, 0, 0, b"", message_cursor, reason)


def message_place(message: bytes) -> tuple[int, bytes, int, int]:
    """(kind, lane name, global time, sequence) of a stored, hence well-formed, message with an author."""
    offset = 34 + 32 * (message[1] & 1) + 32 * (message[1] >> 2 & 1)
    global_time, offset = _uvarint(message, offset)
    sequence, _ = _uvarint(message, offset)
    return message[0], lane_name(message), global_time, sequence


def entry_order_key(entry: bytes) -> bytes:
    """The order's key of a message's log entry."""
    global_time = message_place(entry[MESSAGE_OFFSET:])[2]
    key = entry[1:5] + CURSOR.pack(global_time) + entry[ID_OFFSET:MESSAGE_OFFSET]
    return part_key(key, on_request=True) if entry[MARKS_OFFSET] & ON_REQUEST else key


def retired_key(entry: bytes) -> bytes:
    """The key of a message's log entry among those that are retired."""
    kind, _, global_time, _ = message_place(entry[MESSAGE_OFFSET:])
    community = COMMUNITY.unpack_from(entry, 1)[0]
    return RETIRED_KEY.pack(community, kind, global_time) + entry[ID_OFFSET:MESSAGE_OFFSET]


def entry_size(entry: bytes) -> int:
    """How many cursors a message's log entry takes."""
    return entry[-1] if entry[MARKS_OFFSET] & ERASED else payload_count(entry[MESSAGE_OFFSET:])


Row = tuple[int, int, int]
"""Community, first and last cursor of what is gone."""


def joined_rows(rows: Iterable[Row]) -> Iterator[Row]:
    """Ascending rows, those that follow one another as one."""
    last: Row | None = None
    for community, low, high in rows:
        if last is not None and last[0] == community and last[2] + 1 == low:
            last = community, last[1], high
            continue
        if last is not None:
            yield last
        last = community, low, high
    if last is not None:
        yield last


def _uvarint(data: bytes, offset: int) -> tuple[int, int]:
    value = shift = 0
    while data[offset] & 0x80:
        value |= (data[offset] & 0x7F) << shift
        shift += 7
        offset += 1
    return value | data[offset] << shift, offset + 1
