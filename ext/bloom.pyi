"""Bloom filters over packed keys, MurmurHash3 x64 128 double hashing, salted; the GIL is released while hashing."""

from typing import Self, final

from typing_extensions import Buffer

@final
class BloomFilter:
    """A filter of `size_bits` (a multiple of 8) with `hash_count` bits a key; `salt` (u32) is the hash's seed."""

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
        """A filter of this size with the hash count that suits `error_rate` (the closest of 1 to 32)."""
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
