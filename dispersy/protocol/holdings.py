"""What a community's store holds, as the machines of synchronisation see it, and how its packed keys are
read."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from operator import itemgetter
from struct import Struct
from typing import Protocol

from dispersy.constants import SCAN_MAX
from dispersy.ext import digest, rows
from dispersy.protocol.identifiers import ORDER_TOP, CommunityId, GlobalTime, MessageId, OrderKey
from dispersy.protocol.wire.large_frames import LargeName
from dispersy.protocol.wire.packing import ORDER_KEY_SIZE
from dispersy.protocol.wire.summary import SUM_MODULUS, Summary

KEY_SIZE = 40
"""A packed key: u64 global time big-endian ‖ 32-byte message id. Its first 24 bytes are the order key."""
ID_SIZE = 32
_WHOLE_KEY = Struct("40s")
_FIRST: Callable[[tuple[bytes]], bytes] = itemgetter(0)
SCAN_CHUNK = 1_024
SUM_PORTION = 8_192


class Holdings(Protocol):
    """The live messages of one community, as last committed."""

    def summary(self) -> Summary: ...

    def scan(self, low: bytes, high: bytes, limit: int) -> tuple[bytes, bytes, bool]:
        """As StoreReader.scan: (packed keys, packed native u64 cursors, whether the range ends here)."""

    def scan_back(self, low: bytes, high: bytes, limit: int) -> tuple[bytes, bytes, bool]:
        """The same from high downwards: as StoreReader.scan_back."""

    def named(self, key: OrderKey) -> tuple[bytes, bytes]:
        """(packed key, packed native u64 cursor) of what has this order key, offered or on request; empty
        where there is nothing."""


class MessageHoldings(Holdings, Protocol):
    """Holdings whose messages can be read too."""

    def messages(self, cursors: Sequence[int]) -> list[bytes]:
        """Whole messages by cursor."""


class ItemHoldings(MessageHoldings, Protocol):
    """Holdings that can be described by symbols, and whose messages are found by what symbols tell."""

    def community_id(self) -> CommunityId: ...

    def tree(self, level: int, indexes: Sequence[int]) -> list[tuple[int, int]] | None:
        """As StoreReader.tree: (count, sum) of nodes, of the very set that summary() tells of, or None."""

    def symbols(self, first: int, count: int) -> bytes | None:
        """As StoreReader.symbols: of the very set that summary() tells of, None where there are none yet."""

    def find_items(self, items: bytes) -> list[int]:
        """As StoreReader.find_items: cursors of messages whose ids begin with these packed items."""


def ids_of(keys: bytes | bytearray) -> bytes:
    """The packed 32-byte ids of packed keys."""
    return rows.ids_of(keys)


def order_key_at(keys: bytes, index: int) -> OrderKey:
    """The order key of one of several packed keys; a negative index counts from the end."""
    start = index * KEY_SIZE if index >= 0 else len(keys) + index * KEY_SIZE
    return OrderKey(keys[start : start + ORDER_KEY_SIZE])


def packed_keys_of(keys: bytes | bytearray) -> Iterator[bytes]:
    """Packed keys, one by one."""
    return map(_FIRST, _WHOLE_KEY.iter_unpack(keys))


def named_by(packed_key: bytes, size: int) -> LargeName:
    """The name of a large message of so many bytes that is held under this packed key."""
    return LargeName(int.from_bytes(packed_key[:8], "big"), MessageId(packed_key[8:]), size)


def first_key_of(global_time: int) -> OrderKey:
    """The lowest order key of a global time."""
    return OrderKey(GlobalTime(global_time).to_bytes(8, "big") + bytes(16))


def time_of(key: OrderKey) -> int:
    """The global time of an order key."""
    return int.from_bytes(key[:8], "big")


def key_between(lower: bytes, upper: bytes) -> OrderKey:
    """The order key of fewest bytes on its way that lies above one key and not above the other."""
    differing = int.from_bytes(lower[:ORDER_KEY_SIZE], "big") ^ int.from_bytes(upper[:ORDER_KEY_SIZE], "big")
    equal = ORDER_KEY_SIZE - (differing.bit_length() + 7) // 8
    return OrderKey(upper[: min(equal + 1, ORDER_KEY_SIZE)].ljust(ORDER_KEY_SIZE, b"\0"))


def key_after(key: OrderKey) -> OrderKey:
    """The next order key; two messages that share theirs would take 2^64 attempts to make."""
    return (
        key
        if key == ORDER_TOP
        else OrderKey((int.from_bytes(key, "big") + 1).to_bytes(ORDER_KEY_SIZE, "big"))
    )


def sum_range(
    holdings: Holdings, low: OrderKey, high: OrderKey, *, key: bytes, limit: int = SCAN_MAX
) -> tuple[int, int, bool]:
    """How many ids are held in a range, their sum under a key (modulo SUM_MODULUS), and whether that is all
    of them; in portions, for in one piece 100,000 ids take 28 MB.

    limit   ids that are looked at, at most
    """
    count = total = 0
    while True:
        keys, _, complete = holdings.scan(low, high, min(SUM_PORTION, limit - count))
        total = (total + digest.sum_many(ids_of(keys), key)) % SUM_MODULUS
        count += len(keys) // KEY_SIZE
        if complete or count >= limit:
            return count, total, complete
        low = key_after(order_key_at(keys, -1))


def key_behind(holdings: Holdings, low: OrderKey, count: int) -> OrderKey | None:
    """The order key that has so many ids between low and itself; None where no more than these are held."""
    while True:
        portion = min(SUM_PORTION, count + 1)
        keys, _, complete = holdings.scan(low, ORDER_TOP, portion)
        found = len(keys) // KEY_SIZE
        if found > count:
            return order_key_at(keys, count)
        if complete:
            return None
        count -= found
        low = key_after(order_key_at(keys, -1))


def newest_low(holdings: Holdings, wanted: int) -> OrderKey:
    """A global time's first key from which on about `wanted` messages are held, half to double.

    wanted    at least 2
    returns   ORDER_LOW where fewer are held in all; with more than that above it where they share a time
    """
    summary = holdings.summary()
    if summary.count <= wanted:
        return first_key_of(0)
    # The store reads upwards only, so look from ever further below the top: what finds little costs little.
    too_few, span = summary.highest + 1, max(1, wanted // 2)
    too_many = -1
    while too_few - too_many > 1:
        below = summary.highest - span
        time = max(0, below) if too_many < 0 else (too_few + too_many) // 2
        keys, _, _ = holdings.scan(first_key_of(time), ORDER_TOP, 2 * wanted + 1)
        count = len(keys) // KEY_SIZE
        if count > 2 * wanted:
            too_many = time
        elif count < wanted // 2 and time > 0:
            too_few = time
        else:
            return first_key_of(time)
        span *= 2
    return first_key_of(max(0, too_many))


def highest_stored(
    scan: Callable[[bytes, bytes, int], tuple[bytes, bytes, bool]], low: int, high: int
) -> int | None:
    """The highest live global time with low < time <= high, None if there is none; scan as Holdings.scan."""
    found = None
    start, end = first_key_of(low + 1), first_key_of(high + 1)
    complete = False
    while not complete:
        keys, _, complete = scan(start, end, SCAN_CHUNK)
        if not keys:
            break
        last = order_key_at(keys, -1)
        found, start = int.from_bytes(last[:8], "big"), key_after(last)
    return found
