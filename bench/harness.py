"""How every benchmark here measures, judges and prints.

    from harness import Bench

    def main() -> int:
        bench = Bench("bloom", __doc__, versions=("mmh3",), add_options=add_options)
        keys = bench.size(100_000, short=5_000)
        times = bench.interleave({"add": lambda: filter.add_many(...), "mmh3": lambda: hash_all(...)})
        bench.figure("add", times["add"].rate(keys), unit="keys/s")
        bench.at_least("add / mmh3", times["mmh3"].over(times["add"]), 0.8)
        bench.at_least("add alone", times["add"].rate(keys), 20e6, ratio=False)
        bench.quote("add, the original", 466_000, unit="keys/s", source="...", machine="...")
        return bench.finish()

    if __name__ == "__main__":
        sys.exit(main())

Every script takes --json and --short beside the options that it adds itself with `add_options(parser)`; what
was given is in `bench.options`. A callable handed to interleave() is timed, unless it returns a number: then
that is the sample (seconds, or whatever the bench compares), which leaves preparation out. Runs take turns, so
that what else the machine does strikes all alike; therefore compare with `over`, which divides neighbours.

Figures are measured here and now; quote() shows what somebody else measured, labelled, and no goal may rest on
it. The exit status is 1 when a goal does not hold. --short (for continuous integration: small sizes, once)
judges goals that are ratios at 0.7 of a lower and 1.3 of an upper bound, and lists the others as not judged.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import platform
import statistics
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

SHORT_AT_LEAST = 0.7
SHORT_AT_MOST = 1.3
SILENT_S = 2.0
"""A run shorter than this shows no progress."""


@dataclass(frozen=True, slots=True)
class Series:
    """Samples of one thing in the order of the rounds, at least one."""

    samples: tuple[float, ...]

    @property
    def median(self) -> float:
        return statistics.median(self.samples)

    def rate(self, count: float) -> Series:
        """Things a second, when every sample is the seconds that `count` of them took."""
        return Series(tuple(count / sample for sample in self.samples))

    def over(self, other: Series) -> Series:
        """The ratio in each round: neighbours in time met the same machine."""
        return Series(tuple(ours / theirs for ours, theirs in zip(self.samples, other.samples, strict=True)))


@dataclass(frozen=True, slots=True)
class Figure:
    """What was measured, as the table shows it."""

    name: str
    value: Series
    unit: str


@dataclass(frozen=True, slots=True)
class Quotation:
    """What others measured, with where it was written and on what machine."""

    name: str
    value: float
    unit: str
    source: str
    machine: str


@dataclass(frozen=True, slots=True)
class Goal:
    """A bound on a measurement; judged_at is the bound in force in this run, None when it is not judged."""

    name: str
    bound: float
    is_lower: bool
    measured: float
    judged_at: float | None

    @property
    def holds(self) -> bool | None:
        if self.judged_at is None:
            return None
        return self.measured >= self.judged_at if self.is_lower else self.measured <= self.judged_at

    def as_json(self) -> dict[str, object]:
        return {
            "name": self.name,
            "at_least" if self.is_lower else "at_most": self.bound,
            "measured": self.measured,
            "judged_at": self.judged_at,
            "holds": self.holds,
        }


def number(value: float) -> str:
    """A number for people: four digits that matter, thousands apart."""
    if abs(value) >= 1000:
        return f"{value:,.0f}"
    return f"{value:.4g}"


def cpu_model() -> str:
    """What /proc/cpuinfo calls the processor; ARM kernels name the board instead."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    named: dict[str, str] = {}
    for line in lines:
        name, _, value = line.partition(":")
        named.setdefault(name.strip(), value.strip())
    return named.get("model name") or named.get("Model") or platform.machine()


