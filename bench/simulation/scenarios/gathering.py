"""`neighbours`: a newcomer fills from four neighbours at once, whose uplinks are the narrow part."""

from __future__ import annotations

from typing import TYPE_CHECKING

from simulation.links import Path
from simulation.original import Strategy, play_original
from simulation.pairs import corpus_of, lacking, only, watch_growth
from simulation.scenario import Curve, Outcome, Play, Results, Scenario, mean, named, share
from simulation.world import World

if TYPE_CHECKING:
    from harness import Bench

BITS = 8
COMMIT_S = 0.02
UPLINK = Path(delay_s=0.05, loss=0.01, rate=5e6 / BITS, queue=256_000)
NEIGHBOURS = 4
LIMIT_S = 600.0
TIMES_ONE_MIN = 3.2
RECEIVED_MAX = 1.10


def fill_from(neighbours: int, messages: int, *, seed: int, growth: Curve) -> tuple[bool, float, float]:
    """Whether a newcomer ends equal to so many that have everything, after how long, and what it received
    over the messages' own bytes."""
    corpus, base = corpus_of(messages)
    world = World(seed=seed, link=UPLINK, log=False, corpus=corpus, models=True)
    olds = []
    for host in range(1, 1 + neighbours):
        olds.append(world.add(host, bootstrap=olds[:1], holdings=lacking(messages, ())))
    world.run(30.0)
    newcomer = world.add(100, bootstrap=olds[:1], holdings=only(messages, ()), commit_delay_s=COMMIT_S)
    # Whom it knows is what a walk of some steps brings; here it is not what is measured.
    for old in olds:
        newcomer.walker.receive_discovery(old.address, world.now)
    began = world.now
    watch_growth(world, newcomer, growth, 0.25)
    equal = world.run(
        LIMIT_S, until=lambda: newcomer.holdings.summary().same_set(base.summary), looks_every_s=0.01
    )
    own = sum(len(corpus.messages[number]) for number in base.order)
    return equal, world.now - began, newcomer.heard["bytes"] / own


def play_neighbours(told: Play) -> Outcome:
    messages = told.size(100_000, short=2_000)
    curves: dict[str, Curve] = {"messages held": [], "messages held, of one neighbour": []}
    one_equal, one_s, _ = fill_from(
        1, messages, seed=told.seed, growth=curves["messages held, of one neighbour"]
    )
    equal, all_s, received = fill_from(NEIGHBOURS, messages, seed=told.seed, growth=curves["messages held"])
    return Outcome(
        {
            "equal": float(equal and one_equal),
            "virtual time": all_s,
            "times the rate of one": one_s / all_s,
            "received / messages' own bytes": received,
        },
        curves,
    )


def judge_neighbours(bench: Bench, results: Results) -> None:
    for variant, outcomes in results.items():
        equal = share(outcomes, lambda o: o["equal"] == 1)
        bench.at_least(named(variant, "seeds that end equal"), equal, 1.0)
        bench.at_least(
            named(variant, "times the rate of one, mean"),
            mean(outcomes, "times the rate of one"),
            TIMES_ONE_MIN,
        )
        received = mean(outcomes, "received / messages' own bytes")
        bench.at_most(named(variant, "received / messages' own bytes"), received, RECEIVED_MAX, ratio=False)


def original_neighbours(told: Play) -> Outcome:
    """From one neighbour: it asks one at a time, a step each, so more bring it nothing sooner."""
    messages = told.size(100_000, short=2_000)
    return play_original(
        messages,
        one=range(messages),
        other=(),
        seed=told.seed,
        strategy=Strategy.LARGEST,
        link=UPLINK,
        limit_s=100_000.0,
    )


SCENARIO = Scenario(
    name="neighbours",
    about="100k messages from four neighbours of 5 Mbit/s each: 3.2 times the rate of one, bytes received at "
    "most 1.10 times the messages' own",
    play=play_neighbours,
    judge=judge_neighbours,
    units={"virtual time": "s", "times the rate of one": "times"},
    scale="log",
    original=original_neighbours,
)
