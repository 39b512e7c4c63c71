"""`scattered`, `newest`, `gaps`, `half`: two nodes that differ, and what saying so costs."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random
from typing import TYPE_CHECKING, Any

from dispersy.testing.links import Link
from simulation.original import Strategy, play_original
from simulation.pairs import Pair, corpus_of, lacking, make_pair, only
from simulation.scenario import Outcome, Play, Results, Scenario, mean, named, share, worst

if TYPE_CHECKING:
    from harness import Bench

LINK = Link(delay_s=0.05)
ROUND_TRIP_S = 2 * LINK.delay_s
A_LITTLE = 0.05
"""Of a round trip: what lies between receiving and answering here."""
SCATTERED_MAX = 45
OFTEN = 0.95
SIZES = {"100k": 100_000, "1M": 1_000_000}
DESCRIPTION_1000_MAX = 32_000
NEWEST = 1_000
NEWEST_DESCRIPTION_MAX = 200
GAPS = {"one of 5,000": (1, 5_000), "ten of 300": (10, 300)}
GAPS_DESCRIPTION_MAX = 20_000
HALF_MAX = {"50 %": 70_000, "90 %": 90_000, "99 %": 30_000}
UNITS = {
    "description": "bytes",
    "describing datagrams": "datagrams a node",
    "round trips": "round trips",
    "before data": "round trips",
    "virtual time": "s",
}


def measure(pair: Pair, *, equal: bool) -> dict[str, float]:
    """What all of these measure, from the first datagram that was no part of the walk."""
    meter = pair.meter
    taken_s = pair.world.now - pair.began_at
    data_at = meter.messages.first_at
    before_s = 0.0 if data_at is None else data_at - pair.began_at + LINK.delay_s
    return {
        "equal": float(equal),
        "description": float(meter.description.size),
        "describing datagrams": float(max(meter.describing_by.values(), default=0)),
        "before data": before_s / ROUND_TRIP_S,
        "round trips": taken_s / ROUND_TRIP_S,
        "messages, own bytes": float(meter.message_bytes),
        "bytes in all, without the walk": float(meter.messages.size + meter.description.size),
    }


def judge_equal(bench: Bench, variant: str, outcomes: Sequence[Outcome]) -> None:
    equal = share(outcomes, lambda o: o["equal"] == 1)
    bench.at_least(named(variant, "seeds that end equal"), equal, 1.0)


def scattered_sets(told: Play) -> tuple[int, set[int], set[int]]:
    """(how many there are, what one lacks, what the other lacks)."""
    count = told.size(SIZES[told.variant], short=3_000)
    rng = Random(f"scattered {told.seed}")
    differences = told.number or rng.randint(1, SCATTERED_MAX)
    numbers = rng.sample(range(count), differences)
    cut = rng.randint(0, differences)
    return count, set(numbers[:cut]), set(numbers[cut:])


def play_scattered(told: Play) -> Outcome:
    count, ours, theirs = scattered_sets(told)
    corpus, _ = corpus_of(count)
    pair = make_pair(
        seed=told.seed, link=LINK, corpus=corpus, one=lacking(count, ours), other=lacking(count, theirs)
    )
    return Outcome(measure(pair, equal=pair.run()))


def judge_scattered(bench: Bench, results: Results) -> None:
    number = bench.options.number
    for variant, outcomes in results.items():
        judge_equal(bench, variant, outcomes)
        if number is None or number <= SCATTERED_MAX:
            once = share(outcomes, lambda o: o["describing datagrams"] <= 1)
            bench.at_least(named(variant, "one datagram of description"), once, OFTEN, ratio=False)
            trips = share(outcomes, lambda o: o["round trips"] <= 1.5 + A_LITTLE)
            bench.at_least(named(variant, "at most 1.5 round trips"), trips, OFTEN, ratio=False)
        else:
            small = share(outcomes, lambda o: o["description"] <= DESCRIPTION_1000_MAX)
            bench.at_least(named(variant, "description of at most 32 KB"), small, OFTEN, ratio=False)
            trips = share(outcomes, lambda o: o["round trips"] <= 3 + A_LITTLE)
            bench.at_least(named(variant, "at most 3 round trips"), trips, OFTEN, ratio=False)
            bench.quote(
                "negentropy, 1,000 scattered in 1M",
                1_353_900,
                unit="bytes",
                source="its reference implementation, measured for the baseline",
                machine="any",
            )


def original_scattered(told: Play) -> Outcome:
    count, ours, theirs = scattered_sets(told)
    return play_original(
        count,
        one=(number for number in range(count) if number not in ours),
        other=(number for number in range(count) if number not in theirs),
        seed=told.seed,
        strategy=Strategy.MODULO,
    )


def play_newest(told: Play) -> Outcome:
    count = told.size(100_000, short=3_000)
    newest = told.number or told.size(NEWEST, short=100)
    corpus, _ = corpus_of(count)
    pair = make_pair(
        seed=told.seed,
        link=LINK,
        corpus=corpus,
        one=lacking(count, ()),
        other=lacking(count, range(count - newest, count)),
    )
    return Outcome(measure(pair, equal=pair.run()))


def judge_newest(bench: Bench, results: Results) -> None:
    for variant, outcomes in results.items():
        judge_equal(bench, variant, outcomes)
        bench.at_most("description", worst(outcomes, "description"), NEWEST_DESCRIPTION_MAX, ratio=False)
        before = worst(outcomes, "before data")
        bench.at_most("round trips before data flows", before, 1 + A_LITTLE, ratio=False)


def original_newest(told: Play) -> Outcome:
    count = told.size(100_000, short=3_000)
    newest = told.number or told.size(NEWEST, short=100)
    strategy = Strategy.LARGEST
    return play_original(
        count, one=range(count), other=range(count - newest), seed=told.seed, strategy=strategy
    )


def gap_sets(told: Play) -> tuple[int, set[int]]:
    """(how many there are, what one lacks): stretches of the middle, and of neither end."""
    count, gaps, length = told.size(1_000_000, short=20_000), *GAPS[told.variant]
    length = told.size(length, short=length // 10)
    rng = Random(f"gaps {told.seed}")
    missing: set[int] = set()
    for gap in range(gaps):
        # Apart, for each has a part of the set of its own.
        low, high = (count * (10 * gap + 1) // (10 * gaps), count * (10 * gap + 9) // (10 * gaps))
        start = rng.randrange(low, high - length)
        missing |= set(range(start, start + length))
    return count, missing


def play_gaps(told: Play) -> Outcome:
    count, missing = gap_sets(told)
    corpus, _ = corpus_of(count)
    pair = make_pair(
        seed=told.seed, link=LINK, corpus=corpus, one=lacking(count, ()), other=lacking(count, missing)
    )
    return Outcome(measure(pair, equal=pair.run(looks_every_s=0.01)))


def judge_gaps(bench: Bench, results: Results) -> None:
    for variant, outcomes in results.items():
        judge_equal(bench, variant, outcomes)
        described = worst(outcomes, "description")
        bench.at_most(named(variant, "description"), described, GAPS_DESCRIPTION_MAX, ratio=False)


def original_gaps(told: Play) -> Outcome:
    count, missing = gap_sets(told)
    held = (number for number in range(count) if number not in missing)
    return play_original(count, one=range(count), other=held, seed=told.seed, strategy=Strategy.LARGEST)


def half_sets(told: Play) -> tuple[int, list[int]]:
    count = told.size(100_000, short=3_000)
    held = float(told.variant.split()[0]) / 100
    rng = Random(f"half {told.seed}")
    return count, sorted(rng.sample(range(count), int(count * held)))


def play_half(told: Play) -> Outcome:
    count, held = half_sets(told)
    corpus, _ = corpus_of(count)
    pair = make_pair(
        seed=told.seed, link=LINK, corpus=corpus, one=lacking(count, ()), other=only(count, held)
    )
    equal = pair.run(looks_every_s=0.01)
    return Outcome(measure(pair, equal=equal))


def judge_half(bench: Bench, results: Results) -> None:
    for variant, outcomes in results.items():
        judge_equal(bench, variant, outcomes)
        described = mean(outcomes, "description")
        bench.at_most(named(variant, "description"), described, HALF_MAX[variant], ratio=False)


def original_half(told: Play) -> Outcome:
    count, held = half_sets(told)
    return play_original(count, one=range(count), other=held, seed=told.seed, strategy=Strategy.MODULO)


def _sizes(options: Any) -> tuple[str, ...]:
    return ("100k",) if options.short else ("1M",) if options.number else tuple(SIZES)


SCATTERED = Scenario(
    name="scattered",
    about="1 to 45 scattered differences in 100k and 1M: one datagram of description, 1 round trip (1.5 for "
    "the asker's own) in 95 % of seeds; --differences 1000: 32 KB, 3 round trips",
    play=play_scattered,
    judge=judge_scattered,
    units=UNITS,
    variants=_sizes,
    original=original_scattered,
    seeds=20,
    tiny=True,
    holds_short=True,
)
NEWEST_MISSING = Scenario(
    name="newest",
    about="1,000 newest of 100k missing: at most 200 bytes of description, 1 round trip before data flows",
    play=play_newest,
    judge=judge_newest,
    units=UNITS,
    original=original_newest,
    tiny=True,
    holds_short=True,
)
GAPS_MISSING = Scenario(
    name="gaps",
    about="stretches in the middle of 1M missing, one of 5,000 or ten of 300: at most 20 KB of description",
    play=play_gaps,
    judge=judge_gaps,
    units=UNITS,
    variants=lambda options: tuple(GAPS),  # noqa: ARG005
    original=original_gaps,
    tiny=True,
    holds_short=True,
)
HALF = Scenario(
    name="half",
    about="50 %, 90 %, 99 % of 100k held: at most 70, 90, 30 KB of description",
    play=play_half,
    judge=judge_half,
    units=UNITS,
    variants=lambda options: tuple(HALF_MAX),  # noqa: ARG005
    original=original_half,
)
