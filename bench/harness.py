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
that is the sample (seconds, or whatever the bench compares), which leaves preparation out. Runs take turns,
so that what else the machine does strikes all alike; therefore compare with `over`, which divides neighbours.

Figures are measured here and now; quote() shows what somebody else measured, labelled, and no goal may rest
on it. The exit status is 1 when a goal does not hold. --short (for continuous integration: sizes so small
that there is time for several rounds, whose median forgets what struck one of them) judges goals that are
ratios at 0.7 of a lower and 1.3 of an upper bound, and lists the others as not judged; but all, and at their
bounds, while `bench.is_exact` says that no machine changes what is measured.
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
from rich.progress import Progress
from rich.table import Table

SHORT_AT_LEAST = 0.7
SHORT_AT_MOST = 1.3
SHORT_ROUNDS = 5
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
        relation = "at_least" if self.is_lower else "at_most"
        judgement = {"judged_at": self.judged_at, "holds": self.holds}
        return {"name": self.name, relation: self.bound, "measured": self.measured, **judgement}


def _sample(run: Callable[[], Any]) -> float:
    gc.collect()
    start = time.perf_counter()
    own = run()
    taken = time.perf_counter() - start
    return float(own) if isinstance(own, int | float) else taken


def number(value: float) -> str:
    """A number for people: four digits that matter, thousands apart."""
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"


def keep_bytecode(folder: Path) -> None:
    """Let the programs that are started from here keep what Python compiles, as installed ones do.

    folder    for what they keep where the environment says that Python shall write nothing beside sources:
              then each start would compile every module, which takes longer than all else in it
    """
    if os.environ.pop("PYTHONDONTWRITEBYTECODE", ""):
        os.environ["PYTHONPYCACHEPREFIX"] = str(folder)


