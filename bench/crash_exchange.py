"""What crash.py lets run and compares: services that are started again, publishers, followers, the judge."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from dispersy.client import Client, Event, new_request_id
from dispersy.errors import UsageError

START_LIMIT_S = 60.0
ANSWER_LIMIT_S = 0.5
"""A client that hears nothing for so long repeats its request on a new connection."""
LOOK_S = 0.05
"""Between two looks at the status, which is not free: it reads each process's memory map."""
INTERVAL_S = 0.02
"""Between two publications of one publisher."""
REPEATED_EVERY = 10
"""Of so many acknowledged requests one is sent again, to see that nothing is published anew."""


@dataclass(slots=True)
class Held:
    """What a node's log shows: the payloads in their order, and slots that hold two messages."""

    payloads: list[bytes] = field(default_factory=list)
    cursors: list[int] = field(default_factory=list)
    slots_twice: int = 0


@dataclass
class Findings:
    """What was compared, and what was wrong with it, on both nodes together."""

    acknowledged: int = 0
    lost: int = 0
    doubled: int = 0
    slots_twice: int = 0
    repeated_anew: int = 0
    follow_missed: int = 0
    follow_doubled: int = 0
    follow_out_of_order: int = 0

    def faults(self) -> dict[str, int]:
        """All that has to be zero."""
        return {
            "acknowledged messages that are missing": self.lost,
            "messages that are there twice": self.doubled,
            "slots with two messages": self.slots_twice,
            "repeated requests published anew": self.repeated_anew,
            "events that a follower missed": self.follow_missed,
            "events that a follower had twice": self.follow_doubled,
            "events out of the log's order": self.follow_out_of_order,
        }


def compare(findings: Findings, acknowledged: Counter[bytes], held: Held, seen: Held) -> None:
    """Judge one node: what its log holds and what its follower saw."""
    times = Counter(held.payloads)
    findings.acknowledged = max(findings.acknowledged, len(acknowledged))
    findings.lost += len(acknowledged.keys() - times.keys())
    findings.doubled += sum(count - 1 for count in times.values())
    findings.slots_twice += held.slots_twice
    events = Counter(seen.payloads)
    findings.follow_missed += len(times.keys() - events.keys())
    findings.follow_doubled += sum(count - 1 for count in events.values())
    pairs = zip(seen.cursors, seen.cursors[1:], strict=False)
    findings.follow_out_of_order += sum(after <= before for before, after in pairs)


class Service:
    """A node as a service manager runs it: started again whenever it ends, until stop()."""

    def __init__(self, home: Path, *, placement: str) -> None:
        self.home = home
        self.address = "127.0.0.1:0"
        self._placement = placement
        self._process: subprocess.Popen[bytes] | None = None
        self._lock = threading.Lock()

    def start(self) -> None:
        command = [sys.executable, "-P", "-m", "dispersy.cli", "run", f"--home={self.home}"]
        command += [f"--listen={self.address}", f"--placement={self._placement}"]
        if self._placement == "full":
            command.append("--workers=1")
        with self._lock, open(self.home.with_suffix(".log"), "ab") as log:
            self._process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT
            )

    def revive(self) -> None:
        """Start it again if it has ended."""
        process = self._process
        if process is not None and process.poll() is not None:
            self.start()

    def client(self, timeout_s: float = START_LIMIT_S) -> Client:
        return Client(self.home, timeout_s=timeout_s)

    def wait_until_ready(self) -> None:
        """Its address is kept, so that it is found there after each start."""
        status = self._ask(lambda status: bool(status["ready"]), START_LIMIT_S)
        self.address = status["listen"]

    def kill(self, role: str) -> float:
        """SIGKILL a process; when."""
        status = self._ask(lambda status: self._pid(status, role) is not None, START_LIMIT_S)
        self._killed = self._pid(status, role)
        assert self._killed is not None
        os.kill(self._killed, signal.SIGKILL)
        return time.monotonic()

    def wait_until_reported(self, role: str, *, limit_s: float) -> None:
        """The process that was killed last runs again, and has said something."""
        self._ask(lambda status: self._pid(status, role) not in (None, self._killed), limit_s)

    def stop(self) -> None:
        with self._lock:
            process, self._process = self._process, None
        if process is not None:
            process.terminate()
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    def _pid(self, status: dict[str, Any], role: str) -> int | None:
        """Of a process that has reported since it was started."""
        rows = [row for row in status["processes"] if row["role"] == role and "cpu_seconds" in row]
        return rows[0]["pid"] if rows else None

    def _ask(self, enough: Callable[[dict[str, Any]], bool], limit_s: float) -> dict[str, Any]:
        limit = time.monotonic() + limit_s
        while time.monotonic() < limit:
            try:
                with self.client(ANSWER_LIMIT_S) as client:
                    status = client.status()
                if enough(status):
                    return status
            except UsageError:
                pass
            time.sleep(LOOK_S)
        raise RuntimeError(f"waited {limit_s:.0f} s in vain; see {self.home.with_suffix('.log')}")


