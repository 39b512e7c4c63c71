"""Goal: whoever subscribes to the writer's notes knows at once how every community is."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from time import monotonic

import zmq

from dispersy.bus.frames import COMMIT, commit_decoder
from dispersy.workers.writer import NOTE_OF_ALL_INTERVAL_S
from tests.integration.node import FULL, Node
from tests.sockets import bounded_context

NODE_OPTIONS = FULL

MakeNode = Callable[..., Node]
TOLD_LIMIT_S = NOTE_OF_ALL_INTERVAL_S / 3
"""Sooner than everybody is told of all communities anyhow."""


def test_each_subscriber_is_told_of_all_at_once(make_node: MakeNode) -> None:
    """Also the second one, while the first listens on."""
    with make_node("node").start() as client:
        for name in ("first", "second"):
            client.create(name)
        endpoint = client.status()["sockets"]["control"].replace("/control", "/notes")
        with bounded_context() as context, ExitStack() as stack:
            for _ in range(3):
                socket = stack.enter_context(context.socket(zmq.SUB))
                socket.subscribe(COMMIT)
                socket.connect(endpoint)
                told: set[int] = set()
                limit = monotonic() + TOLD_LIMIT_S
                while not told and (left_s := limit - monotonic()) > 0 and socket.poll(int(left_s * 1000)):
                    told = set(commit_decoder.decode(socket.recv_multipart()[1]).summaries)
                assert len(told) == 2
