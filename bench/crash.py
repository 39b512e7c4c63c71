"""Hard to kill: kill -9 of every role in turn, then of random ones, in a running exchange between two nodes.

    python bench/crash.py --count 100 --resume crash.json --json

Two real services on loopback publish to each other all the time. Each has a client that repeats what was not
acknowledged, under the same request id, and one that follows. A kill strikes one process of one node at a
random moment, the supervisor too: then this bench is the service manager that starts `dispersy run` again.
*Back* is the time from the kill until the process that was killed runs again and has reported, and that node
has acknowledged a message whose publication began after the kill. In the end everything is compared: what was
acknowledged is there once on both nodes, and both followers saw each event once and in the log's order. Then
one home is copied, 100 messages are published, the copy is restored, and the node publishes 100 again.

Bound: a process is a copy of the supervisor, so that its start is the opening of the store and of sockets,
some 50 ms, and the supervisor waits 100 ms before it. Where everything starts anew, one program imports all
that the roles need, for some 300 ms. What the clients here add: they look every 50 ms, and give up on an
answer after half a second.

--resume FILE keeps the homes beside FILE, and what was measured in it: a run that was ended goes on there.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from crash_exchange import Findings, Follower, Held, Publisher, Service, compare, held_by
from harness import Bench, Series, keep_bytecode

from dispersy.errors import UsageError

BACK_MAX_S = 2.0
SETTLE_LIMIT_S = 30.0
PAUSE_S = (0.1, 1.2)
"""Between a node that is back and the next kill."""
EXTRA = 100
COMMUNITY = "chat"


def add_options(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("--count", type=int, default=20, help="kills in all (20); with --short one of every process")
    add("--seed", type=int, default=None, help="of the choice of victims and moments (random, printed)")
    add("--placement", choices=("full", "compact", "single"), default="full", help="of both nodes (full)")
    add("--settle-s", type=float, default=30.0, help="how long what was acknowledged may be missing (30)")
    add(
        "--restore",
        action=argparse.BooleanOptionalAction,
        help="restore a home at the end (yes; with --short no)",
    )
    add("--resume", type=Path, default=None, metavar="FILE", help="go on with what FILE says, and keep it")


class State:
    """What a long run knows of itself, kept after every kill."""

    def __init__(self, path: Path | None, seed: int) -> None:
        self._path = path
        self.seed = seed
        self.backs: list[tuple[str, float]] = []
        self.findings = Findings()
        if path is not None and path.exists():
            kept = json.loads(path.read_text(encoding="utf-8"))
            self.seed = kept["seed"]
            self.backs = [(role, seconds) for role, seconds in kept["backs"]]
            self.findings = Findings(**kept["findings"])

    def keep(self) -> None:
        if self._path is not None:
            kept = {"seed": self.seed, "backs": self.backs, "findings": vars(self.findings)}
            fresh = self._path.with_suffix(".new")
            fresh.write_text(json.dumps(kept), encoding="utf-8")
            fresh.replace(self._path)


class Exchange:
    """Two services that publish to each other and are followed, until settle()."""

    def __init__(self, folder: Path, *, placement: str) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.services = [Service(folder / name, placement=placement) for name in ("a", "b")]
        self._stopping = threading.Event()
        self._manager = threading.Thread(target=self._manage)
        self._manager.start()
        try:
            self._join()
            self.before = held_by(self.services[0], COMMUNITY)
            numbers = [int(payload.split(b"-")[1]) for payload in self.before.payloads]
            first = max(numbers, default=-1) + 1
            self.publishers = [Publisher(service, COMMUNITY, first=first) for service in self.services]
            self.followers = [Follower(service, COMMUNITY) for service in self.services]
        except BaseException:
            self.stop()
            raise

    def _manage(self) -> None:
        """What a service manager does."""
        while not self._stopping.wait(0.02):
            for service in self.services:
                service.revive()

    def _join(self) -> None:
        for service in self.services:
            service.start()
        first, second = self.services
        first.wait_until_ready()
        second.wait_until_ready()
        with first.client() as one, second.client() as other:
            if not one.communities():
                one.create(COMMUNITY)
            community = one.community(COMMUNITY)["community"]
            other.join(community, name=COMMUNITY, peers=[first.address])
            one.join(community, peers=[second.address])
            other.wait_for_definition(COMMUNITY, timeout_s=SETTLE_LIMIT_S)

    def kill(self, rng: random.Random, victims: Sequence[tuple[int, str]]) -> tuple[str, float]:
        """Strike one of (service, process) at a random moment; (process, seconds until it is back)."""
        number, role = victims[rng.randrange(len(victims))]
        time.sleep(rng.uniform(*PAUSE_S))
        service, publisher = self.services[number], self.publishers[number]
        began = service.kill(role)
        publisher.publish_once_more(limit_s=SETTLE_LIMIT_S)
        service.wait_until_reported(role, limit_s=SETTLE_LIMIT_S)
        return role, time.monotonic() - began

    def settle(self, findings: Findings, *, limit_s: float) -> None:
        """End the traffic, let both nodes become equal, and compare everything."""
        published = [payload for publisher in self.publishers for payload in publisher.finish()]
        findings.repeated_anew += sum(publisher.repeated_anew for publisher in self.publishers)
        acknowledged = Counter(published) + Counter(self.before.payloads)
        for service in self.services:
            wait_for(service, len(acknowledged), limit_s=limit_s)
        for service, follower in zip(self.services, self.followers, strict=True):
            held = held_by(service, COMMUNITY)
            seen = follower.finish(len(held.payloads), limit_s=limit_s)
            compare(findings, acknowledged, held, seen)

    def stop(self) -> None:
        self._stopping.set()
        self._manager.join()
        for each in (*getattr(self, "publishers", ()), *getattr(self, "followers", ())):
            each.stop()
        for service in self.services:
            service.stop()


def wait_for(service: Service, count: int, *, limit_s: float = SETTLE_LIMIT_S) -> None:
    """Until it holds so many messages, or never will: what is missing the comparison tells."""
    with service.client() as client, suppress(UsageError):
        client.wait_for_count(COMMUNITY, count, timeout_s=limit_s)


def victims_of(placement: str) -> list[tuple[int, str]]:
    """(service, process) of both nodes."""
    roles = {
        "full": ("writer", "publisher", "worker-0", "network", "supervisor"),
        "compact": ("all", "supervisor"),
        "single": ("all",),
    }[placement]
    return [(number, role) for role in roles for number in (0, 1)]


def restore_and_publish(folder: Path, findings: Findings, *, placement: str) -> None:
    """Backup, publish, restore, publish: no two messages in one slot, on either node."""
    services = [Service(folder / name, placement=placement) for name in ("a", "b")]
    node, neighbour = services
    copy = folder / "copy"
    shutil.rmtree(copy, ignore_errors=True)
    try:
        for service in services:
            service.start()
            service.wait_until_ready()
        with neighbour.client() as client:
            before = client.count(COMMUNITY)
        node.stop()
        subprocess.run(["cp", "-a", node.home, copy], check=True)
        for payload, restored in ((b"lost", False), (b"after", True)):
            if restored:
                node.stop()
                shutil.rmtree(node.home)
                subprocess.run(["cp", "-a", copy, node.home], check=True)
            node.start()
            node.wait_until_ready()
            with node.client() as client:
                client.join(client.community(COMMUNITY)["community"], peers=[neighbour.address])
                client.publish_many(COMMUNITY, [payload + b"-%d" % number for number in range(EXTRA)])
            before += EXTRA
            wait_for(neighbour, before)
        for service in services:
            wait_for(service, before)
            held: Held = held_by(service, COMMUNITY)
            findings.slots_twice += held.slots_twice
            findings.lost += before - len(held.payloads)
    finally:
        for service in services:
            service.stop()


def main() -> int:
    bench = Bench("crash", __doc__, versions=("pyzmq", "lmdb"), add_options=add_options)
    options: Any = bench.options
    seed = options.seed if options.seed is not None else int.from_bytes(os.urandom(4), "big")
    state = State(options.resume, seed)
    print(f"crash: seed {state.seed}, placement {options.placement}", file=sys.stderr)
    with tempfile.TemporaryDirectory(prefix="dspb-") as name:
        # Sockets need short paths, and belong to this run and not to the user's own.
        os.environ["XDG_RUNTIME_DIR"] = name
        keep_bytecode(Path(name) / "bytecode")
        folder = Path(name) if options.resume is None else options.resume.with_suffix(".homes").absolute()
        measure(state, folder, options, short=bench.short)
        if not bench.short if options.restore is None else options.restore:
            restore_and_publish(folder, state.findings, placement=options.placement)
            state.keep()
    report(bench, state)
    return bench.finish()


def measure(state: State, folder: Path, options: argparse.Namespace, *, short: bool) -> None:
    """Kill so many times in all: every process in turn, then whatever the seed says."""
    victims = victims_of(options.placement)
    count = len(victims) // 2 if short else options.count
    exchange = Exchange(folder, placement=options.placement)
    try:
        while len(state.backs) < count:
            done = len(state.backs)
            rng = random.Random(f"{state.seed} {done}")
            turn = victims[2 * done : 2 * done + 1] if short else victims[done : done + 1]
            role, seconds = exchange.kill(rng, turn or victims)
            state.backs.append((role, seconds))
            state.keep()
            print(f"crash: {done + 1} of {count}: {role} back in {seconds:.2f} s", file=sys.stderr)
        exchange.settle(state.findings, limit_s=options.settle_s)
    finally:
        exchange.stop()
    state.keep()


def report(bench: Bench, state: State) -> None:
    """Figures and goals."""
    by_role: dict[str, list[float]] = {}
    for role, seconds in state.backs:
        by_role.setdefault(role, []).append(seconds)
    for role, found in by_role.items():
        bench.figure(f"back: {role} ({len(found)} kills)", Series(tuple(found)), unit="s")
    every = Series(tuple(seconds for _, seconds in state.backs))
    bench.figure(f"back: all ({len(state.backs)} kills)", every, unit="s")
    bench.figure("messages acknowledged", state.findings.acknowledged, unit="messages")
    bench.at_most("back, median", every.median, BACK_MAX_S, ratio=False)
    bench.at_most("back, worst", max(every.samples), BACK_MAX_S, ratio=False)
    for name, found in state.findings.faults().items():
        bench.at_most(name, found, 0)


if __name__ == "__main__":
    sys.exit(main())
