"""Candidates by every combination of how they were heard of, and whom the walk and introductions choose."""

from __future__ import annotations

from collections import Counter
from itertools import product
from random import Random

import pytest

from dispersy.constants import CANDIDATES_MAX, CANDIDATES_PER_HOST_MAX, REVISIT_S, STUMBLED_LIFETIME_S
from dispersy.protocol.address import Address, make_address
from dispersy.protocol.identifiers import MemberId
from dispersy.protocol.walk.candidate import (
    BOOTSTRAP_SHARE,
    INTRODUCED_SHARE,
    LIFETIME_S,
    STUMBLED_SHARE,
    WALKED_SHARE,
    Candidate,
    Candidates,
    Category,
)
from dispersy.protocol.wire.numbers import ConnectionType

NOW = 1_000.0
PROVEN = (Category.WALKED, Category.STUMBLED)


def address(index: int) -> Address:
    return make_address(f"192.0.{index >> 8}.{index & 255}", 6421)


def member(index: int) -> MemberId:
    return MemberId(index.to_bytes(32, "big"))


def heard(index: int, states: dict[Category, str]) -> tuple[Candidates, Candidate | None]:
    """A table whose one candidate was heard of in these ways: never, lately, or too long ago."""
    candidates = Candidates()
    for category, state in states.items():
        if state == "never":
            continue
        at = NOW - LIFETIME_S[category] + (0.001 if state == "lately" else 0.0)
        if category in PROVEN:
            candidates.prove(address(index), member(index), category, at)
        else:
            candidates.hear(address(index), category, at)
    return candidates, candidates.get(address(index))


@pytest.mark.parametrize("states", list(product(("never", "lately", "lapsed"), repeat=4)))
def test_every_combination(states: tuple[str, ...]) -> None:
    """Category, verified, walkable, introducible and expired follow from the times alone."""
    by_category = dict(zip(Category, states, strict=True))
    candidates, candidate = heard(1, by_category)
    live = [category for category in Category if by_category[category] == "lately"]
    if candidate is None:
        assert set(states) == {"never"}
        return
    expected = live[0] if live else None
    assert candidate.category(NOW) is expected
    assert candidate.is_verified(NOW) == (expected in PROVEN)
    assert candidate.may_be_walked_to(NOW) == (expected is not None)
    requester = candidates.prove(address(2), member(2), Category.STUMBLED, NOW)
    introduced = candidates.introduction_for(requester, NOW)
    assert (introduced is candidate) == (expected in PROVEN)
    candidates.expire(NOW)
    assert (candidates.get(address(1)) is candidate) == (expected is not None)


def test_nobody_is_walked_to_again_too_soon() -> None:
    """After a request a candidate rests for REVISIT_S."""
    candidates = Candidates()
    candidate = candidates.prove(address(1), member(1), Category.WALKED, NOW)
    candidate.asked_at = NOW
    assert not candidate.may_be_walked_to(NOW + REVISIT_S - 0.001)
    assert candidate.may_be_walked_to(NOW + REVISIT_S)
    assert candidates.choose(rng=Random(1), now=NOW + 1, bootstrap=False) is None


def test_introductions_go_round_and_never_back() -> None:
    """Each verified candidate is introduced in turn; the requester never, however it is listed."""
    candidates = Candidates()
    for index in range(1, 5):
        candidates.prove(address(index), member(index), Category.STUMBLED, NOW)
    candidates.hear(address(9), Category.INTRODUCED, NOW)
    requester = candidates.prove(address(2), member(2), Category.STUMBLED, NOW)
    introduced = [candidates.introduction_for(requester, NOW) for _ in range(6)]
    indices = [each.address for each in introduced if each is not None]
    assert indices == [address(1), address(3), address(4)] * 2
    alone = Candidates()
    only = alone.prove(address(1), member(1), Category.WALKED, NOW)
    assert alone.introduction_for(only, NOW) is None


def test_who_lapsed_comes_last_when_it_is_back() -> None:
    """Whoever was there all the time goes before it."""
    candidates = Candidates()
    first = candidates.prove(address(1), member(1), Category.STUMBLED, NOW)
    later = NOW + STUMBLED_LIFETIME_S
    for index in (2, 3, 4):
        candidates.prove(address(index), member(index), Category.STUMBLED, later)
    asker = candidates.prove(address(9), member(9), Category.STUMBLED, later)
    assert candidates.introduction_for(asker, later) is not first
    candidates.prove(address(1), member(1), Category.STUMBLED, later)
    other = candidates.prove(address(8), member(8), Category.STUMBLED, later)
    named = [candidates.introduction_for(other, later) for _ in range(5)]
    assert [each.address for each in named if each is not None] == [
        address(3),
        address(4),
        address(9),
        address(2),
        address(1),
    ]


def test_each_hears_of_all_though_all_ask_in_a_fixed_order() -> None:
    """Turns alone would name the same one to the same asker for ever, and it may not reach that one."""
    candidates = Candidates()
    askers = [
        candidates.prove(address(index), member(index), Category.STUMBLED, NOW) for index in range(1, 6)
    ]
    heard: dict[Address, set[Address]] = {asker.address: set() for asker in askers}
    for _ in range(len(askers) - 1):
        for asker in askers:
            named = candidates.introduction_for(asker, NOW)
            assert named is not None
            heard[asker.address].add(named.address)
    assert all(len(named) == len(askers) - 1 for named in heard.values())


