"""Bundles: a service's messages written to a file, and read into another service, every signature verified.

    python bench/bundle.py --messages 100000 --json

Two real services (`dispersy run`), each with one worker a core, and no network between them. One payload of
100 bytes a message, by 1,000 authors. Rates are of the messages, from the first request to the file on the
disk, and from there to the answer to the last portion, when all is committed.

Bound: an import costs what receiving costs (bench/sync.py), less a sender who reads, packs and sends, more
a client who reads the file: the verify bound, measured in the same run on the same messages, and below it
what everything else costs. An export verifies nothing: it reads and copies some 250 bytes a message.
Neither client nor service keeps more of the file than a few portions, so the client's memory must not grow
with the file.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from harness import Bench
from nodes import COMMUNITY, Node, fill_home
from verify import corpus_of, verify_bound

AUTHORS = 1_000
IMPORT_MIN = 0.4
"""Of the verify bound."""
EXPORT_MIN = 2.0
"""Times the import."""
GROWTH_MAX_MB = 16.0
BOUND_MESSAGES = 10_000


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--messages", type=int, default=20_000, help="how many (20000)")


def main() -> int:
    bench = Bench("bundle", __doc__, versions=("pyzmq", "lmdb", "pynacl"), add_options=add_options)
    options: Any = bench.options
    messages = 2_000 if bench.short else options.messages
    with tempfile.TemporaryDirectory(prefix="dispersy-bench-") as name:
        _measure(bench, Path(name), messages)
    return bench.finish()


class Carriage:
    """A service that holds messages, and newcomers that are given its bundle."""

    def __init__(self, folder: Path, messages: int, **options: Any) -> None:
        self._folder = folder
        self._options = options
        self.community_id, self.held = fill_home(folder / "source", messages=messages, authors=AUTHORS)
        self._source = Node(folder / "source", **options)
        self.file = folder / "bench.bundle"
        self.growth_mb = 0.0
        self._runs = 0

    def write(self) -> None:
        before = anonymous_mb()
        self._source.client.export_bundle(COMMUNITY, self.file, overwrite=True)
        self.growth_mb = max(self.growth_mb, anonymous_mb() - before)

    def newcomer(self) -> Node:
        self._runs += 1
        node = Node(self._folder / f"newcomer-{self._runs}", **self._options)
        node.client.join(self.community_id)
        return node

    def read(self, node: Node) -> None:
        before = anonymous_mb()
        done = node.client.import_bundle(self.file)
        self.growth_mb = max(self.growth_mb, anonymous_mb() - before)
        assert done.new == len(self.held) + 1, done

    def stop(self) -> None:
        self._source.stop()


def _measure(bench: Bench, folder: Path, messages: int) -> None:
    # A start costs more than what is measured when short: then all roles share a process, and one core.
    cores = bench.size(os.cpu_count() or 1, short=1)
    placement = "single" if bench.short else "full"
    carriage = Carriage(folder, messages, workers=cores, placement=placement)
    corpus = corpus_of(carriage.held[:BOUND_MESSAGES], community_id=carriage.community_id)

    def read() -> float:
        node = carriage.newcomer()
        try:
            return bench_time(lambda: carriage.read(node))
        finally:
            node.stop()

    try:
        runs: dict[str, Any] = {
            "export": carriage.write,
            "import": read,
            "bound": lambda: 1 / verify_bound(corpus, processes=cores),
        }
        times = bench.interleave(runs, warm_up=False, short=1)
    finally:
        carriage.stop()
    written, taken = times["export"].rate(messages), times["import"].rate(messages)
    bound = times["bound"].rate(1)
    bench.figure(f"verify bound, {cores} processes", bound, unit="messages/s")
    bench.figure("export", written, unit="messages/s")
    bench.figure("import", taken, unit="messages/s")
    bench.figure("file", carriage.file.stat().st_size / messages, unit="bytes/message")
    bench.figure("memory of the client, grown", carriage.growth_mb, unit="MB")
    bench.at_least("import / verify bound", taken.over(bound), IMPORT_MIN)
    bench.at_least("export / import", written.over(taken), EXPORT_MIN)
    bench.at_most("memory of the client, grown", carriage.growth_mb, GROWTH_MAX_MB, ratio=False)


def bench_time(run: Any) -> float:
    """Seconds that it takes."""
    began = time.perf_counter()
    run()
    return time.perf_counter() - began


def anonymous_mb() -> float:
    """Of this process."""
    for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines():
        if line.startswith("RssAnon:"):
            return int(line.split()[1]) / 1000
    raise RuntimeError("this system does not say how much memory is anonymous")


if __name__ == "__main__":
    sys.exit(main())
