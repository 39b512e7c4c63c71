"""The Bloom filter kernel beside its plain twin, its error rates, and the arguments that it refuses."""

from __future__ import annotations

import math
import random
from collections.abc import Callable

import mmh3
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from dispersy.ext.bloom import BloomFilter, bits_of, code_bits, count_bits
from tests.oracle.bloom import BloomFilter as Oracle
from tests.oracle.bloom import coded

KEY_SIZE = 32
salts = st.integers(0, 2**32 - 1)
rates = st.floats(1e-9, 0.999)


@settings(deadline=None, max_examples=200)
@given(
    size_bytes=st.integers(1, 300) | st.sampled_from([1 << 10, 1 << 20]),
    hash_count=st.integers(1, 32),
    salt=salts,
    key_size=st.integers(1, 70) | st.just(KEY_SIZE),
    seed=st.integers(0, 2**32),
    count=st.integers(0, 50),
)
@example(size_bytes=1 << 20, hash_count=7, salt=2**32 - 1, key_size=KEY_SIZE, seed=1, count=500)
@example(size_bytes=2497, hash_count=32, salt=1, key_size=KEY_SIZE, seed=2, count=500)
def test_filter_is_the_oracles(
    size_bytes: int, hash_count: int, salt: int, key_size: int, seed: int, count: int
) -> None:
    """Goal: after any additions bits, fill and every answer are the oracle's, bit for bit."""
    rng = random.Random(seed)
    held, other = ([rng.randbytes(key_size) for _ in range(count)] for _ in range(2))
    kernel = BloomFilter(size_bits=size_bytes * 8, hash_count=hash_count, salt=salt)
    oracle = Oracle(size_bits=size_bytes * 8, hash_count=hash_count, salt=salt)
    kernel.add_many(b"".join(held), key_size)
    for key in held:
        oracle.add(key)
    assert kernel.to_bytes() == oracle.to_bytes()
    assert kernel.fill() == oracle.fill()
    missing = kernel.missing_many(b"".join(held + other), key_size)
    assert list(missing) == [oracle.is_missing(key) for key in held + other]
    assert not any(missing[:count])


@settings(deadline=None, max_examples=300)
@given(key=st.binary(min_size=1, max_size=70), salt=salts)
def test_hash_is_that_of_mmh3(key: bytes, salt: int) -> None:
    """Goal: one bit a key shows the hash, whatever is left of the key behind its last whole block."""
    size_bits = 1 << 16
    one = BloomFilter(size_bits=size_bits, hash_count=1, salt=salt)
    one.add_many(key, len(key))
    position = mmh3.hash64(key, salt, signed=False)[0] % size_bits
    assert int.from_bytes(one.to_bytes(), "little") == 1 << position


@settings(deadline=None)
@given(capacity=st.integers(1, 2000), error_rate=rates, salt=salts)
def test_from_capacity_is_the_smallest_that_holds_so_many(
    capacity: int, error_rate: float, salt: int
) -> None:
    """Goal: the filter holds what was asked for, and no other with a byte less does."""
    built = BloomFilter.from_capacity(capacity=capacity, error_rate=error_rate, salt=salt)
    assert built.salt == salt
    assert built.capacity(error_rate=error_rate) >= capacity
    for hash_count in range(1, 33):
        if built.size_bits > 8:
            smaller = BloomFilter(size_bits=built.size_bits - 8, hash_count=hash_count, salt=0)
            assert smaller.capacity(error_rate=error_rate) <= capacity
            assert smaller.capacity(error_rate=error_rate) < built.capacity(error_rate=error_rate) + 1


@settings(deadline=None)
@given(size_bytes=st.integers(1, 10_000), error_rate=rates, salt=salts)
def test_from_size_has_the_hash_count_that_holds_most(size_bytes: int, error_rate: float, salt: int) -> None:
    """Goal: no other hash count lets a filter of this size hold more keys at the rate asked for."""
    built = BloomFilter.from_size(size_bits=size_bytes * 8, error_rate=error_rate, salt=salt)
    assert (built.size_bits, built.salt) == (size_bytes * 8, salt)
    held = built.capacity(error_rate=error_rate)
    for hash_count in range(1, 33):
        other = BloomFilter(size_bits=size_bytes * 8, hash_count=hash_count, salt=salt)
        assert other.capacity(error_rate=error_rate) <= held


