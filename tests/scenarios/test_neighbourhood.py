"""Goal: what is pushed reaches those it is meant for at once, and nobody whom it is not meant for."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from dispersy import UsageError
from dispersy.protocol.address import Address, format_address
from dispersy.protocol.definitions.definition import Definition, Kind, encode_definition
from dispersy.protocol.definitions.policies import choose
from dispersy.protocol.wire.frames import Push
from dispersy.protocol.wire.numbers import FrameType
from dispersy.testing import Network, Node
from dispersy.testing.links import Links

FAN_OUT = 10
KINDS = (
    Kind(number=64, name="text"),
    Kind(number=65, name="news", destination=choose("destination", "community", fan_out=FAN_OUT)),
    Kind(
        number=66,
        name="whisper",
        distribution=choose("distribution", "direct"),
        destination=choose("destination", "candidate"),
        payload=choose("payload", "utf-8", size_max=900),
    ),
    Kind(
        number=67,
        name="rumour",
        distribution=choose("distribution", "relay"),
        destination=choose("destination", "n-hop", hops=2),
        payload=choose("payload", "utf-8", size_max=900),
    ),
    Kind(
        number=68,
        name="beacon",
        authentication=choose("authentication", "none"),
        distribution=choose("distribution", "direct"),
        destination=choose("destination", "community", fan_out=FAN_OUT),
    ),
    Kind(
        number=69,
        name="legend",
        distribution=choose("distribution", "relay"),
        destination=choose("destination", "n-hop", hops=9),
        payload=choose("payload", "utf-8", size_max=900),
    ),
)
DEFINITION = encode_definition(Definition("chat", KINDS))


class Pushes:
    """The push frames that were sent, by who sent them and to whom."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.frames: list[tuple[Address, Address, Push]] = []
        send = Links.send

        def note(links: Links, now: float, source: Address, target: Address, data: bytes) -> None:
            if data[18] == FrameType.PUSH:
                start = 20 if data[19] < 0x80 else 21
                self.frames.append((source, target, Push.decode(data[start:])))
            send(links, now, source, target, data)

        monkeypatch.setattr(Links, "send", note)

    def counts(self) -> Counter[Address]:
        """How many each node was sent."""
        return Counter(target for _, target, _ in self.frames)


@pytest.fixture
def pushes(monkeypatch: pytest.MonkeyPatch) -> Pushes:
    return Pushes(monkeypatch)


@contextmanager
def community(count: int, *, seed: int = 0) -> Iterator[list[Node]]:
    """Nodes that all know the first."""
    with Network(seed=seed) as network:
        nodes = network.nodes(count)
        made = nodes[0].client.create("chat", DEFINITION)
        for node in nodes[1:]:
            node.client.join(made["community_id"], name="chat", peers=[format_address(nodes[0].address)])
            node.client.wait_for_definition("chat", timeout_s=60)
        nodes[0].client.wait_for_peers("chat", count - 1, timeout_s=60)
        network.settle()
        yield nodes


def key_of(node: Node) -> bytes:
    member = node.client.community("chat")["member"]
    assert isinstance(member, bytes)
    return member


@pytest.mark.parametrize("neighbours", [1, 2, 3, 10, 20])
@pytest.mark.parametrize("named", [0, 1, 3])
def test_a_push_goes_to_its_fan_out_and_those_who_are_named(
    pushes: Pushes, neighbours: int, named: int
) -> None:
    """Ten of them, or all where there are fewer, and the named ones besides; to each once."""
    with community(neighbours + 1) as nodes:
        first, *others = nodes
        targets = others[:named]
        published = first.client.publish(
            "chat", [b"hello"], kind="news", to=[key_of(each) for each in targets]
        )
        received = pushes.counts()
        assert set(received.values()) == {1}
        assert received.keys() >= {each.address for each in targets}
        assert len(received) == min(neighbours, FAN_OUT + min(named, neighbours))
        # Who was pushed to holds it one datagram's way later, long before anybody would have asked for it.
        for node in (each for each in others if each.address in received):
            node.client.wait_for_count("chat", 1, timeout_s=0.2)
            (message,) = node.client.get("chat", published.ids[0])
            assert message.payloads == (b"hello",)


def heard(node: Node, *, kind: str) -> Iterator[tuple[bytes, bytes, int]]:
    """(author, payload, cursor) of what the node's followers are told from now on."""
    stream = node.client.follow(["chat"], kinds=[kind], idle_s=1.0)
    return ((event.author, event.payload, event.cursor) for event in stream if event.event == "message")


