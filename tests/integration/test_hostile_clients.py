"""Goal: clients that never read, that come a thousand times or that send rubbish cost bounded memory and
disturb nobody: a real node, real sockets, and another client beside them."""

from __future__ import annotations

import os
import resource
import socket as sockets
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import msgspec
import pytest
import zmq

from dispersy.client import Client
from dispersy.locations import socket_path
from dispersy.service.gateway.gateway import REQUEST_SIZE_MAX
from tests.integration.node import FULL, START_LIMIT_S, Node
from tests.sockets import bounded_context

pytestmark = pytest.mark.long

NODE_OPTIONS = FULL

Connect = Callable[[], zmq.Socket[bytes]]
MESSAGES = 2_000
GROWTH_MAX = 24 << 20
"""Bytes that the gateway's process may gain by one hostile client: its unread replies, a few requests of the
largest size, and what the allocator keeps."""
LATENCY_MAX_S = 1.0
"""Ten times what another client should wait for an answer."""
CONNECTIONS = 1_000
ROUNDS = 6
LEFT_BEHIND_MAX = 4 << 10
"""Bytes a connection that is gone: what the allocator keeps for the next ones grows less with each round."""
CONNECTION_SIZE_MAX = 128 << 10
"""Bytes that a connection may cost while it is there."""