@pytest.mark.parametrize(
    ("error_rate", "hash_count"), [(0.5, 1), (0.1, 3), (0.01, 7), (0.001, 10), (1e-12, 32)]
)
def test_hash_counts_are_the_textbooks(error_rate: float, hash_count: int) -> None:
    """Goal: log2(1 / error rate) hashes, to the nearest of 1 to 32."""
    assert BloomFilter.from_size(size_bits=10_240, error_rate=error_rate, salt=0).hash_count == hash_count


@pytest.mark.parametrize("error_rate", [0.1, 0.01, 0.001])
@pytest.mark.parametrize("load", [0.1, 0.2, 0.3, 0.4])
def test_false_positives_follow_the_load(error_rate: float, load: float) -> None:
    """Goal: at 10 to 40 % load false positives are load ^ hashes, to 5 % of the design rate."""
    rng = random.Random(f"{error_rate} {load}")
    built = BloomFilter.from_size(size_bits=1 << 17, error_rate=error_rate, salt=rng.getrandbits(32))
    while built.fill() < load:
        built.add_many(rng.randbytes(20 * KEY_SIZE), KEY_SIZE)
    assert built.fill() == pytest.approx(load, rel=0.02)
    tested = 400_000
    false_positives = built.missing_many(rng.randbytes(tested * KEY_SIZE), KEY_SIZE).count(0)
    assert false_positives / tested == pytest.approx(built.fill() ** built.hash_count, abs=0.05 * error_rate)


@pytest.mark.parametrize("error_rate", [0.1, 0.01])
def test_a_full_filter_has_the_design_rate(error_rate: float) -> None:
    """Goal: at capacity the rate is what was asked for within 5 %, for every salt alike."""
    rng = random.Random(3)
    for _ in range(3):
        built = BloomFilter.from_capacity(capacity=20_000, error_rate=error_rate, salt=rng.getrandbits(32))
        held = rng.randbytes(20_000 * KEY_SIZE)
        built.add_many(held, KEY_SIZE)
        assert not any(built.missing_many(held, KEY_SIZE))
        false_positives = built.missing_many(rng.randbytes(300_000 * KEY_SIZE), KEY_SIZE).count(0)
        assert false_positives / 300_000 == pytest.approx(error_rate, rel=0.05)


@settings(deadline=None)
@given(bits=st.binary(min_size=1, max_size=100), hash_count=st.integers(1, 32), salt=salts)
def test_bytes_round_trip_and_clear(bits: bytes, hash_count: int, salt: int) -> None:
    """Goal: a filter loaded from bytes is that filter, owns its bits, and is empty after clear."""
    source = bytearray(bits)
    loaded = BloomFilter.from_bytes(source, hash_count=hash_count, salt=salt)
    source[:] = bytes(len(bits))
    assert loaded.to_bytes() == bits
    assert (loaded.size_bits, loaded.hash_count, loaded.salt) == (8 * len(bits), hash_count, salt)
    loaded.clear()
    assert loaded.to_bytes() == bytes(len(bits))
    assert loaded.fill() == 0.0
    assert loaded.missing_many(b"key", 3) == b"\1"


def test_another_salt_is_another_filter() -> None:
    """Goal: what is a false positive under one salt is none under the next, so a fresh salt finds it."""
    rng = random.Random(5)
    held, other = rng.randbytes(1000 * KEY_SIZE), rng.randbytes(20_000 * KEY_SIZE)
    wrongly_held = []
    for salt in (1, 2):
        built = BloomFilter.from_capacity(capacity=1000, error_rate=0.01, salt=salt)
        built.add_many(held, KEY_SIZE)
        answers = built.missing_many(other, KEY_SIZE)
        wrongly_held.append({index for index, missing in enumerate(answers) if not missing})
    assert len(wrongly_held[0]) > 100
    assert len(wrongly_held[0] & wrongly_held[1]) < 20


def test_no_keys() -> None:
    """Goal: an empty batch is a batch."""
    built = BloomFilter(size_bits=64, hash_count=3, salt=0)
    built.add_many(b"", KEY_SIZE)
    assert built.missing_many(b"", KEY_SIZE) == b""
    assert built.fill() == 0.0