def line(nodes: list[Node]) -> None:
    """Let each know only those before and after it: the others are blocked."""
    for place, node in enumerate(nodes):
        for other_place, other in enumerate(nodes):
            if abs(place - other_place) > 1:
                node.client.block(format_address(other.address))


def test_a_direct_message_reaches_its_recipient_and_is_not_kept() -> None:
    """Those who follow hear of it, with cursor 0; nobody holds it, and nobody else hears it."""
    with community(3) as (alice, bob, carol):
        held = [node.client.count("chat") for node in (alice, bob, carol)]
        at_bob, at_carol = heard(bob, kind="whisper"), heard(carol, kind="whisper")
        published = alice.client.publish("chat", [b"psst"], kind="whisper", to=[key_of(bob)])
        assert (published.first_cursor, len(published.ids)) == (0, 1)
        assert list(at_bob) == [(key_of(alice), b"psst", 0)]
        assert list(at_carol) == []
        assert [node.client.count("chat") for node in (alice, bob, carol)] == held
        assert bob.client.explain("chat", published.ids[0])["state"] == "unknown"


def test_a_direct_message_is_sent_to_whoever_is_at_an_address() -> None:
    """Bound to the key that has proven itself there."""
    with community(2) as (alice, bob):
        at_bob = heard(bob, kind="whisper")
        alice.client.publish("chat", [b"psst"], kind="whisper", to=[format_address(bob.address)])
        assert list(at_bob) == [(key_of(alice), b"psst", 0)]


@pytest.mark.parametrize(
    ("to", "code"),
    [
        ([], "to-missing"),
        (["ab" * 32], "to-unknown"),
        (["192.0.2.99:6421"], "to-unknown"),
        ("own", "to-self"),
    ],
)
def test_who_is_not_a_neighbour_is_refused_by_name(to: list[str] | str, code: str) -> None:
    with community(2) as (alice, _):
        named = [key_of(alice)] if to == "own" else to
        with pytest.raises(UsageError) as caught:
            alice.client.publish("chat", [b"psst"], kind="whisper", to=named)
        assert caught.value.code == code


def test_what_is_not_stored_is_refused_where_nobody_is_near() -> None:
    with community(1) as (alice,):
        with pytest.raises(UsageError) as caught:
            alice.client.publish("chat", [b"lost"], kind="beacon")
        assert caught.value.code == "to-unknown"


def test_a_message_without_author_is_heard_and_not_kept() -> None:
    with community(2) as (alice, bob):
        at_bob = heard(bob, kind="beacon")
        alice.client.publish("chat", [b"here"], kind="beacon")
        assert list(at_bob) == [(b"", b"here", 0)]
        assert bob.client.count("chat") == 0


def wait_until_met(node: Node, other: Node) -> None:
    """Until one has walked to the other: to whom has only been introduced nothing is passed on."""
    address = format_address(other.address)
    for _ in range(60):
        if any(
            (peer["address"], peer["category"]) == (address, "walked") for peer in node.client.peers("chat")
        ):
            return
        with pytest.raises(UsageError, match="neighbours"):
            # To wait lets the network run.
            node.client.wait_for_peers("chat", 99, timeout_s=1.0)
    raise AssertionError(f"{address} was not met")


@pytest.mark.parametrize(("kind", "told"), [("rumour", [0, 1, 1, 0, 0]), ("legend", [0, 1, 1, 1, 1])])
def test_n_hop_goes_as_far_as_its_hops_say_and_no_farther(pushes: Pushes, kind: str, told: list[int]) -> None:
    """Along a line of five: with two hops two hear it and the third does not, with nine all do; each relay
    passes it on once."""
    with community(5) as nodes:
        line(nodes)
        for place, node in enumerate(nodes[1:-1], 1):
            peers = [format_address(nodes[place + 1].address)]
            node.client.join(node.client.community("chat")["community"], peers=peers)
            wait_until_met(node, nodes[place + 1])
        streams = [heard(node, kind=kind) for node in nodes]
        published = nodes[0].client.publish("chat", [b"did you hear"], kind=kind)
        assert [len(list(stream)) for stream in streams] == told
        reached = [node.address for node, count in zip(nodes, told, strict=True) if count]
        assert pushes.counts() == dict.fromkeys(reached, 1)
        assert len(published.ids) == 1
