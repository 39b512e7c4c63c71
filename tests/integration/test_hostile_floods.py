"""Goal: floods, over UDP and on the control socket, are bounded in memory and keep nobody honest out."""

from __future__ import annotations

import secrets
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import msgspec
import pytest
import zmq

from dispersy.client import Client
from dispersy.locations import socket_path
from dispersy.protocol.address import make_address
from tests.integration.node import FULL, Node
from tests.integration.peer import Peer, fence
from tests.integration.target import LIMIT_S, MESSAGES, Target, running_target
from tests.sockets import bounded_context

pytestmark = pytest.mark.long

NODE_OPTIONS = FULL

PORTS = 200
PORTION = 100
PORTION_INTERVAL_S = 0.05
"""2,000 datagrams a second."""
FLOOD_DATAGRAMS = 6_000
"""At least, and as many more as come until the newcomer has everything."""
GROWTH_MAX_BYTES = 5_000_000
SERVED_S = 20.0
"""An answer, while 200 others are given 1,000 events each for the asking."""


@pytest.fixture
def target() -> Iterator[Target]:
    with running_target() as running:
        yield running


Make = Callable[[Target, list[Peer]], list[list[bytes]]]


def _tokens(_: Target, peers: list[Peer]) -> list[list[bytes]]:
    """First contacts that lead nowhere."""
    return [[bytes((0xD3, 0)) + peer.tag + bytes(8) + b"\1\x08" + secrets.token_bytes(8)] for peer in peers]


def _unknown_tags(_: Target, peers: list[Peer]) -> list[list[bytes]]:
    return [[bytes((0xD3, 0)) + secrets.token_bytes(1_000)] for _ in peers]


def _introductions(_: Target, peers: list[Peer]) -> list[list[bytes]]:
    """From proven ports, each of a member of its own that changes what it says of our address."""
    for peer in peers:
        peer.meet()
    seen = [make_address("198.51.100.1", 6421), make_address("198.51.100.2", 6421)]
    return [[peer.introduction(receiver=each) for each in seen] for peer in peers]


def _messages_frames(_: Target, peers: list[Peer]) -> list[list[bytes]]:
    """From proven ports, full of messages that are none."""
    for peer in peers:
        peer.meet()
    item = b"\x78" + bytes((64, 0)) + secrets.token_bytes(32) + b"\1\1" + secrets.token_bytes(84)
    body = bytes(4) + b"\0\0\0" + item * 9
    frames = b"\6" + bytes((len(body) & 0x7F | 0x80, len(body) >> 7)) + body
    return [[bytes((0xD3, 0)) + peer.tag + peer.token + frames] for peer in peers]


@pytest.mark.parametrize("make", [_tokens, _unknown_tags, _introductions, _messages_frames])
def test_a_flood_is_bounded_and_an_honest_node_joins_meanwhile(target: Target, make: Make) -> None:
    """2,000 datagrams a second from 200 ports: 5 MB in the network role at most, and a newcomer gets all."""
    folder = Path(target.node.home.parent)
    newcomer = Node(folder, "newcomer")
    with ExitStack() as stack:
        peers = [stack.enter_context(target.peer()) for _ in range(PORTS)]
        datagrams = make(target, peers)
        fence(peers[0])
        before = _anonymous_bytes(target, "network")
        enough, over = threading.Event(), threading.Event()
        sent = [0]

        def flood() -> None:
            while not over.wait(PORTION_INTERVAL_S):
                for _ in range(PORTION):
                    index = sent[0] % PORTS
                    variants = datagrams[index]
                    peers[index].send(variants[sent[0] // PORTS % len(variants)])
                    sent[0] += 1
                if sent[0] >= FLOOD_DATAGRAMS:
                    enough.set()

        flooding = threading.Thread(target=flood)
        flooding.start()
        try:
            with newcomer.start() as client:
                client.join(target.community_id, peers=[target.listen])
                name = target.community_id.hex()
                client.wait_for_count(name, target.count(), timeout_s=LIMIT_S)
            assert enough.wait(LIMIT_S)
        finally:
            over.set()
            flooding.join()
            newcomer.stop()
        fence(peers[0])
        assert _anonymous_bytes(target, "network") - before < GROWTH_MAX_BYTES
    target.serves()


def _anonymous_bytes(target: Target, role: str) -> int:
    (row,) = [each for each in target.client.status()["processes"] if each["role"] == role]
    size: int = row["anonymous_bytes"]
    return size


# -- the control socket ------------------------------------------------------------------------------------


def test_a_client_that_sends_rubbish_and_never_reads_disturbs_nobody(target: Target) -> None:
    """200 connections, rubbish on each, follows and dear requests whose answers are never read."""
    endpoint = f"ipc://{socket_path(target.node.home, 'control')}"
    before = _anonymous_bytes(target, "publisher")
    context = bounded_context()
    rubbish = [b"", b"\xc1", b"\x80", secrets.token_bytes(500), b"\x91" * 5_000, b"\x81\xa1v" + b"\xff" * 8]
    requests = [
        {"v": 1, "id": 1, "op": "follow", "since": "begin", "credit": 1_000},
        {"v": 1, "id": 1, "op": "credit", "count": 1 << 62},
        {"v": 1, "id": 2, "op": "status"},
        {"v": 1, "id": 3, "op": "communities"},
        {"v": 99, "id": [], "op": "publish"},
    ]
    clients = [context.socket(zmq.DEALER) for _ in range(200)]
    try:
        for client in clients:
            client.setsockopt(zmq.RCVHWM, 1)
            client.connect(endpoint)
            for frame in [*rubbish, *map(msgspec.msgpack.encode, requests)]:
                client.send(frame)
            client.send_multipart([b"two", b"frames"])
        target.client.publish_many("target", [b"%d" % number for number in range(1_000)])
        with Client(target.node.home, timeout_s=SERVED_S) as honest:
            assert honest.count("target") == MESSAGES + 1_000
            honest.publish("target", [b"in time"])
            followed = honest.follow(["target"], since="begin", idle_s=SERVED_S)
            assert any(event.payload == b"in time" for event in followed)
        assert _anonymous_bytes(target, "publisher") - before < 100_000_000
    finally:
        for client in clients:
            client.close(linger=0)
        context.term()
    target.serves()
