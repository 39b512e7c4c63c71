"""Frames about large messages, those that no datagram holds: who has which, and their bytes by fragments.

Import them from frames. A message of n bytes is n / FRAGMENT_SIZE fragments, rounded up, each FRAGMENT_SIZE
bytes but the last; the longest message has fewer than 64, so that a request says in 64 bits which of them it
wants.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from dispersy.constants import (
    DATAGRAM_MESSAGE_SIZE_MAX,
    FRAGMENT_SIZE,
    GLOBAL_TIME_MAX,
    MESSAGE_SIZE_MAX,
)
from dispersy.errors import WireError
from dispersy.protocol.identifiers import MessageId, OrderKey
from dispersy.protocol.wire.numbers import FrameType
from dispersy.protocol.wire.packing import ORDER_KEY_SIZE, FieldReader, decode_uvarint, encode_uvarint

_ID_SIZE = 32


def fragment_count(size: int) -> int:
    """How many fragments a message of so many bytes has."""
    return -(-size // FRAGMENT_SIZE)


def all_fragments(size: int) -> int:
    """The bits of all fragments of a message of so many bytes."""
    return (1 << fragment_count(size)) - 1


@dataclass(frozen=True, slots=True)
class LargeName:
    """A large message that somebody has: what it is asked for by, what it will be checked against, its
    size."""

    global_time: int
    message_id: MessageId
    size: int

    @property
    def key(self) -> OrderKey:
        """Its order key."""
        return OrderKey(self.packed_key[:ORDER_KEY_SIZE])

    @property
    def packed_key(self) -> bytes:
        """As Holdings.scan() gives it: u64 global time ‖ id."""
        return self.global_time.to_bytes(8, "big") + self.message_id

    def encode(self) -> bytes:
        assert 1 <= self.global_time <= GLOBAL_TIME_MAX
        assert DATAGRAM_MESSAGE_SIZE_MAX < self.size <= MESSAGE_SIZE_MAX
        return encode_uvarint(self.global_time) + self.message_id + encode_uvarint(self.size)

    @classmethod
    def read(cls, reader: FieldReader) -> LargeName:
        """raises    WireError: frame-truncated, uvarint-malformed, large-malformed"""
        name = cls(reader.part(decode_uvarint), MessageId(reader.take(_ID_SIZE)), reader.part(decode_uvarint))
        if not name.global_time or not DATAGRAM_MESSAGE_SIZE_MAX < name.size <= MESSAGE_SIZE_MAX:
            raise WireError("large-malformed")
        return name


@dataclass(frozen=True, slots=True)
class Large:
    """Names large messages where an answer would carry them, or unasked (number 0) in place of a push.

    As a stripped frame it covers no interval: the messages frame behind it in the same datagram, under the
    same number, covers what is in both.
    """

    type: ClassVar[FrameType] = FrameType.LARGE

    number: int
    names: tuple[LargeName, ...]

    def encode(self) -> bytes:
        assert self.names
        return self.number.to_bytes(4, "big") + b"".join(name.encode() for name in self.names)

    @classmethod
    def decode(cls, body: bytes) -> Large:
        reader = FieldReader(body)
        number = reader.integer(4)
        names = [LargeName.read(reader)]
        while reader.offset < len(body):
            names.append(LargeName.read(reader))
        return cls(number, tuple(names))


@dataclass(frozen=True, slots=True)
class FragmentRequest:
    """Asks for fragments of one message.

    key         its order key
    fragments   bit i: fragment i is wanted; at least one
    """

    type: ClassVar[FrameType] = FrameType.FRAGMENT_REQUEST

    number: int
    key: OrderKey
    fragments: int

    def encode(self) -> bytes:
        assert len(self.key) == ORDER_KEY_SIZE
        assert 0 < self.fragments < 1 << 64
        return self.number.to_bytes(4, "big") + self.key + self.fragments.to_bytes(8, "big")

    @classmethod
    def decode(cls, body: bytes) -> FragmentRequest:
        reader = FieldReader(body)
        request = cls(reader.integer(4), OrderKey(reader.take(ORDER_KEY_SIZE)), reader.integer(8))
        reader.finish()
        if not request.fragments:
            raise WireError("count-zero")
        return request


@dataclass(frozen=True, slots=True)
class Fragment:
    """A part of the message that a request asked for.

    size    of the whole message; 0: it is not here in one piece (any longer), and data is empty
    index   which fragment
    data    FRAGMENT_SIZE bytes, fewer exactly where the message ends before
    """

    type: ClassVar[FrameType] = FrameType.FRAGMENT

    number: int
    size: int
    index: int
    data: bytes

    def encode(self) -> bytes:
        assert len(self.data) == _fragment_size(self.size, self.index)
        head = self.number.to_bytes(4, "big") + encode_uvarint(self.size) + bytes((self.index,))
        return head + self.data

    @classmethod
    def decode(cls, body: bytes) -> Fragment:
        reader = FieldReader(body)
        fragment = cls(reader.integer(4), reader.part(decode_uvarint), reader.integer(1), reader.rest())
        if fragment.size > MESSAGE_SIZE_MAX or (
            len(fragment.data) != _fragment_size(fragment.size, fragment.index)
        ):
            raise WireError("fragment-malformed")
        return fragment


def _fragment_size(size: int, index: int) -> int:
    """Bytes of this fragment of a message; -1 where it has no such fragment."""
    if not size:
        return 0 if not index else -1
    return min(FRAGMENT_SIZE, size - index * FRAGMENT_SIZE) if index < fragment_count(size) else -1
