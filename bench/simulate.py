"""Simulated worlds: what synchronisation costs and how long it takes, on links as bad as wanted.

    python bench/simulate.py --list
    python bench/simulate.py scattered --seeds 20 --json
    python bench/simulate.py newcomer --plot newcomer.png --resume newcomer.json

A scenario is played once for every seed and variant, and its measures are printed beside what the original's
strategy needs in the same world (bench/simulation/original.py), with the goals. The worlds are those of
docs/simulation.md: real machines, a virtual clock, and no sockets; a seed gives the same datagrams each time.

Without a scenario and with --short the smallest of them are played, once each, and one of them twice, which
must give the same datagrams. --resume FILE keeps what was played, so that a run that was ended goes on there.

Bound: the world itself handles some 80,000 to 200,000 datagrams a second on one core, the machines of the
nodes some 7,000; so a thousand nodes that walk take some 25 s for every minute of theirs.
"""

from __future__ import annotations

import argparse
import gc
import json
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from harness import Bench, Series
from rich.console import Console
from rich.progress import Progress

from simulation.replay import same_datagrams_twice
from simulation.scenario import Outcome, Play, Scenario, named
from simulation.scenarios import SCENARIOS

ORIGINAL = "the original's "
YOUNG_MAX = 100_000
"""New objects until the collector looks at them: a world makes millions and hardly any cycles."""


def add_options(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("scenario", nargs="?", choices=sorted(SCENARIOS), metavar="SCENARIO", help="which one; see --list")
    add("--list", action="store_true", help="list the scenarios with their goals, and end")
    add("--nodes", type=int, help="how many, where the scenario lets one choose")
    add("--seed", type=int, default=1, help="of the first run (1)")
    add("--seeds", type=int, help="runs, with this seed and those after it (mostly 10)")
    add("--differences", type=int, dest="number", help="how many, where the scenario lets one choose")
    add("--messages", type=int, dest="number", help="one after the other in each world (propagation)")
    add("--variant", action="append", help="play only this one of the scenario's; repeatable")
    add("--no-original", action="store_true", help="leave the original's strategy out")
    add("--processes", type=int, default=1, help="runs side by side (1)")
    add("--plot", type=Path, metavar="FILE.png", help="draw the runs' curves")
    add("--resume", type=Path, metavar="STATE", help="go on with what STATE says, and keep it")


class Played:
    """What was played so far, kept in a file."""

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._known: dict[str, Any] = {}
        if path is not None and path.exists():
            self._known = json.loads(path.read_text(encoding="utf-8"))

    def get(self, key: str) -> Outcome | None:
        known = self._known.get(key)
        if known is None:
            return None
        curves = {name: [(x, y) for x, y in curve] for name, curve in known["curves"].items()}
        return Outcome(known["measures"], curves)

    def put(self, key: str, outcome: Outcome) -> None:
        self._known[key] = asdict(outcome)
        if self._path is not None:
            fresh = self._path.with_suffix(".new")
            fresh.write_text(json.dumps(self._known), encoding="utf-8")
            fresh.replace(self._path)


def key_of(name: str, play: Play) -> str:
    """What a run depends on, but for the program."""
    told = (play.variant, play.nodes, play.seed, play.number, play.short)
    return f"{name}: variant, nodes, seed, number, short = {told}"


def plays_of(scenario: Scenario, options: Any, *, short: bool) -> list[tuple[str, Play]]:
    """(its name in results, what it is told) of every run, the original's last."""
    seeds = options.seeds or (1 if short else scenario.seeds)
    nodes = options.nodes or scenario.nodes
    variants = options.variant or scenario.variants(options)
    runs = []
    for variant in variants:
        for seed in range(options.seed, options.seed + seeds):
            runs.append((scenario.name, Play(variant, seed, nodes, short, options.number)))
        if scenario.original is not None and not options.no_original:
            told = Play(variant, options.seed, nodes, short, options.number)
            runs.append((ORIGINAL + scenario.name, told))
    return runs


def run_one(job: tuple[str, Play]) -> tuple[str, Play, Outcome]:
    """One run, in whatever process."""
    gc.set_threshold(YOUNG_MAX)
    # Worlds before this one, whose nodes know each other: so seldom looked for, a dozen would be kept.
    gc.collect()
    name, play = job
    scenario = SCENARIOS[name.removeprefix(ORIGINAL)]
    story = scenario.original if name.startswith(ORIGINAL) else scenario.play
    assert story is not None
    return name, play, story(play)


def run_all(jobs: list[tuple[str, Play]], processes: int) -> Iterator[tuple[str, Play, Outcome]]:
    if processes == 1:
        yield from map(run_one, jobs)
        return
    with get_context("spawn").Pool(processes) as pool:
        yield from pool.imap(run_one, jobs)


def play(bench: Bench, scenario: Scenario, played: Played) -> None:
    """All runs of a scenario; figures, goals, and a plot."""
    options: Any = bench.options
    runs = plays_of(scenario, options, short=bench.short)
    missing = [(name, told) for name, told in runs if played.get(key_of(name, told)) is None]
    with Progress(console=Console(stderr=True), transient=True, disable=not sys.stderr.isatty()) as progress:
        task = progress.add_task(scenario.name, total=len(missing))
        for name, told, outcome in run_all(missing, options.processes):
            played.put(key_of(name, told), outcome)
            progress.update(task, advance=1, description=f"{scenario.name} {told.variant} seed {told.seed}")
    results: dict[str, dict[str, list[Outcome]]] = {}
    for name, told in runs:
        outcome = played.get(key_of(name, told))
        assert outcome is not None
        results.setdefault(name, {}).setdefault(told.variant, []).append(outcome)
    for name, by_variant in results.items():
        whose = ORIGINAL if name.startswith(ORIGINAL) else ""
        for variant, outcomes in by_variant.items():
            for measure in outcomes[0].measures:
                values = Series(tuple(outcome.measures[measure] for outcome in outcomes))
                name = named(scenario.name, named(variant, whose + measure))
                bench.figure(name, values, unit=scenario.units.get(measure, ""))
    bench.is_exact = scenario.holds_short
    scenario.judge(bench, results[scenario.name])
    bench.is_exact = False
    if options.plot is not None:
        draw_into(options.plot, scenario, results)


def draw_into(path: Path, scenario: Scenario, results: dict[str, dict[str, list[Outcome]]]) -> None:
    """Whoever draws nothing need not have what draws."""
    try:
        from simulation.plotting import draw
    except ImportError:
        sys.exit("simulate: --plot draws with matplotlib: python -m pip install -e '.[plot]'")
    draw(path, scenario, results)


def list_scenarios() -> int:
    for scenario in SCENARIOS.values():
        print(f"{scenario.name:14}{scenario.about}")
    return 0


def main() -> int:
    bench = Bench("simulate", __doc__, add_options=add_options)
    options: Any = bench.options
    if options.list:
        return list_scenarios()
    if options.scenario is None and not bench.short:
        hint = "say which SCENARIO (--list shows them), or --short for the smallest"
        print(f"simulate: {hint}", file=sys.stderr)
        return 2
    played = Played(options.resume)
    began = time.monotonic()
    if options.scenario is None:
        for scenario in SCENARIOS.values():
            if scenario.tiny:
                play(bench, scenario, played)
        bench.at_least("the same datagrams twice", float(same_datagrams_twice(options.seed)), 1.0)
    else:
        play(bench, SCENARIOS[options.scenario], played)
    bench.figure("time taken", time.monotonic() - began, unit="s")
    return bench.finish()


if __name__ == "__main__":
    sys.exit(main())
