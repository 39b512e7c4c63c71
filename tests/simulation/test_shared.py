"""Goal: what shared holdings say is what a store says that holds the same, whatever was taken out and in."""

from __future__ import annotations

from itertools import pairwise
from random import Random

import pytest

from dispersy.protocol.identifiers import ORDER_LOW, ORDER_TOP
from simulation.holdings import COMMUNITY, StoreHoldings, history, make_holdings
from simulation.shared import Base, Corpus, SharedHoldings


def both(seed: int) -> tuple[SharedHoldings, StoreHoldings]:
    """A base of some, without a few, with others that came in portions: many at once, few that lie apart, and
    one stretch of them."""
    rng = Random(seed)
    messages = history(400, seed=seed)
    rng.shuffle(messages)
    corpus = Corpus()
    numbers = corpus.numbers(messages)
    based, gone = numbers[:250], numbers[:20]
    shared = SharedHoldings(corpus, Base(corpus, based), lacking=gone)
    store = make_holdings()
    store.add(messages[20:250])
    stretch = sorted(messages[370:], key=lambda message: corpus.keys[corpus.numbers([message])[0]])
    messages[370:] = stretch[:10] + stretch[20:] + stretch[10:20]
    for start, end in pairwise((250, 325, 330, 340, 370, 380, 390, 400)):
        portion = messages[start:end] + messages[:3]
        assert shared.add(portion) == store.add(portion)
    return shared, store


@pytest.mark.parametrize("seed", range(5))
def test_shared_holdings_are_as_a_store(seed: int) -> None:
    """Summary, ids, every scan, symbols and look-ups; cursors lead to the same messages."""
    shared, store = both(seed)
    assert shared.summary() == store.summary()
    assert shared.ids() == store.ids()
    keys, _, _ = store.scan(ORDER_LOW, ORDER_TOP, 1_000)
    bounds = sorted({keys[at : at + 24] for at in range(0, len(keys), 40 * 37)} | {ORDER_LOW, ORDER_TOP})
    for low in bounds:
        for high in bounds:
            for limit in (1, 7, 100, 1_000):
                ours, our_cursors, we_end = shared.scan(low, high, limit)
                theirs, their_cursors, they_end = store.scan(low, high, limit)
                assert (ours, we_end) == (theirs, they_end)
                found = shared.messages(list(memoryview(our_cursors).cast("Q")))
                assert found == store.messages(list(memoryview(their_cursors).cast("Q")))
    assert shared.symbols(0, 200) == store.store.symbols(COMMUNITY, 0, 200)
    items = b"".join(keys[at + 8 : at + 16] for at in range(0, 40 * 10, 40)) + b"nowhere!"
    ours_found = set(shared.messages(shared.find_items(items)))
    assert ours_found == set(store.messages(store.store.find_items(COMMUNITY, items)))


def test_symbols_follow_what_is_taken_in() -> None:
    """Asked for before and after a commit."""
    corpus = Corpus()
    messages = history(60)
    shared, store = SharedHoldings(corpus), make_holdings()
    for start in range(0, 60, 20):
        shared.add(messages[start : start + 20])
        store.add(messages[start : start + 20])
        assert shared.symbols(5, 90) == store.store.symbols(COMMUNITY, 5, 90)
