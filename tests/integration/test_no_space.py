"""Goal: a full disk costs what could not be stored, and that is said; with room everything goes on."""

from __future__ import annotations

import os
import shlex
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from dispersy.client import Client
from dispersy.errors import UsageError
from tests.integration.node import Node

pytestmark = pytest.mark.long

LIMIT_S = 60.0
DISK = "12m"
PUBLISHED_MAX = 20_000
"""Until the disk is full: pages that LMDB uses again take some."""


class SmallDisk(Node):
    """A node whose home is a small disk of its own, in a mount namespace that ends with the node."""

    def command_line(self) -> list[str]:
        self.home.mkdir(mode=0o700, exist_ok=True)
        home = shlex.quote(str(self.home))
        run = shlex.join(super().command_line())
        script = f"mount -t tmpfs -o size={DISK},mode=700 dispersy {home} && exec {run}"
        own_root = [] if os.geteuid() == 0 else ["--map-root-user"]
        return ["unshare", *own_root, "--mount", "--propagation", "private", "sh", "-c", script]

    @property
    def disk(self) -> Path:
        """The home as the node sees it."""
        assert self.process is not None
        return Path(f"/proc/{self.process.pid}/root{self.home}")

    def fill(self) -> None:
        """Leave no byte of room."""
        with open(self.disk / "ballast", "wb", buffering=0) as ballast, suppress(OSError):
            while True:
                ballast.write(bytes(4096))

    def empty(self) -> None:
        (self.disk / "ballast").unlink()


@pytest.fixture
def node(short_folder: Path) -> Iterator[SmallDisk]:
    made = SmallDisk(short_folder, "a")
    yield made
    made.stop()


def _payload(number: int) -> bytes:
    return b"%06d" % number + bytes(600)


def _publish_until_full(client: Client, first: int) -> tuple[int, UsageError]:
    """Numbers from `first` on; the first that was refused, and why.

    What was refused once may be taken a moment later: pages that a slow reader still saw are free by then.
    """
    for number in range(first, first + PUBLISHED_MAX):
        try:
            client.publish("chat", [_payload(number)])
        except UsageError as error:
            return number, error
    raise AssertionError("the disk is never full")


def _replay(client: Client) -> list[bytes]:
    found = []
    for event in client.follow(["chat"], since="begin", idle_s=LIMIT_S):
        if event.event == "caught-up":
            break
        found.append(event.payload)
    return found


def test_a_full_disk_refuses_and_goes_on_with_room(node: SmallDisk) -> None:
    """The error names store and reason; nothing acknowledged is lost, and nothing refused is there."""
    with node.start() as client:
        client.create("chat")
        client.publish("chat", [_payload(0)])
        node.fill()
        refused, error = _publish_until_full(client, 1)
        assert error.code == "storage"
        assert "space" in str(error)
        assert str(node.home / "store") in str(error)
        assert "disk" in error.hint
        # It goes on answering, and refusing.
        assert client.count("chat") == refused
        assert _replay(client) == [_payload(number) for number in range(refused)]
        refused, error = _publish_until_full(client, refused)
        assert "space" in str(error)
        node.empty()
        for number in range(refused, refused + 100):
            client.publish("chat", [_payload(number)])
        assert _replay(client) == [_payload(number) for number in range(refused + 100)]


@pytest.mark.parametrize("role", ["writer", "publisher"])
def test_a_role_that_dies_on_a_full_disk_comes_back(node: SmallDisk, role: str) -> None:
    """Without room for a stamp or anything else: it answers, and publishes as soon as there is room."""
    with node.start() as client:
        client.create("chat")
        node.fill()
        refused, _ = _publish_until_full(client, 0)
        node.kill(role)
        node.wait_for_line(f"{role} was ended by SIGKILL", limit_s=LIMIT_S)
        # The same client: a new one would look for the home's lock, which is on the node's own disk.
        client.wait_for_ready(timeout_s=LIMIT_S)
        assert client.count("chat") == refused
        refused, error = _publish_until_full(client, refused)
        assert "space" in str(error)
        node.empty()
        client.publish("chat", [_payload(refused)])
        assert client.status(brief=True)["warnings"] == []
        assert _replay(client) == [_payload(number) for number in range(refused + 1)]
