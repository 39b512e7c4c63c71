"""Messages committed per second as the store grows, in three orders of arrival, beside the verify bound.

One-payload messages of 215 bytes by 1,000 authors, in commits of 1,000, default durability. Envelope: a
commit of 1,000 writes some 270 KB of log and 60 KB of order and waits for the disk once; laying the pages out
costs LMDB about 1 us a message, building keys and values in Python as much again, sorted runs less, so
300,000 a second. Two cores verify about 27,000 a second: a store that is five times faster costs the pipeline
a fifth of one core. In order everything lands at the end of its tree; in shuffled blocks the order's pages
are still filled one by one; fully shuffled, each message dirties an order page of its own, which nothing but
a smaller node can help.
"""

from __future__ import annotations

import argparse
import random
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from hashlib import sha256
from pathlib import Path

from harness import Bench, Series
from verify import make_corpus, verify_bound

from dispersy.protocol.identifiers import ORDER_LOW, ORDER_TOP
from dispersy.protocol.wire.records import MESSAGE
from dispersy.storage.lmdb_store import LmdbStore
from dispersy.storage.store import Batch, CommunityRecord, MessageBlock

COMMIT = 1_000
MESSAGE_SIZE = 215
AUTHORS = [sha256(b"bench author %d" % number).digest() for number in range(1_000)]
KIND = 64
FIRST_TIME = 1 << 21
"""From here on a uvarint of four bytes: all messages are laid out alike."""
BOUND_GOAL = 5.0
GROWTH_GOAL = 1.5
SHORT_REPETITIONS = 3
"""Of what is judged, the order of time: one wait for a busy disk must not decide."""
ARRIVALS = ("in order", "shuffled blocks", "shuffled")


def _uvarint(value: int) -> bytes:
    return bytes([value & 127 | 128, value >> 7 & 127 | 128, value >> 14 & 127 | 128, value >> 21])


def make_block(positions: Sequence[int]) -> MessageBlock:
    """The messages at these places of the community's history."""
    records, arena = [], []
    for index, position in enumerate(positions):
        global_time = sequence = FIRST_TIME + position
        numbers = _uvarint(global_time) + _uvarint(sequence)
        arena.append((b"\x40\x00" + AUTHORS[position % 1_000] + numbers + b"\x01").ljust(MESSAGE_SIZE, b"."))
        message_id = sha256(b"bench message %d" % position).digest()
        fields = (index * MESSAGE_SIZE, MESSAGE_SIZE, global_time, sequence, 42, KIND, 0, 1, 1, 0, 0)
        records.append(MESSAGE.pack(*fields, message_id, b""))
    return MessageBlock(1, b"".join(records), b"".join(arena), bytes(len(positions)), 1_700_000_000_000)


def arrivals(order: str, total: int) -> Iterator[list[int]]:
    """Positions commit by commit; the same ones each run."""
    rng = random.Random(order)
    places = list(range(total))
    if order == "shuffled":
        rng.shuffle(places)
    commits = [places[at : at + COMMIT] for at in range(0, total, COMMIT)]
    if order == "shuffled blocks":
        rng.shuffle(commits)
    yield from commits


def new_store(folder: Path) -> LmdbStore:
    store = LmdbStore(folder / "store")
    store.commit(Batch(communities=[CommunityRecord(1, bytes(32), "bench", bytes(32))]))
    return store


def fill(store: LmdbStore, order: str, total: int) -> tuple[list[float], list[float]]:
    """Commit everything; the seconds of each commit, and those of them that were our processor's."""
    taken, busy = [], []
    for positions in arrivals(order, total):
        block = make_block(positions)
        batch = Batch(blocks=[block], clocks={1: FIRST_TIME + max(positions)})
        began, busy_before = time.perf_counter(), time.process_time()
        # As an intake does before it commits.
        store.heads.advance_many(block.records, block.arena, 1, b"\1" * len(positions))
        store.commit(batch)
        taken.append(time.perf_counter() - began)
        busy.append(time.process_time() - busy_before)
    return taken, busy


