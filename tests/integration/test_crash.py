"""Goal: any process may be killed in the middle of an exchange, and what was acknowledged is there, once."""

from __future__ import annotations

import os
import select
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable

import pytest

from dispersy.client import Client
from dispersy.errors import UsageError
from tests.integration.node import FULL, Node, is_running

NODE_OPTIONS = FULL

LIMIT_S = 60.0
STOP_S = 2.0
MESSAGES = 1_500
KILL_AT = 400
MakeNode = Callable[..., Node]


def _payloads(client: Client, community: str) -> Counter[bytes]:
    """Every payload that a replay shows, and how often."""
    seen: Counter[bytes] = Counter()
    for event in client.follow([community], since="begin", idle_s=LIMIT_S):
        if event.event == "caught-up":
            break
        assert event.event == "message"
        seen[event.payload] += 1
    return seen


def _numbered(count: int) -> list[bytes]:
    return [b"%d" % number for number in range(count)]


@pytest.mark.parametrize("role", ["writer", "worker-0"])
def test_a_publisher_whose_node_loses_a_role_publishes_everything_once(
    make_node: MakeNode, role: str
) -> None:
    """Killed between two acknowledgements; a neighbour that pulls meanwhile gets each message once, too."""
    node = make_node("a")
    with node.start() as first, make_node("b").start() as second:
        created = first.create("chat")["community_id"]
        community = created.hex()
        second.join(created, peers=first.status()["addresses"])
        second.wait_for_definition(community, timeout_s=LIMIT_S)
        killed: list[int] = []

        def kill_once(done: int) -> None:
            if done >= KILL_AT and not killed:
                killed.append(node.kill(role))

        assert first.publish_many(community, _numbered(MESSAGES), progress=kill_once) == MESSAGES
        assert killed
        node.wait_for_line(f"{role} was ended by SIGKILL", limit_s=LIMIT_S)
        wanted = Counter(_numbered(MESSAGES))
        for client in (first, second):
            client.wait_for_count(community, MESSAGES, timeout_s=LIMIT_S)
            assert _payloads(client, community) == wanted


@pytest.mark.parametrize("role", ["writer", "worker-0"])
def test_an_exchange_completes_although_the_receiver_loses_a_role(make_node: MakeNode, role: str) -> None:
    """Killed while messages are on their way to its store: what was in flight comes again."""
    receiving = make_node("b")
    with make_node("a").start() as first, receiving.start() as second:
        created = first.create("chat")["community_id"]
        first.publish_many("chat", _numbered(MESSAGES))
        community = created.hex()
        second.join(created, peers=first.status()["addresses"])
        killed: list[int] = []

        def kill_once(held: int) -> None:
            if held and not killed:
                killed.append(receiving.kill(role))

        try:
            second.wait_for_count(community, MESSAGES, timeout_s=LIMIT_S, progress=kill_once)
        except UsageError as error:
            if error.code not in ("no-answer", "starting"):
                raise
        assert killed
        with receiving.client() as again:
            again.wait_for_count(community, MESSAGES, timeout_s=LIMIT_S)
            assert _payloads(again, community) == Counter(_numbered(MESSAGES))


def test_what_was_acknowledged_survives_the_death_of_everything(make_node: MakeNode) -> None:
    """All processes are killed while somebody publishes; each acknowledged message is there, and once."""
    node = make_node("a")
    acknowledged: list[bytes] = []
    enough = threading.Event()

    def publish() -> None:
        try:
            with Client(node.home, timeout_s=1.0) as client:
                for payload in _numbered(1_000_000):
                    client.publish("chat", [payload])
                    acknowledged.append(payload)
                    if len(acknowledged) == KILL_AT:
                        enough.set()
        except UsageError:
            pass  # The node is gone: that is the point.

    with node.start() as client:
        client.create("chat")
    pids = node.pids()
    publishing = threading.Thread(target=publish)
    publishing.start()
    assert enough.wait(LIMIT_S)
    _kill_all(pids.values())
    node.stop()
    publishing.join()
    with node.start() as client:
        seen = _payloads(client, "chat")
    assert set(seen.values()) == {1}
    assert set(acknowledged) <= set(seen)
    # At most the one that was under way had not been acknowledged.
    assert len(seen) <= len(acknowledged) + 1
    assert node.stop() == 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_stopping_while_busy_is_clean_and_quick(make_node: MakeNode, number: int) -> None:
    """Status 0 within 2 s and no process left, with a publisher, a follower and a neighbour at work."""
    node = make_node("a")
    with node.start() as first, make_node("b").start() as second:
        created = first.create("chat")["community_id"]
        second.join(created, peers=first.status()["addresses"])
        busy = threading.Event()

        def publish() -> None:
            try:
                with Client(node.home, timeout_s=1.0) as client:
                    client.publish_many("chat", _numbered(1_000_000), progress=lambda _: busy.set())
            except UsageError:
                pass  # The node has stopped.

        publishing = threading.Thread(target=publish)
        publishing.start()
        assert busy.wait(LIMIT_S)
        pids = node.pids()
        began = time.monotonic()
        assert node.stop(number) == 0
        assert time.monotonic() - began < 10 * STOP_S
        assert not [role for role, pid in pids.items() if is_running(pid)]
        assert node.lines[-1] == "stopped"
        publishing.join()


def _kill_all(pids: Iterable[int]) -> None:
    """SIGKILL, and wait for the end of all."""
    # Descriptors are taken before the first ends: a pid may be given again.
    descriptors = {pid: os.pidfd_open(pid) for pid in pids}
    for pid in descriptors:
        os.kill(pid, signal.SIGKILL)
    for descriptor in descriptors.values():
        poll = select.poll()
        poll.register(descriptor, select.POLLIN)
        assert poll.poll(LIMIT_S * 1_000)
        os.close(descriptor)
