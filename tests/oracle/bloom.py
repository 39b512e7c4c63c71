"""The Bloom filter of docs/wire.md, one bit at a time, with the mmh3 package as its hash."""

from __future__ import annotations

import mmh3

WORD = 1 << 64


class BloomFilter:
    """Bit i of the filter is bit i of one big integer."""

    def __init__(self, *, size_bits: int, hash_count: int, salt: int) -> None:
        self.size_bits = size_bits
        self.hash_count = hash_count
        self.salt = salt
        self.bits = 0

    def positions(self, key: bytes) -> list[int]:
        first, second = mmh3.hash64(key, self.salt, signed=False)
        return [(first + turn * (second | 1)) % WORD % self.size_bits for turn in range(self.hash_count)]

    def add(self, key: bytes) -> None:
        for position in self.positions(key):
            self.bits |= 1 << position

    def is_missing(self, key: bytes) -> bool:
        return not all(self.bits >> position & 1 for position in self.positions(key))

    def fill(self) -> float:
        return self.bits.bit_count() / self.size_bits

    def to_bytes(self) -> bytes:
        return self.bits.to_bytes(self.size_bits // 8, "little")


def coded(bits: bytes) -> bytes:
    """The gaps between the bits that are set, as a text of noughts and ones first."""
    number = int.from_bytes(bits, "little")
    places = [place for place in range(8 * len(bits)) if number >> place & 1]
    width = 0
    while 2 << width <= 8 * len(bits) // len(places):
        width += 1
    text = ""
    for before, place in zip([-1, *places], places, strict=False):
        rest = place - before - 1
        text += "1" * (rest >> width) + "0" + "".join(str(rest >> bit & 1) for bit in range(width))
    return int(text[::-1], 2).to_bytes(-(-len(text) // 8), "little")
