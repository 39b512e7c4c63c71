"""How long a node takes to serve again, and how much memory its roles hold, as its store grows.

    python bench/restart.py
    python bench/restart.py --sizes 10000 100000 --plot restart.png

A node (`dispersy run`, two workers) is started on a home that holds so many messages of one community by
1,000 authors: until its control socket says that it is ready, and until a stranger on UDP has its first
sync-request answered with messages. Whatever the size, the start reads the states of communities, the heads
of lanes, control messages, and the log behind the last sorted run: at most 32,768 messages and one commit,
some 10 us each, beside the start of a Python program. So the curve is a saw whose teeth are alike, and
not a line that rises. Seconds are those of a machine that may do other work; the processor's, of all
processes together, say what the start costs.

Anonymous memory (RssAnon of /proc, of each role, the greatest of what was seen) is taken when nothing
happens, and while a newcomer with an empty home fills: the roles of both. No role holds anything that grows
with messages, but for the heads: some 100 bytes a lane. One home grows from size to size; the disk's cache
is warm.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import median

from asker import await_answer
from harness import Bench, Series, keep_bytecode
from nodes import Node, cpu_seconds, extend_home, fill_home

AUTHORS = 1_000
WORKERS = 2
SIZES = (10_000, 100_000, 300_000, 1_000_000)
SHORT_SIZES = (100, 1_000)
SHORT_PULL_S = 1.0
STARTS = 3
ANSWER_LIMIT_S = 30.0
PULL_S = 20.0
SAMPLE_S = 0.25
ANONYMOUS_MAX_MB = 150.0
GROWTH_MAX = 2.0
"""Of what the processor does until a node serves, from the smallest store to the largest."""
READY_MAX_S = 3.0


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--sizes", type=int, nargs="+", default=SIZES, help="messages, rising (10k to 1M)")
    parser.add_argument("--pull", type=float, default=PULL_S, help="seconds that a newcomer is watched (20)")
    parser.add_argument("--folder", type=Path, help="on the disk to measure (the temporary folder's)")
    parser.add_argument("--plot", type=Path, help="write a picture (PNG)")


class Size:
    """What was measured with so many messages."""

    def __init__(self, messages: int) -> None:
        self.messages = messages
        self.ready: list[float] = []
        self.serving: list[float] = []
        self.processor: list[float] = []
        self.writer: list[float] = []
        """Processor seconds until it serves, of all processes and of the writer."""
        self.idle: dict[str, float] = {}
        self.busy: dict[str, float] = {}
        """Anonymous MB by role."""

    def show(self, bench: Bench) -> None:
        name = f"{self.messages:,}"
        bench.figure(f"{name}: ready", Series(tuple(self.ready)), unit="s")
        bench.figure(f"{name}: first sync-request answered", Series(tuple(self.serving)), unit="s")
        bench.figure(f"{name}: processor until then", Series(tuple(self.processor)), unit="s")
        bench.figure(f"{name}: the writer's", Series(tuple(self.writer)), unit="s")
        for role, megabytes in self.idle.items():
            bench.figure(f"{name}: {role}, idle", megabytes, unit="MB")
        for role, megabytes in self.busy.items():
            bench.figure(f"{name}: {role}, newcomer fills", megabytes, unit="MB")


def note_memory(greatest: dict[str, float], node: Node, whose: str = "") -> None:
    """Raise what was seen of each role; workers are alike, and the largest stands for all."""
    for process in node.client.status()["processes"]:
        role = whose + str(process["role"]).split("-")[0]
        greatest[role] = max(greatest.get(role, 0.0), process["anonymous_bytes"] / 1e6)


def start(size: Size, home: Path, community_id: bytes, placement: str) -> Node:
    """A node on the home, timed; it serves."""
    node = Node(home, workers=WORKERS if placement == "full" else 0, placement=placement)
    size.ready.append(node.ready_s)
    await_answer(community_id, node.address, limit_s=ANSWER_LIMIT_S)
    size.serving.append(time.perf_counter() - node.began)
    processes = {str(each["role"]): int(each["pid"]) for each in node.client.status()["processes"]}
    size.processor.append(cpu_seconds(list(processes.values())))
    size.writer.append(cpu_seconds([processes.get("writer", processes.get("all", 0))]))
    return node


def fill_newcomer(
    size: Size, source: Node, home: Path, community_id: bytes, *, seconds: float, placement: str
) -> None:
    """Let a newcomer pull for so long, or until it holds everything, and watch both."""
    newcomer = Node(home, workers=WORKERS if placement == "full" else 0, placement=placement)
    try:
        newcomer.client.join(community_id, peers=[source.address])
        limit = time.monotonic() + seconds
        while time.monotonic() < limit:
            note_memory(size.busy, source)
            note_memory(size.busy, newcomer, "newcomer's ")
            if any(each["live"] > size.messages for each in newcomer.client.communities()):
                break
            time.sleep(SAMPLE_S)
    finally:
        newcomer.stop()


def measure(bench: Bench, size: Size, folder: Path, community_id: bytes) -> None:
    home = folder / "home"
    # Each process of a node costs half a second to start; where there is little time two must do.
    placement = "compact" if bench.short else "full"
    for _ in range(0 if bench.short else STARTS - 1):
        start(size, home, community_id, placement).stop()
    node = start(size, home, community_id, placement)
    try:
        note_memory(size.idle, node)
        if bench.short and size.messages < SHORT_SIZES[-1]:
            return
        newcomer = folder / f"newcomer-{size.messages}"
        seconds = SHORT_PULL_S if bench.short else bench.options.pull
        fill_newcomer(size, node, newcomer, community_id, seconds=seconds, placement=placement)
    finally:
        node.stop()


def judge(bench: Bench, sizes: Sequence[Size]) -> None:
    for size in sizes:
        size.show(bench)
    smallest, largest = (median(sizes[index].processor) for index in (0, -1))
    bench.at_most("growth of the processor's time to serve", largest / smallest, GROWTH_MAX)
    slowest = max(median(size.serving) for size in sizes)
    bench.at_most("seconds until it serves, the slowest size", slowest, READY_MAX_S, ratio=False)
    # In the short form the largest alone has a newcomer.
    heaviest = max(held for size in sizes for each in (size.idle, size.busy) for held in each.values())
    bench.at_most("anonymous MB of the heaviest role", heaviest, ANONYMOUS_MAX_MB)


def draw_into(path: Path, sizes: Sequence[Size]) -> None:
    """Whoever draws nothing need not have what draws."""
    try:
        from restart_plot import draw
    except ImportError:
        sys.exit("restart: --plot draws with matplotlib: python -m pip install -e '.[plot]'")
    draw(path, sizes, anonymous_max_mb=ANONYMOUS_MAX_MB)


def main() -> int:
    bench = Bench("restart", __doc__, versions=("lmdb", "pyzmq"), add_options=add_options)
    options = bench.options
    sizes = [Size(messages) for messages in (SHORT_SIZES if bench.short else sorted(options.sizes))]
    with tempfile.TemporaryDirectory(prefix="dispersy-bench-", dir=options.folder) as name:
        folder = Path(name)
        keep_bytecode(folder / "bytecode")
        home, held = folder / "home", sizes[0].messages
        community_id, _ = fill_home(home, messages=held, authors=AUTHORS)
        for size in sizes:
            for _ in extend_home(home, held=held, messages=size.messages, authors=AUTHORS):
                pass
            held = size.messages
            measure(bench, size, folder, community_id)
            print(f"restart: measured {held:,}", file=sys.stderr)
    judge(bench, sizes)
    if options.plot is not None:
        draw_into(options.plot, sizes)
    return bench.finish()


if __name__ == "__main__":
    sys.exit(main())
