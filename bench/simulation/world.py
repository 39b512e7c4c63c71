"""A small world of nodes on fake links: real machines, kernels and datagrams; no sockets, no clock."""

from __future__ import annotations

from collections.abc import Callable
from random import Random

from dispersy.protocol.address import Address, make_address
from dispersy.testing.links import Link, Links
from simulation.node import Node


class World:
    """Nodes, and what is on its way between them."""

    def __init__(self, *, seed: int, link: Link | None = None) -> None:
        self.now = 0.0
        self.links = Links(Random(seed), link or Link())
        self.nodes: dict[Address, Node] = {}
        self.log: list[tuple[float, Address, Address, bytes]] = []
        """(when, source, target, datagram) of everything sent."""
        self.bad_signatures = 0

    def add(self, host: int, *, bootstrap: list[Node] | None = None, **options: object) -> Node:
        """A node at 192.0.2.host."""
        address = make_address(f"192.0.2.{host}", 6421)
        known = [node.address for node in bootstrap or []]
        node = Node(self, address, bootstrap=known, seed=host, **options)  # type: ignore[arg-type]
        self.nodes[address] = node
        return node

    def send(self, source: Address, target: Address, data: bytes) -> None:
        self.log.append((self.now, source, target, data))
        self.links.send(self.now, source, target, data)

    def run(self, limit_s: float, *, until: Callable[[], bool] = lambda: False) -> bool:
        """Let limit_s pass, or less if `until` comes true before; whether it did."""
        end = self.now + limit_s
        # Asked again only where something happened: most of many nodes sleep.
        deadlines = {address: node.next_deadline() for address, node in self.nodes.items()}
        while not until():
            arrival = self.links.next_arrival()
            at = max(self.now, min(min(deadlines.values()), end if arrival is None else arrival))
            if at >= end:
                self.now = end
                return until()
            # A machine whose deadline does not move would stop the world: let time pass in any case.
            self.now = at + 1e-6
            for source, target, data in self.links.arrived(self.now):
                node = self.nodes.get(target)
                if node is not None:
                    node.receive(source, data)
                    deadlines[target] = node.next_deadline()
            for address, deadline in deadlines.items():
                if deadline <= self.now:
                    self.nodes[address].handle_timer()
                    deadlines[address] = self.nodes[address].next_deadline()
        return True


def equal(*nodes: Node) -> bool:
    """Whether all hold the very same messages (not merely the same sums)."""
    first = nodes[0].holdings
    counts = {node.holdings.summary().count for node in nodes}
    return len(counts) == 1 and all(node.holdings.ids() == first.ids() for node in nodes[1:])
