"""Goal: what applications test with behaves as real nodes do, and the same way every time."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from hashlib import sha256

import msgspec
import pytest

from dispersy import AsyncClient, BlockingCommunity, Community, UsageError, kind
from dispersy.operations import new_request_id
from dispersy.protocol.address import Address, format_address
from dispersy.testing import Link, Network, Node
from dispersy.testing.links import Links


class Text(msgspec.Struct):
    body: str


class Chat(BlockingCommunity):
    text = kind(64, Text)


class AsyncChat(Community):
    text = kind(64, Text)


def meet(*nodes: Node) -> list[Chat]:
    """A community of the first, which the others join."""
    first = Chat.create(nodes[0].client, "chat")
    return [first, *(Chat.join(node.client, first.invite()) for node in nodes[1:])]


def bodies(chat: Chat) -> list[str]:
    return [message.payload.body for message in chat.text.follow(since="begin", idle_s=0.1)]


def story(seed: int, monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """Every datagram that was sent in a run with loss and jitter, as one digest, and what came of it."""
    sent, send = sha256(), Links.send

    def note(links: Links, now: float, source: Address, target: Address, data: bytes) -> None:
        sent.update(source + target + data)
        send(links, now, source, target, data)

    monkeypatch.setattr(Links, "send", note)
    with Network(seed=seed, link=Link(jitter_s=0.05, loss=0.3, duplicates=0.1)) as network:
        chats = meet(*network.nodes(3))
        for number in range(30):
            chats[number % 3].text.publish(Text(str(number)))
        network.settle()
        messages = [
            (message.cursor, message.author, message.message_id, message.payload.body)
            for chat in chats
            for message in chat.text.follow(since="begin", idle_s=0.1)
        ]
        monkeypatch.undo()
        return [sent.hexdigest(), network.now, *messages]


def senders(monkeypatch: pytest.MonkeyPatch) -> list[Address]:
    """Who sends a datagram from now on, in order."""
    sent: list[Address] = []
    send = Links.send

    def note(links: Links, now: float, source: Address, target: Address, data: bytes) -> None:
        sent.append(source)
        send(links, now, source, target, data)

    monkeypatch.setattr(Links, "send", note)
    return sent


def test_the_same_seed_gives_the_same_run(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every byte sent; keys, ids, order of arrival and the time that all of it took."""
    first = story(1, monkeypatch)
    assert story(1, monkeypatch) == first
    other = story(2, monkeypatch)
    assert other != first
    assert len(first) == len(other) == 2 + 3 * 30


def test_many_messages_reach_a_newcomer() -> None:
    """Through the real synchronisation, in the order of its own log, each once."""
    with Network() as network:
        (first,) = meet(network.node())
        assert first.text.publish_many(Text(str(number)) for number in range(3_000)) == 3_000
        late = Chat.join(network.node().client, first.invite())
        network.settle()
        assert sorted(map(int, bodies(late))) == list(range(3_000))


def test_parted_nodes_differ_until_they_are_joined() -> None:
    with Network() as network:
        alice, bob = network.nodes(2)
        chats = meet(alice, bob)
        network.settle()
        network.partition([alice], [bob])
        for chat, body in zip(chats, ("one", "two"), strict=True):
            chat.text.publish(Text(body))
        with pytest.raises(UsageError, match="different messages after 300 s"):
            network.settle(limit_s=300.0)
        assert [bodies(chat) for chat in chats] == [["one"], ["two"]]
        network.heal()
        network.settle()
        assert [sorted(bodies(chat)) for chat in chats] == [["one", "two"]] * 2


def test_the_client_has_its_methods() -> None:
    """Those that need no processes: what a node says of itself, of its neighbours and of its messages."""
    with Network() as network:
        alice, bob = network.nodes(2)
        chats = meet(alice, bob)
        published = chats[0].text.publish(Text("one"))
        client = bob.client
        name = chats[1].id.hex()
        assert client.wait_for_count(name, 1, timeout_s=60.0) == 1
        (peer,) = client.wait_for_peers(name, 1, timeout_s=60.0)
        assert peer["address"] == "192.0.2.1:6421"
        assert client.wait_for_ready(timeout_s=5.0)["listen"] == "192.0.2.2:6421"
        (message,) = client.get(name, message_id=published.ids[0])
        assert message.author == alice.client.community("chat")["member"]
        request_id = new_request_id()
        once, again = (alice.client.publish("chat", [b"\xa0"], request_id=request_id) for _ in range(2))
        assert (once.ids, once.repeated, again.repeated) == (again.ids, False, True)
        for wrong, code in (
            (lambda: client.count("nobody"), "community-unknown"),
            (lambda: client.publish(name, [b"\xc1"]), "payload-format"),
            (lambda: client.publish(name, [b"\xc0"], kind="image"), "kind-unknown"),
            (lambda: client.wait_for_count(name, 99, timeout_s=5.0), "timeout"),
            (lambda: client.follow(["nobody"]), "community-unknown"),
            (lambda: Chat.create(alice.client, "chat"), "name-taken"),
        ):
            with pytest.raises(UsageError) as caught:
                wrong()
            assert caught.value.code == code


