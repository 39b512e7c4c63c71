"""Answering one request over a large store: the worst that a peer may ask, beside what honest ones ask.

A store of 1,000,000 messages of 215 bytes on disk, read as a responder reads it, and the answering machines.
Honest requests ask for the newest, for a range, through filters as they are made where little and where much
is missing, by symbols of the set and of a range under a key of its own, for items by name, for nodes of the
tree, and for a kind that is frequent or that nobody has written. Hostile ones ask for everything with the
largest budget, through filters that most pass and that hardly any does, for the widest audit, for all symbols
that are kept, for items that nobody has, for as many nodes as one request names, for symbols of everything
under a key of its own, and for what is rare through filters that let nothing pass. Time is that of the
processor.

Envelope: an answer has at most 64 datagrams of 1.2 KB, so some 350 messages are read for it: about 1 ms. An
id costs some 0.1 us to scan and 0.05 us to test, so the 100,000 that one request may have examined cost 15
ms; honest ones are to need a twentieth of that. Memory: 48 bytes for each id that is scanned at once, a few
times over while they are cut, and the answer.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
import tracemalloc
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from random import Random

from harness import Bench, Series
from store import FIRST_TIME, fill, new_store

from dispersy.constants import (
    ANSWER_BUDGET_MAX,
    FILTER_BITS_PER_SET_MAX,
    FILTER_FILL_MAX,
    FILTER_UNCODED_SIZE_MAX,
    KEYED_RANGE_MAX,
    SCAN_MAX,
    SYMBOLS_KEPT,
)
from dispersy.ext import sketch
from dispersy.protocol.holdings import first_key_of
from dispersy.protocol.identifiers import ORDER_LOW, ORDER_TOP, OrderKey
from dispersy.protocol.sync.answer import Answer, answer_audit
from dispersy.protocol.sync.filtered_request import FILTER_SIZE_MAX, filter_capacity, make_request
from dispersy.protocol.sync.keyed_answer import KeyedRange
from dispersy.protocol.sync.symbols_answer import SymbolSets, answer_symbols
from dispersy.protocol.sync.tree_answer import answer_tree
from dispersy.protocol.wire.frames import AuditRequest, RangeRequest, SymbolsRequest, SyncRequest, TreeRequest
from dispersy.protocol.wire.selection import Selection
from dispersy.protocol.wire.sync_frames import (
    ITEM_SIZE,
    RANGE_SYMBOLS,
    SYMBOLS_KEY_SIZE,
    Described,
    Further,
    Items,
    RangeDescribed,
)
from dispersy.protocol.wire.tree_frames import NODES_ASKED_MAX
from dispersy.storage.lmdb_store import LmdbStore
from dispersy.workers.answering.served import CommittedHoldings

HONEST_SHARE = 1 / 20
MEMORY_MAX = 16e6
"""Bytes: 100,000 ids of 48 bytes, twice, and what packs an answer."""
SYMBOLS_ASKED = 89
ITEMS_ASKED = 100
BUDGET = 16
OFTEN, NEVER = Selection(kinds=bytes((64,))), Selection(kinds=bytes((65,)))
"""The kind of all messages in the store, and one that none is of."""
TREE_LEVEL, TREE_BITS = 1, 14
KEY = bytes(range(SYMBOLS_KEY_SIZE))


class Counted(CommittedHoldings):
    """Holdings that count the ids that they give; one that is looked up by its beginning is one, as is a node
    of the tree."""

    examined = 0

    def scan(self, low: bytes, high: bytes, limit: int) -> tuple[bytes, bytes, bool]:
        keys, cursors, complete = super().scan(low, high, limit)
        self.examined += len(cursors) // 8
        return keys, cursors, complete

    def find_items(self, items: bytes) -> list[int]:
        self.examined += len(items) // ITEM_SIZE
        return super().find_items(items)

    def tree(self, level: int, indexes: Sequence[int]) -> list[tuple[int, int]] | None:
        self.examined += len(indexes)
        return super().tree(level, indexes)


@dataclass(frozen=True, slots=True)
class Asked:
    """A request: what answers it with encoded frames, and whether an honest peer would ask it."""

    name: str
    answer: Callable[[], Sequence[bytes]]
    is_honest: bool


class Asks:
    """What is asked of one store."""

    def __init__(self, holdings: Counted, total: int) -> None:
        self.holdings, self.total = holdings, total
        self.top = FIRST_TIME + total
        self.rng = Random(1)
        self._sets = SymbolSets()

    def sync(self, name: str, request: SyncRequest, *, is_honest: bool = False) -> Asked:
        holdings = self.holdings
        return Asked(name, lambda: whole(Answer(request, holdings, holdings.summary())), is_honest)

    def symbols(
        self, name: str, asked: Described | Further | Items | RangeDescribed, *, is_honest: bool = False
    ) -> Asked:
        request, holdings = SymbolsRequest(1, ANSWER_BUDGET_MAX, asked), self.holdings
        return Asked(
            name, lambda: answer_symbols(request, holdings, self._sets, holdings.summary()).frames, is_honest
        )

    def filtered(self, error_rate: float) -> SyncRequest:
        """As an asker that holds the same makes it: its answer looks at all that the filter describes."""
        low = first_key_of(self.top - filter_capacity(error_rate))
        return make_request(
            holdings=self.holdings,
            wanted=(low, ORDER_TOP),
            number=1,
            budget=BUDGET,
            error_rate=error_rate,
            rng=self.rng,
        )

    def full(self, hash_count: int, selection: Selection | None = None) -> SyncRequest:
        """With a filter as full as it may be: with one hash most pass it, with 32 hardly any."""
        ones = int(FILTER_SIZE_MAX * (FILTER_FILL_MAX - 0.01))
        bits = b"\xff" * ones + bytes(FILTER_SIZE_MAX - ones)
        return SyncRequest(
            number=1,
            budget=ANSWER_BUDGET_MAX,
            selection=selection,
            hash_count=hash_count,
            filter=bits,
            salt=7,
        )

    def nodes(self, name: str, count: int, *, is_honest: bool = False) -> Asked:
        first = FIRST_TIME >> TREE_BITS
        request = TreeRequest(1, TREE_LEVEL, tuple(range(first, first + count)))
        return Asked(name, lambda: answer_tree(request, self.holdings), is_honest)

    def keyed(self, low: OrderKey, high: OrderKey) -> RangeDescribed:
        held = KeyedRange(self.holdings, low, high, key=KEY, limit=KEYED_RANGE_MAX)
        return RangeDescribed(KEY, low, high, held.count, held.symbols(RANGE_SYMBOLS))

    def honest(self) -> list[Asked]:
        ours = bytearray(self.holdings.symbols(0, SYMBOLS_KEPT) or b"")
        sketch.add_many(ours, b"".join(sha256(b"%d" % each).digest() for each in range(20)), 32, bytes(16))
        described = Described(self.total, bytes(ours[: SYMBOLS_ASKED * sketch.SYMBOL_SIZE]))
        ids = (sha256(b"bench message %d" % each).digest() for each in range(ITEMS_ASKED))
        known = b"".join(each[:ITEM_SIZE] for each in ids)
        newest = SyncRequest(number=1, budget=BUDGET, low=first_key_of(self.top - 64), high=ORDER_TOP)
        middle = FIRST_TIME + self.total // 2
        part = first_key_of(middle), first_key_of(middle + min(KEYED_RANGE_MAX, self.total // 4))
        frequent, rare = (SyncRequest(number=1, budget=BUDGET, selection=each) for each in (OFTEN, NEVER))
        return [
            self.sync("the newest 64", newest, is_honest=True),
            self.sync("a range", SyncRequest(number=1, budget=BUDGET), is_honest=True),
            self.sync("a filter where little is missing", self.filtered(0.3), is_honest=True),
            self.sync("a filter where much is missing", self.filtered(0.01), is_honest=True),
            self.symbols("symbols", described, is_honest=True),
            self.symbols("items by name", Items(known), is_honest=True),
            self.symbols("symbols of a range under a fresh key", self.keyed(*part), is_honest=True),
            self.nodes("a node of the tree", 1, is_honest=True),
            self.sync("a frequent kind", frequent, is_honest=True),
            self.sync("a kind that nobody has written", rare, is_honest=True),
        ]

    def hostile(self) -> list[Asked]:
        audit = AuditRequest(1, bytes(16), ORDER_LOW, ORDER_TOP)
        # As few bits as may be set of as many as there may be: nearly all that is asked for passes.
        step = FILTER_BITS_PER_SET_MAX // 8
        sparse = b"\x01".ljust(step, b"\0") * (FILTER_UNCODED_SIZE_MAX // step)
        widest = RangeRequest(number=1, budget=ANSWER_BUDGET_MAX, salt=1, hash_count=1, filter=sparse)
        nobodys = Items(b"".join(self.rng.randbytes(ITEM_SIZE) for _ in range(140)))
        return [
            self.sync("everything, at once", SyncRequest(number=1, budget=ANSWER_BUDGET_MAX)),
            self.sync("a filter that most pass", self.full(1)),
            self.sync("a filter that hardly any passes", self.full(32)),
            self.symbols("symbols of another set", Described(0, bytes(SYMBOLS_ASKED * sketch.SYMBOL_SIZE))),
            self.symbols("all symbols", Further(bytes(8), 0, SYMBOLS_KEPT)),
            self.symbols("items of nobody", nobodys),
            self.sync("a coded filter of the largest size", widest),
            self.nodes("as many nodes as may be named", NODES_ASKED_MAX),
            self.symbols("symbols of everything under a fresh key", self.keyed(ORDER_LOW, ORDER_TOP)),
            self.sync("a rare kind through a filter that most pass", self.full(1, NEVER)),
            Asked("the widest audit", lambda: [answer_audit(audit, self.holdings).encode()], is_honest=False),
        ]


def whole(answer: Answer) -> list[bytes]:
    """All frames of an answer."""
    found: list[bytes] = []
    while not answer.finished:
        found += answer.frames(16)
    return found


def timed(answer: Callable[[], Sequence[bytes]]) -> Callable[[], float]:
    """The processor's seconds: what else the machine does is no part of them."""

    def run() -> float:
        began = time.process_time()
        answer()
        return time.process_time() - began

    return run


