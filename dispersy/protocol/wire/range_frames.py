"""Requests for what the asker lacks of a range. Import them from frames.

A sync-request says everything for itself. A range-request says the same in fewer bytes, for a pull is many
of them: its range begins or ends where a global time does, its number is the filter's salt, and the bits of a
filter of one hash are coded. That is the smallest filter where few wrong positives are wanted: of n held ids
at an error rate p it takes about n (log2(1/p) + 1.5) bits, where one with many hashes takes 1.44 n log2(1/p).
And what lies above all that the asker holds is no part of what the filter describes, so it gets nothing wrong
there.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from dispersy.constants import FILTER_BITS_PER_SET_MAX, FILTER_FILL_MAX, FILTER_UNCODED_SIZE_MAX
from dispersy.errors import WireError
from dispersy.ext import bloom
from dispersy.protocol.identifiers import ORDER_LOW, ORDER_TOP, OrderKey
from dispersy.protocol.wire.numbers import BINDING_FLAGS, FrameType, SyncFlag
from dispersy.protocol.wire.packing import (
    ORDER_KEY_SIZE,
    UVARINT_MAX,
    FieldReader,
    decode_uvarint,
    encode_bound,
    encode_uvarint,
)
from dispersy.protocol.wire.selection import Selection

HASH_COUNT_MAX = 32
_SYNC_FLAGS_REFUSED = BINDING_FLAGS & ~sum(SyncFlag)
TIME_SIZE = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class SyncRequest:
    """Asks for what the sender lacks of a range.

    budget      datagrams that the answer may take, 1 to 255
    low, high   order keys, half open, low < high
    selection   which messages of the range; None: all, ascending
    salt        u32, the filter's seed
    hash_count  1 to 32; 0 without a filter
    filter      bits of what the sender holds in the range (ext.bloom), empty exactly without a filter
    described   the filter says nothing of what is at or above it, all of which is lacking; above low, and
                below high or ORDER_TOP
    """

    type: ClassVar[FrameType] = FrameType.SYNC_REQUEST

    number: int
    budget: int
    low: OrderKey = ORDER_LOW
    high: OrderKey = ORDER_TOP
    selection: Selection | None = None
    salt: int = 0
    hash_count: int = 0
    filter: bytes = b""
    described: OrderKey = ORDER_TOP

    def encode(self) -> bytes:
        assert 1 <= self.budget <= 255
        assert self.low < self.high
        assert self.described == ORDER_TOP
        assert 0 <= self.hash_count <= HASH_COUNT_MAX
        assert (self.hash_count == 0) == (not self.filter)
        return (
            self.number.to_bytes(4, "big")
            + bytes((SyncFlag(0) if self.selection is None else SyncFlag.SELECTION, self.budget))
            + encode_bound(self.low)
            + encode_bound(self.high)
            + (b"" if self.selection is None else self.selection.encode())
            + self.salt.to_bytes(4, "big")
            + bytes((self.hash_count,))
            + self.filter
        )

    @classmethod
    def decode(cls, body: bytes) -> SyncRequest:
        """raises WireError, also filter-full: such a filter would be examined at length and answer little."""
        reader = FieldReader(body)
        number, flags, budget = reader.integer(4), reader.integer(1), reader.positive_byte()
        if flags & _SYNC_FLAGS_REFUSED:
            raise WireError("flags-unknown")
        low, high = reader.key_range()
        selection = Selection.read(reader) if flags & SyncFlag.SELECTION else None
        salt, hash_count, bits = reader.integer(4), reader.integer(1), reader.rest()
        if hash_count > HASH_COUNT_MAX or (hash_count == 0) != (not bits):
            raise WireError("filter-malformed")
        if bloom.count_bits(bits) > FILTER_FILL_MAX * 8 * len(bits):
            raise WireError("filter-full")
        return cls(
            number=number,
            budget=budget,
            low=low,
            high=high,
            selection=selection,
            salt=salt,
            hash_count=hash_count,
            filter=bits,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class RangeRequest(SyncRequest):
    """A SyncRequest whose salt is its number, and whose range ends as says_shortly() wants, as does what its
    filter describes."""

    type: ClassVar[FrameType] = FrameType.RANGE_REQUEST

    def encode(self) -> bytes:
        assert 1 <= self.budget <= 255
        assert self.selection is None
        assert says_shortly(self.low, self.high)
        assert self.salt == (self.number if self.hash_count else 0)
        assert (self.hash_count == 0) == (not self.filter)
        assert self.described == ORDER_TOP or (self.filter and self.low < self.described < self.high)
        time, beginning = _time_of(self.low), self.low[TIME_SIZE:].rstrip(b"\0")
        return (
            self.number.to_bytes(4, "big")
            + bytes((self.budget,))
            + encode_uvarint(time)
            + _encode_span(time, self.high)
            + bytes((len(beginning),))
            + beginning
            + self._encoded_filter()
        )

    def _encoded_filter(self) -> bytes:
        if not self.hash_count:
            return b""
        head = bytes((self.hash_count,)) + _encode_span(_time_of(self.low), self.described)
        if self.hash_count > 1:
            return head + self.filter
        sizes = encode_uvarint(len(self.filter)) + encode_uvarint(bloom.count_bits(self.filter))
        return head + sizes + bloom.code_bits(self.filter)

    @classmethod
    def decode(cls, body: bytes) -> RangeRequest:
        """raises WireError, as a SyncRequest's"""
        reader = FieldReader(body)
        number, budget = reader.integer(4), reader.positive_byte()
        time = reader.part(decode_uvarint)
        high = _decode_span(reader, time)
        beginning = reader.take(reader.integer(1))
        if len(beginning) > ORDER_KEY_SIZE - TIME_SIZE or beginning.endswith(b"\0"):
            raise WireError("bound-malformed")
        low = OrderKey((time.to_bytes(TIME_SIZE, "big") + beginning).ljust(ORDER_KEY_SIZE, b"\0"))
        hash_count, described, bits = _decoded_filter(reader, time)
        if high <= described < ORDER_TOP:
            raise WireError("filter-malformed")
        return cls(
            number=number,
            budget=budget,
            low=low,
            high=high,
            salt=number if hash_count else 0,
            hash_count=hash_count,
            filter=bits,
            described=described,
        )


