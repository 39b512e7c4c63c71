"""Goal: what a founder signs on one node decides on every other, by real processes and UDP alone."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from time import monotonic

import pytest

from dispersy.client import Client
from dispersy.errors import UsageError
from dispersy.protocol.definitions.definition import Definition, Kind, encode_definition
from dispersy.protocol.definitions.policies import choose
from tests.integration.node import Node

LIMIT_S = 90.0
MakeNode = Callable[..., Node]
DEFINITION = encode_definition(
    Definition(
        "wiki",
        (
            Kind(number=64, name="talk", resolution=choose("resolution", "dynamic", initial=1)),
            Kind(number=65, name="page", resolution=choose("resolution", "linear")),
        ),
    )
)


def until(holds: Callable[[], bool], what: str) -> None:
    """Wait until something holds, looking ten times a second."""
    tick, limit = threading.Event(), monotonic() + LIMIT_S
    while not holds():
        assert monotonic() < limit, what
        tick.wait(0.1)


def shown(client: Client) -> list[bytes]:
    """What was written, Dispersy's own left out."""
    return [
        each for message in client.page("wiki", kinds=["talk", "page"]).messages for each in message.payloads
    ]


def live(client: Client) -> int:
    """How many messages are live, those that govern among them."""
    count: int = client.community("wiki")["live"]
    return count


def own_key(client: Client) -> bytes:
    found: bytes = client.community("wiki")["member"]
    return found


@pytest.fixture
def founder(make_node: MakeNode) -> Iterator[Client]:
    with make_node("founder").start() as client:
        client.create("wiki", DEFINITION)
        yield client


@pytest.fixture
def member(make_node: MakeNode, founder: Client) -> Iterator[Client]:
    """A node that has met the founder's."""
    with make_node("member").start() as client:
        client.join(founder.community("wiki")["community"], name="wiki", peers=founder.status()["addresses"])
        client.wait_for_definition("wiki", timeout_s=LIMIT_S)
        yield client


def test_a_member_is_authorized_writes_and_is_revoked(founder: Client, member: Client) -> None:
    """The second node learns of each step by synchronisation, and both end with the same."""
    with pytest.raises(UsageError) as refused:
        member.publish("wiki", [b"too early"], kind="page")
    assert refused.value.code == "not-permitted"
    founder.authorize("wiki", [own_key(member)], kinds=["page"])
    until(lambda: live(member) == live(founder) == 2, "the authorize did not come")
    for text in (b"one", b"two"):
        member.publish("wiki", [text], kind="page")
    until(lambda: sorted(shown(founder)) == [b"one", b"two"], "the pages did not come")
    founder.revoke("wiki", [own_key(member)], kinds=["page"], force=True)
    until(lambda: live(member) == live(founder) == 5, "the revoke did not come")
    with pytest.raises(UsageError) as refused:
        member.publish("wiki", [b"too late"], kind="page")
    assert refused.value.code == "not-permitted"
    assert sorted(shown(member)) == sorted(shown(founder)) == [b"one", b"two"]


def test_who_is_behind_is_sent_the_settings_and_a_destroy_ends_all(founder: Client, member: Client) -> None:
    """A kind is opened, written in, and the community is destroyed: on every node."""
    founder.policy("wiki", "talk", "public")
    until(lambda: live(member) == live(founder) == 2, "the settings did not come")
    member.publish("wiki", [b"hello"], kind="talk")
    until(lambda: shown(founder) == [b"hello"], "what was opened was not written in")
    founder.destroy("wiki", hard=True, yes=True)
    for client in (founder, member):
        until(lambda client=client: live(client) == 1 and not shown(client), "it was not wiped")
        with pytest.raises(UsageError) as refused:
            client.publish("wiki", [b"once more"], kind="talk")
        assert refused.value.code == "community-destroyed"
        assert client.community("wiki")["state"].startswith("destroyed by its founder; ")
