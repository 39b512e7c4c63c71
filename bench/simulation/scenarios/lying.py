"""`liars`: three honest nodes among nine that lie, each in a way of its own."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dispersy.testing.links import Link
from simulation.liar import Liar, honest_bytes, kinds_of
from simulation.pairs import corpus_of, only
from simulation.scenario import Outcome, Play, Results, Scenario, named, share, worst
from simulation.world import World

if TYPE_CHECKING:
    from harness import Bench

HONEST = 3
LIMIT_S = 600.0
KNOWN_S = 240.0
"""After which each liar is known to those that are honest: what it may cost at first it has cost."""
AFTERWARDS_S = 300.0
"""For which it is measured what a liar costs a minute: descriptions are tried again in bursts."""
BYTES_PER_LIAR_MAX = 50_000
"""Of answers to one liar, and of requests to it, a minute: what one honest neighbour may well cost."""
EXAMINED_PER_LIAR_MAX = 100_000
"""Ids a minute, by all: as many as one request may."""


def play_liars(told: Play) -> Outcome:
    """The honest hold a third each, and meet everybody."""
    count = told.size(9_000, short=600)
    liars = told.size(9, short=5)
    corpus, _ = corpus_of(count)
    world = World(seed=told.seed, link=Link(delay_s=0.03, loss=0.01), log=False, corpus=corpus, models=True)
    first = world.add(1, holdings=only(count, range(0, count, HONEST)))
    known = [first.address]
    kinds = [told.variant] * liars if told.variant else kinds_of(liars, told.seed)
    lying = [
        Liar(world, 10 + index, known=known, kind=kind, seed=told.seed) for index, kind in enumerate(kinds)
    ]
    # They come first: the honest find each other among them.
    world.run(20)
    honest = [first] + [
        world.add(1 + index, bootstrap=[first], holdings=only(count, range(index, count, HONEST)))
        for index in range(1, HONEST)
    ]
    began = world.now
    everything = world.run(
        LIMIT_S,
        until=lambda: all(node.holdings.summary().count == count for node in honest),
        looks_every_s=0.1,
    )
    converged_at = world.now
    world.run(told.size(KNOWN_S, short=20))
    at_first = honest_bytes(lying)
    before = sum(node.holdings.examined for node in honest)
    world.run(AFTERWARDS_S)
    minutes = AFTERWARDS_S / 60.0
    examined = sum(node.holdings.examined for node in honest) - before
    later = honest_bytes(lying)
    by_kind = {kind: (later[kind] - at_first[kind]) / kinds.count(kind) / minutes for kind in kinds}
    return Outcome(
        {
            "converged": float(everything),
            "until converged": converged_at - began,
            "bytes a minute to a liar": (later.total() - at_first.total()) / liars / minutes,
            "bytes a minute to the dearest": max(by_kind.values()),
            "bytes to a liar at first": max(at_first[kind] / kinds.count(kind) for kind in kinds),
            "ids examined a minute for a liar": examined / liars / minutes,
            "lies": float(sum(liar.lies for liar in lying)),
        }
    )


def judge_liars(bench: Bench, results: Results) -> None:
    for variant, outcomes in results.items():
        converged = share(outcomes, lambda o: o["converged"] == 1)
        bench.at_least(named(variant, "seeds in which the honest converge"), converged, 1.0)
        for measure, most in (
            ("bytes a minute to the dearest", BYTES_PER_LIAR_MAX),
            ("ids examined a minute for a liar", EXAMINED_PER_LIAR_MAX),
        ):
            bench.at_most(named(variant, measure), worst(outcomes, measure), most, ratio=False)


LIARS = Scenario(
    name="liars",
    about="three honest nodes among nine that lie (wrong summaries, garbage, full filters, forged equal "
    "sums, withheld messages): the honest converge; a liar costs bounded bytes and work",
    play=play_liars,
    judge=judge_liars,
    units={
        "until converged": "s",
        "bytes a minute to a liar": "bytes",
        "bytes a minute to the dearest": "bytes",
        "bytes to a liar at first": "bytes",
        "ids examined a minute for a liar": "ids",
    },
    seeds=10,
    shown="until converged",
)
