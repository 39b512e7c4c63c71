"""The gateway: the role around Control, its sockets, and how frames go in and out.

Applications' requests come in here, and the writer's answers; what they mean is control.py's.

No client can starve another: ZeroMQ takes one frame of each connection in turn, a turn of the loop ends after
a slice of time, and whoever floods finds its own connection full. Nor can one fill the memory: what waits of
and for a connection is bounded in frames, frames in their size, large replies in bytes (unread.py).
"""

from __future__ import annotations

import resource
from time import monotonic

import zmq

from dispersy.bus.frames import (
    ASKED,
    COMMIT,
    HEARD,
    NUMBER,
    asked_decoder,
    commit_decoder,
    heard_decoder,
)
from dispersy.bus.settings import RoleSettings
from dispersy.bus.sockets import bound, connected, open_to_group, receive_all, send_or_drop
from dispersy.errors import StorageError
from dispersy.service.gateway.control import Control
from dispersy.service.gateway.excess import MEMORY_MAX, MEMORY_SHARE, Excess
from dispersy.service.interface import requests
from dispersy.service.interface.holders import connection_of, holder_of, named
from dispersy.service.interface.orders import ORDERS_MAX
from dispersy.service.interface.unread import LARGE_SIZE, Unread
from dispersy.storage.lmdb_reader import LmdbReader
from dispersy.workers.loop import Loop
from dispersy.workers.report import Reporter

FRAMES_PER_TURN_MAX = 64
REQUESTS_SLICE_S = 0.02
"""A turn takes requests no longer than this: follows, answers and reports are waiting, too."""
REQUEST_SIZE_MAX = 1 << 20
"""A publish-many of the most payloads at their longest has 980,000 bytes."""
REQUESTS_QUEUED_MAX = 16
"""Of one connection, read from it and not yet looked at; then its client has to wait."""
REPLIES_QUEUED_MAX = 2 * requests.CREDIT_MAX
"""Frames that wait for one client: its events, within their credit, and small replies."""


