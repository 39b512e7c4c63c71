"""What an idle node costs: a `full` node with two workers and one community, nobody there to talk to.

    python bench/idle.py --seconds 30

Each of the six processes wakes about once a second (a report, a look at the clock), some 100 us a time, so
below 0.1 % of a core each; the interpreter with pyzmq and lmdb takes some 15 MB anonymous a process.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from pathlib import Path

from harness import Bench
from nodes import Node, fill_home

CPU_MAX = 0.02
ANONYMOUS_MAX_MB = 120.0
WORKERS = 2
SETTLE_S = 3.0


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--seconds", type=float, default=20.0, help="of each of five measurements (20)")


def cpu_seconds(pids: list[int]) -> float:
    """User and system time of these processes so far."""
    ticks = 0
    for pid in pids:
        fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
        ticks += int(fields[11]) + int(fields[12])
    return ticks / os.sysconf("SC_CLK_TCK")


def main() -> int:
    bench = Bench("idle", __doc__, versions=("pyzmq", "lmdb"), add_options=add_options)
    seconds = min(5.0, bench.options.seconds) if bench.short else bench.options.seconds
    with tempfile.TemporaryDirectory(prefix="dispersy-bench-") as name:
        home = Path(name) / "home"
        fill_home(home, messages=1_000, authors=10)
        node = Node(home, workers=WORKERS)
        try:
            time.sleep(SETTLE_S)
            processes = node.client.status()["processes"]
            pids = [process["pid"] for process in processes]

            def watch() -> float:
                before = cpu_seconds(pids)
                time.sleep(seconds)
                return (cpu_seconds(pids) - before) / seconds

            shares = bench.interleave({"idle": watch}, warm_up=False)["idle"]
            processes = node.client.status()["processes"]
        finally:
            node.stop()
    for process in processes:
        bench.figure(f"{process['role']}: anonymous", process["anonymous_bytes"] / 1e6, unit="MB")
    anonymous = sum(process["anonymous_bytes"] for process in processes) / 1e6
    bench.figure("anonymous memory in all", anonymous, unit="MB")
    bench.figure("share of one core", shares, unit="of one core")
    bench.at_most("share of one core", shares, CPU_MAX)
    bench.at_most("anonymous MB in all", anonymous, ANONYMOUS_MAX_MB)
    return bench.finish()


if __name__ == "__main__":
    sys.exit(main())
