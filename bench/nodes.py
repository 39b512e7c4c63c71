"""Real services for benchmarks: `dispersy run` as a user starts it, homes filled beforehand."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import zmq

from dispersy.bus.frames import COMMIT, commit_decoder
from dispersy.client import Client
from dispersy.errors import UsageError
from dispersy.ext.digest import identify_many
from dispersy.ext.verify import public_key
from dispersy.ext.wire import DROP_REASONS, parse_messages
from dispersy.locations import socket_path
from dispersy.protocol.definitions.definition import default_definition, encode_definition
from dispersy.protocol.identifiers import CommunityId
from dispersy.protocol.wire.message import create_message
from dispersy.protocol.wire.packing import encode_uvarint
from dispersy.protocol.wire.summary import Summary
from dispersy.service.home.home import create_home
from dispersy.storage.keyring import Keyring
from dispersy.storage.lmdb_store import LmdbStore
from dispersy.workers.ledger import Ledger

START_LIMIT_S = 60.0
REPORTED_S = 1.2
"""Roles report once a second: after this what they say includes what was done before."""
COMMUNITY = "bench"
PORTION = 1_000


def fill_home(
    path: Path, *, messages: int, authors: int, payload_size: int = 100
) -> tuple[bytes, list[bytes]]:
    """Make a home whose community holds messages by so many authors in turn; (its id, the messages)."""
    home, _ = create_home(path)
    store = LmdbStore(home.store)
    try:
        ledger = Ledger(store, Keyring(home.keys), now_ms=int(time.time() * 1000))
        ledger.create(None, name=COMMUNITY, definition=encode_definition(default_definition(COMMUNITY)))
        (_, made), *_ = ledger.commit(now_ms=0)[1]
        assert isinstance(made, dict)
    finally:
        store.close()
    held = extend_home(path, held=0, messages=messages, authors=authors, payload_size=payload_size)
    return bytes(made["community_id"]), [message for portion in held for message in portion]


def extend_home(
    path: Path, *, held: int, messages: int, authors: int, payload_size: int = 100
) -> Iterator[list[bytes]]:
    """Let the community of fill_home(), which holds so many, hold `messages`; what is new, by portions, each
    when it is stored."""
    home, _ = create_home(path)
    store = LmdbStore(home.store)
    try:
        ledger = Ledger(store, Keyring(home.keys), now_ms=int(time.time() * 1000))
        (record,) = store.communities()
        seeds = [(index + 1).to_bytes(32, "big") for index in range(authors)]
        secrets = [seed + public_key(seed) for seed in seeds]
        for first in range(held, messages, PORTION):
            portion = [
                create_message(
                    CommunityId(record.community_id),
                    secrets[index % authors],
                    kind=64,
                    global_time=2 + index,
                    sequence=1 + index // authors,
                    payloads=[b"%016x" % index + b"." * (payload_size - 16)],
                )
                for index in range(first, min(first + PORTION, messages))
            ]
            area = b"".join(encode_uvarint(len(message)) + message for message in portion)
            records = parse_messages(area, bytearray(4 * len(DROP_REASONS)))
            identify_many(records, area, record.community_id)
            ledger.receive(record.number, 0, bytes(records), area)
            ledger.commit(now_ms=0)
            yield portion
        assert store.state(record.number).summary.count == messages + 1
    finally:
        store.close()


def cpu_seconds(pids: Sequence[int]) -> float:
    """Of all threads of these processes so far, to the nanosecond: /proc/PID/stat counts ticks of 10 ms."""
    return sum(
        int((task / "schedstat").read_text(encoding="ascii").split()[0]) / 1e9
        for pid in pids
        for task in Path(f"/proc/{pid}/task").iterdir()
    )


class Node:
    """A running service; stop() ends it."""

    def __init__(self, home: Path, *, workers: int = 0, placement: str = "full") -> None:
        self.home = home
        self._log = open(home.with_suffix(".log"), "wb")  # noqa: SIM115 the process writes to it for as long as it runs
        self.began = time.perf_counter()
        self._process = subprocess.Popen(
            [
                sys.executable,
                "-P",
                "-m",
                "dispersy.cli",
                "run",
                f"--home={home}",
                "--listen=127.0.0.1:0",
                f"--workers={workers}",
                f"--placement={placement}",
            ],
            stdin=subprocess.DEVNULL,
            stdout=self._log,
            stderr=subprocess.STDOUT,
        )
        self.client = Client(home)
        self.address = str(self._await_ready()["listen"])
        self.ready_s = time.perf_counter() - self.began

    def _await_ready(self) -> dict[str, Any]:
        limit = time.monotonic() + START_LIMIT_S
        while True:
            try:
                status = self.client.status()
            except UsageError:
                status = {}
            if status.get("ready"):
                return status
            if self._process.poll() is not None or time.monotonic() > limit:
                self.stop()
                said = Path(self._log.name).read_text(encoding="utf-8", errors="replace")
                raise RuntimeError(f"the service did not start; it said:\n{said}")
            time.sleep(0.02)

    def join_and_fill(self, community_id: bytes, *, peer: str, messages: int, limit_s: float) -> float:
        """Join, and wait for the commit after which so many messages are held; seconds between the two."""
        context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        notes = context.socket(zmq.SUB)
        notes.subscribe(COMMIT)
        notes.connect(f"ipc://{socket_path(self.home, 'notes')}")
        try:
            # A note each second says that the subscription stands.
            assert notes.poll(5_000), "the writer says nothing"
            began = time.perf_counter()
            self.client.join(community_id, peers=[peer])
            while True:
                left_s = began + limit_s - time.perf_counter()
                if left_s <= 0 or not notes.poll(int(left_s * 1000)):
                    raise RuntimeError(f"not filled within {limit_s:.0f} s; see {self._log.name}")
                note = commit_decoder.decode(notes.recv_multipart()[1])
                counts = [Summary.decode(summary).count for summary in note.summaries.values()]
                if max(counts, default=0) >= messages:
                    return time.perf_counter() - began
        finally:
            context.destroy(linger=0)

    def steps(self) -> dict[str, float]:
        """Seconds by step, and the CPU seconds of each role, since its start."""
        time.sleep(REPORTED_S)
        found: dict[str, float] = {}
        for role in self.client.status()["processes"]:
            for step, (seconds, _) in role.get("steps", {}).items():
                found[step] = found.get(step, 0.0) + seconds
            group = "cpu " + str(role["role"]).split("-")[0]
            found[group] = found.get(group, 0.0) + role.get("cpu_seconds", 0.0)
        return found

    def stop(self) -> None:
        self.client.close()
        if self._process.poll() is None:
            self._process.terminate()
            try:
                self._process.wait(10)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        self._log.close()
