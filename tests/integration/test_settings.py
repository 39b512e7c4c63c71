"""Goal: what config.toml says of a community is what its neighbours see."""

from __future__ import annotations

from collections.abc import Callable

from dispersy.protocol.wire.frames import SyncRequest
from tests.integration.node import Node
from tests.integration.peer import Answer, Peer

MESSAGES = 60
"""More than six to a datagram: an answer of several."""


def test_an_answer_has_as_many_datagrams_as_its_community_allows(make_node: Callable[..., Node]) -> None:
    """From the file through the supervisor into the worker; the community beside it keeps the default."""
    node = make_node("a")
    node.home.mkdir()
    (node.home / "config.toml").write_text("[community.meagre]\nanswers.budget_max = 2\n")
    with node.start() as client:
        listen = client.status()["listen"]
        for name, least, most in (("meagre", 2, 2), ("ample", 3, 64)):
            made = client.create(name)
            client.publish_many(name, [b"x" * 100] * MESSAGES)
            with Peer(made["community_id"], listen) as peer:
                peer.meet()
                assert least <= _answer(peer).datagrams <= most


def _answer(peer: Peer) -> Answer:
    """Asked again as a node would: a worker may hear of a new community a moment after its network role."""
    for _ in range(10):
        peer.send_frame(SyncRequest(number=peer.number(), budget=64))
        if peer.receive(limit_s=2.0) is not None:
            break
    return peer.sync(SyncRequest(number=peer.number(), budget=64))
