"""Answering what a range is described by under a key of the asker's.

Items of whole sets are the beginnings of ids, and everybody knows the key of their symbols; so whoever makes
ids that begin alike, or are the same to a symbol, hides them. Under a key that was drawn after they were made
no two of them are the same. Nothing is kept for such keys, so the ids of the range are read for each answer:
KEYED_SCAN_MAX at most.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from dispersy.constants import KEYED_SCAN_MAX
from dispersy.ext import sketch
from dispersy.protocol.holdings import KEY_SIZE, Holdings, ItemHoldings, ids_of
from dispersy.protocol.identifiers import OrderKey
from dispersy.protocol.sync.answer import Answered, carried, read_answered
from dispersy.protocol.wire.frames import LargeName, Symbols, frame
from dispersy.protocol.wire.summary import Summary
from dispersy.protocol.wire.sync_frames import (
    ITEM_SIZE,
    RANGE_SYMBOLS,
    Lacked,
    RangeDescribed,
    Untold,
)

_TOLD_MAX = 65_535


@dataclass(frozen=True, slots=True)
class SymbolsAnswer:
    """What a symbols-request is answered with.

    frames      of one datagram each
    is_shared   what the asker does next brings us what we lack, too
    large       large messages that had to be read to name them
    examined    ids that were looked at
    """

    frames: list[bytes]
    is_shared: bool = False
    large: int = 0
    examined: int = 0


class KeyedRange:
    """What is held in a range, as symbols under a key sum it up.

    keys    packed ones of the messages that were looked at, and count: how many
    is_whole  there are no more in the range
    """

    def __init__(self, holdings: Holdings, low: OrderKey, high: OrderKey, *, key: bytes, limit: int) -> None:
        self.keys, self._cursors, self.is_whole = holdings.scan(low, high, limit)
        self.count = len(self.keys) // KEY_SIZE
        self._items = sketch.keyed_items(ids_of(self.keys), key)
        self._key = key

    def symbols(self, count: int) -> bytes:
        """The first so many."""
        return sketch.symbols_of(self._items, ITEM_SIZE, self._key, first=0, count=count)

    def cursors(self, items: bytes) -> list[int]:
        """Of the messages with these packed items; 0 for what is only expected."""
        wanted = {items[at : at + ITEM_SIZE] for at in range(0, len(items), ITEM_SIZE)}
        cursors = memoryview(self._cursors).cast("Q")
        return [
            cursor
            for place, cursor in enumerate(cursors)
            if self._items[place * ITEM_SIZE : (place + 1) * ITEM_SIZE] in wanted
        ]


def answer_range(
    number: int, asked: RangeDescribed, holdings: ItemHoldings, summary: Summary | None, *, budget: int
) -> SymbolsAnswer:
    """What the asker lacks in the range, and the names of what we do; or that too much differs."""
    ours = KeyedRange(holdings, asked.low, asked.high, key=asked.key, limit=KEYED_SCAN_MAX)
    surplus = ours.count - asked.count
    if not ours.is_whole:
        return _untold(number, ours.count, max(1, surplus))
    count = min(RANGE_SYMBOLS, len(asked.symbols) // sketch.SYMBOL_SIZE)
    difference = sketch.subtract(ours.symbols(count), asked.symbols[: count * sketch.SYMBOL_SIZE])
    lacked, theirs, is_complete = sketch.peel(difference, asked.key)
    if not is_complete:
        return _untold(number, ours.count, int(sketch.estimate(difference, surplus)))
    cursors = ours.cursors(lacked) if lacked else []
    return tell_all(number, cursors, theirs, holdings, summary, budget=budget, examined=ours.count)


def tell_all(
    number: int,
    cursors: Sequence[int],
    theirs: bytes,
    holdings: ItemHoldings,
    summary: Summary | None,
    *,
    budget: int,
    examined: int = 0,
) -> SymbolsAnswer:
    """All that differs is known: these messages the asker lacks, and these items we do."""
    messages = read_answered(holdings, cursors)
    lacked = Lacked(len(messages), theirs)
    beside = frame(Symbols.type, Symbols(number, last=False, told=lacked).encode())
    frames = carried(number, messages, budget=budget, beside=beside, summary=summary)
    return SymbolsAnswer(frames, is_shared=bool(theirs), large=large_in(messages), examined=examined)


def large_in(messages: Sequence[Answered]) -> int:
    """How many of these had to be read to be named."""
    return sum(isinstance(each, LargeName) for each in messages)


def _untold(number: int, count: int, estimate: int) -> SymbolsAnswer:
    told = Untold(min(_TOLD_MAX, count), min(_TOLD_MAX, estimate))
    frames = [frame(Symbols.type, Symbols(number, last=True, told=told).encode())]
    return SymbolsAnswer(frames, examined=count)
