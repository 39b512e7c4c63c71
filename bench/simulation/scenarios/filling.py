"""`newcomer`, `3g`, `wifi`, `trickle`, `windows`: a node fills from another over a link of some kind."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from simulation.links import HEADERS_SIZE, Path
from simulation.original import Strategy, play_original
from simulation.pairs import Pair, corpus_of, lacking, make_pair, only, unique_bytes, watch_growth
from simulation.scenario import Curve, Outcome, Play, Results, Scenario, mean, named, share, worst

if TYPE_CHECKING:
    from harness import Bench

BITS = 8
COMMIT_S = 0.02
BROADBAND = Path(delay_s=0.05, loss=0.01, rate=20e6 / BITS, queue=256_000)
MOBILE = Path(delay_s=0.15, spread_s=0.05, burst_loss=0.05, burst_s=0.1, rate=384e3 / BITS, queue=64_000)
WIFI = Path(
    delay_s=0.003,
    spread_s=0.02,
    burst_loss=0.03,
    burst_s=0.05,
    rate=20e6 / BITS,
    queue=256_000,
    pause_s=2.0,
    pause_every_s=20.0,
    pause_at_s=10.0,
)
TRICKLE = Path(delay_s=2.0, loss=0.1, rate=5e3 / BITS, queue=16_000)
WINDOW_S, WINDOW_EVERY_S = 20.0, 600.0
WINDOWS = Path(
    delay_s=0.1,
    loss=0.02,
    rate=384e3 / BITS,
    queue=64_000,
    pause_s=WINDOW_EVERY_S - WINDOW_S,
    pause_every_s=WINDOW_EVERY_S,
    pause_at_s=WINDOW_S,
)
ORIGINAL_LIMIT_S = 100_000.0
"""More than a day: in windows its steps hardly ever meet the link, and would go on for many."""
UNITS = {"virtual time": "s", "share of the rate": "of what the link takes", "sent": "bytes"}


def fill(told: Play, link: Path, messages: int, *, limit_s: float) -> tuple[Pair, dict[str, float], Curve]:
    """An empty node and one with everything, until they hold the same."""
    corpus, base = corpus_of(messages)
    pair = make_pair(
        seed=told.seed,
        link=link,
        corpus=corpus,
        one=lacking(messages, ()),
        other=only(messages, ()),
        commit_delay_s=COMMIT_S,
    )
    growth: Curve = []
    watch_growth(pair.world, pair.other, growth, limit_s / 2_000)
    equal = pair.run(limit_s, looks_every_s=0.01)
    taken_s = max(1e-9, pair.world.now - pair.began_at)
    heard = pair.other.heard
    # Pauses take nothing from anybody: the rate is that of the time in which the link is there.
    there = 1 - link.pause_s / link.pause_every_s if link.pause_s else 1.0
    useful = unique_bytes(pair.other) + HEADERS_SIZE * heard["carrying"] * pair.other.taken / max(
        1, heard["messages"]
    )
    own = sum(len(corpus.messages[number]) for number in base.order)
    measures = {
        "equal": float(equal),
        "virtual time": taken_s,
        "share of the rate": useful / (link.rate * there * taken_s),
        "received / messages' own bytes": heard["bytes"] / own,
        "description": float(pair.meter.description.size),
    }
    return pair, measures, growth


def original_fill(told: Play, link: Path, messages: int) -> Outcome:
    return play_original(
        messages,
        one=range(messages),
        other=(),
        seed=told.seed,
        strategy=Strategy.LARGEST,
        link=link,
        limit_s=ORIGINAL_LIMIT_S,
    )


def play_newcomer(told: Play) -> Outcome:
    _, measures, growth = fill(told, BROADBAND, told.size(100_000, short=2_000), limit_s=300)
    return Outcome(measures, {"messages held": growth})


def play_3g(told: Play) -> Outcome:
    _, measures, growth = fill(told, MOBILE, told.size(10_000, short=300), limit_s=1_200)
    return Outcome(measures, {"messages held": growth})


def play_wifi(told: Play) -> Outcome:
    _, measures, growth = fill(told, WIFI, told.size(200_000, short=2_000), limit_s=600)
    return Outcome(measures, {"messages held": growth})


def play_trickle(told: Play) -> Outcome:
    _, measures, growth = fill(told, TRICKLE, told.size(300, short=30), limit_s=7_200)
    return Outcome(measures, {"messages held": growth})


def play_windows(told: Play) -> Outcome:
    messages = told.size(20_000, short=3_000)
    pair, measures, growth = fill(told, WINDOWS, messages, limit_s=40 * WINDOW_EVERY_S)
    windows = int(pair.world.now // WINDOW_EVERY_S) + 1
    grew = 0
    for window in range(windows):
        inside = [y for x, y in growth if window * WINDOW_EVERY_S <= x < (window + 1) * WINDOW_EVERY_S]
        inside += [pair.other.holdings.summary().count] if window == windows - 1 else []
        grew += max(inside) > min(inside)
    corpus, base = corpus_of(messages)
    ideal = sum(len(corpus.messages[number]) for number in base.order) / (WINDOWS.rate * WINDOW_S)
    more = {"windows": float(windows), "windows without progress": float(windows - grew)}
    del measures["share of the rate"]
    return Outcome(measures | more | {"windows at the link's rate": ideal}, {"messages held": growth})


def judge_filling(
    share_min: float | None, received_max: float | None = None
) -> Callable[[Bench, Results], None]:
    """Goals of a share of the rate (mean over the seeds) and of bytes received, beside being equal."""

    def judge(bench: Bench, results: Results) -> None:
        for variant, outcomes in results.items():
            equal = share(outcomes, lambda o: o["equal"] == 1)
            bench.at_least(named(variant, "seeds that end equal"), equal, 1.0)
            if share_min is not None:
                reached = mean(outcomes, "share of the rate")
                bench.at_least(named(variant, "share of the rate, mean"), reached, share_min, ratio=False)
            if received_max is not None:
                received = mean(outcomes, "received / messages' own bytes")
                name = named(variant, "received / messages' own bytes")
                bench.at_most(name, received, received_max, ratio=False)
            if "windows without progress" in outcomes[0].measures:
                idle = worst(outcomes, "windows without progress")
                bench.at_most(named(variant, "windows without progress"), idle, 0, ratio=False)

    return judge


NEWCOMER = Scenario(
    name="newcomer",
    about="100k messages, 20 Mbit/s, 50 ms, 1 % loss: 85 % of the link's rate, bytes received at most 1.10 "
    "times the messages' own",
    play=play_newcomer,
    judge=judge_filling(0.85, 1.10),
    units=UNITS,
    scale="log",
    original=lambda told: original_fill(told, BROADBAND, told.size(100_000, short=2_000)),
    tiny=True,
)
THREE_G = Scenario(
    name="3g",
    about="384 kbit/s, 150 +- 50 ms, 5 % loss in bursts of 100 ms, 10k messages: 75 % of the link's rate, "
    "nothing lost",
    play=play_3g,
    judge=judge_filling(0.75),
    units=UNITS,
    scale="log",
    original=lambda told: original_fill(told, MOBILE, told.size(10_000, short=300)),
)
ON_WIFI = Scenario(
    name="wifi",
    about="20 Mbit/s, 3 +- 20 ms, 3 % loss in bursts, a pause of 2 s in every 20 s: 80 % of the link's rate",
    play=play_wifi,
    judge=judge_filling(0.80),
    units=UNITS,
    scale="log",
    original=lambda told: original_fill(told, WIFI, told.size(100_000, short=2_000)),
)
ON_TRICKLE = Scenario(
    name="trickle",
    about="5 kbit/s, 2 s delay, 10 % loss: converges",
    play=play_trickle,
    judge=judge_filling(None),
    units=UNITS,
    scale="log",
    original=lambda told: original_fill(told, TRICKLE, told.size(300, short=30)),
)
IN_WINDOWS = Scenario(
    name="windows",
    about="a link that is up 20 s in every 10 minutes: progress in every window",
    play=play_windows,
    judge=judge_filling(None),
    units=UNITS,
    scale="log",
    original=lambda told: original_fill(told, WINDOWS, told.size(20_000, short=3_000)),
)