def test_a_wait_for_what_never_comes_ends() -> None:
    """In the network's time, which is no time."""
    with Network() as network:
        (chat,) = meet(network.node())
        with pytest.raises(UsageError, match="nothing came in 3600 s") as caught:
            next(chat.text.follow())
        assert caught.value.code == "timeout"


def test_a_closed_client_ends() -> None:
    with Network() as network:
        (chat,) = meet(network.node())
        messages = chat.text.follow(since="begin")
        chat.client.close()
        assert list(messages) == []
        with pytest.raises(UsageError) as caught:
            chat.invite()
        assert caught.value.code == "closed"


def test_applications_over_asyncio_run_as_they_are() -> None:
    """Several tasks on two nodes: each reads while the others write."""

    async def talk(client: AsyncClient, join: Callable[[AsyncClient], object], name: str) -> list[str]:
        chat = await join(client)  # type: ignore[misc]
        assert isinstance(chat, AsyncChat)
        messages = chat.text.follow(since="begin")
        await asyncio.gather(*(chat.text.publish(Text(f"{name} {number}")) for number in range(10)))
        return [(await anext(messages)).payload.body for _ in range(20)]

    async def main() -> None:
        with Network(link=Link(loss=0.1)) as network:
            alice, bob = network.nodes(2)
            async with alice.async_client() as one, bob.async_client() as two:
                chat = await AsyncChat.create(one, "chat")
                invite = await chat.invite()
                seen = await asyncio.gather(
                    talk(one, lambda client: AsyncChat.open(client, "chat"), "alice"),
                    talk(two, lambda client: AsyncChat.join(client, invite), "bob"),
                )
                assert sorted(seen[0]) == sorted(seen[1])
                assert len(set(seen[0])) == 20
                events = chat.text.follow()
            # Closing ended the stream.
            assert [message async for message in events] == []

    asyncio.run(main())


@pytest.mark.parametrize("ended", ["leave", "unload"])
def test_who_takes_part_no_more_is_silent_and_not_waited_for(
    ended: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Until it comes back: then it gets what it has missed."""
    with Network() as network:
        alice, bob = network.nodes(2)
        chats = meet(alice, bob)
        network.settle()
        invite, community = chats[0].invite(), chats[0].id.hex()
        bob.client.request(ended, community=community)
        sent = senders(monkeypatch)
        chats[0].text.publish(Text("one"))
        network.settle(limit_s=60)
        network.run(60)
        assert alice.address in sent
        assert bob.address not in sent
        assert bob.summaries() == {}
        if ended == "leave":
            Chat.join(bob.client, invite)
        else:
            bob.client.load(community)
        network.settle(limit_s=60)
        assert bodies(chats[1]) == ["one"]


def test_nothing_passes_between_a_node_and_an_address_that_it_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    with Network() as network:
        alice, bob = network.nodes(2)
        chats = meet(alice, bob)
        network.settle()
        bob.client.block(format_address(alice.address))
        sent = senders(monkeypatch)
        chats[0].text.publish(Text("one"))
        network.run(60)
        assert set(sent) == {alice.address}
        assert bodies(chats[1]) == []
        assert bob.counters["in-dropped-blocked"] > 0


def test_a_blocked_member_is_no_neighbour() -> None:
    with Network() as network:
        alice, bob = network.nodes(2)
        meet(alice, bob)
        network.settle()
        network.run(30)
        (member,) = {row["member"] for row in bob.client.peers() if row["member"]}
        bob.client.block(member)
        network.run(30)
        assert member not in [row["member"] for row in bob.client.peers()]
        assert bob.counters["introductions-dropped-blocked"] > 0


def test_neighbours_age_by_the_networks_clock() -> None:
    """Goal: how long ago one was heard is told in the time that passes here, not in that outside."""
    with Network(seed=4) as network:
        one, other = network.nodes(2)
        meet(one, other)
        network.run(10.0)
        (before,) = one.client.peers("chat")
        assert 0 <= before["proven_age_s"] <= network.now
        network.partition([one], [other])
        network.run(5.0)
        (after,) = one.client.peers("chat")
        assert before["proven_age_s"] + 4.0 <= after["proven_age_s"] <= network.now