class Bench:
    """One run of one benchmark script: its options, its measurements, its verdict.

    name         short name, as in the JSON
    description  the script's docstring: what is measured, and the bound that the back of an envelope gives
    versions     packages whose versions matter, beside dispersy
    add_options  called with the ArgumentParser before it parses
    arguments    the command line; None takes it from the process
    """

    def __init__(
        self,
        name: str,
        description: str | None,
        *,
        versions: tuple[str, ...] = (),
        add_options: Callable[[argparse.ArgumentParser], object] | None = None,
        arguments: list[str] | None = None,
    ) -> None:
        parser = argparse.ArgumentParser(
            description=description, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
        )
        parser.add_argument("--json", action="store_true", help="print the results as JSON in the last line")
        parser.add_argument("--short", action="store_true", help="small sizes, once; judge only ratios")
        if add_options is not None:
            add_options(parser)
        self.name = name
        self.options = parser.parse_args(arguments)
        self.short: bool = self.options.short
        self.figures: list[Figure] = []
        self.quotations: list[Quotation] = []
        self.goals: list[Goal] = []
        try:
            self.versions = {package: version(package) for package in ("dispersy", *versions)}
        except PackageNotFoundError as error:
            parser.exit(
                2, f"{error}; benchmarks measure what is installed: python -m pip install -e '.[test]'\n"
            )

    def size(self, full: int, *, short: int) -> int:
        """How many things this run handles."""
        return short if self.short else full

    def interleave(self, runs: Mapping[str, Callable[[], Any]], repetitions: int = 5) -> dict[str, Series]:
        """Run all in turn, `repetitions` rounds (with --short one), after a round that warms them up."""
        samples: dict[str, list[float]] = {name: [] for name in runs}
        rounds = 1 if self.short else repetitions
        # Painted between the runs only, so that it takes no time from them.
        progress = Progress(
            TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn(),
            console=Console(stderr=True), transient=True, auto_refresh=False,
        )  # fmt: skip
        task = progress.add_task(self.name, total=(rounds + 1) * len(runs))
        began = time.perf_counter()
        try:
            for turn in range(rounds + 1):
                for name, run in runs.items():
                    sample = self._sample(run)
                    if turn:
                        samples[name].append(sample)
                    progress.update(task, advance=1, description=f"{self.name}: {name}")
                    if time.perf_counter() - began > SILENT_S and sys.stderr.isatty():
                        progress.start()
                        progress.refresh()
        finally:
            progress.stop()
        return {name: Series(tuple(values)) for name, values in samples.items()}

    @staticmethod
    def _sample(run: Callable[[], Any]) -> float:
        gc.collect()
        start = time.perf_counter()
        own = run()
        taken = time.perf_counter() - start
        return float(own) if isinstance(own, int | float) else taken

    def figure(self, name: str, value: Series | float, *, unit: str) -> None:
        """Show a measurement; its median goes into the JSON under this name."""
        self.figures.append(Figure(name, value if isinstance(value, Series) else Series((value,)), unit))

    def quote(self, name: str, value: float, *, unit: str, source: str, machine: str) -> None:
        """Show what others measured, for orientation; it stays out of figures and goals."""
        self.quotations.append(Quotation(name, value, unit, source, machine))

    def at_least(self, name: str, measured: Series | float, bound: float, *, ratio: bool = True) -> None:
        """Demand a lower bound; ratio=False for absolutes, which a small or shared machine cannot judge."""
        self._judge(name, measured, bound, is_lower=True, lenience=SHORT_AT_LEAST, ratio=ratio)

    def at_most(self, name: str, measured: Series | float, bound: float, *, ratio: bool = True) -> None:
        """Demand an upper bound; see at_least."""
        self._judge(name, measured, bound, is_lower=False, lenience=SHORT_AT_MOST, ratio=ratio)

    def _judge(
        self,
        name: str,
        measured: Series | float,
        bound: float,
        *,
        is_lower: bool,
        lenience: float,
        ratio: bool,
    ) -> None:
        judged_at: float | None = bound
        if self.short:
            judged_at = bound * lenience if ratio else None
        value = measured.median if isinstance(measured, Series) else measured
        self.goals.append(Goal(name, bound, is_lower, value, judged_at))

    def finish(self) -> int:
        """Print everything; the exit status: 1 when a goal does not hold."""
        console = Console()
        machine = {
            "cpu": cpu_model(),
            "cores": len(os.sched_getaffinity(0)),
            "python": platform.python_version(),
            "system": platform.platform(terse=True),
        }
        packages = ", ".join(f"{package} {installed}" for package, installed in self.versions.items())
        place = f"{machine['cpu']}, {machine['cores']} cores, Python {machine['python']}"
        console.print(f"{self.name}: {place}, {packages}", highlight=False)
        console.print(self._figure_table())
        for quoted in self.quotations:
            text = f"quoted: {quoted.name} {number(quoted.value)} {quoted.unit}; {quoted.source}; {quoted.machine}"
            console.print(text, style="dim", markup=False, highlight=False)
        if self.goals:
            console.print(self._goal_table())
        if self.options.json:
            figures = {figure.name: figure.value.median for figure in self.figures}
            goals = [goal.as_json() for goal in self.goals]
            result = {"bench": self.name, "machine": machine, "versions": self.versions}
            print(json.dumps({**result, "figures": figures, "goals": goals}))
        return int(any(goal.holds is False for goal in self.goals))

    def _figure_table(self) -> Table:
        table = Table("figure", "median", "lowest", "highest", "unit", box=None, pad_edge=False)
        for column in table.columns[1:4]:
            column.justify = "right"
        for figure in self.figures:
            samples = figure.value.samples
            spread = (number(min(samples)), number(max(samples))) if len(samples) > 1 else ("", "")
            table.add_row(figure.name, number(figure.value.median), *spread, figure.unit)
        return table

    def _goal_table(self) -> Table:
        table = Table("goal", "measured", "bound", "verdict", box=None, pad_edge=False)
        verdicts = {True: "[green]holds[/green]", False: "[red]DOES NOT HOLD[/red]", None: "not judged"}
        for goal in self.goals:
            bound = number(goal.bound if goal.judged_at is None else goal.judged_at)
            relation = "at least" if goal.is_lower else "at most"
            table.add_row(goal.name, number(goal.measured), f"{relation} {bound}", verdicts[goal.holds])
        return table
