"""What fifty joined idle communities cost beside one: two pairs of real services that only know each other.

    python bench/communities.py

One community steps every 5 s, to one neighbour every 30 s: an introduction of some 180 bytes each way, from
both sides, 24 bytes a second. Fifty that have settled step every 9 minutes, and of both sides one pings every
40 s, 58 bytes each way: 4 bytes a second each, nine times the bytes of one in all. A window shorter than 30 s
holds none, one or two of the one community's exchanges, and the ratio of bytes is a matter of luck. Those
that have not settled step every 5 s and take twice that: measuring begins a while after all say that they are
in sync, and introductions are shown apart, for many of them tell of a window in which something was not
settled. Wake-ups are those of the roles' reports and notes, once a second, and of ticks.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from harness import Bench, Series
from nodes import Node, cpu_seconds

from dispersy.service.home.home import create_home

CPU_MAX = 2.0
WAKE_UPS_MAX = 2.0
BYTES_MAX = 10.0
MEET_LIMIT_S = 120.0
SETTLE_S = 80.0
SETTLE_SHORT_S = 16.0
WORKERS = 1
REPORTED_S = 1.2


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--seconds", type=float, default=60.0, help="of each of five measurements (60)")
    parser.add_argument("--many", type=int, default=50, help="communities of the greater pair (50)")


@dataclass(frozen=True)
class Cost:
    """Of both nodes of a pair, so far."""

    cpu_s: float
    wake_ups: int
    bytes_sent: int
    datagrams_sent: int
    introductions: int
    lost: int


class Pair:
    """Two services on loopback, both members of the same communities."""

    def __init__(self, folder: Path, communities: int, stack: ExitStack) -> None:
        self.communities = communities
        self.nodes: list[Node] = []
        for name in ("first", "second"):
            home = folder / f"{name}-{communities}"
            create_home(home)
            node = Node(home, workers=WORKERS)
            stack.callback(node.stop)
            self.nodes.append(node)
        first, second = (node.client for node in self.nodes)
        peer = first.status()["listen"]
        for index in range(communities):
            second.join(first.create(f"idle-{index}")["community_id"], peers=[peer])

    def lost(self) -> int:
        """Neighbours that the nodes do not know just now."""
        known = (
            sum(
                bool(peer["member"])
                for peer in node.client.peers()
                if peer["category"] in ("walked", "stumbled")
            )
            for node in self.nodes
        )
        return sum(self.communities - count for count in known)

    def meet(self) -> None:
        """Wait until every community has its neighbour on both nodes, and is in sync with it."""
        limit = time.monotonic() + MEET_LIMIT_S
        while self.lost() or self.differing():
            if time.monotonic() > limit:
                raise RuntimeError(
                    f"{self.lost()} neighbours not met and {self.differing()} not in sync"
                    f" within {MEET_LIMIT_S:.0f} s"
                )
            time.sleep(0.5)

    def differing(self) -> int:
        """Communities that are not, or not yet known to be, as their neighbour is."""
        listed = (community for node in self.nodes for community in node.client.communities())
        return sum(not community["state"].startswith("in sync") for community in listed)

    def cost(self) -> Cost:
        """What both have used and sent since their start."""
        statuses = [node.client.status() for node in self.nodes]
        processes = [process for status in statuses for process in status["processes"]]
        counters = [process["counters"] for process in processes if "counters" in process]
        return Cost(
            cpu_s=cpu_seconds([process["pid"] for process in processes]),
            wake_ups=sum(wake_ups(process["pid"]) for process in processes),
            bytes_sent=sum(each.get("bytes-out", 0) for each in counters),
            datagrams_sent=sum(each.get("datagrams-out", 0) for each in counters),
            introductions=sum(
                each.get(f"frames-out-introduction-{kind}", 0)
                for each in counters
                for kind in ("request", "response")
            ),
            lost=self.lost(),
        )


def wake_ups(pid: int) -> int:
    """How often its threads have gone to sleep by themselves so far."""
    total = 0
    for task in Path(f"/proc/{pid}/task").iterdir():
        for line in (task / "status").read_text(encoding="ascii").splitlines():
            if line.startswith("voluntary_ctxt_switches:"):
                total += int(line.split()[1])
    return total


def main() -> int:
    bench = Bench("communities", __doc__, versions=("pyzmq", "lmdb"), add_options=add_options)
    seconds = min(8.0, bench.options.seconds) if bench.short else bench.options.seconds
    many = bench.size(bench.options.many, short=10)
    with tempfile.TemporaryDirectory(prefix="dispersy-bench-") as name, ExitStack() as stack:
        pairs = {count: Pair(Path(name), count, stack) for count in (1, many)}
        for pair in pairs.values():
            pair.meet()
        time.sleep(SETTLE_SHORT_S if bench.short else SETTLE_S)
        before: dict[int, Cost] = {}
        used: dict[int, list[Cost]] = {count: [] for count in pairs}

        def watch() -> float:
            """Both at once, so that what else the machine does strikes both alike."""
            for count, pair in pairs.items():
                before[count] = pair.cost()
            time.sleep(seconds)
            for count, pair in pairs.items():
                used[count].append(difference(pair.cost(), before[count]))
            return seconds

        bench.interleave({"idle": watch}, warm_up=False, short=1)
    series = {count: CostSeries(costs, seconds) for count, costs in used.items()}
    for count, each in series.items():
        bench.figure(f"{count}: CPU", each.cpu, unit="of one core")
        bench.figure(f"{count}: wake-ups", each.wake_ups, unit="/s")
        bench.figure(f"{count}: bytes sent", each.bytes, unit="/s")
        bench.figure(f"{count}: datagrams sent", each.datagrams, unit="/s")
        bench.figure(f"{count}: introductions sent", each.introductions, unit="/s")
    lost = sum(cost.lost for costs in used.values() for cost in costs)
    bench.at_most(f"CPU, {many} over 1", series[many].cpu.over(series[1].cpu), CPU_MAX)
    bench.at_most(f"wake-ups, {many} over 1", series[many].wake_ups.over(series[1].wake_ups), WAKE_UPS_MAX)
    # A short window may hold no exchange of the one community at all.
    total = {count: sum(cost.bytes_sent for cost in costs) for count, costs in used.items()}
    bench.at_most(f"bytes, {many} over 1", total[many] / max(1, total[1]), BYTES_MAX, ratio=False)
    bench.at_most("neighbours lost", float(lost), 0.0)
    return bench.finish()


class CostSeries:
    """A pair's cost in each window, by the second."""

    def __init__(self, costs: list[Cost], seconds: float) -> None:
        self.cpu = Series(tuple(cost.cpu_s / seconds for cost in costs))
        self.wake_ups = Series(tuple(cost.wake_ups / seconds for cost in costs))
        self.bytes = Series(tuple(cost.bytes_sent / seconds for cost in costs))
        self.datagrams = Series(tuple(cost.datagrams_sent / seconds for cost in costs))
        self.introductions = Series(tuple(cost.introductions / seconds for cost in costs))


def difference(after: Cost, before: Cost) -> Cost:
    """What a window took; lost is what is missing at its end."""
    return Cost(
        cpu_s=after.cpu_s - before.cpu_s,
        wake_ups=after.wake_ups - before.wake_ups,
        bytes_sent=after.bytes_sent - before.bytes_sent,
        datagrams_sent=after.datagrams_sent - before.datagrams_sent,
        introductions=after.introductions - before.introductions,
        lost=after.lost,
    )


if __name__ == "__main__":
    sys.exit(main())
