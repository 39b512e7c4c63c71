"""Dynamic settings: whether a kind is open to all changes by messages, and holds from their time."""

from __future__ import annotations

from itertools import permutations
from pathlib import Path

import pytest

from dispersy import UsageError
from dispersy.operations import new_request_id
from dispersy.protocol.address import format_address
from dispersy.protocol.definitions.definition import Definition, Kind, encode_definition
from dispersy.protocol.definitions.policies import choose
from dispersy.testing import Network
from tests.unit.governed import TALK, Author, GovernedNode, master

CLOSED = Kind(number=TALK, name="talk", resolution=choose("resolution", "dynamic", initial=1))


def test_a_change_at_global_time_42_holds_from_43(tmp_path: Path) -> None:
    """Goal: at 42 the kind is still closed, at 43 it is open, and closed again after the next change."""
    founder, one, two = master(), Author(2), Author(3)
    opened = founder.settings(42, is_linear=False, kind=TALK)
    texts = [one.data(TALK, 42), one.data(TALK, 43), two.data(TALK, 50), two.data(TALK, 51)]
    # The cut of going back to linear names nobody: so it takes what was public, and nothing later counts.
    for order in permutations([opened, texts[0], texts[1]]):
        node = GovernedNode(tmp_path, None, CLOSED)
        for raw in order:
            node.receive(raw)
        assert node.shows(*texts[:2]) == [False, True]
        node.receive(founder.settings(50, is_linear=True), *texts[2:])
        assert node.shows(*texts) == [False, False, False, False]


def test_linear_undoes_what_was_public_and_public_again_restores(tmp_path: Path) -> None:
    """Goal: messages from the change's time on are denied, and come back when it opens again."""
    founder, guest, node = master(), Author(2), GovernedNode(tmp_path)
    text = guest.data(TALK, 50)
    node.receive(text)
    node.receive(founder.settings(42, is_linear=True))
    assert node.shows(text) == [False]
    node.receive(founder.settings(45, is_linear=False))
    assert node.shows(text) == [True]
    assert [(event, reason) for event, _, reason in node.told] == [
        ("denied", "policy"),
        ("restored", "message"),
    ]


def test_a_rejected_message_asks_for_proof_and_the_settings_release_it(tmp_path: Path) -> None:
    """Goal: who has not heard of the opening keeps the message, asks, and then takes it."""
    founder, guest, node = master(), Author(2), GovernedNode(tmp_path, None, CLOSED)
    text = guest.data(TALK, 50)
    node.receive(text)
    assert node.waits(text)
    assert len(node.wants().proofs) == 1
    node.receive(founder.settings(42, is_linear=False))
    assert node.shows(text) == [True]
    assert not node.wants()


def test_a_peer_that_is_behind_is_sent_the_settings_it_lacks() -> None:
    """Goal: a guest's node that has slept through the opening hears of it, and what the guest then writes
    reaches the founder."""
    with Network() as network:
        founder, guest = network.node(), network.node()
        community = founder.client.create("open", encode_definition(Definition("open", (CLOSED,))))
        guest.client.join(community["community_id"], name="open", peers=[format_address(founder.address)])
        guest.client.wait_for_definition("open", timeout_s=60.0)
        with pytest.raises(UsageError) as caught:
            guest.client.publish("open", [b"too early"], kind="talk")
        assert caught.value.code == "not-permitted"
        founder.client.request(
            "policy", community="open", kind="talk", resolution="public", request_id=new_request_id()
        )
        network.settle()
        guest.client.publish("open", [b"in time"], kind="talk")
        assert founder.client.wait_for_count("open", 1, timeout_s=60.0)
