"""Forged summaries: two sets of equal count and sum do differ, and only the audit ever finds out."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations

from dispersy.ext import digest
from dispersy.protocol.identifiers import sum_key
from simulation.holdings import COMMUNITY_ID, history, records_of
from simulation.node import Node
from simulation.world import World, equal

SUM_BITS = 24
"""So few that equal sums are found by trying; for 96 it takes minutes with Wagner's algorithm."""


def forged_pairs(messages: list[bytes]) -> Iterator[tuple[list[bytes], list[bytes]]]:
    """Two different pairs of messages whose sums under the community's public key are equal modulo 2^24."""
    records, _ = records_of(messages)
    ids = [records[start + 32 : start + 64] for start in range(0, len(records), 96)]
    sums = [digest.sum_many(message_id, sum_key(COMMUNITY_ID)) for message_id in ids]
    seen: dict[int, tuple[int, int]] = {}
    for pair in combinations(range(len(messages)), 2):
        total = (sums[pair[0]] + sums[pair[1]]) % (1 << SUM_BITS)
        other = seen.setdefault(total, pair)
        if not set(other) & set(pair):
            yield [messages[index] for index in other], [messages[index] for index in pair]


def forged_world(*, audits: bool, sets: int = 1) -> tuple[World, Node, Node]:
    """Two nodes that have met, with equal summaries and different stores."""
    messages = history(700)
    world = World(seed=1)
    one = world.add(1, sum_bits=SUM_BITS, audits=audits)
    other = world.add(2, bootstrap=[one], sum_bits=SUM_BITS, audits=audits)
    taken: set[bytes] = set()
    ours: list[bytes] = []
    theirs: list[bytes] = []
    for here, there in forged_pairs(messages):
        if not taken & {*here, *there}:
            taken.update(here, there)
            ours += here
            theirs += there
        if len(ours) == 2 * sets:
            break
    assert len(ours) == 2 * sets, "another seed is needed"
    common = [message for message in messages if message not in taken]
    one.publish(common + ours)
    other.publish(common + theirs)
    assert one.holdings.summary().same_set(other.holdings.summary())
    assert not equal(one, other)
    return world, one, other


def test_audits_repair_what_equal_sums_hide() -> None:
    """Stores with forged equal sums end equal within a bounded number of audits."""
    world, one, other = forged_world(audits=True, sets=3)
    assert world.run(120, until=lambda: equal(one, other)), (one.puller.counts, other.puller.counts)
    requests = one.sent["audit-request"] + other.sent["audit-request"]
    # Some 700 ids in parts of 100 are 8 parts; a handful of courses must do.
    assert 1 <= requests <= 40, requests


def test_without_audits_they_stay_apart() -> None:
    """The same stores with audits switched off never notice: so it is the audit that repairs them."""
    world, one, other = forged_world(audits=False, sets=3)
    assert not world.run(120, until=lambda: equal(one, other))
    assert one.holdings.summary().same_set(other.holdings.summary())
    assert one.sent["audit-request"] + other.sent["audit-request"] == 0


def test_a_neighbour_is_audited_once_an_interval() -> None:
    """Equal and honest stores are audited, but no neighbour more often than the interval allows."""
    world = World(seed=2)
    one = world.add(1, audits=True, audit_interval_s=100.0, audit_ids_max=1_000)
    other = world.add(2, bootstrap=[one], audits=True, audit_interval_s=100.0, audit_ids_max=1_000)
    messages = history(200)
    one.publish(messages)
    other.publish(messages)
    world.run(350)
    assert 2 <= one.sent["audit-request"] <= 4
    assert one.sent["sync-request"] + other.sent["sync-request"] <= 4
