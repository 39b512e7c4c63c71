"""`propagation`, `throughput`: new messages in a population that has met."""

from __future__ import annotations

import time
from resource import RUSAGE_SELF, getrusage
from typing import TYPE_CHECKING, Any

from simulation.original_walk import PUBLISHED_STEPS, STEP_S, walk_until_everybody
from simulation.populations import SPREADING_LIMIT_S, Population, populate, spread_one
from simulation.scenario import Curve, Outcome, Play, Results, Scenario, mean, named, share, worst

if TYPE_CHECKING:
    from harness import Bench

EVERYBODY_MAX_S = {1_000: 1.5, 10_000: 2.5}
BODIES_MAX = 1.15
PER_SECOND = 1_000
PUBLISHING_S = 10.0
SETTLING_S = 60.0
RECEIVED_MAX = 1.5


def play_propagation(told: Play) -> Outcome:
    """One message by one of all nodes, or several in the same world, each when the one before is everywhere:
    the slowest of them counts, and to meet costs most of what a large world does."""
    nodes = min(told.nodes, 30) if told.short else told.nodes
    messages = told.number or 1
    population = populate(nodes=nodes, seed=told.seed, warm_up_s=told.size(60, short=10))
    # One before: while neighbours still tell each other what they hold, the next may be pulled, too.
    spread_one(population)
    population.forget_traffic()
    slowest: Curve = []
    everybody, until_everybody, until_half = True, 0.0, 0.0
    for _ in range(messages):
        has_everybody, took_s, curve = spread_one(population)
        everybody &= has_everybody
        if took_s > until_everybody:
            until_everybody, slowest = took_s, curve
        until_half = max(
            until_half, next((at for at, count in curve if count >= nodes / 2), SPREADING_LIMIT_S)
        )
    return Outcome(
        {
            "everybody": float(everybody),
            "until everybody": until_everybody,
            "until half": until_half,
            "bodies a node": population.heard("messages") / nodes / messages,
            "bytes received a node": population.heard("bytes") / nodes / messages,
        },
        {"% of nodes that have it": [(at, 100 * (1 + count) / nodes) for at, count in slowest]},
    )


def judge_propagation(bench: Bench, results: Results) -> None:
    nodes = bench.options.nodes or 1_000
    limit_s = EVERYBODY_MAX_S[1_000 if nodes <= 1_000 else 10_000]
    for variant, outcomes in results.items():
        bench.at_least("seeds in which everybody has it", share(outcomes, lambda o: o["everybody"] == 1), 1.0)
        slowest = worst(outcomes, "until everybody")
        bench.at_most(named(variant, "until everybody, worst"), slowest, limit_s, ratio=False)
        bodies = mean(outcomes, "bodies a node")
        bench.at_most(named(variant, "bodies a node"), bodies, BODIES_MAX, ratio=False)
    bench.quote(
        "the original, 1,000 peers",
        PUBLISHED_STEPS,
        unit="steps",
        source="SAC 2014",
        machine="a cluster, 5 s a step",
    )


def original_propagation(told: Play) -> Outcome:
    """As it was published, where all begin when the message is made; and after a minute of walking."""
    together = walk_until_everybody(told.nodes, seed=told.seed, met_s=0.0)
    met = walk_until_everybody(told.nodes, seed=told.seed)
    pushed = walk_until_everybody(told.nodes, seed=told.seed, pushes=True)
    measures = {
        "steps, all beginning with the message": together[-1][0] / STEP_S,
        "steps, when they have met": met[-1][0] / STEP_S,
        "steps, when they have met and ten are sent it": pushed[-1][0] / STEP_S,
        "until everybody": pushed[-1][0],
    }
    return Outcome(
        measures, {"% of nodes that have it": [(at, 100 * has / told.nodes) for at, has in pushed]}
    )


def play_throughput(told: Play) -> Outcome:
    """All nodes publish together, for ten seconds."""
    nodes = min(told.nodes, 20) if told.short else told.nodes
    seconds = told.size(int(PUBLISHING_S), short=1)
    per_second = told.size(PER_SECOND, short=20)
    population = populate(nodes=nodes, seed=told.seed, warm_up_s=told.size(60, short=10))
    world = population.world
    population.forget_traffic()
    made: list[int] = []
    began, spent = world.now, time.process_time()
    for index in range(seconds * per_second):
        world.at(began + index / per_second, lambda: publish_one(population, made))
    world.run(float(seconds))
    wanted = seconds * per_second * (nodes - 1)
    everything = world.run(
        SETTLING_S, until=lambda: sum(node.taken for node in population.nodes) >= wanted, looks_every_s=0.1
    )
    own = sum(made)
    return Outcome(
        {
            "everybody has everything": float(everything),
            "until everything, after the last": world.now - began - seconds,
            "share of all pairs": sum(node.taken for node in population.nodes) / wanted,
            "received / messages' own bytes": population.heard("bytes") / nodes / own,
            "bodies / messages": population.heard("messages") / wanted,
            "processor time a delivery": (time.process_time() - spent) / wanted * 1e6,
            "memory": getrusage(RUSAGE_SELF).ru_maxrss / 1024,
        }
    )


def publish_one(population: Population, sizes: list[int]) -> None:
    """By whomever."""
    author = population.rng.choice(population.nodes)
    message = population.message(author)
    sizes.append(len(message))
    author.publish([message])


def judge_throughput(bench: Bench, results: Results) -> None:
    for variant, outcomes in results.items():
        everything = share(outcomes, lambda o: o["everybody has everything"] == 1)
        bench.at_least(named(variant, "everybody has everything"), everything, 1.0)
        name = "received / messages' own bytes"
        bench.at_most(named(variant, name), mean(outcomes, name), RECEIVED_MAX, ratio=False)


UNITS = {
    "until everybody": "s",
    "until half": "s",
    "bodies a node": "messages",
    "bytes received a node": "bytes",
    "steps, all beginning with the message": "steps of 5 s",
    "steps, when they have met": "steps of 5 s",
    "steps, when they have met and ten are sent it": "steps of 5 s",
    "until everything, after the last": "s",
    "processor time a delivery": "us",
    "memory": "MiB",
}


def _one(options: Any) -> tuple[str, ...]:  # noqa: ARG001
    return ("",)


PROPAGATION = Scenario(
    name="propagation",
    about="one message to 1,000 nodes, 50 ms links, 1 % loss, and to 10,000: everybody within 1.5 s and "
    "2.5 s (worst of 50 seeds), at most 1.15 bodies a node; --messages 10: so many in each world",
    play=play_propagation,
    judge=judge_propagation,
    units=UNITS,
    variants=_one,
    original=original_propagation,
    nodes=1_000,
    seeds=50,
    shown="until everybody",
    scale="log",
)
THROUGHPUT = Scenario(
    name="throughput",
    about="1,000 nodes, 1,000 new messages/s in all, 10 s: everybody has every message, at most 1.5 times "
    "the messages' bytes received a node",
    play=play_throughput,
    judge=judge_throughput,
    units=UNITS,
    variants=_one,
    nodes=1_000,
    seeds=1,
    shown="received / messages' own bytes",
)