def test_two_behind_symmetric_nats_are_not_introduced() -> None:
    """Neither could open its NAT for the other."""
    candidates = Candidates()
    one = candidates.prove(address(1), member(1), Category.WALKED, NOW)
    other = candidates.prove(address(2), member(2), Category.WALKED, NOW)
    assert candidates.introduction_for(one, NOW) is other
    one.connection = other.connection = ConnectionType.SYMMETRIC
    assert candidates.introduction_for(one, NOW) is None


def test_a_member_is_one_candidate_at_its_newest_address() -> None:
    """It moves with what is known of it; a new member at a known address inherits nothing."""
    candidates = Candidates()
    first = candidates.prove(address(1), member(1), Category.WALKED, NOW)
    first.asked_at = NOW
    first.round_trip_s = 0.25
    moved = candidates.prove(address(2), member(1), Category.STUMBLED, NOW + 1)
    assert len(candidates) == 1
    assert moved.address == address(2)
    assert moved.category(NOW + 1) is Category.WALKED
    assert (moved.asked_at, moved.round_trip_s) == (NOW, 0.25)
    stranger = candidates.prove(address(2), member(2), Category.STUMBLED, NOW + 2)
    assert stranger.category(NOW + 2) is Category.STUMBLED
    assert len(candidates) == 1
    candidates.prove(address(3), member(1), Category.STUMBLED, NOW + 3)
    assert len(candidates) == 2


def test_the_choice_follows_its_shares() -> None:
    """With everybody at hand, each category and the bootstrap have their part of 20,000 steps."""
    candidates = Candidates()
    candidates.prove(address(1), member(1), Category.WALKED, NOW)
    candidates.prove(address(2), member(2), Category.STUMBLED, NOW)
    candidates.hear(address(3), Category.INTRODUCED, NOW)
    rng = Random(5)
    steps = 20_000
    counts: Counter[Address | None] = Counter()
    for _ in range(steps):
        chosen = candidates.choose(rng=rng, now=NOW, bootstrap=True)
        counts[chosen.address if chosen else None] += 1
    shares = {
        address(1): WALKED_SHARE,
        address(2): STUMBLED_SHARE,
        address(3): INTRODUCED_SHARE,
        None: BOOTSTRAP_SHARE,
    }
    chi_square = sum((counts[each] - steps * share) ** 2 / (steps * share) for each, share in shares.items())
    # 3 degrees of freedom: above 16.3 once in a thousand seeds.
    assert chi_square < 16.3, counts


def test_the_oldest_of_a_category_comes_first() -> None:
    """Introduced and discovered share a part; within it whoever was heard of longest ago is asked."""
    candidates = Candidates()
    for index in (1, 2, 3):
        candidates.prove(address(index), member(index), Category.WALKED, NOW + index)
    candidates.hear(address(4), Category.INTRODUCED, NOW + 2)
    candidates.hear(address(5), Category.DISCOVERED, NOW + 1)
    rng = Random(1)
    chosen = {candidates.choose(rng=rng, now=NOW + 5, bootstrap=False) for _ in range(100)}
    assert chosen == {candidates.get(address(1)), candidates.get(address(5))}


def test_the_table_is_bounded_and_the_useful_stay() -> None:
    """A flood of introduced, then of stumbled strangers leaves those who answered us in place."""
    candidates = Candidates()
    for index in range(10):
        candidates.prove(address(index), member(index), Category.WALKED, NOW)
    for index in range(100, 100 + 3 * CANDIDATES_MAX):
        candidates.hear(address(index), Category.INTRODUCED, NOW + 1)
        assert len(candidates) <= CANDIDATES_MAX
    for index in range(10_000, 10_000 + 3 * CANDIDATES_MAX):
        candidates.prove(address(index), member(index), Category.STUMBLED, NOW + 2)
        assert len(candidates) <= CANDIDATES_MAX
    assert all(address(index) in candidates for index in range(10))


def test_one_host_is_no_crowd() -> None:
    """All ports of one machine, or all addresses of one IPv6 network, have a small part of the table."""
    candidates = Candidates()
    candidates.prove(make_address("203.0.113.9", 1), member(1), Category.WALKED, NOW)
    for port in range(2, 5 * CANDIDATES_PER_HOST_MAX):
        candidates.prove(make_address("203.0.113.9", port), member(port), Category.STUMBLED, NOW)
        assert len(candidates) <= CANDIDATES_PER_HOST_MAX
    assert make_address("203.0.113.9", 1) in candidates
    for index in range(1, 5 * CANDIDATES_PER_HOST_MAX):
        candidates.hear(make_address(f"2001:db8::{index:x}", 6421), Category.INTRODUCED, NOW)
    assert len(candidates) <= 2 * CANDIDATES_PER_HOST_MAX
    for port in range(1, 5 * CANDIDATES_PER_HOST_MAX):
        candidates.hear(make_address("127.0.0.1", port), Category.DISCOVERED, NOW)
    assert len(candidates) > 5 * CANDIDATES_PER_HOST_MAX
