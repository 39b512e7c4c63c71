"""Whose address is whose: relays in between, members that move, and two nodes with one key."""

from __future__ import annotations

import pytest

from dispersy.constants import STEP_INTERVAL_S, TOKEN_DATAGRAM_SIZE
from dispersy.protocol.address import Address, make_address
from dispersy.protocol.wire.frames import token_datagram
from dispersy.testing.links import Link
from simulation.holdings import TAG
from simulation.node import Node
from simulation.world import World


class Relay:
    """Gives a walker the victim's token as its own, and passes on to the victim what is signed under it."""

    def __init__(self, world: World, *, victim: Node) -> None:
        self.address = make_address("203.0.113.7", 6421)
        self.passed_on = 0
        self._world = world
        self._victim = victim
        self._stolen = b""

    def receive(self, source: Address, data: bytes) -> None:
        if source == self._victim.address:
            self._stolen = self._stolen or data[-8:]
        elif len(data) > TOKEN_DATAGRAM_SIZE:
            self.passed_on += 1
            self._world.send(self.address, self._victim.address, data)
        else:
            self._world.send(self.address, source, token_datagram(TAG, data[-8:], self._stolen))

    def ask_token(self) -> None:
        self._world.send(self.address, self._victim.address, token_datagram(TAG, bytes(8), b"whatever"))

    def touch(self) -> None:
        pass

    def next_deadline(self) -> float:
        return float("inf")

    def handle_timer(self) -> None:
        raise AssertionError("it has no timer")


def test_a_relayed_introduction_does_not_move_a_member() -> None:
    """Who is walked to cannot pass the walker's introduction on and take its place at a neighbour."""
    world = World(seed=8)
    victim = world.add(1)
    walker = world.add(2, bootstrap=[victim])
    assert world.run(5, until=lambda: bool(victim.walker.candidates(world.now)))
    relay = Relay(world, victim=victim)
    world.nodes[relay.address] = relay  # type: ignore[assignment]
    relay.ask_token()
    world.run(1)
    walker.walker.receive_discovery(relay.address, world.now)
    assert world.run(20, until=lambda: relay.passed_on > 0)
    world.run(1)
    known = {view.address: view.member for view in victim.walker.candidates(world.now) if view.member}
    assert known == {walker.address: walker.member}
    assert world.bad_signatures == 0


class LiveRelay:
    """Passes every datagram of two nodes on to the other, in both directions, as if it were each of them."""

    def __init__(self, world: World, first: Node, second: Node) -> None:
        self.address = make_address("203.0.113.7", 6421)
        self.passed_on = 0
        self._world = world
        self._other = {first.address: second.address, second.address: first.address}

    def receive(self, source: Address, data: bytes) -> None:
        self.passed_on += len(data) > TOKEN_DATAGRAM_SIZE
        self._world.send(self.address, self._other[source], data)

    def touch(self) -> None:
        pass

    def next_deadline(self) -> float:
        return float("inf")

    def handle_timer(self) -> None:
        raise AssertionError("it has no timer")


def test_a_live_relay_moves_nobody() -> None:
    """Two neighbours that it brings together anew stay where they are known, for as long as it tries."""
    world = World(seed=9)
    first = world.add(1)
    second = world.add(2, bootstrap=[first])
    world.run(5)
    relay = LiveRelay(world, first, second)
    world.nodes[relay.address] = relay  # type: ignore[assignment]
    for _ in range(12):
        first.walker.receive_discovery(relay.address, world.now)
        second.walker.receive_discovery(relay.address, world.now)
        world.run(10)
        for node, other in ((first, second), (second, first)):
            known = {view.address for view in node.walker.candidates(world.now) if view.member}
            assert known == {other.address}
    assert relay.passed_on >= 12
    assert world.bad_signatures == 0


def test_a_node_that_moves_is_found_at_its_new_address_and_not_taken_for_two() -> None:
    """A new NAT mapping, say: soon everybody knows it there, and nobody is alarmed."""
    world = World(seed=10)
    first = world.add(1)
    others = [world.add(host, bootstrap=[first]) for host in (2, 3, 4)]
    mover = world.add(5, bootstrap=[first])
    world.run(30)
    del world.nodes[mover.address]
    mover.address = make_address("192.0.2.99", 6421)
    world.nodes[mover.address] = mover
    world.run(60)
    for node in (first, *others):
        known = {view.member: view.address for view in node.walker.candidates(world.now) if view.member}
        assert known[mover.member] == mover.address
    assert not any(node.same_key_at for node in world.nodes.values())


def test_a_restart_on_another_port_alarms_nobody() -> None:
    """Neighbours introduce the node to where it was; nobody is there any more."""
    world = World(seed=11)
    first = world.add(1)
    second = world.add(2, bootstrap=[first])
    world.add(3, bootstrap=[first])
    world.run(30)
    del world.nodes[second.address]
    again = world.add(4, bootstrap=[first], key_of=second)
    assert again.member == second.member
    world.run(60)
    assert not any(node.same_key_at for node in world.nodes.values())
    known = {view.member: view.address for view in first.walker.candidates(world.now) if view.member}
    assert known[again.member] == again.address


def test_a_node_that_reaches_itself_is_no_twin() -> None:
    """Its router sends back what it sends to an address of its own, so that it comes from there."""
    world = World(seed=12)
    first = world.add(1)
    outside = make_address("203.0.113.50", 6421)
    hairpin = LiveRelay(world, first, first)
    world.nodes[outside] = hairpin  # type: ignore[assignment]
    hairpin.address = outside
    for _ in range(5):
        first.walker.receive_discovery(outside, world.now)
        world.run(40)
    assert hairpin.passed_on >= 5
    assert first.same_key_at == []
    assert not any(view.member for view in first.walker.candidates(world.now))


def test_two_nodes_with_one_key_that_meet_are_both_told() -> None:
    """Whoever walks to the other first."""
    world = World(seed=7)
    first = world.add(1)
    twin = world.add(2, bootstrap=[first], key_of=first)
    assert twin.member == first.member
    world.run(2)
    assert twin.address in first.same_key_at
    assert first.address in twin.same_key_at
    assert first.walker.candidates(world.now) == []


@pytest.mark.parametrize("seed", range(5))
def test_two_nodes_with_one_key_and_a_neighbour_in_common_meet(seed: int) -> None:
    """Neither knows of the other: their neighbour introduces them, however many others it knows."""
    world = World(seed=seed, link=Link(loss=0.05))
    first = world.add(1)
    for host in range(2, 12):
        world.add(host, bootstrap=[first])
    home = world.add(20, bootstrap=[first])
    world.run(60)
    copy = world.add(30, bootstrap=[first], key_of=home)
    assert world.run(10 * STEP_INTERVAL_S, until=lambda: bool(home.same_key_at and copy.same_key_at))
    world.run(30)
    assert not any(node.same_key_at for node in world.nodes.values() if node.member != copy.member)