def small(size_bits: int = 64, hash_count: int = 3, salt: int = 0) -> BloomFilter:
    return BloomFilter(size_bits=size_bits, hash_count=hash_count, salt=salt)


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda: small(size_bits=0), "size_bits is 0 and must be 8 to"),
        (lambda: small(size_bits=1 << 41), "must be 8 to"),
        (lambda: small(size_bits=63), "multiple of 8"),
        (lambda: small(hash_count=0), "hash_count is 0 and must be 1 to 32"),
        (lambda: small(hash_count=33), "must be 1 to 32"),
        (lambda: small(salt=-1), "salt is -1 and must be 0 to"),
        (lambda: small(salt=1 << 32), "must be 0 to 4294967295"),
        (lambda: BloomFilter.from_bytes(b"", hash_count=1, salt=0), "at least one byte"),
        (lambda: BloomFilter.from_capacity(capacity=0, error_rate=0.1, salt=0), "capacity is 0"),
        (lambda: BloomFilter.from_capacity(capacity=1, error_rate=1.0, salt=0), "above 0 and at most 0.999"),
        (lambda: BloomFilter.from_size(size_bits=8, error_rate=0.0, salt=0), "above 0 and at most 0.999"),
        (lambda: small().capacity(error_rate=float("nan")), "above 0 and at most 0.999"),
        (lambda: small().add_many(bytes(33), 32), "whole number of 32-byte keys"),
        (lambda: small().add_many(b"", 0), "key_size is 0 and must be at least 1"),
        (lambda: small().missing_many(bytes(31), 32), "whole number of 32-byte keys"),
        (lambda: small().missing_many(b"", -1), "key_size is -1"),
    ],
)
def test_arguments_that_do_not_fit_are_named(call: Callable[[], object], said: str) -> None:
    """Goal: a caller's fault is a ValueError that says what would be right."""
    with pytest.raises(ValueError, match=said):
        call()


some_bits = st.binary(min_size=1, max_size=300) | st.builds(
    lambda places: sum(1 << place for place in places).to_bytes(2_000, "little"),
    st.sets(st.integers(0, 15_999), min_size=1, max_size=40),
)


@settings(deadline=None)
@given(bits=some_bits)
@example(bits=b"\xff" * 9)
@example(bits=bytes(99) + b"\x80")
def test_coded_bits_are_the_oracles(bits: bytes) -> None:
    """Goal: one code for any bits, of which the same bits are read again, and none for no bits."""
    count = sum(byte.bit_count() for byte in bits)
    assert count_bits(bits) == count
    if not count:
        with pytest.raises(ValueError, match="none that is set"):
            code_bits(bits)
        return
    assert code_bits(bits) == coded(bits)
    assert bits_of(coded(bits), count=count, size_bytes=len(bits)) == bits


@settings(deadline=None, max_examples=500)
@given(code=st.binary(max_size=40), count=st.integers(1, 60), size_bytes=st.integers(1, 300))
def test_any_bytes_are_one_code_or_none(code: bytes, count: int, size_bytes: int) -> None:
    """Goal: what is read is written the same, so no two codes mean one filter."""
    bits = bits_of(code, count=count, size_bytes=size_bytes)
    if bits is not None:
        assert (len(bits), count_bits(bits)) == (size_bytes, count)
        assert code_bits(bits) == code


@settings(deadline=None)
@given(bits=some_bits.filter(any), data=st.data())
def test_a_damaged_code_is_another_or_none(bits: bytes, data: st.DataObject) -> None:
    """Goal: a byte more or less, or a bit that changed, is seen or is another filter."""
    code, size, count = code_bits(bits), len(bits), count_bits(bits)
    assert bits_of(code + b"\0", count=count, size_bytes=size) is None
    assert bits_of(code[:-1], count=count, size_bytes=size) is None
    changed = bytearray(code)
    changed[data.draw(st.integers(0, len(code) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    assert bits_of(changed, count=count, size_bytes=size) != bits


def test_a_code_is_as_small_as_said() -> None:
    """Goal: at 1/128 and less set bits a key takes at most log2(1/share) + 1.6 bits."""
    rng = random.Random(4)
    for share in (1 / 100, 1 / 128, 1 / 180, 1 / 1_000):
        built = BloomFilter(size_bits=int(4_000 / share) // 8 * 8, hash_count=1, salt=1)
        built.add_many(rng.randbytes(4_000 * KEY_SIZE), KEY_SIZE)
        code = code_bits(built.to_bytes())
        assert 8 * len(code) / 4_000 < math.log2(1 / share) + 1.6
