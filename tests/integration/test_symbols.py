"""Goal: two real nodes that lack a few of many messages tell them by symbols, and get no others again."""

from __future__ import annotations

import socket
from collections.abc import Callable
from typing import Any

from dispersy.client import Client
from tests.integration.node import Node

MakeNode = Callable[..., Node]
SHARED = 1_100
"""More than one filter is smaller for than symbols are."""
APART = 20
LIMIT_S = 60.0


def free_port() -> int:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def counted(status: dict[str, Any], name: str) -> int:
    """What the network role has counted."""
    return sum(each.get("counters", {}).get(name, 0) for each in status["processes"])


def stopped(node: Node, client: Client) -> None:
    client.close()
    node.stop()


def test_what_two_have_published_apart_comes_by_symbols(make_node: MakeNode) -> None:
    """Both have published up to the same global time, so that nothing newer tells where the difference is."""
    nodes = [
        make_node(name, "--listen", f"127.0.0.1:{free_port()}", "--placement", "single")
        for name in ("one", "other")
    ]
    one, other = (node.start() for node in nodes)
    community = one.create("chat")["community_id"]
    one.publish_many("chat", [b"%d" % number for number in range(SHARED)])
    other.join(community, name="chat", peers=one.status()["addresses"])
    one.join(community, peers=other.status()["addresses"])
    other.wait_for_count("chat", SHARED, timeout_s=LIMIT_S)
    for leaving, staying in ((1, 0), (0, 1)):
        stopped(nodes[leaving], (one, other)[leaving])
        alone = (one, other)[staying] if leaving else nodes[staying].start()
        for number in range(APART):
            alone.publish("chat", [b"apart %d" % number])
        if leaving:
            one = alone
        else:
            other = alone
    one = nodes[0].start()
    with one, other:
        for client in (one, other):
            client.wait_for_count("chat", SHARED + 2 * APART, timeout_s=LIMIT_S)
        name = "frames-out-symbols-request"
        one.wait_for_status(
            lambda status: counted(status, name) + counted(other.status(), name) > 0, timeout_s=LIMIT_S
        )
        # Whoever asked was answered, or it would not be over: some messages, and none of the many.
        carried = sum(counted(client.status(), "frames-out-messages") for client in (one, other))
        assert carried < SHARED // 50
