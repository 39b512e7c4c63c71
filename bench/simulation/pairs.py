"""Two nodes that meet: what most scenarios of two are made of, and what is measured of them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache

from dispersy.testing.links import Link
from simulation.measures import Meter
from simulation.node import Node
from simulation.scenario import Curve
from simulation.shared import Base, Corpus, SharedHoldings, make_messages
from simulation.world import World

CORPUS_SEED = 7
LIMIT_S = 600.0


@lru_cache(maxsize=2)
def corpus_of(count: int) -> tuple[Corpus, Base]:
    """A history of so many messages, made once, and the base of all of it."""
    corpus = Corpus()
    return corpus, Base(corpus, make_messages(corpus, count, seed=CORPUS_SEED))


@dataclass(slots=True)
class Pair:
    """Two nodes in a world of their own; `other` knows where `one` is."""

    world: World
    one: Node
    other: Node
    meter: Meter

    def is_equal(self) -> bool:
        """By count and sum: nobody lies here."""
        return self.one.holdings.summary().same_set(self.other.holdings.summary())

    def run(self, limit_s: float = LIMIT_S, *, looks_every_s: float = 0.0) -> bool:
        """Until both hold the same; whether they did in time."""
        return self.world.run(limit_s, until=self.is_equal, looks_every_s=looks_every_s)

    @property
    def began_at(self) -> float:
        """When the first datagram left that was no part of the walk."""
        firsts = (self.meter.description.first_at, self.meter.messages.first_at)
        return min((first for first in firsts if first is not None), default=self.world.now)


def make_pair(
    *,
    seed: int,
    link: Link,
    corpus: Corpus,
    one: SharedHoldings,
    other: SharedHoldings,
    commit_delay_s: float = 0.0,
) -> Pair:
    """Nodes that start at once; their commits take no time unless said."""
    world = World(seed=seed, link=link, log=False, corpus=corpus, models=True)
    meter = world.meter = Meter()
    options = {"commit_delay_s": commit_delay_s}
    first = world.add(2 * seed + 1, holdings=one, **options)
    second = world.add(2 * seed + 2, holdings=other, bootstrap=[first], **options)
    return Pair(world, first, second, meter)


def lacking(count: int, numbers: Iterable[int]) -> SharedHoldings:
    """Everything of a corpus but a few."""
    corpus, base = corpus_of(count)
    return SharedHoldings(corpus, base, lacking=numbers)


def only(count: int, numbers: Iterable[int]) -> SharedHoldings:
    """These of a corpus."""
    corpus, _ = corpus_of(count)
    return SharedHoldings(corpus, Base(corpus, numbers))


def unique_bytes(node: Node) -> float:
    """Bytes of the datagrams that brought messages, less the part of them that were held already."""
    heard = node.heard
    if not heard["messages"]:
        return 0.0
    return heard["carrying bytes"] * node.taken / heard["messages"]


def watch_growth(world: World, node: Node, curve: Curve, every_s: float) -> None:
    """Note what a node holds every so often, from now on."""
    curve.append((world.now, float(node.holdings.summary().count)))
    world.at(world.now + every_s, lambda: watch_growth(world, node, curve, every_s))