def cpu_model() -> str:
    """What /proc/cpuinfo calls the processor; ARM kernels name the board instead."""
    lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    named = {name.strip(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    return named.get("model name") or named.get("Model") or platform.machine()


class Bench:
    """One run of one benchmark script: its options, its measurements, its verdict.

    name         short name, as in the JSON
    description  the script's docstring: what is measured, and the bound that the back of an envelope gives
    versions     packages whose versions matter, beside dispersy
    add_options  called with the ArgumentParser before it parses
    """

    def __init__(
        self,
        name: str,
        description: str | None,
        *,
        versions: tuple[str, ...] = (),
        add_options: Callable[[argparse.ArgumentParser], object] | None = None,
    ) -> None:
        parser = argparse.ArgumentParser(
            description=description, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
        )
        parser.add_argument("--json", action="store_true", help="print the results as JSON in the last line")
        parser.add_argument("--short", action="store_true", help="small sizes; judge only ratios")
        if add_options is not None:
            add_options(parser)
        self.name = name
        self.options = parser.parse_args()
        self.short: bool = self.options.short
        self.is_exact = False
        """Whether what is measured now is the same on every machine: then --short judges it all, as it is."""
        self.figures: list[Figure] = []
        self.quotations: list[str] = []
        self.goals: list[Goal] = []
        try:
            self.versions = {package: version(package) for package in ("dispersy", *versions)}
        except PackageNotFoundError as error:
            parser.exit(2, f"{error}; to measure, install first: python -m pip install -e '.[test]'\n")

    def size(self, full: int, *, short: int) -> int:
        """How many things this run handles."""
        return short if self.short else full

    def interleave(
        self,
        runs: Mapping[str, Callable[[], Any]],
        repetitions: int = 5,
        *,
        short: int = SHORT_ROUNDS,
        warm_up: bool = True,
    ) -> dict[str, Series]:
        """Run all in turn, `repetitions` rounds (with --short so many), after a round that warms them up."""
        samples: dict[str, list[float]] = {name: [] for name in runs}
        rounds = ["warming up"] * warm_up + ["measuring"] * (short if self.short else repetitions)
        # Painted between the runs only, so that it takes no time from them.
        progress = Progress(console=Console(stderr=True), transient=True, auto_refresh=False)
        task = progress.add_task(self.name, total=len(rounds) * len(runs))
        began = time.perf_counter()
        try:
            for doing in rounds:
                for name, run in runs.items():
                    sample = _sample(run)
                    if doing == "measuring":
                        samples[name].append(sample)
                    progress.update(task, advance=1, description=f"{self.name}: {doing}, {name}")
                    if sys.stderr.isatty() and time.perf_counter() - began > SILENT_S:
                        progress.start()
                        progress.refresh()
        finally:
            progress.stop()
        return {name: Series(tuple(values)) for name, values in samples.items()}

    def figure(self, name: str, value: Series | float, *, unit: str) -> None:
        """Show a measurement; its median goes into the JSON under this name."""
        self.figures.append(Figure(name, value if isinstance(value, Series) else Series((value,)), unit))

    def quote(self, name: str, value: float, *, unit: str, source: str, machine: str) -> None:
        """Show what others measured, for orientation; it stays out of figures and goals."""
        self.quotations.append(f"quoted: {name} {number(value)} {unit}; {source}; {machine}")

    def at_least(self, name: str, measured: Series | float, bound: float, *, ratio: bool = True) -> None:
        """Demand a lower bound; ratio=False for absolutes, which a small or shared machine cannot judge."""
        self._add_goal(name, measured, bound, SHORT_AT_LEAST if ratio else None, is_lower=True)

    def at_most(self, name: str, measured: Series | float, bound: float, *, ratio: bool = True) -> None:
        """Demand an upper bound; see at_least."""
        self._add_goal(name, measured, bound, SHORT_AT_MOST if ratio else None, is_lower=False)

    def _add_goal(
        self, name: str, measured: Series | float, bound: float, lenience: float | None, *, is_lower: bool
    ) -> None:
        judged_at: float | None = bound
        if self.short and not self.is_exact:
            judged_at = None if lenience is None else bound * lenience
        value = measured.median if isinstance(measured, Series) else measured
        self.goals.append(Goal(name, bound, is_lower, value, judged_at))

    def finish(self) -> int:
        """Print everything; the exit status: 1 when a goal does not hold."""
        console = Console()
        cores = len(os.sched_getaffinity(0))
        machine = {"cpu": cpu_model(), "cores": cores, "python": platform.python_version()}
        place = f"{machine['cpu']}, {machine['cores']} cores, Python {machine['python']}"
        packages = (f"{package} {installed}" for package, installed in self.versions.items())
        console.print(f"{self.name}: {', '.join((place, *packages))}", highlight=False)
        console.print(self._figure_table())
        for quotation in self.quotations:
            console.print(quotation, style="dim", markup=False, highlight=False)
        if self.goals:
            console.print(self._goal_table())
        if self.options.json:
            result: dict[str, object] = {"bench": self.name, "machine": machine, "versions": self.versions}
            result["figures"] = {figure.name: figure.value.median for figure in self.figures}
            result["goals"] = [goal.as_json() for goal in self.goals]
            print(json.dumps(result))
        return int(any(goal.holds is False for goal in self.goals))

    def _figure_table(self) -> Table:
        table = Table("figure", "median", "lowest", "highest", "unit", box=None, pad_edge=False)
        for column in table.columns[1:4]:
            column.justify = "right"
        for figure in self.figures:
            values = (figure.value.median, min(figure.value.samples), max(figure.value.samples))
            table.add_row(figure.name, *map(number, values), figure.unit)
        return table

    def _goal_table(self) -> Table:
        table = Table("goal", "measured", "bound", "verdict", box=None, pad_edge=False)
        verdicts = {True: "[green]holds[/green]", False: "[red]DOES NOT HOLD[/red]", None: "not judged"}
        for goal in self.goals:
            bound = number(goal.bound if goal.judged_at is None else goal.judged_at)
            relation = "at least" if goal.is_lower else "at most"
            table.add_row(goal.name, number(goal.measured), f"{relation} {bound}", verdicts[goal.holds])
        return table
