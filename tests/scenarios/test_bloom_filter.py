"""Scenarios, Bloom filter: three ways to make one, clear, no false negatives, false positives as designed."""

from __future__ import annotations

import random

import pytest

from dispersy.ext.bloom import BloomFilter

KEY_SIZE = 32
ERROR_RATE = 0.01
SALT = 0xD15B


def keys(count: int, seed: int) -> bytes:
    return random.Random(seed).randbytes(count * KEY_SIZE)


def made_in_every_way() -> list[BloomFilter]:
    """By size and error rate, by error rate and capacity, and from the bytes of one of them."""
    by_size = BloomFilter.from_size(size_bits=10_240, error_rate=ERROR_RATE, salt=SALT)
    by_capacity = BloomFilter.from_capacity(capacity=1_000, error_rate=ERROR_RATE, salt=SALT)
    from_bytes = BloomFilter.from_bytes(by_size.to_bytes(), hash_count=by_size.hash_count, salt=SALT)
    return [by_size, by_capacity, from_bytes]


def test_a_filter_is_built_by_size_by_capacity_or_from_bytes() -> None:
    """Goal: each way gives the size, hash count and salt that were asked for, and room for what was said."""
    by_size, by_capacity, from_bytes = made_in_every_way()
    assert by_size.size_bits == from_bytes.size_bits == 10_240
    assert by_size.hash_count == from_bytes.hash_count == by_capacity.hash_count == 7
    assert {each.salt for each in (by_size, by_capacity, from_bytes)} == {SALT}
    assert by_capacity.capacity(error_rate=ERROR_RATE) >= 1_000


def test_a_filter_loaded_from_bytes_answers_as_its_origin() -> None:
    """Goal: bits, hash count and salt are the whole filter."""
    origin = BloomFilter.from_size(size_bits=10_240, error_rate=ERROR_RATE, salt=SALT)
    origin.add_many(keys(500, 1), KEY_SIZE)
    loaded = BloomFilter.from_bytes(origin.to_bytes(), hash_count=origin.hash_count, salt=SALT)
    asked = keys(500, 1) + keys(5_000, 2)
    assert loaded.missing_many(asked, KEY_SIZE) == origin.missing_many(asked, KEY_SIZE)


@pytest.mark.parametrize("index", range(3))
def test_clear_empties_a_filter(index: int) -> None:
    """Goal: after clear() nothing is held and it can be used again."""
    used = made_in_every_way()[index]
    used.add_many(keys(300, 3), KEY_SIZE)
    used.clear()
    assert used.fill() == 0.0
    assert used.missing_many(keys(300, 3), KEY_SIZE) == b"\1" * 300
    used.add_many(keys(300, 3), KEY_SIZE)
    assert used.missing_many(keys(300, 3), KEY_SIZE) == bytes(300)


@pytest.mark.parametrize("index", range(3))
@pytest.mark.parametrize("count", [1, 100, 1_000, 5_000])
def test_there_are_no_false_negatives(index: int, count: int) -> None:
    """Goal: whatever was added is never called missing, also far beyond the capacity."""
    used = made_in_every_way()[index]
    used.add_many(keys(count, 4), KEY_SIZE)
    assert not any(used.missing_many(keys(count, 4), KEY_SIZE))


@pytest.mark.parametrize("load", [0.1, 0.2, 0.3, 0.4])
def test_false_positives_are_within_a_few_percent_of_the_design(load: float) -> None:
    """Goal: at 10 to 40 % of the bits set, the rate is load ^ hashes within 5 % of the design rate."""
    used = BloomFilter.from_size(size_bits=1 << 17, error_rate=ERROR_RATE, salt=SALT)
    seed = 10
    while used.fill() < load:
        used.add_many(keys(20, seed), KEY_SIZE)
        seed += 1
    tested = 400_000
    wrong = used.missing_many(keys(tested, 5), KEY_SIZE).count(0)
    assert wrong / tested == pytest.approx(used.fill() ** used.hash_count, abs=0.05 * ERROR_RATE)
