"""Goal: requests without an end are bounded by what the process may hold, whoever else goes on working."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import msgspec
import pytest
import zmq

from dispersy.client import Client
from dispersy.errors import UsageError
from dispersy.locations import socket_path
from dispersy.service.gateway.excess import MEMORY_MAX
from tests.integration.node import COMPACT, FULL, Node
from tests.sockets import bounded_context

pytestmark = pytest.mark.long

FRAMES = 2_000
FRAME_SIZE = 1 << 20
PEAK_MAX = 3 * MEMORY_MAX
"""Bytes: the limit, what comes until the next looks, and what the allocator keeps. All frames have 2 GB."""
PUBLISHED_MIN = 20
QUIET = 20
TRICKLED = 700
TRICKLE_PAUSE_S = 0.01
LIMIT_S = 120.0


class Endless:
    """A connection of a DEALER that sends one request, frame by frame, and never its last."""

    def __init__(self, path: str) -> None:
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._socket.settimeout(30.0)
        self._socket.connect(path)
        # ZMTP 3.0 without security: a greeting of 64 bytes, then the command READY.
        self._socket.sendall(b"\xff" + bytes(8) + b"\x7f\x03\x00NULL" + bytes(16 + 1 + 31))
        assert self._socket.recv(64, socket.MSG_WAITALL)
        ready = b"\x05READY\x0bSocket-Type" + (6).to_bytes(4, "big") + b"DEALER"
        self._socket.sendall(bytes((4, len(ready))) + ready)

    def send(self, body: bytes) -> None:
        """One more frame, after which others come."""
        self._socket.sendall(b"\x03" + len(body).to_bytes(8, "big") + body)

    def close(self) -> None:
        self._socket.close()


def flood(
    path: str, sent: list[int], ended: threading.Event, *, frames: int = FRAMES, pause_s: float = 0.0
) -> None:
    """So many frames in all, by however many connections that takes, with a pause behind each."""
    body = b"x" * FRAME_SIZE
    while sum(sent) < frames and not ended.is_set():
        # Each end of a connection is noted by the next number in `sent`.
        sent.append(0)
        with suppress(ConnectionError, TimeoutError):
            endless = Endless(path)
            try:
                while sum(sent) < frames and not ended.wait(pause_s):
                    endless.send(body)
                    sent[-1] += 1
            finally:
                endless.close()


def peak(pid: int) -> int:
    """The most resident memory that a process ever had, in bytes."""
    lines = Path(f"/proc/{pid}/status").read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) << 10 for line in lines if line.startswith("VmHWM:"))


@pytest.fixture(params=[FULL, COMPACT], ids=["full", "compact"])
def node(request: pytest.FixtureRequest, make_node: Callable[..., Node]) -> Node:
    made = make_node("a", *request.param)
    made.start().close()
    return made


def test_a_request_of_two_thousand_frames_is_cut_off_while_another_client_works(node: Node) -> None:
    """Memory stays bounded, no process is started again, and what was acknowledged is there, once."""
    pids = node.pids()
    ended = threading.Event()
    sent: list[int] = []
    with node.client() as client:
        client.create("chat")
        path = str(socket_path(node.home, "control"))
        thread = threading.Thread(target=flood, args=(path, sent, ended))
        thread.start()
        acknowledged = publish_until(client, lambda: not thread.is_alive())
        ended.set()
        thread.join()
        assert sum(sent) >= FRAMES, f"{sum(sent)} frames by {len(sent)} connections"
        assert len(sent) > 1, "nobody was cut off"
        gateway = pids.get("publisher") or pids["all"]
        assert peak(gateway) < PEAK_MAX, f"{peak(gateway) >> 20} MB"
        assert node.pids() == pids
        # The gateway tells once a second what it has counted.
        client.wait_for_status(lambda status: cut(status) >= len(sent) - 1, timeout_s=LIMIT_S)
        events = client.follow(["chat"], since="begin", idle_s=2.0)
        payloads = [event.payload for event in events if event.event == "message"]
        assert payloads == acknowledged
        assert len(payloads) >= PUBLISHED_MIN
    assert any("client-cut" in line for line in node.lines)


def test_a_trickle_is_told_from_clients_that_are_quiet(node: Node) -> None:
    """Each frame is read before the next one comes. Who waits for events, or publishes, stays connected."""
    path = str(socket_path(node.home, "control"))
    context = bounded_context()
    with node.client() as client:
        client.create("chat")
        quiet = [connected(context, path) for _ in range(QUIET)]
        ended = threading.Event()
        sent: list[int] = []
        trickle = {"frames": TRICKLED, "pause_s": TRICKLE_PAUSE_S}
        thread = threading.Thread(target=flood, args=(path, sent, ended), kwargs=trickle)
        thread.start()
        acknowledged = publish_until(client, lambda: not thread.is_alive())
        ended.set()
        thread.join()
        client.wait_for_status(lambda status: cut(status) >= len(sent) - 1, timeout_s=LIMIT_S)
        gone = sum(bool(monitor.poll(0)) for _, monitor in quiet)
        assert len(sent) > 1, "nobody was cut off"
        # Chance, and a busy machine, may leave the trickle unseen for a while: then some are doubted.
        assert gone < QUIET / 2, f"{gone} of {QUIET} were cut off, and the trickle {len(sent)} times"
        assert client.count("chat") == len(acknowledged)
    context.destroy()


def connected(
    context: zmq.Context[zmq.Socket[bytes]], path: str
) -> tuple[zmq.Socket[bytes], zmq.Socket[bytes]]:
    """A client that has asked once, and is quiet now; and what tells when it is cut off."""
    dealer = context.socket(zmq.DEALER)
    monitor = dealer.get_monitor_socket(zmq.EVENT_DISCONNECTED)
    dealer.connect(f"ipc://{path}")
    dealer.send(msgspec.msgpack.encode({"v": 1, "id": 1, "op": "count", "community": "chat"}))
    assert msgspec.msgpack.decode(dealer.recv())["ok"]
    return dealer, monitor


def cut(status: dict[str, Any]) -> int:
    """How many connections were cut off, as far as roles have reported."""
    return sum(process.get("counters", {}).get("client-cut", 0) for process in status["processes"])


def publish_until(client: Client, over: Callable[[], bool]) -> list[bytes]:
    """One after the other, each repeated by the client until it is answered."""
    acknowledged: list[bytes] = []
    limit = time.monotonic() + LIMIT_S
    while not over() or len(acknowledged) < PUBLISHED_MIN:
        assert time.monotonic() < limit
        payload = b"%d" % len(acknowledged)
        with suppress(UsageError):
            client.publish("chat", [payload])
            acknowledged.append(payload)
    return acknowledged
