"""Bloom filters over packed keys, by salted double hashing with MurmurHash3 x64 128.

The GIL is released while hashing: one filter belongs to one thread at a time, or additions get lost.
Arguments that do not fit raise ValueError.
"""

from typing import Self, final

from typing_extensions import Buffer

@final
class BloomFilter:
    """`size_bits` (a multiple of 8) with `hash_count` bits a key (1 to 32); `salt` (u32) seeds the hash."""

    @property
    def size_bits(self) -> int: ...
    @property
    def hash_count(self) -> int: ...
    @property
    def salt(self) -> int: ...
    def __new__(cls, *, size_bits: int, hash_count: int, salt: int) -> Self: ...
    @classmethod
    def from_capacity(cls, *, capacity: int, error_rate: float, salt: int) -> BloomFilter:
        """The smallest filter that holds `capacity` keys at `error_rate`, size rounded up to whole bytes."""
    @classmethod
    def from_size(cls, *, size_bits: int, error_rate: float, salt: int) -> BloomFilter:
        """A filter of this size with the hash count (1 to 32) that holds the most keys at `error_rate`."""
    @classmethod
    def from_bytes(cls, bits: Buffer, *, hash_count: int, salt: int) -> BloomFilter: ...
    def capacity(self, *, error_rate: float) -> int:
        """How many keys this filter holds before its false positive rate passes `error_rate`."""
    def add_many(self, keys: Buffer, key_size: int) -> None: ...
    def missing_many(self, keys: Buffer, key_size: int) -> bytes:
        """One byte a key: 1 = certainly not added, 0 = probably added."""
    def fill(self) -> float:
        """Share of bits that are set, 0.0 to 1.0."""
    def clear(self) -> None: ...
    def to_bytes(self) -> bytes: ...

def count_bits(bits: Buffer) -> int:
    """How many are set."""

def code_bits(bits: Buffer) -> bytes:
    """Bits of which few are set (at least one), in fewer bytes: the gaps between those, Rice coded.

    With parameter r = floor(log2(bits // set bits)) the gap before each set bit is gap >> r ones and a zero,
    then the r low bits of it. All is least significant bit first, and the rest of the last byte zeros.
    """

def bits_of(coded: Buffer, *, count: int, size_bytes: int) -> bytes | None:
    """The bits whose code_bits() are these; None where none of that count and size has this code."""
