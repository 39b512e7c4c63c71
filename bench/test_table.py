"""Micro-benchmarks of the writer's tables: `pytest bench`.

Envelope: a key costs a SipHash of some 10 ns and, in tables that outgrow the cache, one miss of 80 ns, of
which fetching ahead hides most: 20 to 30 M keys/s, and 10 M while a table still grows.
"""

from __future__ import annotations

import random
from array import array

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from dispersy.ext.table import ABSENT, Heads, Table
from dispersy.protocol.wire.records import MESSAGE

COUNT = 200_000
NUMBERS = array("Q", range(COUNT)).tobytes()
IN_ORDER = b"\1" * COUNT


@pytest.fixture(scope="module")
def keys() -> bytes:
    return random.Random(1).randbytes(COUNT * 16)


@pytest.mark.parametrize("capacity", [COUNT, 0], ids=["sized", "growing"])
def test_insert(benchmark: BenchmarkFixture, keys: bytes, capacity: int) -> None:
    """Goal: what sizing a table beforehand saves."""

    def new_table() -> tuple[tuple[Table], dict[str, object]]:
        return (Table(capacity=capacity),), {}

    def insert(table: Table) -> bytes:
        return table.insert_many(keys, NUMBERS)

    inserted = benchmark.pedantic(insert, setup=new_table, rounds=10)  # type: ignore[no-untyped-call]
    assert inserted == IN_ORDER


@pytest.mark.parametrize("held", [True, False], ids=["held", "absent"])
def test_find(benchmark: BenchmarkFixture, keys: bytes, held: bool) -> None:
    """Goal: the price of asking for many ids at once."""
    table = Table(capacity=COUNT)
    table.insert_many(keys, NUMBERS)
    wanted = keys if held else random.Random(2).randbytes(COUNT * 16)
    values = benchmark(table.find_many, wanted)
    assert values == NUMBERS if held else set(array("Q", values)) == {ABSENT}


def test_sorted_items(benchmark: BenchmarkFixture, keys: bytes) -> None:
    """Goal: the price of a sorted run."""
    table = Table(capacity=COUNT)
    table.insert_many(keys, NUMBERS)
    run_keys, _ = benchmark(table.sorted_items)
    assert len(run_keys) == len(keys)


@pytest.mark.parametrize("author_count", [1, 1000, 100_000])
def test_advance(benchmark: BenchmarkFixture, author_count: int) -> None:
    """Goal: the in-order test costs next to nothing beside a signature, with however many authors."""
    rng = random.Random(3)
    authors = [rng.randbytes(32) for _ in range(author_count)]
    arena = b"".join(b"\x40\0" + author for author in authors)
    records = b"".join(
        MESSAGE.pack(
            index % author_count * 34, 34, index + 1, index + 1, 34, 64, 0, 1, 1, 0, 0, bytes(32), bytes(32)
        )
        for index in range(COUNT)
    )

    def new_heads() -> tuple[tuple[Heads], dict[str, object]]:
        return (Heads(capacity=author_count),), {}

    def advance(heads: Heads) -> bytes:
        return heads.advance_many(records, arena, 1, IN_ORDER)

    in_order = benchmark.pedantic(advance, setup=new_heads, rounds=10)  # type: ignore[no-untyped-call]
    assert in_order == IN_ORDER
