"""Synchronisation: one service fills from another over loopback UDP, every signature verified.

    python bench/sync.py --json

Two real services (`dispersy run`), each with one worker a core, as on a machine of its own; both share this
machine's cores, so the sender's share is part of the price. The newcomer knows the community's id and one
address; its time runs from the join to the commit of the last message: meeting, definition and all. One
payload of 100 bytes a message, by one author and by 1,000.

Bound: a message costs one Ed25519 verification, about 66 us of one core; what everything else costs (receive,
split, hash, look up, commit, note, and the sender's reading and packing) is to stay below the same again. The
verify bound is measured in the same run, on the same messages, in turn with the services: the kernel in as
many processes as there are cores, for some seconds, or a host that gives now more and now less would judge.
Kernel share: time inside the verify kernel / time of all cores.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from pathlib import Path
from typing import Any

from harness import Bench
from nodes import Node, fill_home
from verify import corpus_of, verify_bound

RATIO_MIN, SHORT_RATIO_MIN = 0.60, 0.45
SLOWDOWN_MAX = 1.25
BOUND_MESSAGES_MAX = 100_000
BOUND_MESSAGES_SHORT = 1_000
FILL_LIMIT_S_PER_MESSAGE = 0.01


def add_options(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("--messages", type=int, default=10_000, help="how many the first service holds (10000)")
    add("--authors", type=int, action="append", help="by how many authors; repeatable (1, 1000)")
    add("--workers", type=int, default=os.cpu_count() or 1, help="of each service (one a core)")
    add("--large", type=int, default=100_000, help="the larger set of the goals; 0: none")


class Exchange:
    """A service that holds `messages`, from which newcomers fill one after the other."""

    def __init__(self, folder: Path, *, messages: int, authors: int, workers: int) -> None:
        self.messages = messages
        self.workers = workers
        self.folder = folder / f"{messages}-{authors}"
        self.folder.mkdir()
        home = self.folder / "source"
        self.community_id, self.held = fill_home(home, messages=messages, authors=authors)
        self.source = Node(home, workers=workers)
        self.runs = 0
        self.accounts: list[dict[str, float]] = []

    def fill(self) -> float:
        """Fill one newcomer; seconds from its join to its last commit."""
        self.runs += 1
        before = self.source.steps()
        newcomer = Node(self.folder / f"newcomer-{self.runs}", workers=self.workers)
        try:
            idle = newcomer.steps()
            # The definition is a message, too.
            seconds = newcomer.join_and_fill(
                self.community_id,
                peer=self.source.address,
                messages=self.messages + 1,
                limit_s=30 + self.messages * FILL_LIMIT_S_PER_MESSAGE,
            )
            account = _difference(newcomer.steps(), idle)
            sending = _difference(self.source.steps(), before)
            account |= {f"sender {name}": value for name, value in sending.items() if value > 0}
            self.accounts.append({**account, "seconds": seconds})
        finally:
            newcomer.stop()
        return seconds

    def stop(self) -> None:
        self.source.stop()


def _difference(after: dict[str, float], before: dict[str, float]) -> dict[str, float]:
    return {name: value - before.get(name, 0.0) for name, value in after.items()}


def main() -> int:
    bench = Bench("sync", __doc__, versions=("pyzmq", "lmdb", "pynacl"), add_options=add_options)
    options: Any = bench.options
    messages = options.messages
    with tempfile.TemporaryDirectory(prefix="dispersy-bench-") as name:
        _measure(bench, Path(name), messages)
    return bench.finish()


def _measure(bench: Bench, folder: Path, messages: int) -> None:
    options: Any = bench.options
    cores = os.cpu_count() or 1
    # When short, several newcomers of one service: the median of one of each of two would say nothing.
    counts = options.authors or ([1_000] if bench.short else [1, 1_000])
    exchanges: dict[str, Exchange] = {}
    try:
        for authors in counts:
            exchanges[f"{messages} by {authors}"] = Exchange(
                folder, messages=messages, authors=authors, workers=options.workers
            )
        large = 0 if bench.short else options.large
        if large > messages:
            exchanges[f"{large} by {counts[-1]}"] = Exchange(
                folder, messages=large, authors=counts[-1], workers=options.workers
            )
        runs: dict[str, Any] = {each: exchange.fill for each, exchange in exchanges.items()}
        largest = list(exchanges.values())[-1]
        corpus = corpus_of(
            largest.held[: bench.size(BOUND_MESSAGES_MAX, short=BOUND_MESSAGES_SHORT)],
            community_id=largest.community_id,
        )
        runs["bound"] = lambda: 1 / verify_bound(corpus, processes=cores)
        times = bench.interleave(runs, warm_up=False, short=3)
    finally:
        for exchange in exchanges.values():
            exchange.stop()
    bound = times["bound"].rate(1)
    bench.figure(f"verify bound, {cores} processes", bound, unit="messages/s")
    for each, exchange in exchanges.items():
        rate = times[each].rate(exchange.messages)
        bench.figure(f"filled: {each}", rate, unit="messages/s")
        _account(bench, each, exchange, cores)
        least = SHORT_RATIO_MIN if bench.short else RATIO_MIN
        bench.at_least(f"{each}: rate / verify bound", rate.over(bound), least)
    if large > messages:
        small = times[f"{messages} by {counts[-1]}"].rate(messages)
        bench.at_most(
            f"slower with {large} by", small.over(times[f"{large} by {counts[-1]}"].rate(large)), SLOWDOWN_MAX
        )
    machine = "2-core AMD EPYC, Python 2.7"
    for count, rate_before in ((10_000, 704), (100_000, 463)):
        name = f"the original, {count} messages"
        bench.quote(name, rate_before, unit="messages/s", source="measured for its baseline", machine=machine)


def _account(bench: Bench, name: str, exchange: Exchange, cores: int) -> None:
    """Where the time went: microseconds a message by step, of the run in the middle."""
    account = sorted(exchange.accounts, key=lambda each: each["seconds"])[len(exchange.accounts) // 2]
    share = account.get("verifier.verify", 0.0) / (account["seconds"] * cores)
    bench.figure(f"{name}: kernel share", share, unit="of all cores' time")
    for step, seconds in sorted(account.items(), key=lambda item: -item[1]):
        if step != "seconds" and seconds / exchange.messages >= 5e-8:
            bench.figure(f"{name}: {step}", seconds / exchange.messages * 1e6, unit="us/message")


if __name__ == "__main__":
    sys.exit(main())
