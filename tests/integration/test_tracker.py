"""Real nodes that know nothing but a tracker find each other, in communities that it was never told of."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Callable, Iterator

import pytest

from tests.integration.node import Node

LIMIT_S = 60.0


@pytest.fixture
def tracker_address() -> Iterator[str]:
    process = subprocess.Popen(
        [sys.executable, "-P", "-m", "dispersy.cli", "tracker", "--listen", "127.0.0.1:0"],
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        yield process.stdout.readline().split()[-1]
        process.send_signal(signal.SIGTERM)
        assert process.wait(LIMIT_S) == 0
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


def test_a_tracker_serves_any_community(make_node: Callable[..., Node], tracker_address: str) -> None:
    first, second = make_node("a"), make_node("b")
    with first.start() as alice, second.start() as bob:
        communities = []
        for name in ("chat", "news"):
            alice.create(name)
            community = next(each["community"] for each in alice.communities() if each["name"] == name)
            alice.join(community, peers=[tracker_address])
            alice.publish(name, [f"hello {name}".encode()])
            bob.join(community, peers=[tracker_address])
            communities.append(community)
        for community in communities:
            bob.wait_for_count(community.hex(), 1, timeout_s=LIMIT_S)
            texts = [message.payloads for message in bob.last(community.hex(), 1)]
            assert texts == [(b"hello " + (b"chat" if community == communities[0] else b"news"),)]
