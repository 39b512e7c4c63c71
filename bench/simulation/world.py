"""A world of nodes on fake links: real machines, kernels and datagrams; no sockets, no clock.

What happens next is the first of one agenda: a datagram's arrival, a node's deadline, something that a
scenario planned. The same seed gives the same world, datagram by datagram (`digest` proves it).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from hashlib import blake2b
from random import Random
from typing import Any

from dispersy.protocol.address import Address, make_address
from dispersy.testing.links import Link
from simulation.agenda import Agenda
from simulation.links import HEADERS_SIZE, Links
from simulation.measures import Meter
from simulation.nat import Nats
from simulation.node import Node
from simulation.shared import Corpus

NEVER = float("inf")
STEP_S = 1e-6
"""A machine whose deadline does not move would stop the world: time passes in any case."""
SPINS_MAX = 20_000
"""Turns of one node at once, without time for anything else: more than any audit takes to begin."""
ARRIVAL, DOWNLINK, DEADLINE, ACTION = range(4)


class World:
    """Nodes, and what is on its way between them.

    seed      of links; nodes have their own
    log       whether every datagram is kept in `log`: for small worlds
    proves    whether `digest` covers every datagram sent
    corpus    messages that all nodes share the bytes of; None: each keeps its own in a MemoryStore
    models    signatures are replaced by a hash, and what checking costs by checking_s
    """

    def __init__(
        self,
        *,
        seed: int,
        link: Link | None = None,
        log: bool = True,
        proves: bool = False,
        corpus: Corpus | None = None,
        models: bool = False,
        checking_s: float = 0.0,
    ) -> None:
        self.now = 0.0
        self._seed = seed
        self.rng = Random(f"world {seed}")
        self.links = Links(Random(seed), link or Link())
        self.nats = Nats()
        self.nodes: dict[Address, Node] = {}
        self.asleep: set[Address] = set()
        self.log: list[tuple[float, Address, Address, bytes]] = []
        """(when, source, target, datagram) of everything sent."""
        self.bad_signatures = 0
        self.corpus = corpus
        self.models = models
        self.checking_s = checking_s
        self.meter: Meter | None = None
        self.on_taken: Callable[[Node, int], None] | None = None
        """Told of every commit that brought a node something."""
        self.events = 0
        self._keeps_log = log
        self._proof = blake2b(digest_size=16) if proves else None
        self._agenda = Agenda()
        self._clocks: dict[Address, tuple[float, float]] = {}
        self._timers: dict[Address, float] = {}
        """When each node is looked at next; entries of the agenda that differ are stale."""
        self._spins: Counter[Address] = Counter()
        """Turns of a node after which it was due again at once."""

    def add(self, host: int, *, bootstrap: list[Node] | None = None, **options: Any) -> Node:
        """A node at 192.0.2.host, or 44.x.y.z for larger numbers.

        options  of Node; nat: the kind of NAT that it is behind (simulation.nat), with a private address
        """
        address = address_of(host)
        nat = options.pop("nat", None)
        if nat is not None:
            address = self.nats.place(host, nat, outside=address)
        known = [self.nats.outside(node.address) for node in bootstrap or []]
        node = Node(self, address, bootstrap=known, seed=f"{self._seed} {host}", **options)
        if nat is not None:
            node.walker.set_own_addresses(lan=address, wan=None)
        self.nodes[address] = node
        self.watch(address)
        return node

    def remove(self, node: Node) -> None:
        """It is gone, and so is what it held."""
        del self.nodes[node.address]
        self._timers.pop(node.address, None)

    def sleep(self, node: Node) -> None:
        """It neither acts nor hears anything until wake()."""
        self.asleep.add(node.address)

    def wake(self, node: Node) -> None:
        self.asleep.discard(node.address)
        self._timers.pop(node.address, None)
        self.watch(node.address)

    @property
    def digest(self) -> str:
        """Over time, source, target and bytes of everything sent."""
        assert self._proof is not None, "make the world with proves=True"
        return self._proof.hexdigest()

    def skew(self, node: Node, *, ahead_s: float = 0.0, rate: float = 1.0) -> None:
        """Let its clock show another time, and run slower or faster."""
        self._clocks[node.address] = (ahead_s - (rate - 1.0) * self.now, rate)

    def now_at(self, address: Address) -> float:
        """What a node's clock says."""
        if not self._clocks or address not in self._clocks:
            return self.now
        ahead_s, rate = self._clocks[address]
        return self.now * rate + ahead_s

    def _deadline(self, node: Node) -> float:
        deadline = node.next_deadline()
        if not self._clocks or node.address not in self._clocks:
            return deadline
        ahead_s, rate = self._clocks[node.address]
        return (deadline - ahead_s) / rate

    def at(self, moment: float, action: Callable[[], None]) -> None:
        """Do something at a moment, before what happens then."""
        self._push(max(self.now, moment), ACTION, action)

    def send(self, source: Address, target: Address, data: bytes) -> None:
        """Put a datagram on its way from one node to an address."""
        if self._keeps_log:
            self.log.append((self.now, source, target, data))
        if self._proof is not None:
            self._proof.update(b"%.6f" % self.now + source + target + data)
        if self.meter is not None:
            self.meter.note(self.now, source, data)
        # Links are those of the nodes themselves, wherever others see them.
        sender = source
        if self.nats.used:
            source, inside = self.nats.translate(source, target, self.now)
            if inside is None:
                return
            target = inside
        kind = DOWNLINK if target in self.links.downlinks else ARRIVAL
        for arrives in self.links.arrivals(self.now, sender, target, len(data)):
            self._push(arrives, kind, source, target, data)

    def watch(self, address: Address) -> None:
        """A node may have got an earlier deadline from outside."""
        node = self.nodes.get(address)
        if node is not None and address not in self.asleep:
            node.touch()
            self._watch(node, address)

    def _watch(self, node: Node, address: Address) -> None:
        deadline = node.next_deadline() if not self._clocks else self._deadline(node)
        if deadline < self.now:
            deadline = self.now
        if deadline < self._timers.get(address, NEVER):
            self._timers[address] = deadline
            self._push(deadline, DEADLINE, address)

    def run(
        self, limit_s: float, *, until: Callable[[], bool] = lambda: False, looks_every_s: float = 0.0
    ) -> bool:
        """Let limit_s pass, or less if `until` comes true before; whether it did.

        looks_every_s   of this time until `until` is asked again: at least so much must pass
        """
        end = self.now + limit_s
        for address in list(self.nodes):
            self.watch(address)
        if until():
            return True
        take = self._agenda.take
        looks_at = self.now + looks_every_s
        while (entry := take(end)) is not None:
            at, _, kind, one, other, data = entry
            if at > self.now:
                self.now = at
            self.events += 1
            if kind == ARRIVAL:
                self._arrive(one, other, data)
            elif kind == DEADLINE:
                if not self._act(one, at):
                    continue
            elif kind == DOWNLINK:
                through = self.links.downlinks[other].pass_through(self.now, len(data) + HEADERS_SIZE)
                if through is None:
                    self.links.lost["queue"] += 1
                else:
                    self._push(through, ARRIVAL, one, other, data)
                continue
            else:
                one()
            if self.now >= looks_at:
                looks_at = self.now + looks_every_s
                if until():
                    return True
        self.now = max(self.now, end)
        return until()

    def _push(self, at: float, kind: int, one: Any, other: Any = None, data: Any = None) -> None:
        self._agenda.put(at, kind, one, other, data)

    def _arrive(self, source: Address, target: Address, data: bytes) -> None:
        if self.nats.used and not self.nats.lets_in(source, target, self.now):
            return
        node = self.nodes.get(target)
        if node is not None and target not in self.asleep:
            node.receive(source, data)
            self._watch(node, target)

    def _act(self, address: Address, at: float) -> bool:
        """Whether this was not stale, and the node did something."""
        if self._timers.get(address) != at:
            return False
        del self._timers[address]
        node = self.nodes.get(address)
        if node is None or address in self.asleep:
            return False
        is_due = self._deadline(node) <= self.now
        if is_due:
            self.now += STEP_S
            node.handle_timer()
        if address in self.nodes and address not in self.asleep:
            self._watch(node, address)
        if is_due and self._timers.get(address) == self.now:
            self._spins[address] += 1
            assert self._spins[address] < SPINS_MAX, f"{address.hex()} spins at {self.now:.6f}"
        elif self._spins:
            self._spins.pop(address, None)
        return is_due


def address_of(host: int) -> Address:
    """A public address of its own for each node."""
    if host < 255:
        return make_address(f"192.0.2.{host}", 6421)
    return make_address(f"44.{host >> 16 & 255}.{host >> 8 & 255}.{host & 255}", 6421)


def equal(*nodes: Node) -> bool:
    """Whether all hold the very same messages (not merely the same sums)."""
    first = nodes[0].holdings
    ours = first.summary()
    if any(node.holdings.summary().count != ours.count for node in nodes[1:]):
        return False
    return all(node.holdings.ids() == first.ids() for node in nodes[1:])
