"""Answering symbols-requests: nothing is kept of who asks, and whatever was sent, the work is bounded.

An asker's symbols less ours may tell all that the two sets differ in: then it gets what it lacks, and is told
what we lack. Or they tell how much that is: then it gets symbols of ours, and of large differences only the
first, from which it sees itself that other means are cheaper.
"""

from __future__ import annotations

from collections import OrderedDict
from math import sqrt

from dispersy.constants import ANSWER_BUDGET_MAX, SYMBOL_SETS_MAX, SYMBOLS_KEPT
from dispersy.errors import WireError
from dispersy.ext import sketch
from dispersy.protocol.holdings import ItemHoldings
from dispersy.protocol.identifiers import symbols_key
from dispersy.protocol.sync.answer import carried, read_answered
from dispersy.protocol.sync.keyed_answer import SymbolsAnswer, answer_range, large_in, tell_all
from dispersy.protocol.wire.frames import Busy, Symbols, SymbolsRequest, frame
from dispersy.protocol.wire.summary import Summary
from dispersy.protocol.wire.sync_frames import (
    ITEM_SIZE,
    ITEMS_PER_DATAGRAM,
    SYMBOLS_PER_DATAGRAM,
    Described,
    Further,
    Items,
    RangeDescribed,
    SetSymbols,
)

SYMBOLS_PER_DIFFERENCE = 1.4
SPREAD = 4.0
"""Peeling needs 1.4 symbols a difference on average, and the more above it the fewer there are: of 100
differences one set in a hundred needs 1.8, of 1,000 one needs 1.5 (bench/sketch.py)."""
SURPLUS_MODULUS = 1 << 32
BUSY_MS = 2_000
"""How long whoever also asks waits for what this exchange brings it anyway."""


class SymbolSets:
    """The sets that were described lately, so that further symbols fit those before them.

    SYMBOL_SETS_MAX of a community, 26 KB each; of one that is gone from here symbols are asked for anew.
    """

    def __init__(self) -> None:
        self._symbols: OrderedDict[bytes, bytes] = OrderedDict()

    def current(self, holdings: ItemHoldings) -> tuple[bytes, bytes] | None:
        """(name, symbols) of the set as it is; None where there are none yet."""
        symbols = holdings.symbols(0, SYMBOLS_KEPT)
        if symbols is None:
            return None
        name = set_name(holdings.summary())
        self._symbols[name] = symbols
        self._symbols.move_to_end(name)
        if len(self._symbols) > SYMBOL_SETS_MAX:
            self._symbols.popitem(last=False)
        return name, symbols

    def named(self, name: bytes) -> bytes | None:
        """Symbols of a set that was described lately."""
        return self._symbols.get(name)


def set_name(summary: Summary) -> bytes:
    """8 bytes that tell a set from others."""
    return (summary.count % SURPLUS_MODULUS).to_bytes(4, "big") + summary.sum.to_bytes(12, "big")[-4:]


