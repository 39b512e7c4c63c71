"""A worker process: one verifier and one responder that share a loop, the batches of the first going in
between.

Requests and envelopes come first in every turn: they are cheap, and what a neighbour or our own asking waits
for. Then one batch is verified; then the sockets are looked at again. A batch that the writer does not take
yet is kept, and no other one begun: the loop may be the writer's own, so nothing here may wait for it.
"""

from __future__ import annotations

import os
from collections import deque
from time import monotonic, perf_counter
from typing import NamedTuple

import msgspec
import zmq

from dispersy.bus import frames as bus
from dispersy.bus.settings import RoleSettings
from dispersy.bus.sockets import (
    BATCHES_QUEUED_MAX,
    NOTES_QUEUED_MAX,
    connected,
    receive_all,
    send_or_drop,
)
from dispersy.ext.verify import self_test
from dispersy.protocol.hosts import bucket_of
from dispersy.protocol.ways import Way
from dispersy.protocol.wire.packing import encode_uvarint
from dispersy.workers.loop import Loop
from dispersy.workers.opening import joined, open_reader
from dispersy.workers.report import REPORT_INTERVAL_S, Reporter
from dispersy.workers.responder import Responder
from dispersy.workers.verifier import Verifier

CREDIT_RETRY_S = 0.02
"""After this the network role, which was not there, is told again: a connection stands after some turns."""


class _Batch(NamedTuple):
    """Messages to be verified, as the network role sent them; or a large one that the responder put together,
    of which the network role knows nothing."""

    kind: bytes
    header: bytes
    area: bytes
    sources: bytes
    is_own: bool = False


class _Finished(NamedTuple):
    """A verified batch on its way to the writer."""

    parts: list[bytes]
    announced: int
    since: float
    is_own: bool