def measure(bench: Bench, store: LmdbStore, total: int) -> None:
    """Each request: ids, bytes and memory once, its time in turn with the others."""
    [record] = store.communities()
    holdings = Counted(store, record)
    asks = Asks(holdings, total)
    asked = [*asks.honest(), *asks.hostile()]
    most = {True: 0, False: 0}
    peaks = []
    for each in asked:
        holdings.examined = 0
        tracemalloc.start()
        sent = sum(map(len, each.answer()))
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
        most[each.is_honest] = max(most[each.is_honest], holdings.examined)
        bench.figure(f"{each.name}: ids examined", holdings.examined, unit="ids")
        bench.figure(f"{each.name}: answered with", sent, unit="bytes")
    times = bench.interleave({each.name: timed(each.answer) for each in asked})
    for each in asked:
        milliseconds = Series(tuple(1e3 * sample for sample in times[each.name].samples))
        bench.figure(f"{each.name}: time", milliseconds, unit="ms")
    bench.figure("memory of an answer, at most", max(peaks), unit="bytes")
    bench.at_most("ids examined for an honest request", most[True], SCAN_MAX * HONEST_SHARE)
    bench.at_most("ids examined for a hostile one", max(most.values()), SCAN_MAX)
    bench.at_most("memory of an answer", max(peaks), MEMORY_MAX)
    machine = "2-core AMD EPYC, Python 2.7, 100,000 messages"
    for what, milliseconds in (("honest, at most", 29), ("a filter of ones", 366)):
        bench.quote(f"the original, {what}", milliseconds, unit="ms", source="measured", machine=machine)


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--messages", type=int, default=1_000_000, help="in the store (1,000,000)")


def main() -> int:
    bench = Bench("answer", __doc__, versions=("lmdb",), add_options=add_options)
    total = bench.size(bench.options.messages, short=20_000)
    with tempfile.TemporaryDirectory(prefix="dispersy-bench-") as folder:
        store = new_store(Path(folder))
        try:
            fill(store, "in order", total)
            store.refresh()
            measure(bench, store, total)
        finally:
            store.close()
    return bench.finish()


if __name__ == "__main__":
    sys.exit(main())
