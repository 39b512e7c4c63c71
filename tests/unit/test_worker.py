"""Goal: a worker waits for nobody: what the writer does not take yet is kept, and no other batch is begun;
and nobody waits for a worker longer than it takes to connect."""

from __future__ import annotations

from pathlib import Path
from time import monotonic

import pytest
import zmq

from dispersy.bus import frames as bus
from dispersy.bus.settings import RoleSettings
from dispersy.bus.sockets import bound, receive_all
from dispersy.protocol.ways import Way
from dispersy.storage.lmdb_store import LmdbStore
from dispersy.workers import worker as worker_module
from dispersy.workers.loop import Loop
from dispersy.workers.worker import WorkerRole, _Batch

LIMIT_S = 60.0
BATCHES = 300
UNKNOWN_COMMUNITY = 9


class Writer:
    """In the same loop as the worker: takes nothing until the worker can send no more, then everything."""

    name = "writer"

    def __init__(self, settings: RoleSettings, worker: WorkerRole) -> None:
        self._settings = settings
        self._worker = worker
        self.accounted: list[int] = []
        self.waiting = 0

    def open(self, loop: Loop) -> None:
        self._loop = loop
        self._limit = monotonic() + LIMIT_S
        self._intake = bound(loop.context, zmq.PULL, self._settings.socket("intake"), queued_max=1)
        for number in range(BATCHES):
            header = bus.VERIFY_HEADER.pack(UNKNOWN_COMMUNITY, number, Way.RANGES)
            self._worker._batches.append(_Batch(bus.VERIFY, header, b"", b""))
        loop.every(0.01, self._look)

    def _look(self) -> None:
        assert monotonic() < self._limit, "the worker does not come to an end"
        left = len(self._worker._batches)
        if not self.waiting and self._worker._finished is not None:
            self.waiting = left
            return
        if self.waiting and not self.accounted:
            # Another turn has passed, and the worker has begun nothing more.
            assert left == self.waiting
        for _, header, *_ in receive_all(self._intake, count_max=50):
            self.accounted.append(bus.MESSAGES_HEADER.unpack(header)[1])
        if len(self.accounted) == BATCHES:
            self._loop.stop()

    def close(self) -> None:
        pass


def test_a_full_writer_in_the_same_loop_holds_nothing_up(tmp_path: Path) -> None:
    """A worker that waited in its turn would wait for itself; every batch arrives once and in order."""
    settings = RoleSettings(str(tmp_path), str(tmp_path), "127.0.0.1:0", 1, placement="compact")
    store = LmdbStore(settings.store_path)
    worker = WorkerRole(settings, 0)
    writer = Writer(settings, worker)
    try:
        Loop().run(writer, worker)
    finally:
        store.close()
    assert 0 < writer.waiting < BATCHES
    assert writer.accounted == list(range(BATCHES))
    assert worker._done == BATCHES


class Network:
    """In the same loop as the worker, and there later than it: waits to hear of it."""

    name = "network"

    def __init__(self, settings: RoleSettings) -> None:
        self._settings = settings
        self.heard: list[bytes] = []

    def open(self, loop: Loop) -> None:
        self._loop = loop
        self._limit = monotonic() + LIMIT_S
        self._work = bound(loop.context, zmq.ROUTER, self._settings.socket("work"), queued_max=1)
        loop.watch(self._work, self._receive_work)
        loop.every(0.1, self._look)

    def _receive_work(self) -> None:
        self.heard += [kind for _, kind, _ in receive_all(self._work, count_max=1)]
        self._loop.stop()

    def _look(self) -> None:
        assert monotonic() < self._limit, "the worker says nothing"

    def close(self) -> None:
        pass


def test_a_worker_says_that_it_is_there_as_soon_as_it_is_connected(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before, the network role verifies nothing: a newcomer would meet nobody until the next second."""
    monkeypatch.setattr(worker_module, "REPORT_INTERVAL_S", 10 * LIMIT_S)
    settings = RoleSettings(str(tmp_path), str(tmp_path), "127.0.0.1:0", 1)
    store = LmdbStore(settings.store_path)
    network = Network(settings)
    try:
        Loop().run(WorkerRole(settings, 0), network)
    finally:
        store.close()
    assert network.heard == [bus.CREDIT]
