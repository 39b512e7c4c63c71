"""Whom a community asks, of many who claim to have something: neither a crowd nor a claim decides it."""

from __future__ import annotations

from collections import Counter
from random import Random

import pytest

from dispersy.constants import (
    MET_PER_HOST_MAX,
    MISSING_PER_SECOND_MAX,
    PULL_SOURCES_MAX,
    PULL_SOURCES_PER_HOST_MAX,
    REQUEST_TIMEOUT_MAX_S,
)
from dispersy.protocol.address import make_address
from dispersy.protocol.sync.definition_request import DefinitionRequest
from dispersy.protocol.sync.pull_sources import PullSources
from dispersy.protocol.wire.summary import Summary

SOURCE = make_address("203.0.113.1", 6421)
THEIRS = Summary(highest=900, count=5_000, sum=77)


def test_claims_do_not_drive_out_who_brought_something() -> None:
    """Neither many hosts nor the many ports of one; and a host has a part of the table only."""
    ours, now = Summary(), 10.0
    sources = PullSources()
    sources.hear(SOURCE, THEIRS, ours=ours, now=0.0)
    known = sources.get(SOURCE)
    assert known is not None
    known.bear_fruit()
    crowd = [make_address("198.51.100.1", port) for port in range(1, 3 * PULL_SOURCES_MAX)]
    for address in crowd:
        sources.hear(address, THEIRS, ours=ours, now=1.0)
    assert len(sources.ready(ours, now)) == 1 + PULL_SOURCES_PER_HOST_MAX
    for host in range(1, 3 * PULL_SOURCES_MAX):
        sources.hear(make_address(f"192.0.2.{host}", 1), THEIRS, ours=ours, now=2.0)
    assert len(sources.ready(ours, now)) == PULL_SOURCES_MAX
    assert SOURCE in sources.ready(ours, now)
    chosen = Counter(sources.choose(ours, now, last=None, rng=Random(seed)) for seed in range(200))
    assert 120 < chosen[SOURCE] < 180


def test_the_definition_is_not_asked_of_one_host_only() -> None:
    """A machine with many ports leaves those in the list whom we met before."""
    request = DefinitionRequest(rng=Random(1))
    request.hear(SOURCE, knows=False, now=0.0)
    for port in range(1, 200):
        request.hear(make_address("198.51.100.1", port), knows=False, now=0.0)
    asked, now = set(), 0.0
    for _ in range(2 * MET_PER_HOST_MAX):
        sent = request.step(now)
        assert sent is not None
        asked.add(sent[0])
        now += REQUEST_TIMEOUT_MAX_S
    assert SOURCE in asked
    assert len(asked) == 1 + MET_PER_HOST_MAX


def test_fifty_communities_joined_at_once_get_their_definitions_soon() -> None:
    """The neighbour looks at four requests a second of one address, and all fifty ask it at the same moment;
    what it did not look at must not come again at the same moments, each time for four of them."""
    waiting = [DefinitionRequest(rng=Random(index)) for index in range(50)]
    for request in waiting:
        request.hear(SOURCE, knows=True, now=0.0)
    ticks = 0
    while waiting:
        ticks += 1
        assert ticks < 400, f"{len(waiting)} have none after {ticks / 10} s"
        if ticks % 10 == 1:
            looked_at = 0
        for request in list(waiting):
            if request.step(ticks / 10) is not None and looked_at < MISSING_PER_SECOND_MAX:
                looked_at += 1
                waiting.remove(request)


def test_a_neighbour_that_held_the_same_set_is_not_pulled_from_because_ours_has_grown() -> None:
    """New messages spread by themselves; its next word says whether it has others."""
    sources = PullSources()
    alike, grown = Summary(count=5, sum=5), Summary(count=6, sum=6)
    sources.hear(SOURCE, alike, ours=alike, now=0.0)
    assert sources.begin_at(alike) is None
    assert sources.begin_at(grown) is None
    sources.hear(SOURCE, Summary(count=5, sum=7), ours=grown, now=1.0)
    assert sources.begin_at(grown) is not None


@pytest.mark.parametrize("change", ["word", "own-store", "source", "forgiven", "time"])
def test_that_nobody_has_anything_is_remembered_until_something_changes(change: str) -> None:
    """Whoever is asked about all the time answers from memory, and not a moment longer than that is true."""
    sources, ours, now, rng = PullSources(), Summary(count=5, sum=5), 100.0, Random(1)
    sources.hear(SOURCE, THEIRS, ours=ours, now=now)
    source = sources.get(SOURCE)
    assert source is not None
    if change in ("source", "forgiven", "time"):
        source.not_before = now + 60
    else:
        sources.hear(SOURCE, ours, ours=ours, now=now)
    assert sources.choose(ours, now, last=None, rng=rng) is None
    assert sources.choose(ours, now, last=None, rng=rng) is None
    if change == "word":
        sources.hear(SOURCE, THEIRS, ours=ours, now=now)
    elif change == "own-store":
        # What it had said last was never found equal to this one.
        source.matched, ours = None, Summary(count=4, sum=4)
    elif change == "source":
        changed = sources.get(SOURCE)
        assert changed is not None
        changed.not_before = now
    elif change == "forgiven":
        sources.forgive(now)
    else:
        now += 61
    assert sources.choose(ours, now, last=None, rng=rng) == SOURCE
