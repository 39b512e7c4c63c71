"""Bloom filter: keys added and tested per second, beside Python that does no more than call mmh3 on each key.

Envelope: MurmurHash3 of 32 bytes takes some 8 ns and seven bits in cache about 1 ns each, so 60 M keys/s; a
call from Python to mmh3 takes 60 to 100 ns, so a filter driven key by key from Python stays below 16 M/s.
"""

from __future__ import annotations

import argparse
import random
import sys

import mmh3
from harness import Bench

from dispersy.ext.bloom import BloomFilter

KEY_SIZE = 32
SALT = 0x5EED
ADD_GOAL = 0.8
TEST_GOAL = 1.3


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--keys", type=int, default=100_000, metavar="N", help="keys held (100,000)")
    parser.add_argument("--error-rate", type=float, default=0.01, metavar="P", help="design rate (0.01)")


def hash_each(keys: list[bytes]) -> None:
    """What any filter driven key by key pays before it touches a bit."""
    hash64 = mmh3.hash64
    for key in keys:
        hash64(key, SALT, signed=False)


def main() -> int:
    bench = Bench("bloom", __doc__, versions=("mmh3",), add_options=add_options)
    count: int = bench.options.keys
    rng = random.Random(1)
    held, other = rng.randbytes(count * KEY_SIZE), rng.randbytes(count * KEY_SIZE)
    held_one_by_one = [held[start : start + KEY_SIZE] for start in range(0, len(held), KEY_SIZE)]
    shape = {"capacity": count, "error_rate": bench.options.error_rate, "salt": SALT}
    empty, full = BloomFilter.from_capacity(**shape), BloomFilter.from_capacity(**shape)
    full.add_many(held, KEY_SIZE)

    def add() -> None:
        empty.clear()
        empty.add_many(held, KEY_SIZE)

    times = bench.interleave(
        {
            "mmh3": lambda: hash_each(held_one_by_one),
            "add": add,
            "test held": lambda: full.missing_many(held, KEY_SIZE),
            "test missing": lambda: full.missing_many(other, KEY_SIZE),
        },
        repetitions=15,
    )
    for name, series in times.items():
        bench.figure(name, series.rate(count), unit="keys/s")
    bench.figure("filter size", full.size_bits / 8, unit="bytes")
    bench.figure("bits a key", full.hash_count, unit="")
    bench.figure("false positive rate", full.missing_many(other, KEY_SIZE).count(0) / count, unit="")
    for name, rate in (("add", 466_000), ("test", 505_000)):
        bench.quote(
            f"{name}, the original Dispersy",
            rate,
            unit="keys/s",
            source="commit eae592a, 1,000 keys of 20 bytes, 10,240 bits, 1 %",
            machine="Python 2.7, 2-core AMD EPYC virtual machine",
        )
    bench.at_least("add / mmh3", times["mmh3"].over(times["add"]), ADD_GOAL)
    bench.at_least("test held / mmh3", times["mmh3"].over(times["test held"]), TEST_GOAL)
    bench.at_least("test missing / mmh3", times["mmh3"].over(times["test missing"]), TEST_GOAL)
    return bench.finish()


if __name__ == "__main__":
    sys.exit(main())
