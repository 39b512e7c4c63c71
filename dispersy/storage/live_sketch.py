"""Symbols of a live set, and look-ups in it by item, in memory: made when first asked for, kept up from then.

Most of the many nodes of a simulation are never asked, and 26 KB each would be felt.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from dispersy.constants import SYMBOLS_KEPT
from dispersy.ext import sketch
from dispersy.storage.store import ITEM_MESSAGES_MAX, ITEM_SIZE

ID_SIZE = 32


class LiveSketch:
    """Of one community; key: protocol.identifiers.symbols_key."""

    def __init__(self, key: bytes) -> None:
        self._key = key
        self._symbols: bytearray | None = None
        self._ids: dict[bytes, list[bytes]] | None = None

    def change(self, ids: Sequence[bytes], *, added: int) -> None:
        """Messages have become live (added 1) or are so no longer (-1)."""
        if self._symbols is not None:
            change = sketch.add_many if added > 0 else sketch.remove_many
            change(self._symbols, b"".join(ids), ID_SIZE, self._key)
        if self._ids is None:
            return
        for each in ids:
            alike = self._ids.setdefault(each[:ITEM_SIZE], [])
            if added > 0:
                alike.append(each)
                continue
            alike.remove(each)
            if not alike:
                del self._ids[each[:ITEM_SIZE]]

    def symbols(self, live: Iterable[bytes], first: int, count: int) -> bytes:
        """Symbols [first, first + count) of the first SYMBOLS_KEPT; live: all ids."""
        if self._symbols is None:
            self._symbols = bytearray(SYMBOLS_KEPT * sketch.SYMBOL_SIZE)
            sketch.add_many(self._symbols, b"".join(live), ID_SIZE, self._key)
        return bytes(self._symbols[first * sketch.SYMBOL_SIZE : (first + count) * sketch.SYMBOL_SIZE])

    def find(self, live: Iterable[bytes], items: bytes) -> list[bytes]:
        """Ids that begin with these packed items, at most ITEM_MESSAGES_MAX of each; live: all ids."""
        if self._ids is None:
            self._ids = {}
            for each in live:
                self._ids.setdefault(each[:ITEM_SIZE], []).append(each)
        found: list[bytes] = []
        for at in range(0, len(items), ITEM_SIZE):
            found += self._ids.get(items[at : at + ITEM_SIZE], ())[:ITEM_MESSAGES_MAX]
        return found
