"""Many nodes that have met: what scenarios of a hundred to ten thousand are made of."""

from __future__ import annotations

from dataclasses import dataclass
from random import Random

from dispersy.ext import wire
from dispersy.testing.links import Link
from simulation.node import Node
from simulation.scenario import Curve
from simulation.shared import Base, Corpus, SharedHoldings, make_messages
from simulation.world import World

LINK = Link(delay_s=0.05, loss=0.01)
WARM_UP_S = 60.0
ARRIVAL_S = 10.0
"""In which all nodes of a population start."""
SPREADING_LIMIT_S = 120.0
PER_BOOTSTRAP = 250
HISTORY = 100


@dataclass(slots=True)
class Population:
    """A world of nodes that hold a short history, and where they found each other."""

    world: World
    corpus: Corpus
    base: Base
    nodes: list[Node]
    bootstraps: list[Node]
    rng: Random
    made: int = 0

    def message(self, author: Node, *, payload: int = 100) -> bytes:
        """A new message of a node, after all that it holds."""
        self.made += 1
        time = author.holdings.summary().highest + 1
        text = self.made.to_bytes(8, "big").ljust(payload, b".")
        head = wire.encode_message(64, 0, author.member, b"", time, self.made, b"", b"", [text])
        return head + bytes(64)

    def forget_traffic(self) -> None:
        """Count from now on."""
        for node in self.nodes:
            node.heard.clear()
            node.sent.clear()
            node.taken = 0

    def heard(self, what: str) -> int:
        """In all, by all nodes."""
        return sum(node.heard[what] for node in self.nodes)


def populate(
    *,
    nodes: int,
    seed: int,
    link: Link = LINK,
    warm_up_s: float = WARM_UP_S,
    rate: float = 0.0,
    checking_s: float = 0.0,
) -> Population:
    """So many nodes that came within ARRIVAL_S and have walked since.

    rate    bytes a second that each sends and receives at most; 0: unlimited
    """
    corpus = Corpus()
    base = Base(corpus, make_messages(corpus, HISTORY, seed=1))
    world = World(seed=seed, link=link, log=False, corpus=corpus, models=True, checking_s=checking_s)
    rng = Random(f"population {seed}")
    bootstraps: list[Node] = []
    for host in range(1, 2 + (nodes - 1) // PER_BOOTSTRAP):
        # They know each other, or each would have a population of its own.
        known = list(bootstraps)
        bootstraps.append(world.add(host, bootstrap=known, holdings=SharedHoldings(corpus, base)))
    found = Population(world, corpus, base, list(bootstraps), bootstraps, rng)
    for host in range(len(bootstraps) + 1, nodes + 1):
        world.at(rng.random() * ARRIVAL_S, lambda host=host: join(found, host))
    world.run(ARRIVAL_S + warm_up_s)
    if rate:
        for node in found.nodes:
            world.links.set_access(node.address, up=rate, down=rate, queue=256_000)
    return found


def join(population: Population, host: int, holdings: SharedHoldings | None = None) -> Node:
    """One more node, which knows one bootstrap, or two where there are several."""
    if holdings is None:
        holdings = SharedHoldings(population.corpus, population.base)
    known = population.rng.sample(population.bootstraps, min(2, len(population.bootstraps)))
    node = population.world.add(host, bootstrap=known, holdings=holdings)
    population.nodes.append(node)
    return node


def watch_taken(world: World, curve: Curve) -> None:
    """Note each message that a node takes in, counted over all nodes."""
    began = world.now

    def note(node: Node, fresh: int) -> None:  # noqa: ARG001 the count is enough
        curve.append((world.now - began, (curve[-1][1] if curve else 0.0) + fresh))

    world.on_taken = note


def spread_one(population: Population) -> tuple[bool, float, Curve]:
    """A message by one of all nodes: whether all have it, after how long, and how many had it when."""
    world, others = population.world, len(population.nodes) - 1
    curve: Curve = []
    watch_taken(world, curve)
    began = world.now
    author = population.rng.choice(population.nodes)
    author.publish([population.message(author)])
    everybody = world.run(SPREADING_LIMIT_S, until=lambda: bool(curve) and curve[-1][1] >= others)
    took_s = world.now - began
    # What was sent by then still costs.
    world.run(2.0)
    return everybody, took_s, curve
