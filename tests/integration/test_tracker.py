"""Real nodes that know nothing but a tracker find each other, in communities that it was never told of."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Callable, Iterator

import pytest

from dispersy.client import Client
from tests.integration.node import COMPACT, Node

LIMIT_S = 60.0


class Tracker:
    """A tracker's process, and where it listens."""

    def __init__(self) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-P", "-m", "dispersy.cli", "tracker", "--listen", "127.0.0.1:0"],
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self.process.stdout is not None
        self.address = self.process.stdout.readline().split()[-1]

    def stop(self) -> None:
        self.process.send_signal(signal.SIGTERM)
        assert self.process.wait(LIMIT_S) == 0


@pytest.fixture
def tracker() -> Iterator[Tracker]:
    found = Tracker()
    try:
        yield found
    finally:
        found.process.kill()
        found.process.wait()
        assert found.process.stdout is not None
        found.process.stdout.close()


def test_a_tracker_serves_any_community(make_node: Callable[..., Node], tracker: Tracker) -> None:
    first, second = make_node("a"), make_node("b")
    with first.start() as alice, second.start() as bob:
        communities = []
        for name in ("chat", "news"):
            alice.create(name)
            community = next(each["community"] for each in alice.communities() if each["name"] == name)
            alice.join(community, peers=[tracker.address])
            alice.publish(name, [f"hello {name}".encode()])
            bob.join(community, peers=[tracker.address])
            communities.append(community)
        for community in communities:
            bob.wait_for_count(community.hex(), 1, timeout_s=LIMIT_S)
            texts = [message.payloads for message in bob.last(community.hex(), 1)]
            assert texts == [(b"hello " + (b"chat" if community == communities[0] else b"news"),)]
        # Once a second the network role tells whom it knows: messages may be here sooner.
        bob.wait_for_status(lambda _: trackers(bob, communities[0]) == [tracker.address], timeout_s=LIMIT_S)
    tracker.stop()


def trackers(client: Client, community: bytes) -> list[str]:
    """Addresses of those that the client's node shows as trackers."""
    return [peer["address"] for peer in client.peers(community.hex()) if peer["tracker"]]


def has_answered(client: Client, member: bytes) -> bool:
    """Whether this neighbour has answered a walk of the client's node."""
    (community,) = (each["community"].hex() for each in client.communities())
    return (member, "walked") in [(each["member"], each["category"]) for each in client.peers(community)]


def test_who_met_meets_again_when_the_tracker_has_gone(
    make_node: Callable[..., Node], tracker: Tracker
) -> None:
    """One of the two starts again, at another port, so that the other cannot find it: it asks where others
    answered in its last run."""
    first, second = make_node("a", *COMPACT), make_node("b", *COMPACT)
    with first.start() as alice:
        alice.create("chat")
        [known] = alice.communities()
        community = known["community"]
        alice.join(community, peers=[tracker.address])
        with second.start() as bob:
            bob.join(community, peers=[tracker.address])
            bob.wait_for_status(lambda _: has_answered(bob, known["member"]), timeout_s=LIMIT_S)
        assert second.stop() == 0
        tracker.stop()
        alice.publish("chat", [b"while you were away"])
        with second.start() as bob:
            bob.wait_for_count(community.hex(), 1, timeout_s=LIMIT_S)
