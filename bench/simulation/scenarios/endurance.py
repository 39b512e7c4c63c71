"""`phone`, `channel`: a node that saves, and one that fetches something large while others talk."""

from __future__ import annotations

from random import Random
from typing import TYPE_CHECKING

from dispersy.protocol.walk.metered import METERED_STEP_S
from dispersy.protocol.walk.shared_pace import SharedPace
from simulation.links import Path
from simulation.measures import Meter
from simulation.node import Node
from simulation.original import Strategy, play_original
from simulation.pairs import corpus_of
from simulation.populations import HISTORY, Population
from simulation.scenario import Curve, Outcome, Play, Results, Scenario, named, share, worst
from simulation.shared import Base, Corpus, SharedHoldings, make_messages
from simulation.world import World

if TYPE_CHECKING:
    from harness import Bench

HOUR_S = 3_600.0
NEIGHBOURS = 5
WAKE_UPS_MAX = 60
HOURLY_BYTES_MAX = 20_000
CAUGHT_UP_MAX_S = 30.0
ASLEEP_S = 23 * HOUR_S
MISSED = 1_000
MOBILE = Path(delay_s=0.08, jitter_s=0.04, loss=0.01, rate=5e6 / 8, queue=128_000)
SETTLED_S = 600.0
"""Until it has met everybody that it will meet, and its hour begins."""
APART_S = 1.0
"""Activity closer together than this is one wake-up of a radio."""
FILE_BYTES = 20_000_000
PIECE_BYTES = 60_000
SMALL_PER_SECOND = 100
DELAYED_MAX_S = 0.2
BREAK_S = 10.0
BROADBAND = Path(delay_s=0.025, rate=20e6 / 8, queue=256_000)


class WakeUps:
    """How often a node had to do or hear something after a silence."""

    def __init__(self, world: World, node: Node) -> None:
        self.count = 0
        self.size = 0
        self._address = node.address
        self._world = world
        self._last_at = world.now - APART_S
        self._send, self._receive = world.send, node.receive
        world.send = self.note_sent  # type: ignore[method-assign]
        node.receive = self.note_received  # type: ignore[method-assign]

    def note_sent(self, source: bytes, target: bytes, data: bytes) -> None:
        if source == self._address:
            self._note(len(data))
        self._send(source, target, data)  # type: ignore[arg-type]

    def note_received(self, source: bytes, data: bytes) -> None:
        self._note(len(data))
        self._receive(source, data)  # type: ignore[arg-type]

    def _note(self, size: int) -> None:
        self.count += self._world.now - self._last_at >= APART_S
        self._last_at = self._world.now
        self.size += size


def play_phone(told: Play) -> Outcome:
    """An hour in sync with five others, a night asleep, and what it takes to catch up."""
    hour_s = told.size(int(HOUR_S), short=120)
    count = told.size(20_000, short=500)
    missed = told.size(MISSED, short=50)
    corpus, base = corpus_of(count)
    world = World(seed=told.seed, link=MOBILE, log=False, corpus=corpus, models=True)
    first = world.add(1, holdings=SharedHoldings(corpus, base))
    others = [first] + [
        world.add(host, bootstrap=[first], holdings=SharedHoldings(corpus, base))
        for host in range(2, NEIGHBOURS + 1)
    ]
    rng = Random(f"phone {told.seed}")
    pace = SharedPace(phase_s=rng.random() * METERED_STEP_S, is_metered=True)
    phone = world.add(100, bootstrap=[first], holdings=SharedHoldings(corpus, base), pace=pace)
    world.run(SETTLED_S)
    wakes = WakeUps(world, phone)
    world.run(hour_s)
    hourly = {"wake-ups an hour": float(wakes.count), "bytes an hour": float(wakes.size)}
    world.sleep(phone)
    numbers = make_messages(corpus, missed, seed=50 + told.seed, first_time=count + 1)
    asleep_s = told.size(int(ASLEEP_S), short=600)
    for number in numbers:
        author = rng.choice(others)
        at = world.now + rng.random() * asleep_s
        world.at(at, lambda number=number, author=author: author.publish([corpus.messages[number]]))
    world.run(asleep_s)
    world.wake(phone)
    phone.walker.resume(phone.now)
    world.watch(phone.address)
    woke_at = world.now
    caught_up = world.run(
        600, until=lambda: phone.holdings.summary().same_set(first.holdings.summary()), looks_every_s=0.1
    )
    waking = {"caught up": float(caught_up), "until caught up": world.now - woke_at}
    return Outcome(hourly | waking | {"missed": float(missed)})


def judge_phone(bench: Bench, results: Results) -> None:
    for variant, outcomes in results.items():
        bench.at_least(named(variant, "caught up"), share(outcomes, lambda o: o["caught up"] == 1), 1.0)
        for measure, most in (
            ("wake-ups an hour", WAKE_UPS_MAX),
            ("bytes an hour", HOURLY_BYTES_MAX),
            ("until caught up", CAUGHT_UP_MAX_S),
        ):
            bench.at_most(named(variant, measure), worst(outcomes, measure), most, ratio=False)


