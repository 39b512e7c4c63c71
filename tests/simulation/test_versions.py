"""Goal: nodes of an older version go on working where a newer one has published a definition of its own."""

from __future__ import annotations

import msgspec
import pytest

from dispersy import BlockingCommunity, kind
from dispersy.ext.digest import identify_many
from dispersy.ext.wire import DROP_REASONS, parse_messages
from dispersy.protocol.definitions.definition import Definition, Kind, encode_definition
from dispersy.protocol.identifiers import CommunityId
from dispersy.protocol.wire.message import NO_PREVIOUS, create_message
from dispersy.protocol.wire.numbers import ControlKind
from dispersy.protocol.wire.packing import encode_uvarint
from dispersy.testing import Network, Node


class Chat(BlockingCommunity):
    text = kind(64, str)


def of_format_2() -> bytes:
    return msgspec.msgpack.encode({1: 2, 2: "chat", 3: [{1: 64, 2: "text"}], 4: "what nobody knows yet"})


def with_an_unknown_policy() -> bytes:
    decoded = msgspec.msgpack.decode(encode_definition(Definition("chat", (Kind(number=64, name="text"),))))
    decoded[3][0][5] = {1: 9}
    return msgspec.msgpack.encode(decoded)


def receive_newer(node: Node, payload: bytes) -> None:
    """The founder's node hears of a definition that its master signed with other software."""
    (record,) = node._store.communities()
    master = node._keyring.by_public(record.community_id)
    message = create_message(
        CommunityId(record.community_id),
        master.secret,
        kind=ControlKind.DEFINITION,
        global_time=7,
        sequence=2,
        payloads=[payload],
        previous=NO_PREVIOUS,
    )
    area = encode_uvarint(len(message)) + message
    records = parse_messages(area, bytearray(4 * len(DROP_REASONS)))
    identify_many(records, area, record.community_id)
    node._ledger.receive(record.number, 1, bytes(records), area)
    node.handle_timer()


def held(node: Node) -> int:
    (summary,) = node.summaries().values()
    return summary.count


def texts(chat: Chat) -> list[str]:
    return sorted(message.payload for message in chat.text.follow(since="begin", idle_s=0.1))


@pytest.mark.parametrize("payload", [of_format_2(), with_an_unknown_policy()], ids=["format", "policy"])
def test_a_definition_that_is_not_understood_is_live_passed_on_and_not_followed(payload: bytes) -> None:
    with Network() as network:
        founder, member = network.nodes(2)
        chat = Chat.create(founder.client, "chat")
        other = Chat.join(member.client, chat.invite())
        network.settle()
        before = held(member)
        receive_newer(founder, payload)
        network.settle()
        assert (held(founder), held(member)) == (before + 1, before + 1)
        # The old definition goes on: with it everybody writes, and opens the community.
        Chat.open(member.client, "chat").text.publish("from a member")
        chat.text.publish("from the founder")
        network.settle()
        assert texts(chat) == texts(other) == ["from a member", "from the founder"]
        # Whoever comes now hears of both from somebody who does not understand the newer one.
        network.partition([founder], [member])
        newcomer = network.node()
        network.partition([founder], [member, newcomer])
        late = Chat.join(newcomer.client, other.invite())
        late.text.publish("from a newcomer")
        network.run(60.0)
        assert held(newcomer) == held(member) == before + 4
        assert texts(late) == texts(other)
