"""What a transfer asks for, request by request, and what answers to it may be."""

from __future__ import annotations

from random import Random

import pytest

from dispersy.constants import FILTER_FILL_MAX, FRAMES_SIZE_MAX
from dispersy.ext.bloom import BloomFilter
from dispersy.protocol.holdings import first_key_of
from dispersy.protocol.identifiers import ORDER_LOW, ORDER_TOP, OrderKey
from dispersy.protocol.sync.filtered_request import error_rate_for, filter_capacity, make_filter, make_request
from dispersy.protocol.sync.gaps import gaps_between
from dispersy.protocol.sync.outline import Outline
from dispersy.protocol.sync.transfer import Coverage, Transfer
from dispersy.protocol.wire.frames import RangeRequest, decode_frame
from dispersy.protocol.wire.records import LAST_OF_ANSWER
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
    """A filter of what is held in the range, cut at a global time where one datagram is full; the salt is the
    request's number."""
    holdings = make_holdings()
    holdings.add(history(5_000))
    salts = set()
    for error_rate in (0.001, 0.01, 0.1, 0.3):
        request = make_request(
            holdings=holdings,
            wanted=(ORDER_LOW, ORDER_TOP),
            number=len(salts) + 1,
            budget=1,
            error_rate=error_rate,
            rng=Random(1),
            is_alone=False,
        )
        assert len(request.encode()) + 3 <= FRAMES_SIZE_MAX
        keys, _, _ = holdings.scan(request.low, request.high, 10_000)
        ids = b"".join(keys[start + 8 : start + 40] for start in range(0, len(keys), 40))
        assert len(ids) // 32 == pytest.approx(filter_capacity(error_rate), rel=0.02)
        bloom = BloomFilter.from_bytes(request.filter, hash_count=request.hash_count, salt=request.salt)
        assert set(bloom.missing_many(ids, 32)) == {0}
        others = Random(1).randbytes(32 * 20_000)
        assert 1 - sum(bloom.missing_many(others, 32)) / 20_000 < 1.3 * error_rate + 0.001
        salts.add(request.salt)
    assert salts == {1, 2, 3, 4}


def test_what_is_not_described_is_asked_for_whole() -> None:
    """Above what is held a filter says nothing, so it gets nothing wrong there."""
    holdings = make_holdings()
    holdings.add(history(100))
    highest = holdings.summary().highest
    for wanted, described in (
        ((ORDER_LOW, ORDER_TOP), key(highest + 1)),
        ((ORDER_LOW, key(highest + 1)), ORDER_TOP),
        # Its end lies within a global time, which a sync-request alone can say.
        ((ORDER_LOW, OrderKey(key(highest + 9)[:8] + bytes(15) + b"\1")), ORDER_TOP),
    ):
        request = make_request(
            holdings=holdings, wanted=wanted, number=7, budget=1, error_rate=0.3, rng=Random(1)
        )
        assert (request.low, request.high, request.described) == (*wanted, described)
        assert isinstance(request, RangeRequest) == (not any(wanted[1][8:]) or wanted[1] == ORDER_TOP)
        assert decode_frame(request.type, request.encode()) == request


def test_ranges_are_cut_into_equal_parts() -> None:
    """A last small part would be a request of its own; parts leave room for what a range has more."""
    transfer = Transfer(Outline([(0, 1_000, 1_000)]))
    transfer.add((ORDER_LOW, key(1_000)))
    holdings, rng, asked = make_holdings(), Random(1), list[int]()
    while transfer.has_more():
        request, _ = transfer.next_request(
            holdings=holdings, number=len(asked) + 1, budget=64, room=64, error_rate=0.01, rng=rng
        )
        asked.append(int.from_bytes(request.high[:8], "big") - int.from_bytes(request.low[:8], "big"))
        assert request.budget == 55
    assert len(asked) == 4
    assert max(asked) - min(asked) <= 4


def test_a_single_request_goes_on_as_far_as_it_gets() -> None:
    """Nothing else is under way, so nobody needs to know where it stops."""
    transfer = Transfer(Outline([(0, 1_000, 1_000)]))
    transfer.add((ORDER_LOW, ORDER_TOP))
    request, expected = transfer.next_request(
        holdings=make_holdings(), number=1, budget=20, room=20, error_rate=0.01, rng=Random(1), is_single=True
    )
    assert (request.high, request.budget, expected) == (ORDER_TOP, 20, 20)
    flags = LAST_OF_ANSWER
    assert transfer.receive(number=1, flags=0, low=ORDER_LOW, high=key(5), count=5) is Coverage.PART
    assert not transfer.has_ended(1)
    assert transfer.receive(number=1, flags=flags, low=key(9), high=key(12), count=5) is Coverage.PART
    assert transfer.has_ended(1)


def test_the_error_rate_follows_held_and_missing() -> None:
    """Much held and little missing: a coarse filter over more ids costs fewer bytes."""
    assert error_rate_for(held=1_000, missing=1_000) == pytest.approx(0.0055)
    assert error_rate_for(held=10, missing=100_000) == 0.001
    assert error_rate_for(held=100_000, missing=1) == 0.3
    assert filter_capacity(0.01) > 900


def test_gaps_between_intervals() -> None:
    """Whatever their order and overlap."""
    covered = [(key(8), key(9)), (key(2), key(4)), (key(3), key(6)), (key(20), key(30))]
    assert gaps_between(key(1), key(10), covered) == [(key(1), key(2)), (key(6), key(8)), (key(9), key(10))]
    assert gaps_between(key(2), key(6), covered) == []


@pytest.mark.parametrize("number", [87_826, 210_116])
def test_a_filter_that_chance_has_filled_too_much_is_made_longer(number: int) -> None:
    """Whoever is asked refuses it, and who asks must not die of it: one in 100,000 had its process end."""
    holdings = make_holdings()
    holdings.add(history(206))
    request = make_request(
        holdings=holdings,
        wanted=(ORDER_LOW, first_key_of(1_000)),
        number=number,
        budget=9,
        error_rate=0.3,
        rng=Random(1),
        is_alone=False,
    )
    assert len(request.filter) == 65 + 8
    bloom = BloomFilter.from_bytes(request.filter, hash_count=request.hash_count, salt=number)
    assert 0.4 < bloom.fill() <= FILTER_FILL_MAX


@pytest.mark.parametrize("seed", [36_162, 87_484])
def test_a_filter_of_some_kinds_is_so_too(seed: int) -> None:
    rng = Random(seed)
    salt, hash_count, bits = make_filter(rng.randbytes(32 * 206), error_rate=0.3, rng=rng, is_alone=False)
    assert BloomFilter.from_bytes(bits, hash_count=hash_count, salt=salt).fill() <= FILTER_FILL_MAX
