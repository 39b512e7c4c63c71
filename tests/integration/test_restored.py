"""Goal: a node whose home was restored publishes behind what it has published, as far as anybody knows."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from dispersy.bus.settings import RoleSettings
from dispersy.client import Client
from dispersy.locations import runtime_path
from tests.integration.node import RUN_NODE, Node

pytestmark = pytest.mark.long

LIMIT_S = 60.0
WAIT_S = 5.0
BEFORE, LOST, AFTER = 20, 100, 10
MakeNode = Callable[..., Node]


def _payloads(first: int, count: int) -> list[bytes]:
    return [b"%d" % number for number in range(first, first + count)]


def _held(client: Client, community: str) -> dict[int, bytes]:
    """Payload by sequence of all that a replay shows; a sequence that comes twice is an error."""
    found: dict[int, bytes] = {}
    for event in client.follow([community], since="begin", idle_s=LIMIT_S):
        if event.event == "caught-up":
            return found
        assert event.event == "message"
        assert event.sequence not in found
        found[event.sequence] = event.payload
    raise AssertionError("the node is never caught up")


def _copy(source: Path, target: Path) -> None:
    subprocess.run(["cp", "-a", str(source), str(target)], check=True)


def _codes(client: Client) -> list[str]:
    return [warning["code"] for warning in client.status(brief=True)["warnings"]]


@pytest.mark.parametrize("running", [False, True], ids=["stopped", "running"])
def test_what_is_published_after_restoring_stands_behind_what_was_lost(
    make_node: MakeNode, tmp_path: Path, running: bool
) -> None:
    """Backup, publish 100, restore, publish: no two messages in one slot on either node; all are back."""
    backup = tmp_path / "backup"
    neighbour = make_node("b").start()
    address = neighbour.status()["listen"]
    node = make_node("a", "--listen", "127.0.0.1:0", "--workers", "1", "--peer", address)
    client = node.start()
    created = client.create("chat")["community_id"]
    community = created.hex()
    neighbour.join(created, peers=[client.status()["listen"]])
    client.publish_many("chat", _payloads(0, BEFORE))
    if not running:
        client.close()
        node.stop()
    _copy(node.home, backup)
    if not running:
        client = node.start()
        assert _codes(client) == []
    client.publish_many("chat", _payloads(BEFORE, LOST))
    neighbour.wait_for_count(community, BEFORE + LOST, timeout_s=LIMIT_S)
    client.close()
    node.stop()

    shutil.rmtree(node.home)
    _copy(backup, node.home)
    with node.start() as restored, neighbour:
        assert _codes(restored) == ["home-restored"]
        assert restored.publish_many("chat", _payloads(BEFORE + LOST, AFTER)) == AFTER
        total = BEFORE + LOST + AFTER
        for each in (restored, neighbour):
            each.wait_for_count(community, total, timeout_s=LIMIT_S)
            assert _held(each, community) == dict(enumerate(_payloads(0, total), 1))
        restored.wait_for_status(lambda status: not status["warnings"], timeout_s=LIMIT_S)
    node.stop()
    with node.start() as client:
        assert _codes(client) == []


def test_a_community_that_is_loaded_later_waits_then(make_node: MakeNode, tmp_path: Path) -> None:
    """It was not loaded when the restored home was started, so nobody could be asked in it."""
    neighbour = make_node("b").start()
    node = make_node("a", "--listen", "127.0.0.1:0", "--workers", "1", "--peer", neighbour.status()["listen"])
    client = node.start()
    created = client.create("chat")["community_id"]
    community = created.hex()
    neighbour.join(created, peers=[client.status()["listen"]])
    client.autoload("chat", "never")
    client.publish_many("chat", _payloads(0, 1))
    client.close()
    node.stop()
    _copy(node.home, tmp_path / "backup")
    client = node.start()
    client.load("chat")
    client.publish_many("chat", _payloads(1, 2))
    neighbour.wait_for_count(community, 3, timeout_s=LIMIT_S)
    client.close()
    node.stop()

    shutil.rmtree(node.home)
    _copy(tmp_path / "backup", node.home)
    with node.start() as restored, neighbour:
        assert _codes(restored) == []
        restored.load("chat")
        restored.publish_many("chat", _payloads(3, 1))
        for each in (restored, neighbour):
            each.wait_for_count(community, 4, timeout_s=LIMIT_S)
            assert _held(each, community) == dict(enumerate(_payloads(0, 4), 1))


class Alone(Node):
    """Started as `dispersy run` starts it, but for how long it waits for neighbours."""

    placement = "full"

    def command_line(self) -> list[str]:
        settings = RoleSettings(
            home=str(self.home),
            runtime=str(runtime_path(self.home)),
            listen="127.0.0.1:0",
            workers=1,
            placement=self.placement,
            restored_wait_s=WAIT_S,
        )
        return [sys.executable, "-P", "-c", RUN_NODE, settings.to_json()]


@pytest.mark.parametrize("placement", ["full", "compact", "single"])
def test_without_neighbours_it_goes_on_with_a_warning(
    make_node: MakeNode, short_folder: Path, tmp_path: Path, placement: str
) -> None:
    """The status says how long it waits and then what may be wrong; what was ordered meanwhile is done."""
    node = make_node("a")
    with node.start() as client:
        client.create("chat")
        client.publish("chat", [b"before"])
    node.stop()
    _copy(node.home, tmp_path / "backup")
    shutil.rmtree(node.home)
    _copy(tmp_path / "backup", node.home)

    alone = Alone(short_folder, "a")
    alone.placement = placement
    try:
        with alone.start() as client:
            (asking,) = client.status(brief=True)["warnings"]
            assert asking["code"] == "home-restored"
            assert "s left" in asking["message"]
            assert asking["community"] == client.community("chat")["community"]
            client.publish("chat", [b"after"])
            status = client.wait_for_status(
                lambda status: [each["code"] for each in status["warnings"]] == ["home-restored-unanswered"],
                timeout_s=LIMIT_S,
            )
            assert "within 5 s" in status["warnings"][0]["message"]
            assert _held(client, "chat") == {1: b"before", 2: b"after"}
            alone.wait_for_line("no neighbour said", limit_s=LIMIT_S)
    finally:
        alone.stop()
    assert msgspec.json.decode((node.home / "stamp").read_bytes())["run"]
