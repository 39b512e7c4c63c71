"""Goal: messages of 60 KB reach another real node, among small ones, whole and however they are read."""

from __future__ import annotations

from collections.abc import Callable
from hashlib import sha256

import pytest

from dispersy import BlockingCommunity, kind
from dispersy.errors import UsageError
from tests.integration.node import Node

LIMIT_S = 60.0
SIZE = 60_000
COUNT = 12
MakeNode = Callable[..., Node]


class Album(BlockingCommunity):
    text = kind(64, str)
    photo = kind(65, bytes, size_max=65_416)


def photo(number: int) -> bytes:
    """Bytes that nothing compresses, another SIZE for each."""
    return b"".join(sha256(b"%d %d" % (number, at)).digest() for at in range(SIZE // 32 + 1))[: SIZE + number]


def test_large_messages_reach_the_other_node_among_small_ones(make_node: MakeNode) -> None:
    alice, bob = make_node("alice"), make_node("bob")
    with alice.start() as first, bob.start() as second:
        album = Album.create(first, "album")
        with pytest.raises(UsageError, match="65417 bytes; photo in album allows 65416"):
            album.photo.publish(bytes(65_417))
        with pytest.raises(UsageError, match="972 bytes; text in album allows 971"):
            album.text.publish("x" * 972)
        for number in range(COUNT):
            album.photo.publish(photo(number))
            album.text.publish(f"photo {number}")
        name = album.id.hex()
        second.join(album.id, peers=first.status()["addresses"])
        second.wait_for_definition(name, timeout_s=LIMIT_S)
        copy = Album.open(second, name)
        followed = copy.photo.follow(since="begin", idle_s=LIMIT_S)
        got = [message.payload for _, message in zip(range(COUNT), followed, strict=False)]
        assert sorted(got) == sorted(map(photo, range(COUNT)))
        texts = copy.text.follow(since="begin", idle_s=LIMIT_S)
        assert {message.payload for _, message in zip(range(COUNT), texts, strict=False)} == {
            f"photo {number}" for number in range(COUNT)
        }
        # While nobody waits for all of it: a new one finds its way, too, in the other direction.
        copy.photo.publish(photo(COUNT))
        first.wait_for_count(name, 2 * COUNT + 1, timeout_s=LIMIT_S)
        # Pages end by size as well.
        page, sizes = first.page(name, kinds=("photo",)), []
        while True:
            sizes += [len(message.payloads[0]) for message in page.messages]
            if page.next is None:
                break
            assert sum(len(message.payloads[0]) for message in page.messages) < 8 * SIZE
            page = first.page(name, kinds=("photo",), after=page.next)
        assert sorted(sizes) == [SIZE + number for number in range(COUNT + 1)]