def says_shortly(low: OrderKey, high: OrderKey) -> bool:
    """Whether a range ends at the top or where a global time begins, as one of a range-request does."""
    is_time = not any(high[TIME_SIZE:]) and _time_of(high) <= UVARINT_MAX
    return _time_of(low) <= UVARINT_MAX and (high == ORDER_TOP or is_time)


def _encode_span(time: int, high: OrderKey) -> bytes:
    """One end of a range as the global times from its low one on; 0 is the top."""
    return encode_uvarint(0 if high == ORDER_TOP else _time_of(high) - time)


def _decode_span(reader: FieldReader, time: int) -> OrderKey:
    span = reader.part(decode_uvarint)
    if time + span > UVARINT_MAX:
        raise WireError("bound-malformed")
    return _first_key(time + span) if span else ORDER_TOP


def _decoded_filter(reader: FieldReader, time: int) -> tuple[int, OrderKey, bytes]:
    """(hash count, how far the filter describes, bits), 0 without a filter.

    raises  WireError: filter-malformed, filter-full
    """
    if reader.offset == len(reader.data):
        return 0, ORDER_TOP, b""
    hash_count = reader.integer(1)
    if not 1 <= hash_count <= HASH_COUNT_MAX:
        raise WireError("filter-malformed")
    described = _decode_span(reader, time)
    if hash_count > 1:
        bits = reader.rest()
        count = bloom.count_bits(bits)
        size = len(bits)
    else:
        size, count = reader.part(decode_uvarint), reader.part(decode_uvarint)
    if not size or size > FILTER_UNCODED_SIZE_MAX:
        raise WireError("filter-malformed")
    if count > FILTER_FILL_MAX * 8 * size:
        raise WireError("filter-full")
    if hash_count == 1:
        if 8 * size > FILTER_BITS_PER_SET_MAX * count:
            raise WireError("filter-malformed")
        uncoded = bloom.bits_of(reader.rest(), count=count, size_bytes=size)
        if uncoded is None:
            raise WireError("filter-malformed")
        bits = uncoded
    return hash_count, described, bits


def _first_key(time: int) -> OrderKey:
    return OrderKey(time.to_bytes(TIME_SIZE, "big").ljust(ORDER_KEY_SIZE, b"\0"))


def _time_of(key: OrderKey) -> int:
    return int.from_bytes(key[:TIME_SIZE], "big")
