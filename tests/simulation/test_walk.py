"""Nodes that meet: how fast, how many datagrams strangers get, and what a recorded introduction is worth."""

from __future__ import annotations

import pytest

from dispersy.constants import TOKEN_DATAGRAM_SIZE
from dispersy.protocol.address import make_address
from dispersy.protocol.wire.frames import frame, token_datagram
from dispersy.protocol.wire.numbers import FrameType
from dispersy.testing.links import Link
from simulation.holdings import TAG
from simulation.node import Node
from simulation.world import World


def asked_by(node: Node) -> int:
    """How many introduction-requests it has made to its bootstrap and neighbours."""
    return sum(node.walker.counts[f"walk-{each}"] for each in ("bootstrap", "walked", "stumbled"))


def test_two_nodes_meet_within_a_fraction_of_a_second() -> None:
    """One knows the other's address; both are verified to each other after two round trips."""
    world = World(seed=1, link=Link(delay_s=0.001))
    first = world.add(1)
    second = world.add(2, bootstrap=[first])
    met = world.run(
        0.3, until=lambda: bool(first.walker.candidates(world.now) and second.walker.candidates(world.now))
    )
    assert met


def test_a_group_meets_through_one_bootstrap() -> None:
    """Twenty nodes that know only the first end up knowing several others each, also on a lossy link."""
    world = World(seed=2, link=Link(loss=0.1))
    first = world.add(1)
    nodes = [world.add(host, bootstrap=[first]) for host in range(2, 22)]
    world.run(60)
    known = [len([view for view in node.walker.candidates(world.now) if view.member]) for node in nodes]
    assert min(known) >= 4, known
    assert not any(
        view.address == node.address for node in nodes for view in node.walker.candidates(world.now)
    )


@pytest.mark.parametrize(("others", "late_s"), [(20, 0.0), (8, 30.0)], ids=["of-many", "late"])
def test_who_meets_few_by_a_tracker_soon_finds_one(others: int, late_s: float) -> None:
    """Behind a symmetric NAT one alone of those that a tracker names is met: it names one at a time, and at
    the pace of steps it took minutes to come to that one."""
    world = World(seed=7, link=Link(delay_s=0.025, loss=0.005))
    tracker = world.add(1)
    tracker.walker.set_summary(None, world.now)
    for host in range(2, 2 + others):
        world.add(host, bootstrap=[tracker], nat="port-restricted")
    reached = world.add(50, bootstrap=[tracker], nat="full-cone")
    world.run(late_s)
    node = world.add(51, bootstrap=[tracker], nat="symmetric")

    def has_met() -> bool:
        return reached.walker.member in [member for _, member in node.walker.neighbours(world.now)]

    assert world.run(15, until=has_met)
    assert asked_by(node) < 3 * 15


def test_who_is_named_nobody_by_a_tracker_stops_to_ask_for_more() -> None:
    """The only other one has gone: a tracker is asked every half second for it, and then as any neighbour."""
    world = World(seed=5, link=Link(delay_s=0.025))
    tracker = world.add(1)
    tracker.walker.set_summary(None, world.now)
    gone = world.add(2, bootstrap=[tracker], nat="port-restricted")
    world.run(5)
    del world.nodes[gone.address]
    node = world.add(3, bootstrap=[tracker], nat="port-restricted")
    world.run(150)
    before = asked_by(node)
    world.run(120)
    assert asked_by(node) - before < 12


def test_those_who_leave_are_forgotten() -> None:
    """A minute and a half after a node has gone nobody lists it any more."""
    world = World(seed=3)
    first = world.add(1)
    nodes = [world.add(host, bootstrap=[first]) for host in range(2, 8)]
    world.run(30)
    gone = nodes.pop()
    del world.nodes[gone.address]
    world.run(90)
    listed = {
        view.address for node in [first, *nodes] for view in node.walker.candidates(world.now) if view.member
    }
    assert gone.address not in listed


def test_what_was_parted_for_minutes_finds_itself_though_the_bootstrap_is_gone() -> None:
    """Both halves have forgotten each other by then, and nobody is left who knows both."""
    world = World(seed=7)
    first = world.add(1)
    nodes = [world.add(host, bootstrap=[first]) for host in range(2, 10)]
    world.run(30)
    del world.nodes[first.address]
    ones, others = nodes[:4], nodes[4:]
    world.links.part([node.address for node in ones], [node.address for node in others])
    world.run(300)

    def know_the_other_half(nodes: list[Node], half: list[Node]) -> list[bool]:
        there = {node.address for node in half}
        verified = (
            {view.address for view in node.walker.candidates(world.now) if view.member} for node in nodes
        )
        return [bool(each & there) for each in verified]

    assert not any(know_the_other_half(ones, others))
    world.links.cut.clear()
    assert world.run(
        300, until=lambda: all(know_the_other_half(ones, others)) and all(know_the_other_half(others, ones))
    )


def test_a_restarted_node_is_met_again() -> None:
    """It forgot its secret and all tokens; a stale token costs one round trip and no more."""
    world = World(seed=4)
    first = world.add(1)
    second = world.add(2, bootstrap=[first])
    world.run(10)
    del world.nodes[first.address]
    again = world.add(1)
    assert world.run(40, until=lambda: bool(again.walker.candidates(world.now)))
    assert second.walker.candidates(world.now)


def test_forged_sources_get_28_bytes_a_datagram_at_most() -> None:
    """An address that proves nothing gets at most a token datagram for each of its own."""
    world = World(seed=5)
    first = world.add(1)
    second = world.add(2, bootstrap=[first])
    world.run(5)
    recorded = [data for _, source, _, data in world.log if source == second.address]
    victim = make_address("203.0.113.7", 53)
    forged = [
        token_datagram(TAG, bytes(8), b"victim's"),
        token_datagram(TAG, b"guessed!", b"victim's"),
        *recorded,
    ]
    forged.append(recorded[0] + frame(FrameType.PUNCTURE_REQUEST, bytes(6)))
    world.log.clear()
    for data in forged * 3:
        first.receive(victim, data)
    world.run(20)
    answers = [data for _, source, target, data in world.log if target == victim]
    assert all(len(data) == TOKEN_DATAGRAM_SIZE for data in answers)
    assert 3 <= len(answers) <= 3 * len(forged)


def test_a_recorded_introduction_does_not_move_a_member() -> None:
    """An introduction sent again from another address, under a token valid there, fails its signature."""
    world = World(seed=6)
    first = world.add(1)
    second = world.add(2, bootstrap=[first])
    world.run(5)
    recorded = next(
        data
        for _, source, target, data in world.log
        if (source, target) == (second.address, first.address) and len(data) > TOKEN_DATAGRAM_SIZE
    )
    thief = make_address("203.0.113.7", 6421)
    valid = first.tokens.token_for(thief, world.now)
    before = world.bad_signatures
    first.receive(thief, recorded[:10] + valid + recorded[18:])
    assert world.bad_signatures == before + 1
    assert thief not in {view.address for view in first.walker.candidates(world.now)}
