"""Goal: applications publish and follow typed messages of declared communities through real nodes."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import msgspec
import pytest

from dispersy import AsyncClient, BlockingCommunity, Client, Community, Event, UsageError, kind
from tests.integration.node import Node

LIMIT_S = 60.0


class Text(msgspec.Struct):
    body: str


class Photo(msgspec.Struct):
    caption: str
    image: bytes


class Chat(Community):
    text = kind(64, Text)
    photo = kind(65, Photo)


class Later(Community):
    """The same definition, another version of the application."""

    text = kind(64, Photo)
    photo = kind(65, Photo)


class Blocking(BlockingCommunity):
    text = kind(64, Text)
    photo = kind(65, Photo)


class Other(Community):
    text = kind(64, str)


def test_two_nodes_exchange_typed_messages(make_node: Callable[..., Node]) -> None:
    """Create, invite, join, publish, follow one kind and several, across two nodes."""
    first, second = make_node("a"), make_node("b")
    first.start().close()
    second.start().close()

    async def main() -> None:
        async with (
            asyncio.timeout(LIMIT_S),
            AsyncClient(first.home) as alice,
            AsyncClient(second.home) as bob,
        ):
            chat = await Chat.create(alice, "chat")
            joined = await Chat.join(bob, await chat.invite(), timeout_s=LIMIT_S)
            assert joined.id == chat.id
            texts = joined.text.follow(since="begin")
            await chat.text.publish(Text("one"), Text("two"))
            await chat.photo.publish(Photo("sea", b"\0\1"))
            assert await chat.text.publish_many(map(Text, "abc")) == 3
            seen = [await anext(texts) for _ in range(5)]
            assert [message.payload for message in seen] == list(map(Text, ["one", "two", *"abc"]))
            assert [message.index for message in seen] == [0, 1, 0, 0, 0]
            assert len({message.author for message in seen}) == 1
            both = [
                message async for message in joined.follow(Chat.text, Chat.photo, since="begin", idle_s=0.5)
            ]
            assert [type(message.payload) for message in both] == [Text, Text, Photo, Text, Text, Text]
            # The community as a class of the same definition, and of another one.
            assert (await Chat.open(bob, chat.id.hex())).id == chat.id
            with pytest.raises(UsageError, match="kind 'text': payload is") as caught:
                await Other.open(bob, chat.id.hex())
            assert caught.value.code == "definition-different"

    asyncio.run(main())


def test_what_does_not_decode_is_left_out_and_counted(make_node: Callable[..., Node]) -> None:
    """Another version's payload, and one that is MessagePack of something else: the stream goes on."""
    node = make_node("a")
    node.start().close()

    async def main() -> None:
        async with asyncio.timeout(LIMIT_S), AsyncClient(node.home) as client:
            chat = await Chat.create(client, "chat")
            later = await Later.open(client, "chat")
            strange: list[Event] = []
            await chat.text.publish(Text("one"))
            await later.text.publish(Photo("sea", b""))
            await client.publish("chat", [b"\xc0"])
            await chat.text.publish(Text("two"))
            messages = chat.text.follow(since="begin", idle_s=0.5, on_undecodable=strange.append)
            assert [message.payload async for message in messages] == [Text("one"), Text("two")]
            assert messages.undecodable == len(strange) == 2
            assert messages.caught_up
            assert strange[1].payload == b"\xc0"
            # What is no MessagePack at all is refused before it is stored.
            with pytest.raises(UsageError, match="not messagepack") as caught:
                await client.publish("chat", [b"\xc1"])
            assert caught.value.code == "payload-format"

    asyncio.run(main())


def test_the_blocking_client_has_the_same(make_node: Callable[..., Node]) -> None:
    with make_node("a").start() as client:
        assert isinstance(client, Client)
        chat = Blocking.create(client, "chat")
        chat.text.publish(Text("one"))
        assert chat.photo.publish_many([Photo("sea", b"")]) == 1
        assert [m.payload for m in Blocking.open(client, "chat").text.follow(since="begin", idle_s=0.3)] == [
            Text("one")
        ]
        both = chat.follow(since="begin", idle_s=0.3)
        assert [type(message.payload) for message in both] == [Text, Photo]
        assert both.caught_up
        assert Blocking.join(client, chat.invite()).id == chat.id
