"""Goal: nodes that hold different messages of a kind that is on request are in sync; whoever asks gets what
somebody has, hears soon when nobody does, and what governs reaches what was fetched."""

from __future__ import annotations

import pytest

from dispersy import BlockingCommunity, full_sync, kind
from dispersy.errors import UsageError
from dispersy.testing import Network, Node

SOON_S = 3.0
PICTURE = bytes(range(256)) * 100


class Album(BlockingCommunity):
    note = kind(64, str)
    picture = kind(65, bytes, distribution=full_sync(priority=16), size_max=65_416)


def entry(node: Node) -> dict[str, object]:
    (found,) = node.client.communities()
    return found


def live(node: Node) -> tuple[object, object]:
    """How many messages it compares with others', and how many neighbours say the same."""
    return entry(node)["live"], entry(node)["peers_differing"]


@pytest.fixture
def network() -> Network:
    return Network(seed=3)


def test_whoever_asks_gets_it_and_nobody_else(network: Network) -> None:
    with network:
        alice, bob, carol = network.nodes(3)
        album = Album.create(alice.client, "album")
        name = album.id.hex()
        small, large = (album.picture.publish(payload).ids[0] for payload in (b"small", PICTURE))
        album.note.publish("two pictures")
        for node in (bob, carol):
            Album.join(node.client, album.invite())
        network.settle()
        assert {live(node) for node in (alice, bob, carol)} == {(2, 0)}
        assert [node.client.count(name) for node in (alice, bob, carol)] == [3, 1, 1]
        began = network.now
        assert bob.client.get(name, small, fetch_s=20)[0].payloads == (b"small",)
        assert bob.client.get(name, large, fetch_s=20)[0].payloads == (PICTURE,)
        assert network.now - began < SOON_S
        began = network.now
        newest = carol.client.last(name, 5, kind="picture", fetch_s=20)
        assert [each.payloads for each in newest] == [(PICTURE,), (b"small",)]
        assert network.now - began < SOON_S
        network.settle()
        assert {live(node) for node in (alice, bob, carol)} == {(2, 0)}


def test_nobody_has_it(network: Network) -> None:
    with network:
        alice, bob = network.nodes(2)
        album = Album.create(alice.client, "album")
        name = album.id.hex()
        Album.join(bob.client, album.invite())
        network.settle()
        began = network.now
        with pytest.raises(UsageError, match="neither this node nor the only neighbour") as refused:
            bob.client.get(name, bytes(32), fetch_s=20)
        assert (refused.value.code, network.now - began < SOON_S) == ("message-unknown", True)
