"""The symbols kernel beside its plain twin, how much it repairs, and symbols that nobody made from a set."""

from __future__ import annotations

import random
from collections.abc import Callable
from time import perf_counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dispersy.ext import sketch
from tests.oracle import sketch as oracle

KEY = bytes(range(16))
ITEM = 8
keys = st.binary(min_size=16, max_size=16)


def some(rng: random.Random, count: int, size: int = ITEM) -> list[bytes]:
    return [rng.randbytes(size) for _ in range(count)]


def split(packed: bytes) -> set[bytes]:
    assert len(packed) % ITEM == 0
    found = [packed[at : at + ITEM] for at in range(0, len(packed), ITEM)]
    assert len(set(found)) == len(found)
    return set(found)


@settings(deadline=None, max_examples=100)
@given(
    key=keys,
    seed=st.integers(0, 2**32),
    held=st.integers(0, 40),
    count=st.integers(0, 120),
    first=st.integers(0, 120),
    size=st.sampled_from([8, 32, 40]),
)
def test_symbols_are_the_oracles(key: bytes, seed: int, held: int, count: int, first: int, size: int) -> None:
    """Goal: whole, in part, and after additions and removals symbols are the oracle's, byte for byte."""
    rng = random.Random(seed)
    items, gone = some(rng, held, size), some(rng, 5, size)
    expected = oracle.encoded(oracle.make_symbols(items, key, first + count))
    packed = b"".join(items)
    assert sketch.symbols_of(packed, size, key, first=0, count=first + count) == expected
    part = sketch.symbols_of(packed, size, key, first=first, count=count)
    assert part == expected[first * sketch.SYMBOL_SIZE :]
    kept = bytearray((first + count) * sketch.SYMBOL_SIZE)
    sketch.add_many(kept, b"".join(gone + items), size, key)
    sketch.remove_many(kept, b"".join(gone), size, key)
    assert kept == expected


def test_a_late_symbol_is_the_oracles() -> None:
    """Goal: the jump is exact where rounding a root could be off, up to the last symbol there is."""
    items = some(random.Random(7), 300)
    last = sketch.SYMBOLS_MAX
    late = sketch.symbols_of(b"".join(items), ITEM, KEY, first=last - 3000, count=3000)
    walked = [oracle.symbols_with(int.from_bytes(item, "little"), KEY, last) for item in items[:12]]
    for item, indices in zip(items, walked, strict=False):
        alone = sketch.symbols_of(item, ITEM, KEY, first=0, count=last)
        counts = alone[12 :: sketch.SYMBOL_SIZE]
        assert [index for index, count in enumerate(counts) if count] == indices
    counts = late[12 :: sketch.SYMBOL_SIZE]
    expected = 300 * sum(1 / (1 + index / 2) for index in range(last - 3000, last))
    assert sum(counts) == pytest.approx(expected, abs=5 * expected**0.5)


@settings(deadline=None, max_examples=40)
@given(
    key=keys,
    seed=st.integers(0, 2**32),
    ours=st.integers(0, 25),
    theirs=st.integers(0, 25),
    both=st.integers(0, 60),
    count=st.integers(1, 100),
    lost=st.sets(st.integers(0, 99), max_size=20),
)
def test_peeling_is_the_oracles(
    key: bytes, seed: int, ours: int, theirs: int, both: int, count: int, lost: set[int]
) -> None:
    """Goal: what comes out is what the oracle takes out, with symbols missing too."""
    rng = random.Random(seed)
    shared, mine, yours = some(rng, both), some(rng, ours), some(rng, theirs)
    one = oracle.make_symbols(shared + mine, key, count)
    other = oracle.make_symbols(shared + yours, key, count)
    difference = sketch.subtract(oracle.encoded(one), oracle.encoded(other))
    plain = oracle.subtract(one, other)
    assert difference == oracle.encoded(plain)
    known = bytes(index not in lost for index in range(count))
    if count > 4:
        expected = oracle.estimate(plain, ours - theirs)
        assert sketch.estimate(difference, ours - theirs) == pytest.approx(expected)
    found_ours, found_theirs, complete = sketch.peel(difference, key, known=known)
    assert (split(found_ours), split(found_theirs), complete) == oracle.peel(plain, key, known)
    assert split(found_ours) <= set(mine)
    assert split(found_theirs) <= set(yours)
    if complete and known[0]:
        assert (split(found_ours), split(found_theirs)) == (set(mine), set(yours))


