"""Holdings as they count towards one neighbour: what it has named and we are fetching, as if it were here.

So a summary, a filter or a range that is compared with that neighbour's does not ask for it a second time,
and a pull ends when there is nothing more to ask for. Only the asking side sees them; what is not here is
given to nobody.
"""

from __future__ import annotations

from array import array
from collections.abc import Sequence

from dispersy.ext import sketch
from dispersy.protocol.address import Address
from dispersy.protocol.holdings import ID_SIZE, KEY_SIZE, ItemHoldings, packed_keys_of
from dispersy.protocol.identifiers import CommunityId, OrderKey, sum_key, symbols_key
from dispersy.protocol.large_messages.fragments import Fragments
from dispersy.protocol.tree import NOTHING, NodeSum, added, every_level, leaf_sums
from dispersy.protocol.wire.summary import Summary
from dispersy.protocol.wire.sync_frames import ITEM_SIZE


class ExpectedHoldings:
    """What is held, and what is expected of `source`.

    scan() and find_items() give cursor 0 for what is not here: nobody who compares sets reads messages.
    scan_back() leaves it out: then it is named once more.
    """

    def __init__(self, holdings: ItemHoldings, fragments: Fragments, source: Address) -> None:
        self._holdings = holdings
        self._fragments = fragments
        self._source = source

    def summary(self) -> Summary:
        return self._fragments.towards(self._source, self._holdings.summary())

    def scan(self, low: bytes, high: bytes, limit: int) -> tuple[bytes, bytes, bool]:
        keys, cursors, is_complete = self._holdings.scan(low, high, limit)
        # Beyond what one scan reaches it would be out of order.
        end = high if is_complete else keys[-KEY_SIZE:]
        names = self._fragments.expected(self._source)
        expected = [name.packed_key for name in names if low <= name.key < high and name.packed_key < end]
        if not expected:
            return keys, cursors, is_complete
        numbers = memoryview(cursors).cast("Q")
        merged = dict.fromkeys(expected, 0) | dict(zip(packed_keys_of(keys), numbers, strict=True))
        rows = sorted(merged.items())
        kept = rows[:limit]
        return (
            b"".join(key for key, _ in kept),
            array("Q", [cursor for _, cursor in kept]).tobytes(),
            is_complete and len(rows) <= limit,
        )

    def scan_back(self, low: bytes, high: bytes, limit: int) -> tuple[bytes, bytes, bool]:
        return self._holdings.scan_back(low, high, limit)

    def named(self, key: OrderKey) -> tuple[bytes, bytes]:
        return self._holdings.named(key)

    def messages(self, cursors: Sequence[int]) -> list[bytes]:
        return self._holdings.messages(cursors)

    def community_id(self) -> CommunityId:
        return self._holdings.community_id()

    def tree(self, level: int, indexes: Sequence[int]) -> list[NodeSum] | None:
        nodes = self._holdings.tree(level, indexes)
        expected = self._fragments.expected(self._source)
        if nodes is None or not expected:
            return nodes
        leaves = leaf_sums(b"".join(name.packed_key for name in expected), sum_key(self.community_id()))
        more = every_level(leaves)[level]
        return [added(node, more.get(index, NOTHING)) for index, node in zip(indexes, nodes, strict=True)]

    def symbols(self, first: int, count: int) -> bytes | None:
        symbols = self._holdings.symbols(0, first + count)
        expected = b"".join(name.message_id for name in self._fragments.expected(self._source))
        if symbols is None or not expected:
            return symbols and symbols[first * sketch.SYMBOL_SIZE :]
        whole = bytearray(symbols)
        sketch.add_many(whole, expected, ID_SIZE, symbols_key(self.community_id()))
        return bytes(whole[first * sketch.SYMBOL_SIZE :])

    def find_items(self, items: bytes) -> list[int]:
        wanted = {items[at : at + ITEM_SIZE] for at in range(0, len(items), ITEM_SIZE)}
        names = self._fragments.expected(self._source)
        expected = [0 for name in names if name.message_id[:ITEM_SIZE] in wanted]
        return self._holdings.find_items(items) + expected