def window_rate(taken: list[float], size: int) -> float:
    """Messages a second over the last quarter of the commits (at least ten) that lead to `size`."""
    commits = size // COMMIT
    window = taken[max(0, min(commits - 10, commits * 3 // 4)) : commits]
    return len(window) * COMMIT / sum(window)


def measure_reads(bench: Bench, store: LmdbStore, total: int) -> None:
    """What the answering side and the intake ask most, on the full store."""
    some = make_block(range(total // 2, total // 2 + COMMIT))
    ids = b"".join(fields[11] for fields in MESSAGE.iter_unpack(some.records))
    scanned = min(total, 100_000)
    author = AUTHORS[7]
    sequence = FIRST_TIME + total // 2 + 7
    runs = {
        "scan": (scanned, lambda: store.scan(1, ORDER_LOW, ORDER_TOP, scanned)),
        "held": (COMMIT, lambda: store.held(1, some.records)),
        "find_ids": (COMMIT, lambda: store.find_ids(ids)),
        "neighbours": (1, lambda: store.neighbours(1, author, KIND, sequence)),
    }
    times = bench.interleave({name: run for name, (_, run) in runs.items()})
    for name, (count, _) in runs.items():
        bench.figure(name, times[name].rate(count), unit="/s")


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--folder", type=Path, help="on the disk to measure (the temporary folder's)")
    parser.add_argument("--repetitions", type=int, default=5, help="of every order of arrival (5)")


class Arrival:
    """What was measured of one order of arrival, a sample a repetition."""

    def __init__(self, sizes: Sequence[int]) -> None:
        self.rates: dict[int, list[float]] = {size: [] for size in sizes}
        self.processor_us: dict[int, list[float]] = {size: [] for size in sizes}
        self.longest_ms: list[float] = []
        self.file_bytes: list[float] = []
        self.slowest: list[float] = []
        self.growth: list[float] = []

    def add(self, folder: Path, taken: list[float], busy: list[float]) -> None:
        """One repetition."""
        for size, rates in self.rates.items():
            rates.append(window_rate(taken, size))
            self.processor_us[size].append(1e6 / window_rate(busy, size))
        latest = [rates[-1] for rates in self.rates.values()]
        self.slowest.append(min(latest))
        self.growth.append(latest[0] / min(latest))
        self.longest_ms.append(max(taken) * 1e3)
        self.file_bytes.append((folder / "store" / "data.mdb").stat().st_size / max(self.rates))

    def show(self, bench: Bench, order: str) -> None:
        for size, rates in self.rates.items():
            bench.figure(f"{order}, at {size:,}", Series(tuple(rates)), unit="messages/s")
            processor = Series(tuple(self.processor_us[size]))
            bench.figure(f"{order}, at {size:,}, processor", processor, unit="us/message")
        bench.figure(f"{order}, longest commit", Series(tuple(self.longest_ms)), unit="ms")
        bench.figure(f"{order}, file", Series(tuple(self.file_bytes)), unit="bytes/message")


def main() -> int:
    bench = Bench("store", __doc__, versions=("lmdb",), add_options=add_options)
    sizes = [10_000, 20_000] if bench.short else [10_000, 100_000, 1_000_000]
    repetitions = SHORT_REPETITIONS if bench.short else bench.options.repetitions
    corpus = make_corpus(bench.size(5_000, short=1_000), authors=100)
    arrived = {order: Arrival(sizes) for order in ARRIVALS}
    bounds: list[float] = []
    for repetition in range(repetitions):
        for order in ARRIVALS[:1] if bench.short and repetition else ARRIVALS:
            folder = Path(tempfile.mkdtemp(prefix="dispersy-bench-", dir=bench.options.folder))
            store = new_store(folder)
            try:
                taken, busy = fill(store, order, sizes[-1])
                arrived[order].add(folder, taken, busy)
                if order == ARRIVALS[0]:
                    # Beside what is judged by it: what else the machine does meanwhile weighs on both.
                    bounds.append(verify_bound(corpus))
                    if repetition == 0:
                        measure_reads(bench, store, sizes[-1])
            finally:
                store.close()
                shutil.rmtree(folder)
    for order, arrival in arrived.items():
        arrival.show(bench, order)
    bound = Series(tuple(bounds))
    bench.figure("verify, 2 processes", bound, unit="signatures/s")
    in_order = arrived[ARRIVALS[0]]
    bench.at_least("slowest in order / verify bound", Series(tuple(in_order.slowest)).over(bound), BOUND_GOAL)
    bench.at_most("growth of a message's cost", Series(tuple(in_order.growth)), GROWTH_GOAL)
    return bench.finish()


if __name__ == "__main__":
    sys.exit(main())
