"""`churn`, `partition`, `scale`: populations that come and go, fall apart, and grow."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from random import Random
from resource import RUSAGE_SELF, getrusage
from typing import TYPE_CHECKING, Any

from simulation.node import Node
from simulation.original_walk import walk_until_everybody
from simulation.populations import (
    HISTORY,
    LINK,
    Population,
    join,
    populate,
    spread_one,
)
from simulation.scenario import Curve, Outcome, Play, Results, Scenario, named, share, worst
from simulation.shared import Base, SharedHoldings, make_messages
from simulation.world import World

if TYPE_CHECKING:
    from harness import Bench

SESSION_S = 10.0
SESSIONS_TO_HAVE_IT = 2.0
CHURN_S = 60.0
CHURN_PER_SECOND = 2.0
RATE = 20e6 / 8
APART_MESSAGES = 36_000
EQUAL_AGAIN_MAX_S = {"5 links": 60.0, "1 link": 120.0}
SIZES = (100, 300, 1_000, 3_000, 10_000)
IDLE_S = 60.0


@dataclass(slots=True)
class _Stay:
    """One node's session."""

    node: Node
    came_at: float
    left_at: float = float("inf")


@dataclass(slots=True)
class _Word:
    """One message of the churn: its number, author and moment, and when others had it."""

    number: int
    author: Node
    at: float
    heard: bool = False


@dataclass(slots=True)
class Churn:
    """A population in which everybody leaves after a while and somebody else comes."""

    population: Population
    sessions: Random
    stays: list[_Stay] = field(default_factory=list)
    words: list[_Word] = field(default_factory=list)
    next_host: int = 100_000
    pairs: int = 0
    misses: int = 0

    def come(self, *, mean_left_s: float = SESSION_S) -> None:
        world = self.population.world
        self.next_host += 1
        # Without a history: what counts is whether the new messages reach everybody.
        node = join(self.population, self.next_host, SharedHoldings(self.population.corpus))
        stay = _Stay(node, world.now)
        self.stays.append(stay)
        world.at(world.now + self.sessions.expovariate(1 / mean_left_s), lambda: self.leave(stay))

    def leave(self, stay: _Stay) -> None:
        world = self.population.world
        stay.left_at = world.now
        self.population.nodes.remove(stay.node)
        self.judge(stay)
        world.remove(stay.node)
        self.come()

    def speak(self) -> None:
        population = self.population
        author = self.sessions.choice(self.stays[-len(population.nodes) :]).node
        if author.address not in population.world.nodes:
            return
        message = population.message(author)
        [number] = population.corpus.numbers([message])
        self.words.append(_Word(number, author, population.world.now))
        author.publish([message])

    def judge(self, stay: _Stay) -> None:
        """Which of the messages a node must have that was there for two sessions after they were said."""
        for word in self.words:
            since = max(word.at, stay.came_at)
            if stay.node is word.author or stay.left_at - since < SESSIONS_TO_HAVE_IT * SESSION_S:
                continue
            if not self.was_heard(word):
                continue
            self.pairs += 1
            self.misses += not stay.node.holdings.holds(word.number)

    def was_heard(self, word: _Word) -> bool:
        """Whether anybody but its author ever had it."""
        if not word.heard:
            nodes = self.population.nodes
            word.heard = any(node is not word.author and node.holdings.holds(word.number) for node in nodes)
        return word.heard