@settings(deadline=None, max_examples=50)
@given(st.lists(st.binary(min_size=32, max_size=32), max_size=20), keys)
def test_keyed_items_are_the_oracles(ids: list[bytes], key: bytes) -> None:
    """Goal: an id's item under a key is the oracle's."""
    expected = b"".join(oracle.keyed_item(each, key) for each in ids)
    assert sketch.keyed_items(b"".join(ids), key) == expected


def test_ids_that_begin_alike_have_other_keyed_items() -> None:
    """Goal: what cancels itself out of symbols of beginnings is told by symbols of keyed items."""
    alike = [bytes(8) + random.Random(each).randbytes(24) for each in range(2)]
    plain = sketch.symbols_of(b"".join(alike), 32, KEY, first=0, count=89)
    assert sketch.peel(plain, KEY) == (b"", b"", False)
    items = sketch.keyed_items(b"".join(alike), KEY)
    ours, theirs, whole = sketch.peel(sketch.symbols_of(items, ITEM, KEY, first=0, count=89), KEY)
    assert ({ours[:ITEM], ours[ITEM:]}, theirs, whole) == ({items[:ITEM], items[ITEM:]}, b"", True)


@pytest.mark.parametrize(("differences", "symbols"), [(1, 89), (45, 89), (1000, 1820)])
def test_small_differences_in_a_large_set(differences: int, symbols: int) -> None:
    """Goal: what two sets differ in comes out whatever they share, in nearly every try."""
    complete = 0
    for seed in range(40):
        rng = random.Random(seed)
        shared = rng.randbytes(2_000 * ITEM)
        cut = rng.randrange(differences + 1)
        mine, yours = some(rng, cut), some(rng, differences - cut)
        one = sketch.symbols_of(shared + b"".join(mine), ITEM, KEY, first=0, count=symbols)
        other = sketch.symbols_of(shared + b"".join(yours), ITEM, KEY, first=0, count=symbols)
        ours, theirs, whole = sketch.peel(sketch.subtract(one, other), KEY)
        if whole:
            complete += 1
            assert (split(ours), split(theirs)) == (set(mine), set(yours))
    assert complete >= 37


