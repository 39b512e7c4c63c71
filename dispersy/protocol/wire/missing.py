"""The request for messages by name. Import it from frames, where all frames are."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from dispersy.errors import WireError
from dispersy.protocol.identifiers import MemberId, MessageId
from dispersy.protocol.wire.numbers import FrameType, Missing
from dispersy.protocol.wire.packing import FieldReader, decode_uvarint, encode_uvarint

KEY_SIZE = 32


@dataclass(frozen=True, slots=True)
class MissingMessages:
    """Messages by id, 1 to 255 of them."""

    ids: tuple[MessageId, ...]


@dataclass(frozen=True, slots=True)
class MissingSequences:
    """The messages of a lane and kind, sequences low to high inclusive.

    author    whose messages, or the name of two authors' lane
    """

    author: MemberId
    kind: int
    low: int
    high: int


@dataclass(frozen=True, slots=True)
class MissingLast:
    """The newest `count` (1 to 255) messages of a kind, of one author or of any."""

    kind: int
    count: int
    author: MemberId | None = None


@dataclass(frozen=True, slots=True)
class MissingProof:
    """What permits these messages, 1 to 255 of them."""

    of: tuple[MessageId, ...]


@dataclass(frozen=True, slots=True)
class MissingNewest:
    """An author's newest message of every kind: where its sequences have got to."""

    author: MemberId


Wanted = MissingMessages | MissingSequences | MissingLast | MissingProof | MissingNewest


@dataclass(frozen=True, slots=True)
class RequestMissing:
    """Asks for messages by name; budget is the datagrams that the answer may take, 1 to 255."""

    type: ClassVar[FrameType] = FrameType.REQUEST_MISSING

    number: int
    budget: int
    wanted: Wanted

    def encode(self) -> bytes:
        assert 1 <= self.budget <= 255
        return self.number.to_bytes(4, "big") + bytes((self.budget,)) + encode_wanted(self.wanted)

    @classmethod
    def decode(cls, body: bytes) -> RequestMissing:
        reader = FieldReader(body)
        request = cls(reader.integer(4), reader.positive_byte(), _decode_wanted(reader))
        reader.finish()
        return request


def encode_wanted(wanted: Wanted) -> bytes:
    """As it stands in a request."""
    what, fields = _encode_wanted(wanted)
    return bytes((what,)) + fields


def decode_wanted(data: bytes) -> Wanted:
    """What encode_wanted() has made; WireError for anything else."""
    reader = FieldReader(data)
    wanted = _decode_wanted(reader)
    reader.finish()
    return wanted


def _encode_wanted(wanted: Wanted) -> tuple[Missing, bytes]:
    if isinstance(wanted, MissingMessages):
        return Missing.MESSAGE, _encode_ids(wanted.ids)
    if isinstance(wanted, MissingSequences):
        assert len(wanted.author) == KEY_SIZE
        assert 1 <= wanted.low <= wanted.high
        span = encode_uvarint(wanted.low) + encode_uvarint(wanted.high)
        return Missing.SEQUENCE, wanted.author + bytes((wanted.kind,)) + span
    if isinstance(wanted, MissingLast):
        assert 1 <= wanted.count <= 255
        assert wanted.author is None or len(wanted.author) == KEY_SIZE
        return Missing.LAST, bytes((wanted.kind, wanted.count)) + (wanted.author or b"")
    if isinstance(wanted, MissingNewest):
        assert len(wanted.author) == KEY_SIZE
        return Missing.NEWEST, wanted.author
    return Missing.PROOF, _encode_ids(wanted.of)


def _encode_ids(ids: tuple[MessageId, ...]) -> bytes:
    assert 1 <= len(ids) <= 255
    assert all(len(message_id) == KEY_SIZE for message_id in ids)
    return bytes((len(ids),)) + b"".join(ids)


def _decode_ids(reader: FieldReader) -> tuple[MessageId, ...]:
    return tuple(MessageId(reader.take(KEY_SIZE)) for _ in range(reader.positive_byte()))


def _decode_wanted(reader: FieldReader) -> Wanted:
    what = reader.integer(1)
    if what == Missing.MESSAGE:
        return MissingMessages(_decode_ids(reader))
    if what == Missing.SEQUENCE:
        author, kind = MemberId(reader.take(KEY_SIZE)), reader.integer(1)
        low, high = reader.part(decode_uvarint), reader.part(decode_uvarint)
        if not 1 <= low <= high:
            raise WireError("range-empty")
        return MissingSequences(author, kind, low, high)
    if what == Missing.LAST:
        kind, count = reader.integer(1), reader.positive_byte()
        author_absent = reader.offset == len(reader.data)
        return MissingLast(kind, count, None if author_absent else MemberId(reader.take(KEY_SIZE)))
    if what == Missing.PROOF:
        return MissingProof(_decode_ids(reader))
    if what == Missing.NEWEST:
        return MissingNewest(MemberId(reader.take(KEY_SIZE)))
    raise WireError("missing-unknown")
