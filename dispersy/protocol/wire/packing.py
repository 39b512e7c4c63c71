"""Fields of frame bodies: a reader that refuses what runs short, strict uvarints, bounds of ranges."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from dispersy.errors import WireError
from dispersy.protocol.identifiers import ORDER_TOP, OrderKey

UVARINT_MAX = (1 << 63) - 1
UVARINT_SIZE_MAX = 9
ORDER_KEY_SIZE = 24
BOUND_TOP = 255

Part = TypeVar("Part")


def encode_uvarint(value: int) -> bytes:
    """LEB128 of 0 <= value < 2^63, in its one shortest form."""
    assert 0 <= value <= UVARINT_MAX
    if value <= 0x7F:
        return bytes((value,))
    encoded = bytearray()
    while value > 0x7F:
        encoded.append(value & 0x7F | 0x80)
        value >>= 7
    encoded.append(value)
    return bytes(encoded)


def decode_uvarint(data: bytes, offset: int) -> tuple[int, int]:
    """The value at offset and the offset behind it.

    raises  WireError: frame-truncated, uvarint-malformed (longer than needed, or 2^63 and above)
    """
    value = 0
    for index, byte in enumerate(data[offset : offset + UVARINT_SIZE_MAX]):
        value |= (byte & 0x7F) << (7 * index)
        if byte < 0x80:
            if byte == 0 and index > 0:
                raise WireError("uvarint-malformed")
            return value, offset + index + 1
    raise WireError("uvarint-malformed" if len(data) - offset >= UVARINT_SIZE_MAX else "frame-truncated")


def encode_bound(key: OrderKey) -> bytes:
    """One end of a range: the order key without the zeros at its end, or the top."""
    assert len(key) == ORDER_KEY_SIZE
    if key == ORDER_TOP:
        return bytes((BOUND_TOP,))
    significant = key.rstrip(b"\0")
    return bytes((len(significant),)) + significant


def decode_bound(data: bytes, offset: int) -> tuple[OrderKey, int]:
    """The order key at offset and the offset behind it.

    raises  WireError: frame-truncated, bound-malformed (too long, zero last byte, or the top written out)
    """
    if offset >= len(data):
        raise WireError("frame-truncated")
    size = data[offset]
    if size == BOUND_TOP:
        return ORDER_TOP, offset + 1
    if size > ORDER_KEY_SIZE:
        raise WireError("bound-malformed")
    end = offset + 1 + size
    significant = data[offset + 1 : end]
    if len(significant) < size:
        raise WireError("frame-truncated")
    if significant.endswith(b"\0") or significant == ORDER_TOP:
        raise WireError("bound-malformed")
    return OrderKey(significant.ljust(ORDER_KEY_SIZE, b"\0")), end


class FieldReader:
    """Takes the fields of one body from front to back; WireError frame-truncated where it runs short."""

    __slots__ = ("data", "offset")

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.offset = 0

    def take(self, size: int) -> bytes:
        end = self.offset + size
        if end > len(self.data):
            raise WireError("frame-truncated")
        field = self.data[self.offset : end]
        self.offset = end
        return field

    def integer(self, size: int) -> int:
        """A big-endian integer of `size` bytes."""
        return int.from_bytes(self.take(size), "big")

    def positive_byte(self) -> int:
        """A count or budget; WireError count-zero for 0."""
        value = self.integer(1)
        if value == 0:
            raise WireError("count-zero")
        return value

    def part(self, decode: Callable[[bytes, int], tuple[Part, int]]) -> Part:
        """A part of varying size, by its own decoder (data, offset) -> (value, offset behind it)."""
        value, self.offset = decode(self.data, self.offset)
        return value

    def key_range(self) -> tuple[OrderKey, OrderKey]:
        """Two bounds; WireError range-empty where nothing can lie between them."""
        low, high = self.part(decode_bound), self.part(decode_bound)
        if low >= high:
            raise WireError("range-empty")
        return low, high

    def rest(self) -> bytes:
        return self.take(len(self.data) - self.offset)

    def finish(self) -> None:
        """WireError frame-trailing unless everything has been taken."""
        if self.offset != len(self.data):
            raise WireError("frame-trailing")