@pytest.mark.parametrize("differences", [60, 1_000, 10_000])
def test_one_datagram_estimates(differences: int) -> None:
    """Goal: 89 counts modulo 256 tell how much differs, on average right and each to a half or so."""
    estimates = []
    for seed in range(60):
        rng = random.Random(seed)
        mine, yours = rng.randbytes(ITEM * differences // 4), rng.randbytes(ITEM * differences * 3 // 4)
        one = sketch.symbols_of(mine, ITEM, KEY, first=0, count=89)
        other = sketch.symbols_of(yours, ITEM, KEY, first=0, count=89)
        surplus = (len(mine) - len(yours)) // ITEM
        estimates.append(sketch.estimate(sketch.subtract(one, other), surplus))
    assert sum(estimates) / 60 == pytest.approx(differences, rel=0.1)
    assert all(0.45 * differences < each < 1.9 * differences for each in estimates)


@settings(deadline=None, max_examples=300)
@given(data=st.binary(max_size=13 * 60), key=keys)
def test_any_bytes_are_peeled_in_bounds(data: bytes, key: bytes) -> None:
    """Goal: made-up symbols give at most as many items as there are symbols, and an end."""
    symbols = data[: len(data) // 13 * 13]
    ours, theirs, _ = sketch.peel(symbols, key)
    assert len(ours) + len(theirs) <= ITEM * len(symbols) // 13


def test_symbols_made_to_go_round_end() -> None:
    """Goal: items that put each other back are taken out a bounded number of times, in a bounded time.

    Each symbol holds alone an item that is in it, as if nothing else were in the set: taking one out of the
    others makes them differ from what their senders said, time and again.
    """
    rng = random.Random(3)
    count = 2_048
    alone = {}
    for value in (rng.getrandbits(64) for _ in range(2_000)):
        alone[rng.choice(oracle.symbols_with(value, KEY, count))] = value
    made = bytearray(13 * count)
    for index, value in alone.items():
        symbol = oracle.Symbol(value, oracle.check_of(value, KEY), rng.choice([1, -1]))
        made[13 * index : 13 * index + 13] = symbol.encode()
    began = perf_counter()
    ours, theirs, complete = sketch.peel(made, KEY)
    assert perf_counter() - began < 1.0
    assert not complete
    assert 0 < len(ours) + len(theirs) <= ITEM * count


def test_an_item_is_taken_only_from_where_it_is() -> None:
    """Goal: a symbol that says alone an item which is not in it gives nothing, or peeling would go round."""
    value = next(value for value in range(100) if 1 not in oracle.symbols_with(value, KEY, 2))
    symbol = oracle.Symbol(value, oracle.check_of(value, KEY), 1).encode()
    assert sketch.peel(bytes(13) + symbol, KEY) == (b"", b"", False)
    assert sketch.peel(symbol, KEY) == (value.to_bytes(8, "little"), b"", True)


def test_two_items_of_one_id_are_never_taken_for_one() -> None:
    """Goal: messages whose ids begin alike, which can be made on purpose, show as what is not solved."""
    twice = b"sameness" * 2
    difference = sketch.symbols_of(twice + b"another1", ITEM, KEY, first=0, count=89)
    ours, theirs, complete = sketch.peel(difference, KEY)
    assert (theirs, complete) == (b"", False)
    assert split(ours) <= {b"another1"}


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda: sketch.add_many(bytearray(12), b"", 8, KEY), "not whole 13-byte symbols"),
        (lambda: sketch.add_many(bytearray(13), bytes(9), 8, KEY), "whole number of 8-byte items"),
        (lambda: sketch.add_many(bytearray(13), b"", 7, KEY), "item_size is 7 and must be at least 8"),
        (lambda: sketch.remove_many(bytearray(13), bytes(8), 8, bytes(15)), "key is 15 bytes"),
        (lambda: sketch.symbols_of(b"", 8, KEY, first=-1, count=1), "symbols -1 to 0"),
        (lambda: sketch.symbols_of(b"", 8, KEY, first=0, count=65_001), "of the first 65000"),
        (lambda: sketch.keyed_items(bytes(33), KEY), "not whole 32-byte ids"),
        (lambda: sketch.keyed_items(bytes(32), bytes(15)), "key is 15 bytes"),
        (lambda: sketch.subtract(bytes(13), bytes(26)), "give as many of both"),
        (lambda: sketch.peel(bytes(14), KEY), "not whole 13-byte symbols"),
        (lambda: sketch.peel(bytes(13), KEY, known=b""), "one a symbol, 1"),
        (lambda: sketch.estimate(bytes(13), 0, first=-1), "first is -1"),
        (lambda: sketch.peel(bytes(13 * 65_001), KEY), "at most 65000"),
    ],
)
def test_arguments_that_do_not_fit_are_named(call: Callable[[], object], said: str) -> None:
    """Goal: a caller's fault is a ValueError that says what would be right."""
    with pytest.raises(ValueError, match=said):
        call()


def test_nothing_is_a_set_too() -> None:
    """Goal: no items and no symbols are no special case."""
    assert sketch.symbols_of(b"", ITEM, KEY, first=0, count=3) == bytes(39)
    assert sketch.keyed_items(b"", KEY) == b""
    assert sketch.peel(b"", KEY) == (b"", b"", True)
    assert sketch.peel(bytes(39), KEY) == (b"", b"", True)
    assert sketch.estimate(b"", -5) == 5.0
