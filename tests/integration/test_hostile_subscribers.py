"""Goal: a subscriber that never reads costs bounded memory and takes nothing from the others.

When it reads at last it can tell that it has missed something.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import Any

import msgspec
import pytest
import zmq

from tests.integration.node import FULL, Node
from tests.sockets import bounded_context

NODE_OPTIONS = FULL

MESSAGES = 25_000
PAYLOAD = b"x" * 900
SUBSCRIBERS = 20
GROWTH_MAX = (10 << 20) + SUBSCRIBERS * (3 << 19)
"""Bytes that the publisher's process may gain: 5,000 events that all share, their places in each queue."""
LIMIT_MS = 30_000
MakeNode = Callable[..., Node]
Subscribe = Callable[[str, int], zmq.Socket[bytes]]


@pytest.fixture
def subscribe() -> Iterator[Subscribe]:
    """Makes a SUB to everything at an endpoint, once it is heard of: it has its first heartbeat."""
    context = bounded_context()
    made: list[zmq.Socket[bytes]] = []

    def make(endpoint: str, queued_max: int) -> zmq.Socket[bytes]:
        socket = context.socket(zmq.SUB)
        made.append(socket)
        socket.setsockopt(zmq.RCVHWM, queued_max)
        socket.setsockopt(zmq.SUBSCRIBE, b"")
        socket.connect(endpoint)
        assert socket.poll(LIMIT_MS), "no heartbeat"
        return socket

    yield make
    for socket in made:
        socket.close(linger=0)
    context.term()


def events(socket: zmq.Socket[bytes]) -> Iterator[dict[str, Any]]:
    """Headers of messages and of their topic's heartbeats, in the order in which they come."""
    while socket.poll(LIMIT_MS):
        topic, header, _ = socket.recv_multipart()
        if topic.endswith(b"/text/"):
            yield msgspec.msgpack.decode(header)


def memory(node: Node) -> int:
    with node.client() as client:
        processes = {process["role"]: process for process in client.status()["processes"]}
    return int(processes["publisher"]["anonymous_bytes"])


def test_subscribers_that_never_read_cost_a_bounded_part(make_node: MakeNode, subscribe: Subscribe) -> None:
    """Twenty of them while 25 MB of messages are published, beside one who reads and gets all of it."""
    node = make_node("a")
    with node.start() as client:
        client.create("chat")
        endpoint = client.status()["sockets"]["events"]
        silent = [subscribe(endpoint, 1) for _ in range(SUBSCRIBERS)]
        reader = subscribe(endpoint, 0)
        before = memory(node)
        cursors: list[int] = []
        previous: list[int] = []

        def read() -> None:
            for fields in events(reader):
                if fields["event"] == "message":
                    cursors.append(fields["cursor"])
                    previous.append(fields["previous"])
                if len(cursors) == MESSAGES:
                    return

        reading = threading.Thread(target=read)
        reading.start()
        client.publish_many("chat", [PAYLOAD] * MESSAGES)
        reading.join(LIMIT_MS / 1_000)
        assert len(cursors) == MESSAGES
        # Whoever reads has lost nothing: each event names the one before.
        assert previous[1:] == cursors[:-1]
        assert memory(node) - before < GROWTH_MAX
        # One that reads at last has lost the newest, and its next heartbeat says so.
        last = 0
        for fields in events(silent[0]):
            if fields["event"] == "message":
                last = fields["cursor"]
            elif fields["cursor"] >= cursors[-1]:
                break
        assert last < fields["previous"] == cursors[-1]
