"""`alike`: messages whose ids were made to begin alike, so that symbols of whole sets do not tell them."""

from __future__ import annotations

from functools import lru_cache
from random import Random
from typing import TYPE_CHECKING

from dispersy.testing.links import Link
from simulation.pairs import make_pair
from simulation.scenario import Outcome, Play, Results, Scenario, named, share, worst
from simulation.shared import Base, Corpus, SharedHoldings, make_messages

if TYPE_CHECKING:
    from harness import Bench

LIMIT_S = 120.0
DESCRIPTION_MAX = {"missing": 150_000, "crossed": 120_000, "one pair": 30_000}
"""Bytes, by both: some 25 ranges at least of 100,000 messages where any may differ, and filters where more do
than symbols are kept for."""
SECONDS_MAX = 10.0


@lru_cache(maxsize=2)
def _alike_corpus(count: int, pairs: int) -> tuple[Corpus, Base, list[tuple[int, int]]]:
    """A history with so many pairs of ids that begin alike, anywhere in it."""
    corpus = Corpus()
    numbers = make_messages(corpus, count, seed=11)
    chosen = Random(3).sample(numbers[: -count // 10], 2 * pairs)
    alike = list(zip(chosen[::2], chosen[1::2], strict=True))
    corpus.make_alike(alike)
    return corpus, Base(corpus, numbers), alike


def play_alike(told: Play) -> Outcome:
    """One holds everything and the other none of the pairs, or each another one of every pair."""
    count = told.size(100_000, short=4_000)
    pairs = 1 if told.variant == "one pair" else told.size(500, short=20)
    corpus, base, alike = _alike_corpus(count, pairs)
    firsts, seconds = {one for one, _ in alike}, {other for _, other in alike}
    lacks = (set[int](), firsts | seconds) if told.variant == "missing" else (firsts, seconds)
    one, other = (SharedHoldings(corpus, base, lacking=lacked) for lacked in lacks)
    pair = make_pair(seed=told.seed, link=Link(delay_s=0.05), corpus=corpus, one=one, other=other)
    equal = pair.run(LIMIT_S, looks_every_s=0.05)
    return Outcome(
        {
            "ended equal": float(equal),
            "until equal": pair.world.now - pair.began_at,
            "description": pair.meter.description.size,
            "examined": one.examined + other.examined,
        }
    )


def judge_alike(bench: Bench, results: Results) -> None:
    for variant, outcomes in results.items():
        equal = share(outcomes, lambda o: o["ended equal"] == 1)
        bench.at_least(named(variant, "seeds that end equal"), equal, 1.0)
        bench.at_most(named(variant, "description"), worst(outcomes, "description"), DESCRIPTION_MAX[variant])
        bench.at_most(named(variant, "until equal"), worst(outcomes, "until equal"), SECONDS_MAX)


SCENARIO = Scenario(
    name="alike",
    about="100,000 messages of which 1,000 have ids that were made to begin alike in pairs: whoever lacks "
    "them, or one of each pair, gets them by symbols of ranges under fresh keys",
    play=play_alike,
    judge=judge_alike,
    units={"until equal": "s", "description": "bytes", "examined": "ids"},
    variants=lambda options: tuple(DESCRIPTION_MAX),  # noqa: ARG005
    holds_short=True,
)
