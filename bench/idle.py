"""What an idle node costs in each placement: one community, nobody there to talk to; `full` with two workers.

    python bench/idle.py --seconds 30
    python bench/idle.py --placement single

Each process wakes about once a second (a report, a look at the clock), some 100 us a time, so below 0.1 % of
a core each; the interpreter with pyzmq and lmdb takes some 15 MB anonymous a process. Memory is that of all
processes of a node together, at the end.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from harness import Bench, Series
from nodes import Node, fill_home

CPU_MAX = 0.02
ANONYMOUS_MAX_MB = {"full": 120.0, "compact": 60.0, "single": 35.0}
WORKERS = {"full": 2}
SETTLE_S = 3.0


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--seconds", type=float, default=20.0, help="of each of five measurements (20)")
    parser.add_argument(
        "--placement", choices=sorted(ANONYMOUS_MAX_MB), action="append", help="may be repeated (all)"
    )


class Idle:
    """One node with nothing to do."""

    def __init__(self, home: Path, placement: str, *, seconds: float) -> None:
        fill_home(home, messages=1_000, authors=10)
        self.placement = placement
        self._seconds = seconds
        self.node = Node(home, workers=WORKERS.get(placement, 0), placement=placement)

    def watch(self) -> float:
        """The share of one core that its processes take."""
        pids = [process["pid"] for process in self.processes()]
        before = cpu_seconds(pids)
        time.sleep(self._seconds)
        return (cpu_seconds(pids) - before) / self._seconds

    def processes(self) -> list[dict[str, Any]]:
        told: list[dict[str, Any]] = self.node.client.status()["processes"]
        return told


def cpu_seconds(pids: list[int]) -> float:
    """User and system time of these processes so far."""
    ticks = 0
    for pid in pids:
        fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
        ticks += int(fields[11]) + int(fields[12])
    return ticks / os.sysconf("SC_CLK_TCK")


def judge(bench: Bench, idle: Idle, shares: Series) -> None:
    """Its figures, and its goals."""
    processes = idle.processes()
    for process in processes:
        name = f"{idle.placement}, {process['role']}: anonymous"
        bench.figure(name, process["anonymous_bytes"] / 1e6, unit="MB")
    anonymous = sum(process["anonymous_bytes"] for process in processes) / 1e6
    bench.figure(f"{idle.placement}: anonymous memory in all", anonymous, unit="MB")
    bench.figure(f"{idle.placement}: share of one core", shares, unit="of one core")
    bench.at_most(f"{idle.placement}: share of one core", shares, CPU_MAX)
    bench.at_most(f"{idle.placement}: anonymous MB in all", anonymous, ANONYMOUS_MAX_MB[idle.placement])


def main() -> int:
    bench = Bench("idle", __doc__, versions=("pyzmq", "lmdb"), add_options=add_options)
    seconds = min(5.0, bench.options.seconds) if bench.short else bench.options.seconds
    with tempfile.TemporaryDirectory(prefix="dispersy-bench-") as name, ExitStack() as running:
        nodes = []
        for placement in bench.options.placement or ANONYMOUS_MAX_MB:
            nodes.append(Idle(Path(name) / placement, placement, seconds=seconds))
            running.callback(nodes[-1].node.stop)
        time.sleep(SETTLE_S)
        shares = bench.interleave({each.placement: each.watch for each in nodes}, warm_up=False)
        for each in nodes:
            judge(bench, each, shares[each.placement])
    return bench.finish()


if __name__ == "__main__":
    sys.exit(main())