class Publisher:
    """A client that publishes one message after another, and repeats what was not acknowledged."""

    def __init__(self, service: Service, community: str, *, first: int) -> None:
        self._service = service
        self._community = community
        self._name = service.home.name.encode()
        self._number = first
        self._acknowledged: list[bytes] = []
        self.repeated_anew = 0
        self._rounds = 0
        self._changed = threading.Condition()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def publish_once_more(self, *, limit_s: float) -> None:
        """Until a message has been acknowledged whose publication began after now."""
        with self._changed:
            # The one that is under way began before.
            wanted = self._rounds + 2
            if not self._changed.wait_for(lambda: self._rounds >= wanted, limit_s):
                raise RuntimeError(f"nothing was acknowledged for {limit_s:.0f} s")

    def finish(self) -> list[bytes]:
        """End when the message that is under way has been acknowledged; all that were."""
        self.stop()
        return list(self._acknowledged)

    def stop(self) -> None:
        self._stopping.set()
        self._thread.join()

    def _run(self) -> None:
        client = self._service.client(ANSWER_LIMIT_S)
        while not self._stopping.is_set():
            payload = b"%s-%d" % (self._name, self._number)
            request_id = new_request_id()
            client, ids = self._publish(client, payload, request_id)
            self._number += 1
            if self._number % REPEATED_EVERY == 0:
                client, again = self._publish(client, payload, request_id)
                self.repeated_anew += again != ids
            self._acknowledged.append(payload)
            with self._changed:
                self._rounds += 1
                self._changed.notify_all()
            time.sleep(INTERVAL_S)
        client.close()

    def _publish(self, client: Client, payload: bytes, request_id: bytes) -> tuple[Client, tuple[bytes, ...]]:
        """Until it is acknowledged, under one request id; the client that is connected now, and the ids."""
        limit = time.monotonic() + START_LIMIT_S
        while True:
            try:
                return client, client.publish(self._community, [payload], request_id=request_id).ids
            except UsageError:
                if time.monotonic() > limit:
                    raise
            client.close()
            time.sleep(LOOK_S)
            client = self._service.client(ANSWER_LIMIT_S)


class Follower:
    """A client that follows from the beginning, across all that happens to the node."""

    def __init__(self, service: Service, community: str) -> None:
        self._client = service.client()
        self._events = self._client.follow([community], since="begin", absence_s=START_LIMIT_S)
        self._seen = Held()
        self._changed = threading.Condition()
        self._stopping = False
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def finish(self, count: int, *, limit_s: float) -> Held:
        """When so many events were seen, or no more come."""
        with self._changed:
            self._changed.wait_for(lambda: len(self._seen.payloads) >= count, limit_s)
        return self._seen

    def stop(self) -> None:
        """The thread ends with the node, or with this process."""
        self._stopping = True

    def _run(self) -> None:
        try:
            for event in self._events:
                if self._stopping:
                    return
                with self._changed:
                    note(self._seen, event, set())
                    self._changed.notify_all()
        except UsageError as error:
            if not self._stopping:
                print(f"crash: a follower ended: {error}", file=sys.stderr)


def held_by(service: Service, community: str) -> Held:
    """What a replay shows."""
    held, slots = Held(), set[tuple[bytes, int]]()
    with service.client() as client:
        for event in client.follow([community], since="begin"):
            if event.event == "caught-up":
                break
            note(held, event, slots)
    return held


def note(held: Held, event: Event, slots: set[tuple[bytes, int]]) -> None:
    """Add an event of a follow; what is denied was shown, and stands in a slot with another."""
    if event.event in ("denied", "restored"):
        held.slots_twice += event.event == "denied"
        return
    if event.event != "message":
        return
    held.slots_twice += (event.author, event.sequence) in slots
    slots.add((event.author, event.sequence))
    held.payloads.append(event.payload)
    held.cursors.append(event.cursor)