def surplus_of(ours: int, theirs: int) -> int:
    """How many messages more we hold, of counts modulo 2^32."""
    return (ours - theirs + SURPLUS_MODULUS // 2) % SURPLUS_MODULUS - SURPLUS_MODULUS // 2


def symbols_for(differences: float) -> int:
    """How many symbols so many differences will need, in all."""
    return int(SYMBOLS_PER_DIFFERENCE * differences + SPREAD * sqrt(differences)) + 1


def answer_symbols(
    request: SymbolsRequest,
    holdings: ItemHoldings,
    sets: SymbolSets,
    summary: Summary | None,
    *,
    budget_max: int = ANSWER_BUDGET_MAX,
    described: bytes | None = None,
) -> SymbolsAnswer:
    """What a symbols-request is answered with, at once.

    summary    of our live set, as neighbours are told it
    described  the symbols that we have asked this very asker with and have had no answer to, if any: then
               both ask the same, and what one of us says is enough
    raises     WireError: budget-too-large
    """
    if request.budget > ANSWER_BUDGET_MAX:
        raise WireError("budget-too-large")
    budget = min(request.budget, budget_max)
    match request.asked:
        case Items(items):
            # Who names one twice gets it once.
            found = set(holdings.find_items(items[: ITEMS_PER_DATAGRAM * ITEM_SIZE]))
            messages = read_answered(holdings, sorted(found))
            frames = carried(request.number, messages, budget=budget, summary=summary)
            return SymbolsAnswer(frames, large=large_in(messages))
        case Further(name, first, count):
            symbols = sets.named(name)
            if symbols is None:
                # Of another set: all of its symbols, for those of the one before do not fit them.
                frames = _current_symbols(request.number, holdings, sets, first + count, budget)
            else:
                frames = _symbols_frames(request.number, name, symbols, first, count, budget)
            return SymbolsAnswer(frames)
        case Described():
            return _answer_difference(request, request.asked, holdings, sets, summary, budget, described)
        case RangeDescribed():
            return answer_range(request.number, request.asked, holdings, summary, budget=budget)


def _answer_difference(
    request: SymbolsRequest,
    asked: Described,
    holdings: ItemHoldings,
    sets: SymbolSets,
    summary: Summary | None,
    budget: int,
    described: bytes | None,
) -> SymbolsAnswer:
    current = sets.current(holdings)
    if current is None:
        return SymbolsAnswer(_none_of(request.number, holdings))
    symbols = current[1]
    size = min(len(asked.symbols), len(symbols))
    difference = sketch.subtract(symbols[:size], asked.symbols[:size])
    ours, theirs, is_complete = sketch.peel(difference, symbols_key(holdings.community_id()))
    if is_complete:
        cursors = sorted(holdings.find_items(ours))
        lacked = theirs if described is None else b""
        return tell_all(request.number, cursors, lacked, holdings, summary, budget=budget)
    if described is not None and described > asked.symbols:
        busy = Busy(request.number, BUSY_MS)
        return SymbolsAnswer([frame(Busy.type, busy.encode())])
    surplus = surplus_of(holdings.summary().count, asked.count)
    wanted = symbols_for(sketch.estimate(difference, surplus))
    if wanted > SYMBOLS_KEPT:
        wanted = SYMBOLS_PER_DATAGRAM
    wanted = max(wanted, size // sketch.SYMBOL_SIZE)
    return SymbolsAnswer(_symbols_frames(request.number, *current, 0, wanted, budget), is_shared=True)


def _current_symbols(
    number: int, holdings: ItemHoldings, sets: SymbolSets, count: int, budget: int
) -> list[bytes]:
    current = sets.current(holdings)
    if current is None:
        return _none_of(number, holdings)
    return _symbols_frames(number, *current, 0, count, budget)


def _none_of(number: int, holdings: ItemHoldings) -> list[bytes]:
    told = SetSymbols(set_name(holdings.summary()), 0, b"")
    return [frame(Symbols.type, Symbols(number, last=True, told=told).encode())]


def _symbols_frames(
    number: int, name: bytes, symbols: bytes, first: int, count: int, budget: int
) -> list[bytes]:
    """Symbols [first, first + count) as far as there are any and the budget reaches; at least one frame."""
    end = min(first + count, SYMBOLS_KEPT, first + budget * SYMBOLS_PER_DATAGRAM)
    starts = range(first, end, SYMBOLS_PER_DATAGRAM) or range(first, first + 1)
    found = []
    for start in starts:
        stop = min(end, start + SYMBOLS_PER_DATAGRAM)
        told = SetSymbols(name, start, symbols[start * sketch.SYMBOL_SIZE : stop * sketch.SYMBOL_SIZE])
        found.append(frame(Symbols.type, Symbols(number, last=start == starts[-1], told=told).encode()))
    return found
