"""What a host may cost that says it holds something else and gives nothing: bounded by time."""

from __future__ import annotations

from random import Random

import pytest

from dispersy.protocol.address import Address, make_address
from dispersy.protocol.sync.pull_sources import PullSources
from dispersy.protocol.sync.reputation import (
    EARNED_MAX,
    GAIN_WORTH,
    PAUSE_MAX_S,
    STRANGER_PAUSE_MAX_S,
    STRANGERS_WASTE_MAX,
    STRANGERS_WASTE_RATE,
    WASTE_MAX,
    WASTE_RATE,
    Reputations,
)
from dispersy.protocol.wire.summary import Summary

LONGEST = 20_000


def peer(host: int, port: int = 6421) -> Address:
    return make_address(f"192.0.{host // 250}.{1 + host % 250}", port)


@pytest.mark.parametrize("seed", range(10))
def test_a_host_that_gives_nothing_costs_a_little_at_first_and_then_little_a_second(seed: int) -> None:
    """Goal: however much each pull costs, and from however many ports it speaks."""
    rng, reputations = Random(seed), Reputations()
    now = spent = 0.0
    while now < 7_200:
        address = peer(1, rng.randrange(1, 1_000))
        if now >= reputations.begins_at(address):
            cost = rng.randrange(100, LONGEST)
            reputations.charge(address, cost, now)
            spent += cost
        now += rng.random() * 5
    assert spent <= WASTE_MAX + LONGEST + WASTE_RATE * now
    assert spent >= WASTE_RATE * now / 2


def test_a_pause_ends_whatever_it_cost() -> None:
    """Goal: a whole set described in vain is no reason to be left alone for hours."""
    reputations = Reputations()
    reputations.charge(peer(1), 10_000_000, 5.0)
    assert reputations.begins_at(peer(1)) == 5.0 + STRANGER_PAUSE_MAX_S
    reputations.credit(peer(1), 1)
    reputations.charge(peer(1), 10_000_000, 6.0)
    assert reputations.begins_at(peer(1)) == 6.0 + PAUSE_MAX_S


def test_what_it_brings_pays_for_more() -> None:
    """Goal: who fills our store is asked on; what it has earned has an end."""
    reputations = Reputations()
    reputations.charge(peer(1), STRANGERS_WASTE_MAX, 0.0)
    reputations.credit(peer(1), 10)
    assert reputations.begins_at(peer(1)) <= 0.0
    reputations.credit(peer(1), 1_000_000)
    reputations.charge(peer(1), EARNED_MAX + WASTE_MAX - GAIN_WORTH, 1.0)
    assert reputations.begins_at(peer(1)) <= 1.0
    reputations.charge(peer(1), 2 * GAIN_WORTH, 1.0)
    assert reputations.begins_at(peer(1)) > 1.0
    reputations.credit(peer(2), 5)
    assert reputations.begins_at(peer(2)) <= 1.0, "what the first one owed is no stranger's debt"


def test_many_hosts_that_gave_nothing_wait_together() -> None:
    """Goal: new addresses without end cost no more than some; who gave something does not wait."""
    reputations = Reputations()
    reputations.charge(peer(0), 100, 0.0)
    reputations.credit(peer(0), 1)
    spent = now = 0.0
    for host in range(1, 900):
        if now >= reputations.begins_at(peer(host)):
            reputations.charge(peer(host), WASTE_MAX, now)
            spent += WASTE_MAX
        now += 0.1
        assert now >= reputations.begins_at(peer(0))
    assert spent <= STRANGERS_WASTE_MAX + WASTE_MAX + STRANGERS_WASTE_RATE * now


def test_a_source_waits_though_it_comes_back_from_another_port() -> None:
    """Goal: what a host has cost is known however often its sources are forgotten."""
    sources, ours = PullSources(), Summary(count=5, sum=5)
    sources.hear(peer(1), Summary(count=9, sum=9), ours=ours, now=0.0)
    assert sources.ready(ours, 1.0) == [peer(1)]
    sources.charge(peer(1), WASTE_MAX + 6_400, 1.0)
    sources.remove(peer(1))
    sources.hear(peer(1, 7_000), Summary(count=9, sum=8), ours=ours, now=2.0)
    assert sources.ready(ours, 100.0) == []
    assert sources.ready(ours, 101.0) == [peer(1, 7_000)]
