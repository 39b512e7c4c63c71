"""Goal: a new message reaches nodes that its author does not know within a moment, pushed or announced."""

from __future__ import annotations

import time
from collections.abc import Callable
from itertools import pairwise
from typing import Any

from tests.integration.node import Node

MakeNode = Callable[..., Node]
GOAL_S = 1.0
LIMIT_S = 60.0
MESSAGES = 8


def counted(status: dict[str, Any], name: str) -> int:
    """What all roles of a node have counted of it."""
    return sum(process.get("counters", {}).get(name, 0) for process in status["processes"])


def test_a_message_passes_a_chain_of_introductions_within_a_second(make_node: MakeNode) -> None:
    """Each node was told of the one before it alone; limits ten times the goal for slow machines."""
    clients = [make_node(name).start() for name in "abc"]
    community_id = clients[0].create("chain")["community_id"]
    community = community_id.hex()
    for earlier, later in pairwise(clients):
        later.join(community_id, peers=[earlier.status()["listen"]])
        later.wait_for_definition(community, timeout_s=LIMIT_S)
    followed = [client.follow([community]) for client in clients[1:]]
    took_s = []
    for number in range(MESSAGES):
        began = time.monotonic()
        clients[0].publish(community, [f"message {number}".encode()])
        for events in followed:
            heard = next(event for event in events if event.event == "message")
            assert heard.payload == f"message {number}".encode()
        took_s.append(time.monotonic() - began)
    assert sorted(took_s)[MESSAGES // 2] < 10 * GOAL_S, took_s
    for client in clients[1:]:
        client.wait_for_status(
            lambda status: counted(status, "frames-in-push") + counted(status, "frames-in-have") > 0,
            timeout_s=LIMIT_S,
        )
    for client in clients:
        client.close()
