"""What a transfer asks for, request by request, and what answers to it may be."""

from __future__ import annotations

from random import Random

import pytest

from dispersy.ext.bloom import BloomFilter
from dispersy.protocol.identifiers import ORDER_LOW, ORDER_TOP, OrderKey
from dispersy.protocol.sync.outline import Outline
from dispersy.protocol.sync.transfer import (
    FILTER_SIZE_MAX,
    Coverage,
    Transfer,
    error_rate_for,
    filter_capacity,
    gaps_between,
    make_request,
)
from simulation.holdings import history, make_holdings


def key(time: int) -> OrderKey:
    return OrderKey(time.to_bytes(8, "big") + bytes(16))


def test_an_answer_has_no_more_datagrams_than_twice_its_budget() -> None:
    """However many come, and whatever they say they cover."""
    transfer = Transfer(Outline())
    transfer.add((ORDER_LOW, ORDER_TOP))
    request, _ = transfer.next_request(
        holdings=make_holdings(), number=1, budget=4, room=4, error_rate=0.01, rng=Random(1)
    )
    heard = [
        transfer.receive(number=request.number, flags=0, low=key(index), high=key(index + 1), count=1)
        for index in range(2 * request.budget)
    ]
    assert heard == [Coverage.PART] * (2 * request.budget - 1) + [Coverage.WHOLE]


def test_a_request_fits_its_datagram_and_describes_what_it_says() -> None:
    """A filter of what is held in the range, cut where one datagram is full; a fresh salt each time."""
    holdings = make_holdings()
    holdings.add(history(5_000))
    salts = set()
    for error_rate in (0.001, 0.01, 0.1, 0.3):
        request = make_request(
            holdings=holdings,
            wanted=(ORDER_LOW, ORDER_TOP),
            number=1,
            budget=1,
            error_rate=error_rate,
            rng=Random(int(1 / error_rate)),
        )
        assert len(request.filter) <= FILTER_SIZE_MAX
        keys, _, _ = holdings.scan(request.low, request.high, 10_000)
        ids = b"".join(keys[start + 8 : start + 40] for start in range(0, len(keys), 40))
        assert len(ids) // 32 == pytest.approx(filter_capacity(error_rate), abs=1)
        bloom = BloomFilter.from_bytes(request.filter, hash_count=request.hash_count, salt=request.salt)
        assert set(bloom.missing_many(ids, 32)) == {0}
        others = Random(1).randbytes(32 * 20_000)
        assert 1 - sum(bloom.missing_many(others, 32)) / 20_000 < 1.3 * error_rate + 0.001
        salts.add(request.salt)
    assert len(salts) == 4


def test_the_error_rate_follows_held_and_missing() -> None:
    """Much held and little missing: a coarse filter over more ids costs fewer bytes."""
    assert error_rate_for(held=1_000, missing=1_000) == pytest.approx(0.011)
    assert error_rate_for(held=10, missing=100_000) == 0.001
    assert error_rate_for(held=100_000, missing=1) == 0.3
    assert filter_capacity(0.01) > 900


def test_gaps_between_intervals() -> None:
    """Whatever their order and overlap."""
    covered = [(key(8), key(9)), (key(2), key(4)), (key(3), key(6)), (key(20), key(30))]
    assert gaps_between(key(1), key(10), covered) == [(key(1), key(2)), (key(6), key(8)), (key(9), key(10))]
    assert gaps_between(key(2), key(6), covered) == []