def original_phone(told: Play) -> Outcome:
    """An hour of steps, of which nine in ten leave the filter out in the end."""
    count = told.size(20_000, short=500)
    hour = play_original(
        count,
        one=range(count),
        other=range(count),
        seed=told.seed,
        strategy=Strategy.LARGEST,
        limit_s=HOUR_S,
        ends_equal=False,
    )
    behind = play_original(
        count, one=range(count), other=range(count - MISSED), seed=told.seed, strategy=Strategy.LARGEST
    )
    return Outcome(
        {
            "wake-ups an hour": HOUR_S / 5,
            "bytes of filters an hour": hour.measures["description"] / 2,
            "until caught up": behind.measures["virtual time"],
        }
    )


def play_channel(told: Play) -> Outcome:
    """A file in signed pieces that one node fetches from another while both hear 100 messages a second."""
    pieces = told.size(FILE_BYTES // PIECE_BYTES, short=20)
    corpus = Corpus()
    base = Base(corpus, make_messages(corpus, HISTORY, seed=1))
    world = World(seed=told.seed, link=BROADBAND, log=False, corpus=corpus, models=True)
    world.meter = Meter()
    source = world.add(1, holdings=SharedHoldings(corpus, base))
    fetcher = world.add(2, bootstrap=[source], holdings=SharedHoldings(corpus, base))
    world.run(15)
    population = Population(world, corpus, base, [source, fetcher], [source], Random(told.seed))
    quiet = delays_of_small(population, source, fetcher, seconds=told.size(10, short=2))
    source.publish([population.message(source, payload=PIECE_BYTES - 110) for _ in range(pieces)])
    began = world.now
    busy: list[float] = []
    half = HISTORY + pieces // 2
    growth: Curve = []
    note_growth(world, fetcher, growth)
    world.run(120, until=lambda: fetcher.holdings.summary().count >= half, looks_every_s=0.01)
    busy += delays_of_small(population, source, fetcher, seconds=told.size(5, short=1))
    world.links.part([source.address], [fetcher.address])
    world.run(BREAK_S)
    held = fetcher.holdings.summary().count
    world.links.cut.clear()
    resumed_at = world.now
    taken_before = fetcher.heard["messages"]
    complete = world.run(
        600, until=lambda: fetcher.holdings.summary().same_set(source.holdings.summary()), looks_every_s=0.05
    )
    again = fetcher.heard["messages"] - taken_before - (source.holdings.summary().count - held)
    return Outcome(
        {
            "complete": float(complete),
            "small messages, alone, 99 %": percentile(quiet, 0.99),
            "small messages, beside the file, 99 %": percentile(busy, 0.99),
            "delayed by": percentile(busy, 0.99) - percentile(quiet, 0.99),
            "until complete, break included": world.now - began,
            "after the break": world.now - resumed_at,
            "messages fetched twice after the break": float(max(0, again)),
        },
        {"messages held": growth},
    )


def note_growth(world: World, node: Node, curve: Curve) -> None:
    curve.append((world.now, float(node.holdings.summary().count)))
    world.at(world.now + 0.1, lambda: note_growth(world, node, curve))


def delays_of_small(population: Population, source: Node, fetcher: Node, *, seconds: int) -> list[float]:
    """Seconds from publishing each of 100 messages a second to having it; those that never come count so."""
    world, holdings = population.world, fetcher.holdings
    waiting: dict[int, float] = {}
    delays: list[float] = []

    def note(node: Node, fresh: int) -> None:  # noqa: ARG001 every commit may be one that is waited for
        if node is fetcher:
            for number in [each for each in waiting if holdings.holds(each)]:
                delays.append(world.now - waiting.pop(number))

    def say() -> None:
        message = population.message(source)
        [number] = population.corpus.numbers([message])
        waiting[number] = world.now
        source.publish([message])

    world.on_taken = note
    for index in range(seconds * SMALL_PER_SECOND):
        world.at(world.now + index / SMALL_PER_SECOND, say)
    world.run(seconds)
    world.run(5.0, until=lambda: not waiting, looks_every_s=0.05)
    world.on_taken = None
    return delays + [world.now - at for at in waiting.values()]


def percentile(values: list[float], part: float) -> float:
    return sorted(values)[min(len(values) - 1, int(part * len(values)))] if values else 0.0


def judge_channel(bench: Bench, results: Results) -> None:
    for variant, outcomes in results.items():
        complete = share(outcomes, lambda o: o["complete"] == 1)
        bench.at_least(named(variant, "resumes and completes"), complete, 1.0)
        delayed = worst(outcomes, "delayed by")
        bench.at_most(named(variant, "small messages delayed by"), delayed, DELAYED_MAX_S, ratio=False)


UNITS = {
    "until caught up": "s",
    "bytes an hour": "bytes",
    "bytes of filters an hour": "bytes",
    "small messages, alone, 99 %": "s",
    "small messages, beside the file, 99 %": "s",
    "delayed by": "s",
    "until complete, break included": "s",
    "after the break": "s",
}
PHONE = Scenario(
    name="phone",
    about="metered, in sync, one community, an hour; asleep 23 of 24 hours: at most 60 wake-ups and 20 KB; "
    "caught up within 30 s of waking",
    play=play_phone,
    judge=judge_phone,
    units=UNITS,
    original=original_phone,
    seeds=10,
    tiny=True,
    holds_short=True,
    shown="until caught up",
)
CHANNEL = Scenario(
    name="channel",
    about="a 20 MB file in signed pieces while 100 small messages/s flow: these are not delayed by more than "
    "200 ms; resumes after a break",
    play=play_channel,
    judge=judge_channel,
    units=UNITS,
    seeds=1,
)
