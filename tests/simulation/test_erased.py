"""Goal: what an author has taken back leaves the nodes that had it, and never reaches those that had not."""

from __future__ import annotations

import msgspec
import pytest

from dispersy import BlockingCommunity, kind
from dispersy.protocol.address import Address
from dispersy.testing import Network
from dispersy.testing.links import Links


class Text(msgspec.Struct):
    body: str


class Chat(BlockingCommunity):
    text = kind(64, Text)


def test_a_newcomer_gets_what_is_left_and_not_the_payloads(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every third message is erased: all nodes hold the same, and no datagram has them."""
    sent: list[bytes] = []
    send = Links.send

    def note(links: Links, now: float, source: Address, target: Address, data: bytes) -> None:
        sent.append(data)
        send(links, now, source, target, data)

    with Network() as network:
        alice, bob = network.nodes(2)
        chat = Chat.create(alice.client, "chat")
        others = Chat.join(bob.client, chat.invite())
        for number in range(90):
            ids = chat.text.publish(Text(f"{'secret' if number % 3 == 0 else 'open'} {number}")).ids
            if number % 3 == 0:
                alice.client.undo("chat", ids[0])
        network.settle()
        monkeypatch.setattr(Links, "send", note)
        late = Chat.join(network.node().client, others.invite())
        network.settle()
        for each in (chat, others, late):
            shown = [message.payload.body for message in each.text.follow(since="begin", idle_s=0.1)]
            assert sorted(shown) == sorted(f"open {number}" for number in range(90) if number % 3)
            page = each.client.page(each.id.hex(), hidden=True)
            hidden = [message for message in page.messages if message.hidden]
            assert {message.hidden for message in hidden} == {("undone", "erased")}
            assert not any(message.payloads for message in hidden)
        assert any(b"open 1" in data for data in sent)
        assert not any(b"secret" in data for data in sent)
