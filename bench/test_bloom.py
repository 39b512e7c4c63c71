"""Micro-benchmarks of the Bloom filter kernel: `pytest bench`; goals are judged by bench/bloom.py."""

from __future__ import annotations

import random

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from dispersy.ext.bloom import BloomFilter

KEY_SIZE = 32
# What a datagram carries, what stays in a core's cache, what does not.
capacities = pytest.mark.parametrize("capacity", [900, 100_000, 3_000_000])
BATCH = 900


@capacities
def test_add(benchmark: BenchmarkFixture, capacity: int) -> None:
    """Goal: the price of a batch of additions as filters outgrow the caches."""
    keys = random.Random(1).randbytes(BATCH * KEY_SIZE)
    built = BloomFilter.from_capacity(capacity=capacity, error_rate=0.01, salt=1)
    benchmark(built.add_many, keys, KEY_SIZE)
    assert built.fill() > 0.0


@capacities
@pytest.mark.parametrize("held", [True, False], ids=["held", "missing"])
def test_missing(benchmark: BenchmarkFixture, capacity: int, held: bool) -> None:
    """Goal: the price of a batch of tests, of keys that need all their bits read and of others."""
    rng = random.Random(2)
    keys = rng.randbytes(capacity * KEY_SIZE)
    built = BloomFilter.from_capacity(capacity=capacity, error_rate=0.01, salt=1)
    built.add_many(keys, KEY_SIZE)
    tested = keys[: BATCH * KEY_SIZE] if held else rng.randbytes(BATCH * KEY_SIZE)
    missing = benchmark(built.missing_many, tested, KEY_SIZE)
    assert missing.count(0) == BATCH if held else missing.count(1) > BATCH * 0.9


def test_fill(benchmark: BenchmarkFixture) -> None:
    """Goal: refusing a hostile filter costs far less than answering it."""
    built = BloomFilter.from_bytes(b"\xff" * 1100, hash_count=7, salt=1)
    assert benchmark(built.fill) == 1.0
