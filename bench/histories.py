"""Search histories of a community for nodes that disagree: the rules of docs/timeline.md against everything.

    python bench/histories.py --count 100000 --seed 7 --resume histories.json --json

Each history is small and nasty (tests/oracle/histories.py): two to four nodes, two to four members with
powers that they misuse, partitions, and nodes that forget what is not live. When all have told each other
everything, they must be in one state, the same without what is not live, and nothing may count of what a
member wrote after it was revoked. History N of seed S is judge("S/N"), so what is found is found again;
--history N plays it alone.

Every fourth history has nodes that are the product's, compared with the rules after every round: the
writer's ledger over a store in memory, or on disk every third time (tests/oracle/intake_node.py).

Bound: a history by the rules alone has two runs of some 25 steps and some 50 decisions of the naive oracle,
35 of them new ones of 0.1 to 0.2 ms (tests/oracle/decisions.py remembers the others): about 10 ms with what
is written. One through the product takes some 90 ms, for every node decides every round anew, twice. So of
100,000 the first kind take 13 minutes of one core, and the second 38: 25 minutes on two idle cores.

--resume FILE keeps how far the search has come beside what it found: a run that was ended goes on there.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from harness import Bench

# Behind what is installed: the oracle is taken from the folder beside this one, the product is not.
sys.path.append(str(Path(__file__).resolve().parents[1]))

from tests.oracle.intake_node import DiskNode, WrittenNode
from tests.oracle.judging import Verdict, judge

CHUNK = 50
"""Histories that a process runs before it reports: a second of work, about."""
NASTY_SHARE = 1 / 3
INTAKE_EVERY = 4
DISK_EVERY = 3
"""Of those that go through the intake."""
TOLD_EVERY_S = 10.0


def add_options(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("--count", type=int, default=10_000, help="histories in all (10,000)")
    add("--seed", type=int, default=None, help="of all histories (random, printed)")
    add("--history", type=int, default=None, metavar="N", help="play this one of the seed alone")
    add("--cores", type=int, default=len(os.sched_getaffinity(0)), help="processes (one for each core)")
    add("--resume", type=Path, default=None, metavar="FILE", help="go on with what FILE says, and keep it")


@dataclass(slots=True)
class State:
    """What a long search knows of itself.

    done    histories, from the first one on
    nasty   of them with a revoke and a partition
    counts  of them by what else they have: TRAITS
    faults  (seed of the history, what was wrong), the first one first
    """

    seed: int
    done: int = 0
    nasty: int = 0
    counts: dict[str, int] = field(default_factory=dict)
    faults: list[tuple[str, str]] = field(default_factory=list)

    def add(self, verdicts: list[Verdict]) -> None:
        for number, verdict in enumerate(verdicts, start=self.done):
            self.counts = dict(Counter(self.counts) + Counter(traits(number, verdict)))
        self.done += len(verdicts)
        self.nasty += sum(verdict.has_revoke and verdict.has_partition for verdict in verdicts)
        self.faults += [(str(verdict.seed), verdict.fault) for verdict in verdicts if verdict.fault]

    def keep(self, path: Path | None) -> None:
        if path is not None:
            fresh = path.with_suffix(".new")
            fresh.write_text(json.dumps(asdict(self)), encoding="utf-8")
            fresh.replace(path)


INTAKE, DISK, PASSING, RANKED, LONG = "the intake", "a store on disk", "passing kinds", "ranks", "lengths"
TRAITS = {
    INTAKE: "through the intake",
    DISK: "of them with the store on disk",
    PASSING: "with a kind that nobody keeps",
    RANKED: "with priorities and orders",
    LONG: "with long messages",
}


def is_through_intake(number: int) -> bool:
    return number % INTAKE_EVERY == 0


def is_on_disk(number: int) -> bool:
    return number % (INTAKE_EVERY * DISK_EVERY) == 0


def traits(number: int, verdict: Verdict) -> Iterator[str]:
    """What is counted of a history besides."""
    of_nodes = is_through_intake(number), is_on_disk(number)
    marks = (*of_nodes, verdict.has_passing, verdict.has_ranks, verdict.has_long)
    return (name for name, has_it in zip(TRAITS, marks, strict=True) if has_it)


def read_state(path: Path | None, seed: int | None) -> State:
    """Of an ended run, or of a new one."""
    if path is not None and path.exists():
        return State(**json.loads(path.read_text(encoding="utf-8")))
    return State(int.from_bytes(os.urandom(4), "big") if seed is None else seed)


def run_chunk(chunk: tuple[int, int, int]) -> list[Verdict]:
    """Histories [first, behind) of a seed."""
    seed, first, behind = chunk
    # In memory where there is a place for it: what a commit costs on disk is nothing to wait for here.
    memory = Path("/dev/shm")
    with TemporaryDirectory(dir=memory if memory.is_dir() else None) as folder:
        return [judge_one(f"{seed}/{number}", number, Path(folder)) for number in range(first, behind)]


def judge_one(seed: str, number: int, folder: Path) -> Verdict:
    """On the nodes that a history of this number has."""
    if not is_through_intake(number):
        return judge(seed)
    return judge(seed, node=partial(DiskNode if is_on_disk(number) else WrittenNode, keys=folder))


def search(state: State, count: int, cores: int, told: Callable[[], None]) -> None:
    """Go on until so many histories have run or one was wrong, over the cores, in their order."""
    chunks = ((state.seed, first, min(first + CHUNK, count)) for first in range(state.done, count, CHUNK))
    with get_context("spawn").Pool(cores) as pool:
        verdicts: Iterator[list[Verdict]] = pool.imap(run_chunk, chunks)
        for found in verdicts:
            state.add(found)
            told()
            if state.faults:
                return


def main() -> int:
    bench = Bench("histories", __doc__, add_options=add_options)
    options: Any = bench.options
    state = read_state(options.resume, options.seed)
    count = min(options.count, 80) if bench.short else options.count
    print(f"histories: seed {state.seed}, {state.done:,} of {count:,} done", file=sys.stderr)
    if options.history is not None:
        with TemporaryDirectory() as folder:
            verdict = judge_one(f"{state.seed}/{options.history}", options.history, Path(folder))
        print(verdict.fault or "nothing is wrong", file=sys.stderr)
        return int(bool(verdict.fault))
    before, began = state.done, time.monotonic()
    last = began

    def told() -> None:
        nonlocal last
        state.keep(options.resume)
        if time.monotonic() - last > TOLD_EVERY_S:
            last = time.monotonic()
            print(f"histories: {state.done:,} of {count:,}, {state.nasty:,} nasty", file=sys.stderr)

    search(state, count, options.cores, told)
    taken = time.monotonic() - began
    for seed, fault in state.faults[:1]:
        number = seed.rpartition("/")[2]
        print(
            f"histories: the first that is wrong is --seed {state.seed} --history {number}: {fault}",
            file=sys.stderr,
        )
    bench.figure("histories", state.done, unit="histories")
    bench.figure("with a revoke and a partition", 100 * state.nasty / max(1, state.done), unit="%")
    for name, words in TRAITS.items():
        bench.figure(words, 100 * state.counts.get(name, 0) / max(1, state.done), unit="%")
    if state.done > before:
        bench.figure("rate", (state.done - before) / taken, unit="histories/s")
    bench.at_least("share with a revoke and a partition", state.nasty / max(1, state.done), NASTY_SHARE)
    bench.at_most("histories that are wrong", len(state.faults), 0)
    return bench.finish()


if __name__ == "__main__":
    sys.exit(main())
