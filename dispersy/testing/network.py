"""A network of nodes in memory, whose clock only moves when somebody waits; the same seed, the same run."""

from __future__ import annotations

from collections.abc import Iterable
from random import Random
from time import time
from types import TracebackType
from typing import Self

from dispersy.errors import UsageError
from dispersy.protocol.address import Address, make_address
from dispersy.testing.links import Link, Links
from dispersy.testing.node import Node

NETWORK_NODES_MAX = 254
"""Nodes of one network: the addresses of 192.0.2.0/24, which are for examples."""
STEP_S = 1e-6
"""A machine whose deadline does not move would stop the world: time passes in any case."""
SETTLE_MAX_S = 600.0


class Network:
    """Nodes and what lies between them.

    seed    of keys, tokens, the walk and of loss
    link    what datagrams go through; may be set at any time
    now     seconds since the beginning
    """

    def __init__(self, *, seed: int = 0, link: Link | None = None) -> None:
        self.now = 0.0
        self._rng = Random(seed)
        self._links = Links(Random(seed), link or Link())
        self._nodes: dict[Address, Node] = {}
        # Request ids tell when they were made; messages do not depend on it.
        self._began_ms = int(time() * 1000)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for node in self._nodes.values():
            node.close()

    @property
    def link(self) -> Link:
        return self._links.link

    @link.setter
    def link(self, link: Link) -> None:
        self._links.link = link

    def nodes(self, count: int) -> list[Node]:
        """So many new nodes."""
        return [self.node() for _ in range(count)]

    def node(self) -> Node:
        """A new node."""
        if len(self._nodes) >= NETWORK_NODES_MAX:
            raise UsageError(f"a network has at most {NETWORK_NODES_MAX} nodes", code="too-many")
        address = make_address(f"192.0.2.{len(self._nodes) + 1}", 6421)
        made = Node(
            self,
            address,
            rng=Random(self._rng.randbytes(16)),
            send=lambda source, target, data: self._links.send(self.now, source, target, data),
            began_ms=self._began_ms,
        )
        self._nodes[address] = made
        return made

    def partition(self, *groups: Iterable[Node]) -> None:
        """Nodes of different groups do not reach each other, until heal()."""
        parts = [[node.address for node in group] for group in groups]
        for index, part in enumerate(parts):
            for other in parts[index + 1 :]:
                self._links.part(part, other)

    def heal(self) -> None:
        """All nodes reach each other again."""
        self._links.cut.clear()

    def run(self, seconds: float) -> None:
        """Let time pass."""
        until = self.now + seconds
        while self.now < until:
            self.advance(until)

    def settle(self, *, limit_s: float = SETTLE_MAX_S) -> None:
        """Let time pass until all nodes hold the same messages of every community that they share.

        raises  UsageError `timeout` when they do not within limit_s of the network's time
        """
        until = self.now + limit_s
        while not self._is_settled():
            if self.now >= until:
                raise UsageError(
                    f"the nodes hold different messages after {limit_s:g} s",
                    code="timeout",
                    hint="see whether they know each other (join with an invite) and are not parted",
                )
            self.advance(until)

    def advance(self, until: float) -> None:
        """Let the next thing happen, or time pass to `until` if nothing happens before."""
        deadlines = [node.next_deadline() for node in self._nodes.values()]
        arrival = self._links.next_arrival()
        at = min([until, *deadlines] + ([] if arrival is None else [arrival]))
        self.now = max(at, self.now + STEP_S)
        for source, target, data in self._links.arrived(self.now):
            if target in self._nodes:
                self._nodes[target].receive(source, data)
        for node in list(self._nodes.values()):
            if node.next_deadline() <= self.now:
                node.handle_timer()

    def _is_settled(self) -> bool:
        held: dict[bytes, list[object]] = {}
        for node in self._nodes.values():
            for community_id, summary in node.summaries().items():
                held.setdefault(community_id, []).append((summary.count, summary.sum))
        return all(len(set(each)) == 1 for each in held.values())
