"""Goal: messages of a kind that is on request stay with their author until somebody asks, over real nodes:
then who has fetched one keeps it, and gives it to others while its author is away."""

from __future__ import annotations

from collections.abc import Callable
from itertools import islice

import pytest

from dispersy.client import Client
from dispersy.errors import UsageError
from tests.integration.node import Node

LIMIT_S = 60.0
FETCH_S = 20
SINGLE = ("--listen", "127.0.0.1:0", "--placement", "single")
PICTURE = bytes(range(256)) * 100
DEFINITION = """\
name = "album"
[kinds.note]
number = 64
[kinds.picture]
number = 65
distribution = { type = "full-sync", priority = 16 }
payload = { format = "bytes", size_max = 30000 }
"""


def in_sync(client: Client) -> bool:
    (entry,) = client.communities()
    return bool(entry["peers_in_sync"]) and not entry["peers_differing"]


def notes(client: Client, count: int) -> None:
    """Wait until it has so many live messages that are offered, and a neighbour says the same."""
    client.wait_for_status(
        lambda status: status["communities"][0]["live"] == count + 1 and in_sync(client), timeout_s=LIMIT_S
    )


def test_it_is_fetched_kept_and_given_on(make_node: Callable[..., Node]) -> None:
    alice, bob, carol = (make_node(name, *SINGLE) for name in ("alice", "bob", "carol"))
    source = alice.home.parent / "album.toml"
    source.write_text(DEFINITION, encoding="utf-8")
    with alice.start() as first, bob.start() as second:
        created = alice.command("community", "create", "album", "--definition", str(source))
        assert created.returncode == 0, created.stderr
        album = first.communities()[0]["community"]
        name = album.hex()
        small, large = (
            first.publish(name, [payload], kind="picture").ids[0] for payload in (b"small", PICTURE)
        )
        first.publish(name, [b"two pictures"], kind="note")
        second.join(album, peers=first.status()["addresses"])
        second.wait_for_definition(name, timeout_s=LIMIT_S)
        notes(second, 1)
        # In sync, and without the pictures.
        assert (first.count(name), second.count(name)) == (3, 1)
        with pytest.raises(UsageError) as refused:
            second.get(name, small)
        assert refused.value.code == "message-unknown"
        with pytest.raises(UsageError, match="nor the only neighbour has that message"):
            second.get(name, bytes(32), fetch_s=FETCH_S)
        (fetched,) = second.get(name, small, fetch_s=FETCH_S)
        assert fetched.payloads == (b"small",)
        (stored,) = first.get(name, large)
        author, sequence = stored.author, stored.sequence
        slot = ("--author", author.hex(), "--kind", "picture", "--sequence", str(sequence))
        shown = bob.command("get", name, *slot, "--fetch", "20")
        assert shown.returncode == 0, shown.stderr
        assert second.get(name, large)[0].payloads == (PICTURE,)
        told = second.follow([name], kinds=["picture"], since="begin", idle_s=LIMIT_S)
        assert {event.payload for event in islice(told, 2)} == {b"small", PICTURE}
        assert [each.payloads for each in second.last(name, 2, kind="picture")] == [(PICTURE,), (b"small",)]
        notes(second, 1)
    assert alice.stop() == 0
    assert bob.stop() == 0
    with bob.start() as second, carol.start() as third:
        assert (second.count(name), second.get(name, small)[0].payloads) == (3, (b"small",))
        third.join(album, peers=second.status()["addresses"])
        third.wait_for_definition(name, timeout_s=LIMIT_S)
        notes(third, 1)
        assert third.count(name) == 1
        newest = third.last(name, 1, kind="picture", fetch_s=FETCH_S)
        assert [each.payloads for each in newest] == [(PICTURE,)]
        assert third.get(name, small, fetch_s=FETCH_S)[0].payloads == (b"small",)
        notes(third, 1)
