"""Coded symbols as docs/wire.md states them: an item is asked symbol by symbol whether it is in it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache

WORD = 1 << 64


@dataclass
class Symbol:
    """Sums over the items in it."""

    item: int = 0
    check: int = 0
    count: int = 0

    def encode(self) -> bytes:
        numbers = self.item.to_bytes(8, "little") + self.check.to_bytes(4, "little")
        return numbers + bytes([self.count % 256])


@cache
def siphash_1_3(word: int, key: bytes) -> int:
    """SipHash-1-3 of one little-endian word."""
    return siphash_of((word,), key)


def keyed_item(message_id: bytes, key: bytes) -> bytes:
    """What stands for a 32-byte id under this key."""
    words = tuple(int.from_bytes(message_id[at : at + 8], "little") for at in range(0, 32, 8))
    return siphash_of(words, key).to_bytes(8, "little")


def siphash_of(words: tuple[int, ...], key: bytes) -> int:
    """SipHash-1-3 of little-endian words, as its paper has it."""
    keys = [int.from_bytes(key[at : at + 8], "little") for at in (0, 8)]
    v = [
        keys[0] ^ 0x736F6D6570736575,
        keys[1] ^ 0x646F72616E646F6D,
        keys[0] ^ 0x6C7967656E657261,
        keys[1] ^ 0x7465646279746573,
    ]
    for block in (*words, 8 * len(words) << 56):
        v[3] ^= block
        _round(v)
        v[0] ^= block
    v[2] ^= 0xFF
    for _ in range(3):
        _round(v)
    return v[0] ^ v[1] ^ v[2] ^ v[3]


def _round(v: list[int]) -> None:
    def add(to: int, what: int, turn: int, turned: int = 0) -> None:
        v[to] = (v[to] + v[what]) % WORD
        v[what] = _rotate(v[what], turn) ^ v[to]
        if turned:
            v[to] = _rotate(v[to], turned)

    add(0, 1, 13, 32)
    add(2, 3, 16)
    add(0, 3, 21)
    add(2, 1, 17, 32)


def _rotate(value: int, bits: int) -> int:
    return (value << bits | value >> (64 - bits)) % WORD


def check_of(item: int, key: bytes) -> int:
    return siphash_1_3(item, key) >> 32


@cache
def symbols_with(item: int, key: bytes, count: int) -> list[int]:
    """Which of the first `count` symbols the item is in."""
    state = siphash_1_3(item, key)
    found = [0][:count]
    state, drawn = _draw(state)
    for index in range(1, count):
        last = found[-1]
        if (index + 1) * (index + 2) * drawn >= (last + 1) * (last + 2) << 32:
            found.append(index)
            state, drawn = _draw(state)
    return found


def _draw(state: int) -> tuple[int, int]:
    """SplitMix64: its next state, and a number from 1 to 2^32."""
    state = (state + 0x9E3779B97F4A7C15) % WORD
    mixed = (state ^ state >> 30) * 0xBF58476D1CE4E5B9 % WORD
    mixed = (mixed ^ mixed >> 27) * 0x94D049BB133111EB % WORD
    return state, ((mixed ^ mixed >> 31) >> 32) + 1


def make_symbols(items: Iterable[bytes], key: bytes, count: int) -> list[Symbol]:
    symbols = [Symbol() for _ in range(count)]
    for item in items:
        value = int.from_bytes(item[:8], "little")
        for index in symbols_with(value, key, count):
            symbols[index].item ^= value
            symbols[index].check ^= check_of(value, key)
            symbols[index].count += 1
    return symbols


def encoded(symbols: list[Symbol]) -> bytes:
    return b"".join(symbol.encode() for symbol in symbols)


def subtract(ours: list[Symbol], theirs: list[Symbol]) -> list[Symbol]:
    return [
        Symbol(one.item ^ other.item, one.check ^ other.check, one.count - other.count)
        for one, other in zip(ours, theirs, strict=True)
    ]


def peel(difference: list[Symbol], key: bytes, known: bytes) -> tuple[set[bytes], set[bytes], bool]:
    """Take out what stands alone until nothing does; (only ours, only theirs, whether nothing is left).

    known   one byte a symbol, 0 for one that did not arrive
    """
    ours, theirs = set[bytes](), set[bytes]()
    indices = [index for index in range(len(difference)) if known[index]]
    while True:
        alone = next((index for index in indices if _is_alone(difference[index], index, key)), None)
        if alone is None or len(ours) + len(theirs) == len(difference):
            break
        item, change = difference[alone].item, difference[alone].count
        (ours if change == 1 else theirs).add(item.to_bytes(8, "little"))
        for index in symbols_with(item, key, len(difference)):
            difference[index].item ^= item
            difference[index].check ^= check_of(item, key)
            difference[index].count -= change
    return ours, theirs, all(difference[index] == Symbol() for index in indices)


def _is_alone(symbol: Symbol, index: int, key: bytes) -> bool:
    return (
        abs(symbol.count) == 1
        and symbol.check == check_of(symbol.item, key)
        and index in symbols_with(symbol.item, key, index + 1)
    )


def estimate(difference: list[Symbol], surplus: int) -> float:
    """How many items differ, from what counts deviate by."""
    terms = []
    for index in range(4, len(difference)):
        share = 1 / (1 + index / 2)
        terms.append((difference[index].count - surplus * share) ** 2 / (share * (1 - share)))
    return max(abs(surplus), sum(terms) / len(terms))