def play_churn(told: Play) -> Outcome:
    nodes = min(told.nodes, 30) if told.short else told.nodes
    population = populate(nodes=max(1, nodes // 250), seed=told.seed, warm_up_s=0.0)
    world = population.world
    # A bootstrap only introduces: what it held would be there for ever.
    for node in population.bootstraps:
        node.synchronises, node.spreader = False, None
        node.walker.set_summary(None, world.now)
    population.nodes.clear()
    churn = Churn(population, Random(f"churn {told.seed}"))
    for _ in range(nodes):
        churn.come()
    world.run(2 * SESSION_S)
    seconds = told.size(int(CHURN_S), short=10)
    population.forget_traffic()
    for index in range(int(seconds * CHURN_PER_SECOND)):
        world.at(world.now + index / CHURN_PER_SECOND, churn.speak)
    world.run(seconds + SESSIONS_TO_HAVE_IT * SESSION_S + 2.0)
    for stay in churn.stays:
        if stay.left_at == float("inf"):
            stay.left_at = world.now
            churn.judge(stay)
    unheard = sum(not churn.was_heard(word) for word in churn.words)
    return Outcome(
        {
            "messages": float(len(churn.words)),
            "left unheard": float(unheard),
            "pairs that count": float(churn.pairs),
            "misses": float(churn.misses),
            "share that has it": 1 - churn.misses / max(1, churn.pairs),
        }
    )


def judge_churn(bench: Bench, results: Results) -> None:
    for variant, outcomes in results.items():
        bench.at_most(named(variant, "misses"), worst(outcomes, "misses"), 0, ratio=False)
    what = "the original converges with sessions of"
    bench.quote(what, 30, unit="s", source="SAC 2014", machine="a cluster")


def play_partition(told: Play) -> Outcome:
    """Two halves with what an hour apart has given each, joined by a few links."""
    nodes = min(told.nodes, 12) if told.short else told.nodes
    apart = told.size(APART_MESSAGES, short=300)
    population = populate(nodes=2, seed=told.seed, warm_up_s=0.0, rate=RATE)
    world, corpus = population.world, population.corpus
    sides: list[list[Node]] = [[], []]
    for side, members in enumerate(sides):
        # Both halves went on from the same clock, at ten messages a second each.
        numbers = make_messages(corpus, apart, seed=2 + side, first_time=HISTORY + 1)
        base = Base(corpus, [*population.base.order, *numbers])
        first = side * nodes + 1_000
        for host in range(first, first + nodes // 2):
            known = members[: 1 + len(members) // 250]
            holdings = SharedHoldings(corpus, base)
            members.append(world.add(host, bootstrap=known[-1:], holdings=holdings))
    world.links.part_groups([node.address for node in members] for members in sides)
    world.run(told.size(60, short=10))
    everybody = [*sides[0], *sides[1]]
    for node in everybody:
        world.links.set_access(node.address, up=RATE, down=RATE, queue=256_000)
        node.heard.clear()
    bridges = int(told.variant.split()[0])
    ends = [population.rng.sample(members, bridges) for members in sides]
    pairs = list(zip(*ends, strict=True))
    world.links.join_groups((one.address, other.address) for one, other in pairs)
    for one, other in pairs:
        one.walker.receive_discovery(other.address, world.now)
        other.walker.receive_discovery(one.address, world.now)
    began = world.now
    wanted = HISTORY + 2 * apart
    growth: Curve = []
    note_least(world, everybody, growth, began)
    equal = world.run(
        300.0,
        until=lambda: all(node.holdings.summary().count == wanted for node in everybody),
        looks_every_s=0.5,
    )
    own = sum(map(len, corpus.messages)) / 2
    return Outcome(
        {
            "equal": float(equal),
            "until equal": world.now - began,
            "received / missing messages' own bytes": sum(node.heard["bytes"] for node in everybody)
            / len(everybody)
            / own,
        },
        {"messages held by the last": growth},
    )


def note_least(world: World, nodes: list[Node], curve: Curve, began: float) -> None:
    curve.append((world.now - began, float(min(node.holdings.summary().count for node in nodes))))
    world.at(world.now + 1.0, lambda: note_least(world, nodes, curve, began))


def judge_partition(bench: Bench, results: Results) -> None:
    for variant, outcomes in results.items():
        equal = share(outcomes, lambda o: o["equal"] == 1)
        bench.at_least(named(variant, "seeds that end equal"), equal, 1.0)
        slowest = worst(outcomes, "until equal")
        bench.at_most(named(variant, "until equal"), slowest, EQUAL_AGAIN_MAX_S[variant], ratio=False)


def play_scale(told: Play) -> Outcome:
    """What a node costs that only walks, and one message, by how many nodes there are."""
    began = time.process_time()
    sizes = [size for size in SIZES if size <= told.nodes] if not told.short else [10, 20]
    names = ("bytes a node and second", "until everybody", "bodies a node", "processor seconds")
    curves: dict[str, Curve] = {name: [] for name in names}
    for size in sizes:
        population = populate(nodes=size, seed=told.seed, warm_up_s=told.size(60, short=10), link=LINK)
        world = population.world
        world.meter = None
        population.forget_traffic()
        world.run(IDLE_S / 2)
        curves["bytes a node and second"].append((size, population.heard("bytes") / size / (IDLE_S / 2)))
        spread_one(population)
        population.forget_traffic()
        _, took_s, _ = spread_one(population)
        curves["until everybody"].append((size, took_s))
        curves["bodies a node"].append((size, population.heard("messages") / size))
        curves["processor seconds"].append((size, time.process_time() - began))
    measures = {name: curve[-1][1] for name, curve in curves.items()}
    memory = getrusage(RUSAGE_SELF).ru_maxrss / 1024
    return Outcome(measures | {"largest": float(sizes[-1]), "memory": memory}, curves)


def original_scale(told: Play) -> Outcome:
    """How long one message takes to everybody, its author's push included."""
    sizes = [size for size in SIZES if size <= told.nodes] if not told.short else [10, 20]
    curve = [(float(size), walk_until_everybody(size, seed=told.seed, pushes=True)[-1][0]) for size in sizes]
    return Outcome({"until everybody": curve[-1][1]}, {"until everybody": curve})


def judge_scale(bench: Bench, results: Results) -> None:
    for variant, outcomes in results.items():
        taken = worst(outcomes, "processor seconds")
        bench.at_most(named(variant, "processor seconds"), taken, 3_600, ratio=False)


UNITS = {
    "until equal": "s",
    "until everybody": "s",
    "bytes a node and second": "bytes",
    "bodies a node": "messages",
    "memory": "MiB",
    "processor seconds": "s",
}


def _bridges(options: Any) -> tuple[str, ...]:  # noqa: ARG001
    return tuple(EQUAL_AGAIN_MAX_S)


CHURN = Scenario(
    name="churn",
    about="1,000 nodes, mean session 10 s, newcomers know a bootstrap: every message reaches every node that "
    "stays for two sessions, unless its author left unheard",
    play=play_churn,
    judge=judge_churn,
    units=UNITS,
    nodes=1_000,
    seeds=10,
    shown="misses",
)
PARTITION = Scenario(
    name="partition",
    about="two halves of 500 apart for an hour, 10 messages/s each, 20 Mbit/s, joined by 5 links or by 1: "
    "the same set everywhere within 60 s, or 120 s",
    play=play_partition,
    judge=judge_partition,
    units=UNITS,
    variants=_bridges,
    tiny=True,
    holds_short=True,
    nodes=1_000,
    seeds=10,
    shown="until equal",
)
SCALE = Scenario(
    name="scale",
    about="100 to 10,000 nodes: runs within an hour; growth of bytes and time plotted",
    play=play_scale,
    judge=judge_scale,
    units=UNITS,
    original=original_scale,
    nodes=10_000,
    seeds=1,
    axis="nodes",
    scale="log",
)