class WorkerRole:
    """Owns the sockets of a worker and hands what they bring to its verifier and responder."""

    def __init__(self, settings: RoleSettings, index: int) -> None:
        self.name = f"worker-{index}"
        self._settings = settings
        self._index = index
        self._incarnation = int.from_bytes(os.urandom(8), "little")
        self._incarnation_of_writer = 0
        self._done = 0
        self._batches: deque[_Batch] = deque()
        self._finished: _Finished | None = None
        self._told: set[tuple[int, int]] = set()
        self._communities_version = -1
        self._credit_due: float | None = 0.0
        self._reporter = Reporter(self.name, settings, lambda: self._responder.report())

    def open(self, loop: Loop) -> None:
        # Two nodes must never disagree about a signature: a library that judges otherwise must not serve.
        self_test()
        self._loop = loop
        endpoint = self._settings.socket
        self._reader = open_reader(self._settings.store_path, start_id=self._settings.start_id)
        self._work = connected(
            loop.context,
            zmq.DEALER,
            endpoint("work"),
            queued_max=BATCHES_QUEUED_MAX,
            identity=self.name.encode(),
        )
        self._intake = connected(loop.context, zmq.PUSH, endpoint("intake"), queued_max=BATCHES_QUEUED_MAX)
        self._outbound = connected(
            loop.context, zmq.PUSH, endpoint("outbound"), queued_max=BATCHES_QUEUED_MAX
        )
        self._notes = connected(
            loop.context, zmq.SUB, endpoint("notes"), queued_max=NOTES_QUEUED_MAX, topics=(bus.COMMIT,)
        )
        self._orders = connected(loop.context, zmq.DEALER, endpoint("orders"), queued_max=NOTES_QUEUED_MAX)
        self._verifier = Verifier(self._reader, self._reporter)
        self._responder = Responder(
            self._reader,
            self._reporter,
            index=self._index,
            workers=self._settings.workers,
            settings=self._settings.community,
            send=self._send_out,
            find=self._find,
            source_key=self._settings.start_id.encode(),
        )
        self._load_communities()
        self._reporter.open(loop)
        loop.watch(self._work, self._receive_work)
        loop.watch(self._notes, self._receive_notes)
        loop.watch(self._orders, self._receive_found)
        loop.deadline(self._responder.next_deadline, self._handle_timers)
        loop.every(REPORT_INTERVAL_S, self._send_credit)
        loop.deadline(lambda: self._credit_due, self._send_credit)
        loop.flush(self._step)

    def close(self) -> None:
        self._reader.close()

    def _receive_work(self) -> None:
        now = monotonic()
        for kind, *parts in receive_all(self._work, count_max=64):
            if kind in (bus.VERIFY, bus.VERIFY_STRIPPED):
                self._batches.append(_Batch(kind, parts[0], parts[1], parts[2]))
            elif kind == bus.VERIFY_IMPORTED:
                self._batches.append(_Batch(kind, parts[0], parts[1], b""))
            elif kind == bus.INTRODUCTIONS:
                verified = self._verifier.introductions(bus.introductions_decoder.decode(parts[0]))
                if verified:
                    send_or_drop(self._work, [bus.INTRODUCTIONS, bus.encode(verified)])
            else:
                self._responder.receive(kind, bus.NUMBER.unpack(parts[0])[0], parts[1], now)

    def _receive_notes(self) -> None:
        now = monotonic()
        for _, data in receive_all(self._notes, count_max=64):
            note = bus.commit_decoder.decode(data)
            if note.communities_version != self._communities_version:
                self._communities_version = note.communities_version
                self._load_communities()
            if note.incarnation != self._incarnation_of_writer:
                if self._incarnation_of_writer:
                    self._verifier.forget()
                    self._responder.lost(now)
                self._incarnation_of_writer = note.incarnation
            self._responder.committed(note, now)

    def _find(self, order: int, community: int, asked: bytes) -> bool:
        """Ask the writer where the messages are that a neighbour asks for by name."""
        found = {"op": "missing", "id": order, "community": community, "asked": asked}
        return send_or_drop(self._orders, [bus.encode(found)])

    def _receive_found(self) -> None:
        for parts in receive_all(self._orders, count_max=64):
            answer = msgspec.msgpack.decode(parts[-1])
            self._responder.found(answer["id"], answer.get("cursors", ()), monotonic())

    def _load_communities(self) -> None:
        self._reader.refresh()
        try:
            communities = [each for each in joined(self._reader, self._settings.start_id) if each.loaded]
            self._verifier.set_communities(communities)
            # It reads the store, too, and an open snapshot pins pages.
            self._responder.set_communities(communities, monotonic())
        finally:
            self._reader.release()

    def _handle_timers(self) -> None:
        self._responder.handle_timer(monotonic())

    def _step(self) -> None:
        if self._responder.step(monotonic()):
            self._loop.again()
        clocks = self._responder.drain_clocks()
        for clock in clocks:
            send_or_drop(self._intake, [bus.CLOCK, bus.CLOCK_HEADER.pack(*clock)])
        for community, wanted, asked in self._responder.drain_exhausted():
            send_or_drop(self._intake, [bus.EXHAUSTED, bus.EXHAUSTED_HEADER.pack(community, asked), wanted])
        for community, source in self._responder.drain_told():
            self._told.add((community, bucket_of(source, key=self._settings.start_id.encode())))
        for told in list(self._told):
            # What the writer does not take now it is told in a later turn: it waits for this.
            if send_or_drop(self._intake, [bus.TOLD, bus.TOLD_HEADER.pack(*told)]):
                self._told.discard(told)
        for community, whole in self._responder.drain_whole():
            area = encode_uvarint(len(whole.message)) + whole.message
            bucket = bucket_of(whole.source, key=self._settings.start_id.encode())
            # Announced to no puller, so it accounts for none.
            header = bus.VERIFY_HEADER.pack(community, 0, Way.FRAGMENTS)
            sources = bus.VERIFY_SOURCE.pack(len(area), bucket)
            self._batches.append(_Batch(bus.VERIFY, header, area, sources, is_own=True))
        if self._batches and self._finished is None:
            self._verify(self._batches.popleft())

    def _verify(self, batch: _Batch) -> None:
        if batch.kind == bus.VERIFY_IMPORTED:
            self._verify_imported(batch.header, batch.area)
            return
        community, announced, way = bus.VERIFY_HEADER.unpack(batch.header)
        is_stripped = batch.kind == bus.VERIFY_STRIPPED
        records = self._verifier.batch(
            community, batch.area, monotonic(), batch.sources, stripped=is_stripped
        )
        accounted = bus.MESSAGES_HEADER.pack(community, announced, way)
        parts = [bus.MESSAGES, accounted, records, batch.area]
        self._finished = _Finished(parts, announced, perf_counter(), batch.is_own)
        self._send_finished()

    def _verify_imported(self, header: bytes, area: bytes) -> None:
        community, _, count, is_stripped = bus.IMPORT_HEADER.unpack(header)
        if not self._verifier.serves(community):
            # The writer says that it is joined; its note of that may still be on its way to us.
            self._load_communities()
        records, dropped = self._verifier.imported(community, area, monotonic(), stripped=is_stripped)
        parts = [bus.IMPORTED, header, bus.encode(dropped), records, area]
        self._finished = _Finished(parts, count, perf_counter(), is_own=False)
        self._send_finished()

    def _send_finished(self) -> None:
        """Back-pressure: what the writer does not take is offered again as soon as it takes more."""
        assert self._finished is not None
        if not send_or_drop(self._intake, self._finished.parts):
            self._loop.watch(self._intake, self._send_finished, zmq.POLLOUT)
            return
        self._loop.unwatch(self._intake)
        self._reporter.step("verifier.send", self._finished.since, self._finished.announced)
        self._done += not self._finished.is_own
        self._finished = None
        self._send_credit()
        if self._batches:
            self._loop.again()

    def _send_credit(self) -> None:
        credit = [bus.CREDIT, bus.CREDIT_HEADER.pack(self._incarnation, self._done)]
        # Until the network role has heard of us it has nobody to verify, not even a neighbour's first word.
        self._credit_due = None if send_or_drop(self._work, credit) else monotonic() + CREDIT_RETRY_S

    def _send_out(self, community: int, items: list[tuple[bytes, bytes]]) -> None:
        if not send_or_drop(self._outbound, [bus.NUMBER.pack(community), bus.pack_outbound(items)]):
            self._reporter.counters["outbound-dropped"] += len(items)
