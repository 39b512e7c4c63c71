"""Goal: real nodes prune alike: what is old is offered no more, then gone, and nothing else is touched."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from contextlib import closing
from itertools import takewhile
from time import monotonic

import pytest

from dispersy.client import Client, Event
from dispersy.errors import UsageError
from tests.integration.node import Node

LIMIT_S = 60.0
MakeNode = Callable[..., Node]
DEFINITION = """\
name = "feed"
[kinds.news]
number = 64
pruning = { type = "global-time", inactive_threshold = 32, prune_threshold = 64 }
[kinds.kept]
number = 65
"""
"""In steps of 4."""


def replay(client: Client, community: str) -> list[Event]:
    with closing(client.follow([community], since="begin", idle_s=LIMIT_S)) as events:
        return list(takewhile(lambda event: event.event != "caught-up", events))


def publish(client: Client, community: str, kind: str, count: int) -> list[bytes]:
    """Messages of one payload each; their ids."""
    texts = [f"{kind} {at}".encode() for at in range(count)]
    return [client.publish(community, [text], kind=kind).ids[0] for text in texts]


def replay_with_a_gap(client: Client, community: str) -> list[Event]:
    """As soon as something has been removed, which the commits after that of the last message do."""
    over_at = monotonic() + LIMIT_S
    told = replay(client, community)
    while "removed" not in [event.event for event in told]:
        told = replay(client, community)
        assert monotonic() < over_at, "nothing was removed"
    return told


def state(client: Client, community: str, message_id: bytes) -> str:
    told = client.explain(community, message_id)
    return str(told["reason"] or told["state"])


def test_old_messages_leave_both_nodes(make_node: MakeNode) -> None:
    """Own and received ones; readers and askers are told."""
    first, second = make_node("a"), make_node("b")
    source = first.home.parent / "feed.toml"
    source.write_text(DEFINITION, encoding="utf-8")
    with first.start() as alice, second.start() as bob:
        created = first.command("community", "create", "feed", "--definition", str(source))
        assert created.returncode == 0, created.stderr
        feed = alice.communities()[0]["community"].hex()
        old = publish(alice, feed, "news", 8)
        kept = publish(alice, feed, "kept", 4)
        bob.join(bytes.fromhex(feed), peers=alice.status()["addresses"])
        bob.wait_for_count(feed, 12, timeout_s=LIMIT_S)
        own = publish(bob, feed, "news", 2)
        alice.wait_for_count(feed, 14, timeout_s=LIMIT_S)
        # The clock was at 15, and comes to 44: what is at or below 12 is too old.
        alice.publish_many(feed, [b"kept"] * 29, kind="kept")
        for client in (alice, bob):
            client.wait_for_count(feed, 14 + 29 - 8, timeout_s=LIMIT_S)
            (found,) = client.get(feed, message_id=old[0])
            assert (found.payloads, found.hidden) == ((b"news 0",), ())
            assert [state(client, feed, each) for each in (old[0], old[7], own[0], kept[0])] == [
                "inactive",
                "inactive",
                "shown",
                "shown",
            ]
            assert Counter(event.kind for event in replay(client, feed)) == {"news": 10, "kept": 33}
        bob.publish_many(feed, [b"kept"] * 34, kind="kept")
        for client in (alice, bob):
            client.wait_for_count(feed, 4 + 29 + 34, timeout_s=LIMIT_S)
            told = replay_with_a_gap(client, feed)
            assert Counter(event.kind for event in told if event.event == "message") == {
                "news": 2,
                "kept": 67,
            }
            with pytest.raises(UsageError) as caught:
                client.get(feed, message_id=old[0])
            assert caught.value.code == "message-unknown"
