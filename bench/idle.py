"""What an idle node costs in each placement: one community, nobody there to talk to; `full` with two workers.

    python bench/idle.py --seconds 30
    python bench/idle.py --placement single

Each process wakes about once a second (a report, a look at the clock), some 100 us a time, so below 0.1 % of
a core each; the interpreter with pyzmq and lmdb takes some 15 MB anonymous a process. Memory is that of all
processes of a node together, at the end. All nodes are watched at once: each is asked for what its own
processes have used, and what else the machine does strikes all alike.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from harness import Bench, Series
from nodes import Node, cpu_seconds, fill_home

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

    def __init__(self, home: Path, placement: str) -> None:
        fill_home(home, messages=1_000, authors=10)
        self.placement = placement
        self.node = Node(home, workers=WORKERS.get(placement, 0), placement=placement)
        self.shares: list[float] = []
        """Of one core, in each window."""

    def processes(self) -> list[dict[str, Any]]:
        told: list[dict[str, Any]] = self.node.client.status()["processes"]
        return told


def watch(nodes: list[Idle], seconds: float) -> float:
    """Add to each the share of one core that its processes take."""
    pids = [[process["pid"] for process in node.processes()] for node in nodes]
    before = [cpu_seconds(each) for each in pids]
    time.sleep(seconds)
    for node, of_node, used in zip(nodes, pids, before, strict=True):
        node.shares.append((cpu_seconds(of_node) - used) / seconds)
    return seconds


def judge(bench: Bench, idle: Idle) -> None:
    """Its figures, and its goals."""
    processes = idle.processes()
    for process in processes:
        name = f"{idle.placement}, {process['role']}: anonymous"
        bench.figure(name, process["anonymous_bytes"] / 1e6, unit="MB")
    shares = Series(tuple(idle.shares))
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
            nodes.append(Idle(Path(name) / placement, placement))
            running.callback(nodes[-1].node.stop)
        time.sleep(SETTLE_S)
        bench.interleave({"idle": lambda: watch(nodes, seconds)}, warm_up=False, short=1)
        for each in nodes:
            judge(bench, each)
    return bench.finish()


if __name__ == "__main__":
    sys.exit(main())
