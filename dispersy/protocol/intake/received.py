"""Verified messages as the writer gets them, packed: single records, what they say, and how to pack some."""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby

from dispersy.ext.digest import identify_many
from dispersy.ext.wire import DROP_REASONS, parse_messages
from dispersy.protocol.identifiers import CommunityId, MemberId, MessageId, lane_name
from dispersy.protocol.intake.lane import LaneEntry
from dispersy.protocol.intake.waiting import Awaited, Waiter
from dispersy.protocol.wire.message import KEY_SIZE
from dispersy.protocol.wire.numbers import MessageFlag
from dispersy.protocol.wire.packing import encode_uvarint
from dispersy.protocol.wire.records import MESSAGE, STRIPPED
from dispersy.protocol.wire.stripped import Stripped

KIND_OFFSET = 26
FLAGS_OFFSET = 27
STATE_OFFSET = 30
SOURCE_OFFSET = 31
ID_OFFSET = 32
"""Of these fields in a message_record."""
TIME_WORD = 1
"""Which of a record's words of 8 bytes is the global time."""

Authors = tuple[MemberId, ...]


class Received:
    """One message out of a batch, as far as the intake looks at it: record, and the message's own bytes."""

    __slots__ = (
        "flags",
        "global_time",
        "id",
        "is_stripped",
        "kind",
        "message",
        "record",
        "sequence",
        "source",
    )

    def __init__(self, record: bytes, arena: bytes) -> None:
        fields = MESSAGE.unpack(record)
        self.record = record
        self.is_stripped = fields[9] == STRIPPED
        message = arena[fields[0] : fields[0] + fields[1]]
        self.message = Stripped(message) if self.is_stripped else message
        self.global_time: int = fields[2]
        self.sequence: int = fields[3]
        self.kind: int = fields[5]
        self.flags: int = fields[6]
        self.source: int = fields[10]
        self.id = MessageId(fields[11])

    @property
    def authors(self) -> Authors:
        """One or two; a message without author does not reach the store."""
        return authors_of(self.message)

    @property
    def entry(self) -> LaneEntry:
        """Its place in its lane."""
        return LaneEntry(self.lane, self.sequence, self.id, self.global_time)

    @property
    def lane(self) -> bytes:
        """The name of its lane."""
        return lane_name(self.message)

    def waiter(self, awaited: Awaited, *, is_spared: bool = False) -> Waiter:
        """It, waiting for something."""
        return Waiter(
            self.id,
            awaited,
            kind=self.kind,
            author=self.message[2 : 2 + KEY_SIZE],
            message=self.message,
            lane=self.lane,
            global_time=self.global_time,
            sequence=self.sequence,
            source=self.source,
            is_spared=is_spared,
        )


def authors_of(message: bytes) -> Authors:
    """Of a message that has any."""
    count = 2 if message[1] & MessageFlag.TWO_AUTHORS else 1
    return tuple(MemberId(message[2 + KEY_SIZE * at : 2 + KEY_SIZE * (at + 1)]) for at in range(count))


def lane_of(authors: Authors) -> bytes:
    """The name of the lane in which these write."""
    flags = MessageFlag.TWO_AUTHORS if len(authors) == 2 else 0
    return lane_name(bytes((0, flags)) + b"".join(authors))


def record_at(records: bytes, index: int) -> bytes:
    """One of many packed message_records."""
    return records[index * MESSAGE.size : (index + 1) * MESSAGE.size]


def received_at(records: bytes, arena: bytes, index: int) -> Received:
    """One of a batch."""
    return Received(record_at(records, index), arena)


def chosen(records: bytes, flags: Iterable[int]) -> bytes:
    """Those of packed message_records whose flag is set."""
    return b"".join(record_at(records, index) for index, flag in enumerate(flags) if flag)


def each_received(records: bytes, arena: bytes) -> Iterator[Received]:
    """A batch, message by message."""
    for index in range(len(records) // MESSAGE.size):
        yield received_at(records, arena, index)


def messages_of(records: bytes, arena: bytes) -> list[bytes]:
    """The bytes of each message of a batch."""
    words, step = array("I", records), MESSAGE.size // 4
    return [arena[at : at + size] for at, size in zip(words[0::step], words[1::step], strict=True)]


def first_time(records: bytes) -> int:
    """The global time of the first of packed message_records; 0 where there is none."""
    return memoryview(records).cast("Q")[TIME_WORD] if records else 0


def ids_of(records: bytes) -> list[bytes]:
    """The ids of packed message_records."""
    return [records[at : at + 32] for at in range(ID_OFFSET, len(records), MESSAGE.size)]


def pack(messages: Iterable[bytes], community_id: bytes) -> tuple[bytes, bytes]:
    """(packed message_records, arena) of well-formed messages, stripped ones too, as a verifier hands them
    on."""
    records, arena = bytearray(), b""
    for is_stripped, group in groupby(messages, key=lambda message: isinstance(message, Stripped)):
        area = b"".join(encode_uvarint(len(message)) + message for message in group)
        parsed = parse_messages(area, bytearray(4 * len(DROP_REASONS)), stripped=is_stripped)
        offsets = memoryview(parsed).cast("I")
        for at in range(0, len(offsets), MESSAGE.size // 4):
            offsets[at] += len(arena)
        offsets.release()
        records += parsed
        arena += area
    identify_many(records, arena, CommunityId(community_id))
    return bytes(records), arena


def pack_waiters(waiters: Sequence[Waiter], community_id: bytes) -> tuple[bytes, bytes]:
    """The same of messages that have waited."""
    records, arena = pack((each.message for each in waiters), community_id)
    changed = bytearray(records)
    # They may have to wait again, for something else, and then count as their neighbour's as before.
    changed[SOURCE_OFFSET :: MESSAGE.size] = bytes(each.source for each in waiters)
    return bytes(changed), arena
