"""Goal: two running nodes with one key are both told within seconds, and nobody else is alarmed."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest

from dispersy.client import Client
from dispersy.constants import STEP_INTERVAL_S
from tests.integration.node import Node

pytestmark = pytest.mark.long

MEET_LIMIT_S = 60.0
WARNED_LIMIT_S = 10 * STEP_INTERVAL_S
MakeNode = Callable[..., Node]


def warned(status: dict[str, Any]) -> bool:
    return bool(status["warnings"])


def shown_status(node: Node) -> str:
    """What people see."""
    command = [sys.executable, "-P", "-m", "dispersy.cli", "status", "--home", str(node.home)]
    return subprocess.run(
        command, env=node.environment, capture_output=True, text=True, timeout=MEET_LIMIT_S, check=True
    ).stdout


def join(client: Client, community_id: bytes, peer: Client) -> None:
    """Take part, and wait until the community can be used."""
    client.join(community_id, peers=peer.status()["addresses"])
    client.wait_for_definition(community_id.hex(), timeout_s=MEET_LIMIT_S)


def test_a_copied_home_and_its_original_are_both_warned(make_node: MakeNode) -> None:
    """They know a neighbour in common, and not each other; the one that alone goes on is warned no more."""
    original, copy = make_node("original"), make_node("copy")
    with make_node("neighbour").start() as neighbour:
        community_id = neighbour.create("chat")["community_id"]
        with original.start() as client:
            join(client, community_id, neighbour)
        original.stop()
        shutil.copytree(original.home, copy.home)
        with original.start() as first, copy.start() as second:
            for client in (first, second):
                status = client.wait_for_status(warned, timeout_s=WARNED_LIMIT_S)
                [warning, *_] = status["warnings"]
                assert warning["code"] == "same-key"
                assert warning["community"] == community_id
                assert "chat" in warning["message"]
                assert warning["hint"]
            for node in (original, copy):
                node.wait_for_line("uses our key of community", limit_s=WARNED_LIMIT_S)
                assert "uses our key of community" in shown_status(node)
            assert neighbour.status()["warnings"] == []


def test_a_node_that_comes_back_on_another_port_warns_nobody(make_node: MakeNode) -> None:
    """Its neighbour introduces it to where it was, and nobody is there."""
    moving = make_node("moving")
    with make_node("neighbour").start() as neighbour:
        community_id = neighbour.create("chat")["community_id"]
        with moving.start() as client:
            join(client, community_id, neighbour)
        moving.stop()
        with moving.start() as client:
            client.wait_for_peers("chat", 1, timeout_s=MEET_LIMIT_S)
            neighbour.wait_for_peers("chat", 1, timeout_s=MEET_LIMIT_S)
            assert client.status()["warnings"] == []
            assert neighbour.status()["warnings"] == []
