"""The gateway: the role around Control, its sockets, and how frames go in and out.

Applications' requests come in here, and the writer's answers; what they mean is control.py's.
"""

from __future__ import annotations

import zmq

from dispersy.bus.frames import COMMIT, commit_decoder
from dispersy.bus.settings import RoleSettings
from dispersy.bus.sockets import bound, connected, receive_all, send_or_drop
from dispersy.errors import StorageError
from dispersy.service import requests
from dispersy.service.control import Control
from dispersy.service.orders import ORDERS_MAX
from dispersy.storage.lmdb_reader import LmdbReader
from dispersy.workers.loop import Loop

FRAMES_PER_TURN_MAX = 64
REQUEST_SIZE_MAX = 4 << 20
REPLIES_QUEUED_MAX = 2 * requests.CREDIT_MAX


class GatewayRole:
    """Binds `control` and `reports`, orders from the writer, reads the store."""

    name = "gateway"

    def __init__(self, settings: RoleSettings) -> None:
        self._settings = settings
        self.control = Control(settings, send=self._send, order=self._order)

    def open(self, loop: Loop) -> None:
        """Bind and connect; the store is opened when the writer has made it."""
        endpoint = self._settings.socket
        self._loop = loop
        self._control_socket = bound(
            loop.context,
            zmq.ROUTER,
            endpoint("control"),
            queued_max=REPLIES_QUEUED_MAX,
            size_max=REQUEST_SIZE_MAX,
        )
        self._report_socket = bound(loop.context, zmq.PULL, endpoint("reports"), queued_max=100)
        if self._settings.together:
            # The supervisor reports, too, from its own process.
            self._report_socket.bind(self._settings.path("reports"))
        self._order_socket = connected(loop.context, zmq.DEALER, endpoint("orders"), queued_max=ORDERS_MAX)
        self._notes = connected(loop.context, zmq.SUB, endpoint("notes"), queued_max=1_000)
        loop.watch(self._control_socket, self._receive_requests)
        loop.watch(self._report_socket, self._receive_reports)
        loop.watch(self._order_socket, self._receive_answers)
        loop.watch(self._notes, self._receive_notes)
        loop.every(1.0, self._handle_second)
        loop.flush(self._pump)
        self._handle_second()

    def close(self) -> None:
        self.control.close()

    def _receive_requests(self) -> None:
        self._refresh()
        for client, *frames in receive_all(self._control_socket, count_max=FRAMES_PER_TURN_MAX):
            if len(frames) == 1:
                self.control.receive_request(client, frames[0])
            else:
                self.control.refuse(client)

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
        self._refresh()

    def _handle_second(self) -> None:
        self._attach()
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
        try:
            self._control_socket.send_multipart([client, frame], zmq.NOBLOCK)
        except zmq.Again:
            return False
        except zmq.ZMQError as error:
            if error.errno != zmq.EHOSTUNREACH:
                raise
            self.control.forget(client)
            return False
        return True
