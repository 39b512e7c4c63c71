"""Symbols: items put in per second, how many differences one datagram tells, and how many symbols many take.

Envelope: an item is in 1 + sum 1 / (1 + i / 2), some 14 of the first 2,048 symbols. Each of these jumps is a
square root, a division of 64 bits, a read and a write in cache, some 30 to 50 ns one after the other; so 1.5
to 2 M items a second of an idle core. One datagram holds 89 symbols; peeling needs about 1.4 a difference, so
60 differences at best. Beside it blake2b of each id alone, called from Python, as a sum of a set takes it.
"""

from __future__ import annotations

import argparse
import random
import sys
from hashlib import blake2b

from harness import Bench, Series

from dispersy.constants import SYMBOLS_KEPT
from dispersy.ext import sketch
from dispersy.protocol.wire.sync_frames import SYMBOLS_PER_DATAGRAM

ITEM, ID = 8, 32
KEY = bytes(range(16))
DIFFERENCES = (30, 40, 50, 60)
SUCCESS_GOAL = 0.93
"""Of sets that differ in 50: 95 % in the models, less what 2,000 tries may stray by."""
ADD_GOAL = 0.8
MODELLED = {30: 0.998, 40: 0.994, 50: 0.95, 60: 0.55}
LARGER = (100, 300, 1_000)
PER_DIFFERENCE_GOAL = 1.5
SHORT_TRIES = 100


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--items", type=int, default=100_000, metavar="N", help="put in (100,000)")
    parser.add_argument(
        "--tries", type=int, default=2_000, metavar="N", help="of each size of difference (2,000)"
    )


def difference_of(rng: random.Random, differences: int, count: int) -> bytes:
    """The symbols of what two sets differ in: nothing is left of what both hold."""
    cut = rng.randrange(differences + 1)
    ours = sketch.symbols_of(rng.randbytes(ITEM * cut), ITEM, KEY, first=0, count=count)
    theirs = sketch.symbols_of(rng.randbytes(ITEM * (differences - cut)), ITEM, KEY, first=0, count=count)
    return sketch.subtract(ours, theirs)


def share_told(differences: int, tries: int) -> float:
    """How often one datagram tells so many differences."""
    rng = random.Random(differences)
    symbols = (difference_of(rng, differences, SYMBOLS_PER_DATAGRAM) for _ in range(tries))
    return sum(sketch.peel(each, KEY)[2] for each in symbols) / tries


def needed(differences: int, tries: int) -> list[float]:
    """Symbols a difference that were enough, in steps of a twentieth."""
    rng = random.Random(differences)
    found = []
    for _ in range(tries):
        symbols = difference_of(rng, differences, 2 * differences)
        ends = range(differences, 2 * differences + 1, max(1, differences // 20))
        enough = next((end for end in ends if sketch.peel(symbols[: end * 13], KEY)[2]), 2 * differences)
        found.append(enough / differences)
    return sorted(found)


def main() -> int:
    bench = Bench("sketch", __doc__, add_options=add_options)
    count: int = bench.size(bench.options.items, short=10_000)
    tries: int = bench.size(bench.options.tries, short=SHORT_TRIES)
    rng = random.Random(1)
    ids = rng.randbytes(count * ID)
    one_by_one = [ids[at : at + ID] for at in range(0, len(ids), ID)]
    kept = bytearray(SYMBOLS_KEPT * sketch.SYMBOL_SIZE)
    few = difference_of(rng, 45, SYMBOLS_PER_DATAGRAM)
    many = difference_of(rng, 1_000, SYMBOLS_KEPT)
    hostile = rng.randbytes(SYMBOLS_KEPT * sketch.SYMBOL_SIZE)

    def hash_each() -> None:
        for each in one_by_one:
            blake2b(each, digest_size=16, key=KEY).digest()

    runs = {
        "blake2b, each": (count, hash_each),
        "add": (count, lambda: sketch.add_many(kept, ids, ID, KEY)),
        "peel, 45 differences of 89 symbols": (1, lambda: sketch.peel(few, KEY)),
        "peel, 1,000 differences of 2,048": (1, lambda: sketch.peel(many, KEY)),
        "peel, 2,048 made-up symbols": (1, lambda: sketch.peel(hostile, KEY)),
    }
    times = bench.interleave({name: run for name, (_, run) in runs.items()}, repetitions=15)
    for name, (size, _) in runs.items():
        bench.figure(name, times[name].rate(size), unit="items/s" if size > 1 else "/s")
    told = {differences: share_told(differences, tries) for differences in DIFFERENCES}
    for differences, share in told.items():
        bench.figure(f"told by one datagram, {differences} differences", share, unit="of tries")
        bench.quote(
            f"told by one datagram, {differences} differences, modelled",
            MODELLED[differences],
            unit="of tries",
            source="a model of 2,000 tries",
            machine="any",
        )
    most = 0.0
    for differences in LARGER:
        found = needed(differences, max(20, tries // 20))
        bench.figure(f"symbols a difference, {differences}", Series(tuple(found)), unit="")
        bench.figure(
            f"symbols a difference, {differences}, 99th of 100", found[len(found) * 99 // 100], unit=""
        )
        most = sum(found) / len(found)
    bench.at_least("add / blake2b", times["blake2b, each"].over(times["add"]), ADD_GOAL)
    bench.at_least("50 differences told by one datagram", told[50], SUCCESS_GOAL)
    bench.at_most("symbols a difference, 1,000", most, PER_DIFFERENCE_GOAL)
    return bench.finish()


if __name__ == "__main__":
    sys.exit(main())