class GatewayRole:
    """Binds `control` and `reports`, orders from the writer, reads the store.

    memory   bytes that the machine has
    """

    name = "gateway"

    def __init__(self, settings: RoleSettings, *, memory: int = MEMORY_SHARE * MEMORY_MAX) -> None:
        self._settings = settings
        self.control = Control(settings, send=self._send, order=self._order, holder=holder_of)
        self._reporter = Reporter("gateway", settings)
        self._reporter.counters = self.control.counters
        self._unread = Unread(holder_of)
        self.excess = Excess(self.control.counters, memory=memory)

    def open(self, loop: Loop) -> None:
        """Bind and connect; the store is opened when the writer has made it."""
        endpoint = self._settings.socket
        self._loop = loop
        self.excess.open(loop)
        # A connection is a descriptor, and many systems let a process have 1,024 unless it asks for more.
        _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
        self.control_socket = bound(
            loop.context,
            zmq.ROUTER,
            endpoint("control"),
            queued_max=REPLIES_QUEUED_MAX,
            received_max=REQUESTS_QUEUED_MAX,
            size_max=REQUEST_SIZE_MAX,
            prepare=self.excess.watch,
        )
        open_to_group(endpoint("control"), self._settings.group)
        self._report_socket = bound(loop.context, zmq.PULL, endpoint("reports"), queued_max=100)
        self._order_socket = connected(loop.context, zmq.DEALER, endpoint("orders"), queued_max=ORDERS_MAX)
        self._notes = connected(
            loop.context, zmq.SUB, endpoint("notes"), queued_max=1_000, topics=(COMMIT, HEARD, ASKED)
        )
        # Large frames are handed over, not copied: their trackers tell when they have left.
        self.control_socket.copy_threshold = 0
        self._reporter.open(loop)
        loop.watch(self.control_socket, self._receive_requests)
        loop.watch(self._report_socket, self._receive_reports)
        loop.watch(self._order_socket, self._receive_answers)
        loop.watch(self._notes, self._receive_notes)
        loop.every(1.0, self._handle_second)
        loop.deadline(lambda: self.control.orders.resend_due, self.control.orders.resend)
        loop.flush(self._pump)
        self._handle_second()

    def close(self) -> None:
        self.control.close()

    def _receive_requests(self) -> None:
        self._refresh()
        until = monotonic() + REQUESTS_SLICE_S
        for _ in range(FRAMES_PER_TURN_MAX):
            received = self._receive_request()
            if received is None:
                return
            client, frame = received
            if frame is None:
                self.control.refuse(client)
            else:
                self.control.receive_request(client, frame)
            if monotonic() >= until:
                break

    def _receive_request(self) -> tuple[bytes, bytes | None] | None:
        """(client, its request, None for one that is not one frame); None when nothing waits."""
        try:
            connection = self.control_socket.recv(zmq.NOBLOCK)
        except zmq.Again:
            return None
        # Part by part: rubbish may have a million of them, and only one at a time shall be ours.
        frame: bytes | None = b""
        user = peer = ""
        count = 0
        while self.control_socket.getsockopt(zmq.RCVMORE):
            part = self.control_socket.recv(zmq.NOBLOCK, copy=False)
            count += 1
            if count == 1:
                frame, user, peer = part.bytes, _told_of(part, "User-Id"), _told_of(part, "Peer-Address")
            else:
                frame = None
        if count == 1:
            self.excess.completed(part)
        return named(connection, user, peer), frame if count else None

    def _receive_answers(self) -> None:
        for parts in receive_all(self._order_socket, count_max=FRAMES_PER_TURN_MAX):
            self.control.receive_answer(parts[-1])

    def _receive_reports(self) -> None:
        for parts in receive_all(self._report_socket, count_max=FRAMES_PER_TURN_MAX):
            self.control.receive_report(parts[-1])

    def _receive_notes(self) -> None:
        for parts in receive_all(self._notes, count_max=FRAMES_PER_TURN_MAX):
            if parts[0] == COMMIT:
                self.control.receive_note(commit_decoder.decode(parts[1]))
            elif parts[0] == HEARD:
                # Its kind may be of a definition that the note before it told of.
                self._refresh()
                self.control.receive_heard(NUMBER.unpack(parts[1])[0], heard_decoder.decode(parts[2]))
            elif parts[0] == ASKED:
                self._refresh()
                self.control.receive_asked(NUMBER.unpack(parts[1])[0], asked_decoder.decode(parts[2]))
        self._refresh()

    def _handle_second(self) -> None:
        self._attach()
        self._unread.take_off()
        self.control.handle_second()

    def _refresh(self) -> None:
        self._attach()
        self.control.refresh()

    def _attach(self) -> None:
        """Open the store as soon as the writer has made it."""
        if self.control.view.reader is not None or not (self._settings.store_path / "data.mdb").exists():
            return
        try:
            self.control.attach(LmdbReader(self._settings.store_path))
        except StorageError:
            # The writer makes the file before it stamps it. If it cannot, its own error tells why.
            self.control.counters["store-not-ready"] += 1

    def _pump(self) -> None:
        if self.control.pump():
            self._loop.again()

    def _order(self, frame: bytes) -> bool:
        return send_or_drop(self._order_socket, [frame])

    def _send(self, client: bytes, frame: bytes) -> bool:
        """False: not now, or never again."""
        is_large = len(frame) >= LARGE_SIZE
        if is_large and not self._unread.has_room(client, len(frame)):
            self.control.counters["reply-unread"] += 1
            return False
        try:
            self.control_socket.send(connection_of(client), zmq.NOBLOCK | zmq.SNDMORE)
            if is_large:
                tracker = self.control_socket.send(frame, zmq.NOBLOCK, copy=False, track=True)
                self._unread.add(client, len(frame), tracker)
            else:
                self.control_socket.send(frame, zmq.NOBLOCK)
        except zmq.Again:
            return False
        except zmq.ZMQError as error:
            if error.errno != zmq.EHOSTUNREACH:
                raise
            self.control.forget(client)
            return False
        return True


def _told_of(part: zmq.Frame, name: str) -> str:
    """What ZeroMQ says of whoever sent a frame; empty: nothing.

    name   User-Id is the name that ZAP gave (tcp.py), Peer-Address where it comes from (holders.py)
    """
    try:
        return str(part.get(name))
    except zmq.ZMQError:
        return ""
