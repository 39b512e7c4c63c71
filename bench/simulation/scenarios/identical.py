"""`identical`: two nodes that hold the same meet, and have nothing to say to each other."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dispersy.testing.links import Link
from simulation.measures import Meter
from simulation.original import Strategy, play_original
from simulation.pairs import corpus_of, lacking, make_pair
from simulation.scenario import Outcome, Play, Results, Scenario, named, worst
from simulation.world import World

if TYPE_CHECKING:
    from harness import Bench

SUMMARY_COST_MAX = 28
SIZES = {"100k": 100_000, "1M": 1_000_000}
TIME_S = 60.0


def play(told: Play) -> Outcome:
    """A minute of two nodes, and the same without any synchronisation."""
    count = told.size(SIZES[told.variant], short=2_000)
    corpus, _ = corpus_of(count)
    pair = make_pair(
        seed=told.seed, link=Link(), corpus=corpus, one=lacking(count, ()), other=lacking(count, ())
    )
    pair.world.run(TIME_S)
    holdings = [node.holdings for node in (pair.one, pair.other)]
    size, alone = size_of_introductions(pair.meter), size_of_introductions(walk_alone(told.seed))
    return Outcome(
        {
            "bytes more per introduction": size - alone,
            "answers": float(pair.meter.description.count + pair.meter.messages.count),
            "description": float(pair.meter.description.size),
            "ids examined": float(sum(each.examined for each in holdings)),
        }
    )


def size_of_introductions(meter: Meter) -> float:
    """Bytes of a datagram with an introduction, on average."""
    found = [tally for name, tally in meter.by_frame.items() if name.startswith("introduction")]
    return sum(tally.size for tally in found) / sum(tally.count for tally in found)


def walk_alone(seed: int) -> Meter:
    """The meter of the same two nodes without summaries and without asking."""
    world = World(seed=seed, log=False, models=True)
    meter = world.meter = Meter()
    first = world.add(2 * seed + 1, synchronises=False)
    world.add(2 * seed + 2, bootstrap=[first], synchronises=False)
    world.run(TIME_S)
    return meter


def judge(bench: Bench, results: Results) -> None:
    for variant, outcomes in results.items():
        cost = worst(outcomes, "bytes more per introduction")
        bench.at_most(named(variant, "bytes more per introduction"), cost, SUMMARY_COST_MAX)
        bench.at_most(named(variant, "answers"), worst(outcomes, "answers"), 0)
        bench.at_most(named(variant, "ids examined"), worst(outcomes, "ids examined"), 0)


def original(told: Play) -> Outcome:
    """Every step costs a filter; the skip curve spares nine of ten in the end."""
    count = told.size(SIZES[told.variant], short=2_000)
    return play_original(
        count,
        one=range(count),
        other=range(count),
        seed=told.seed,
        strategy=Strategy.LARGEST,
        limit_s=TIME_S,
        ends_equal=False,
    )


SCENARIO = Scenario(
    name="identical",
    about="equal sets of 100k and 1M, one contact: at most 28 bytes more than a walk alone, no answer",
    play=play,
    judge=judge,
    units={"bytes more per introduction": "bytes", "description": "bytes"},
    variants=lambda options: ("100k",) if options.short else tuple(SIZES),
    original=original,
    tiny=True,
    seeds=1,
)