@pytest.fixture
def node(make_node: Callable[..., Node]) -> Node:
    """With a community that has something to ask for."""
    made = make_node("alice")
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    # As many systems start a program: fewer descriptors than there will be connections.
    resource.setrlimit(resource.RLIMIT_NOFILE, (CONNECTIONS // 2, hard))
    try:
        made.begin()
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    made.wait_for_line("ready, listening on", limit_s=START_LIMIT_S)
    with made.client() as client:
        client.create("chat")
        client.publish_many("chat", [b"x" * 900] * MESSAGES)
    return made


@pytest.fixture
def connect(node: Node) -> Iterator[Connect]:
    """Makes connections whose own queues hold nearly nothing."""
    context = bounded_context()
    context.set(zmq.MAX_SOCKETS, 2 * CONNECTIONS)
    made: list[zmq.Socket[bytes]] = []

    def make() -> zmq.Socket[bytes]:
        socket = context.socket(zmq.DEALER)
        socket.setsockopt(zmq.RCVHWM, 1)
        socket.setsockopt(zmq.SNDHWM, 1)
        socket.connect(f"ipc://{control(node)}")
        made.append(socket)
        return socket

    yield make
    context.destroy(linger=0)


def control(node: Node) -> Path:
    return Path(socket_path(node.home, "control"))


def request(number: int, op: str, **fields: Any) -> bytes:
    return msgspec.msgpack.encode({"v": 1, "id": number, "op": op, **fields})


def memory(client: Client) -> int:
    """Anonymous bytes of the process with the gateway."""
    processes = {process["role"]: process for process in client.status()["processes"]}
    size = processes["publisher"]["anonymous_bytes"]
    assert isinstance(size, int)
    return size


def wait_until_gone(node: Node) -> None:
    """Until the gateway's process has closed the connections of those that have."""
    folder = Path(f"/proc/{node.pids()['publisher']}/fd")
    limit = time.monotonic() + 20.0
    while len(list(folder.iterdir())) > CONNECTIONS // 10:
        assert time.monotonic() < limit, "the connections are still there"
        with node.client() as client:
            client.count("chat")


def latency(client: Client) -> float:
    """How long another client waits for a small answer."""
    began = time.monotonic()
    assert client.count("chat") == MESSAGES
    return time.monotonic() - began


def send_all(socket: zmq.Socket[bytes], frames: list[list[bytes]], meanwhile: Callable[[], None]) -> None:
    """Send as fast as the node takes it, up to the moment when it takes no more."""
    for frame in frames:
        if not socket.poll(2_000, zmq.POLLOUT):
            return
        socket.send_multipart(frame, zmq.NOBLOCK)
        meanwhile()


FOLLOWS = [
    [request(number, "follow", communities=["chat"], since="begin", credit=1_000)] for number in range(20)
]
PAGES = [[request(number, "list", community="chat", limit=1_000)] for number in range(400)]


@pytest.mark.parametrize("frames", [FOLLOWS, PAGES], ids=["follows", "pages"])
def test_a_client_that_never_reads_costs_a_bounded_part(
    node: Node, connect: Connect, frames: list[list[bytes]]
) -> None:
    """Some 100 MB of pages, and all that follows may send, of which nobody takes anything."""
    with node.client() as other:
        before = memory(other)
        waits: list[float] = []
        send_all(connect(), frames, lambda: waits.append(latency(other)))
        assert len(waits) == len(frames)
        assert memory(other) - before < GROWTH_MAX
        assert max(waits) < LATENCY_MAX_S


def test_a_client_that_reads_gets_every_page(connect: Connect) -> None:
    """What is unread is limited, and not what is asked for."""
    socket = connect()
    socket.setsockopt(zmq.RCVHWM, 1_000)
    codes = []
    for number in range(40):
        socket.send(request(number, "list", community="chat", limit=1_000))
        assert socket.poll(10_000)
        reply = msgspec.msgpack.decode(socket.recv())
        codes.append(reply["ok"])
    assert all(codes)


def test_a_thousand_connections_cost_little_and_nothing_when_they_are_gone(
    node: Node, connect: Connect
) -> None:
    """All at once, each with a request whose reply nobody takes; then once more, and again."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 8 * CONNECTIONS), hard))
    try:
        with node.client() as other:
            before = memory(other)
            after: list[int] = []
            for _ in range(ROUNDS):
                every = [connect() for _ in range(CONNECTIONS)]
                for number, socket in enumerate(every):
                    socket.send(request(number, "count", community="chat"))
                for socket in every:
                    assert socket.poll(20_000), "a connection got no answer"
                assert latency(other) < LATENCY_MAX_S
                assert memory(other) - before < CONNECTIONS * CONNECTION_SIZE_MAX
                for socket in every:
                    socket.close()
                wait_until_gone(node)
                after.append(memory(other))
            assert latency(other) < LATENCY_MAX_S
            assert after[-1] - after[-2] < CONNECTIONS * LEFT_BEHIND_MAX, (
                "a connection that is gone leaves something behind"
            )
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.mark.parametrize(
    "frames",
    [
        pytest.param([[os.urandom(REQUEST_SIZE_MAX)]] * 100, id="of the largest size"),
        pytest.param([[b"\x92" * REQUEST_SIZE_MAX]] * 100, id="nested without end"),
        pytest.param([[b"x"] * 20_000] * 20, id="of many parts"),
        pytest.param([[os.urandom(40)] for _ in range(20_000)], id="small and many"),
        pytest.param([[os.urandom(REQUEST_SIZE_MAX + 1)]] * 3, id="too large"),
    ],
)
def test_rubbish_costs_a_bounded_part(node: Node, connect: Connect, frames: list[list[bytes]]) -> None:
    """Requests that are none, whose answers nobody reads."""
    with node.client() as other:
        before = memory(other)
        waits: list[float] = []
        asked = time.monotonic()

        def meanwhile() -> None:
            nonlocal asked
            if time.monotonic() - asked > 0.05:
                waits.append(latency(other))
                asked = time.monotonic()

        socket = connect()
        send_all(socket, frames, meanwhile)
        waits.append(latency(other))
        assert memory(other) - before < GROWTH_MAX
        assert max(waits) < LATENCY_MAX_S


def test_bytes_of_no_protocol_cost_a_bounded_part(node: Node) -> None:
    """On the unix socket itself: noise, a greeting that stops half-way, a connection that says nothing."""
    with node.client() as other:
        before = memory(other)
        every: list[sockets.socket] = []
        for number in range(200):
            raw = sockets.socket(sockets.AF_UNIX, sockets.SOCK_STREAM)
            # Before there is a limit: with one, a listener that has not taken the last hundred is an error.
            raw.connect(str(control(node)))
            raw.settimeout(2.0)
            noise = (os.urandom(1 << 16), b"\xff" + bytes(8) + b"\x7f\x03", b"")[number % 3]
            # It may be let go in the middle, as it should be.
            with suppress(BrokenPipeError, ConnectionResetError, TimeoutError):
                raw.sendall(noise)
            every.append(raw)
        assert latency(other) < LATENCY_MAX_S
        assert memory(other) - before < GROWTH_MAX
        for raw in every:
            raw.close()
        assert latency(other) < LATENCY_MAX_S
