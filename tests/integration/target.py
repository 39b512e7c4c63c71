"""A real node that others attack, with one community of some hundred messages."""

from __future__ import annotations

import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from dispersy.client import Client
from tests.integration.node import Node
from tests.integration.peer import Author, Peer

LIMIT_S = 60.0
ANSWERED_S = 1.0
MESSAGES = 300


class Target:
    """The node, its client, and what it looks like from outside."""

    def __init__(self, node: Node, client: Client) -> None:
        self.node = node
        self.client = client
        self.community_id: bytes = client.create("target")["community_id"]
        client.publish_many("target", [b"message %d" % number for number in range(MESSAGES)])
        self.listen: str = client.status()["listen"]
        self.pids = node.pids()

    def peer(self, author: Author | None = None) -> Peer:
        return Peer(self.community_id, self.listen, author=author)

    def proven(self) -> Peer:
        peer = self.peer()
        peer.meet()
        return peer

    def count(self) -> int:
        return self.client.count("target")

    def clock(self) -> int:
        clock: int = self.client.request("count", community="target")["clock"]
        return clock

    def counted(self) -> Counter[str]:
        """Every counter of every role, by name; the network's as of now: roles report once a second."""
        before = count_all(self.client.status())
        with self.peer() as peer:
            peer.send(bytes((0xD3, 0)) + bytes(16))
        return self.wait_for_counted("community-unknown", since=before) + before

    def wait_for_counted(self, *names: str, since: Counter[str]) -> Counter[str]:
        """Until all of these have risen; by how much each counter has."""
        status = self.client.wait_for_status(
            lambda each: all(count_all(each)[name] > since[name] for name in names), timeout_s=LIMIT_S
        )
        return count_all(status) - since

    def serves(self) -> None:
        """Assert that no role died, and that an honest newcomer is answered and heard, at once."""
        pids = self.node.pids()
        assert {role: pids[role] for role in self.pids} == self.pids, self.node.lines
        count = self.count()
        with self.proven() as honest:
            began = time.monotonic()
            while (answer := honest.sync(limit_s=10 * ANSWERED_S)).is_busy:
                assert time.monotonic() - began < 10 * ANSWERED_S
            assert time.monotonic() - began < 10 * ANSWERED_S
            assert answer.messages
            honest.introduce()
            honest.send_messages([honest.author.message(b"honest", global_time=self.clock() + 1)])
            assert self.client.wait_for_count("target", count + 1, timeout_s=LIMIT_S) == count + 1


@contextmanager
def running_target() -> Iterator[Target]:
    """Started and, whatever happened, stopped."""
    with tempfile.TemporaryDirectory(prefix="dsp-") as folder, pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_RUNTIME_DIR", folder)
        patch.delenv("DISPERSY_HOME", raising=False)
        node = Node(Path(folder), "target")
        try:
            with node.start() as client:
                yield Target(node, client)
        finally:
            assert node.stop() == 0


def count_all(status: dict[str, Any]) -> Counter[str]:
    counted: Counter[str] = Counter()
    for process in status["processes"]:
        for group in ("counters", "drops", "outcomes"):
            counted.update(process.get(group) or {})
    return counted
