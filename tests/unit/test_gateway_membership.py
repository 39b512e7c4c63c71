"""Goal: what was left or blocked is in no stream and no answer; orders reach the writer as it takes them."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from itertools import takewhile
from os import urandom
from time import monotonic
from typing import Any

import msgspec
import pytest

from dispersy.bus.frames import COMMIT, CommitNote, encode
from dispersy.client import Client
from dispersy.errors import UsageError
from dispersy.protocol.address import parse_address
from dispersy.storage.blocklist import Blocklist, canonical_address
from dispersy.storage.store import Batch, BlockedRecord, EntryType, EventEntry
from tests.unit.gateway_house import AUTHOR, CHAT, LIMIT_S, NEWS, House, payloads_of, receive


def _change(house: House, batch: Batch) -> None:
    """As the writer tells that what is known of communities and blocks is another."""
    _, last = house.store.commit(batch)
    note = CommitNote(last, int.from_bytes(urandom(6), "big"), {}, {})
    house.notes.send_multipart([COMMIT, encode(note)])


def _until(holds: Callable[[], bool]) -> None:
    """Notes and requests come by different ways."""
    limit = monotonic() + LIMIT_S
    while not holds():
        assert monotonic() < limit


def _replayed(client: Client) -> list[Any]:
    with closing(client.follow(since="begin", idle_s=LIMIT_S)) as events:
        return list(takewhile(lambda event: event.event != "caught-up", events))


def test_a_block_of_a_community_that_was_left_is_shown_as_its_own(house: House) -> None:
    """Not as one for everywhere; and it can be taken back there, while nobody more is blocked there."""
    house.join(1, CHAT, "chat")
    record = replace(house.store.communities()[0], left=True)

    def scene() -> None:
        client = house.client()
        _change(house, Batch(communities=[record], blocked=[BlockedRecord(1, AUTHOR, "")]))
        _until(lambda: not client.communities())
        assert client.blocked() == [{"member": AUTHOR, "address": "", "community": CHAT}]
        with pytest.raises(UsageError, match="no community is called 'chat'"):
            client.block(AUTHOR, community="chat")
        socket = house.dealer()
        request = {"v": 1, "id": 1, "op": "unblock", "member": AUTHOR, "community": "chat"}
        socket.send(msgspec.msgpack.encode(request))
        order = house.answer_order(lambda _: {"ok": True, "op": "unblock", "already": False})
        assert (order["op"], order["community"], order["member"]) == ("unblock", 1, AUTHOR)
        assert receive(socket)["ok"]

    house.play(scene)


@pytest.mark.parametrize("community", [0, 1])
def test_a_blocked_author_is_nowhere(house: House, community: int) -> None:
    """Not in replay, list, get, nor as a change; the count stays, and unblocking shows all again."""
    house.join(1, CHAT, "chat")
    first = house.publish(1, [b"one"], [b"two"])
    entry = house.store.entries([first])[0]
    house.commit(Batch(events=[EventEntry(EntryType.DENIED, 1, entry.message_id, first, "order")]))
    blocked = [BlockedRecord(community, AUTHOR, "")]

    def scene() -> None:
        client = house.client()
        assert len(_replayed(client)) == 3
        _change(house, Batch(blocked=blocked))
        _until(lambda: not client.request("list", community="chat")["messages"])
        assert _replayed(client) == []
        assert client.count("chat") == 2
        listed = client.blocked()
        assert listed == [{"member": AUTHOR, "address": "", "community": CHAT if community else b""}]
        _change(house, Batch(blocked=[BlockedRecord(2, AUTHOR, "")]))
        _until(lambda: len(client.request("list", community="chat")["messages"]) == 2)
        assert payloads_of(_replayed(client)) == [b"one", b"two"]
        client.close()

    house.play(scene)


def test_a_left_community_is_not_there(house: House) -> None:
    """Its name and id mean nothing, but to leave it once more; the other is as it was."""
    house.join(1, CHAT, "chat")
    house.join(2, NEWS, "news")
    house.publish(1, [b"one"])
    record = next(record for record in house.store.communities() if record.number == 1)
    left = type(record)(1, CHAT, "chat", AUTHOR, record.definition, loaded=False, left=True)

    def scene() -> None:
        client = house.client()
        assert payloads_of(_replayed(client)) == [b"one"]
        _change(house, Batch(communities=[left]))
        _until(lambda: len(client.communities()) == 1)
        assert _replayed(client) == []
        assert [entry["name"] for entry in client.communities()] == ["news"]
        told = {entry["name"]: (entry["left"], entry["purging"]) for entry in client.communities(left=True)}
        assert told == {"chat": (True, False), "news": (False, False)}
        with pytest.raises(UsageError, match="there are news"):
            client.count("chat")
        _change(house, Batch(purges=[(1, 1)]))
        assert [entry["purging"] for entry in client.communities(left=True)] == [True, False]
        client.close()

    house.play(scene)


@pytest.mark.parametrize(
    ("op", "fields", "order"),
    [
        ("leave", {"community": "chat", "purge": True}, {"op": "leave", "community": 1, "purge": True}),
        ("load", {"community": "chat"}, {"op": "load", "community": 1}),
        ("unload", {"community": "chat"}, {"op": "unload", "community": 1}),
        (
            "autoload",
            {"community": "chat", "mode": "on-packet"},
            {"op": "autoload", "community": 1, "autoload": "on-packet"},
        ),
        (
            "block",
            {"member": AUTHOR, "community": "chat"},
            {"op": "block", "community": 1, "member": AUTHOR, "address": ""},
        ),
        (
            "unblock",
            {"address": "[::ffff:192.0.2.1]:5"},
            {"op": "unblock", "community": 0, "member": b"", "address": "192.0.2.1:5"},
        ),
    ],
)
def test_an_order_reaches_the_writer(
    house: House, op: str, fields: dict[str, Any], order: dict[str, Any]
) -> None:
    """By number and in canonical form; the writer's answer is the reply."""
    house.join(1, CHAT, "chat")

    def scene() -> None:
        socket = house.dealer()
        frame = msgspec.msgpack.encode({"v": 1, "id": 1, "op": op, **fields})

        def is_ordered() -> bool:
            # A gateway that has just begun may not have reached the writer yet, and says so.
            socket.send(frame)
            return bool(house.orders.poll(200))

        _until(is_ordered)
        taken = house.answer_order(lambda _: {"ok": True, "already": False})
        assert {name: taken[name] for name in order} == order
        replies = iter(lambda: receive(socket), None)
        assert next(reply for reply in replies if reply["ok"])["already"] is False

    house.play(scene)


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"member": AUTHOR, "address": "192.0.2.1"},
        {"member": b"short"},
        {"address": "192.0.2.1", "community": "chat"},
        {"address": "example.org"},
        {"address": "192.0.2.1:0"},
        {"member": AUTHOR, "community": "nowhere"},
    ],
)
def test_a_block_that_makes_no_sense(house: House, fields: dict[str, Any]) -> None:
    """It is refused with what would be right, and the writer hears nothing of it."""
    house.join(1, CHAT, "chat")

    def scene() -> None:
        client = house.client()
        with pytest.raises(UsageError) as refused:
            client.request("block", **fields)
        assert refused.value.hint
        assert not house.orders.poll(0)
        client.close()

    house.play(scene)


@pytest.mark.parametrize(
    ("blocked", "refused", "heard"),
    [
        ("192.0.2.1", ["192.0.2.1:1", "192.0.2.1:6421"], ["192.0.2.2:1"]),
        ("192.0.2.1:6421", ["192.0.2.1:6421"], ["192.0.2.1:1"]),
        ("2001:db8::1", ["[2001:db8::1]:1", "[2001:db8::2]:1"], ["[2001:db8:0:1::1]:1"]),
        ("127.0.0.1", ["127.0.0.1:1"], ["127.0.0.2:1"]),
    ],
)
def test_what_a_blocked_address_means(blocked: str, refused: list[str], heard: list[str]) -> None:
    """A host with all its ports (of IPv6 the network that it has whole), or one port of it."""
    blocklist = Blocklist([BlockedRecord(0, b"", canonical_address(blocked))])
    assert blocklist.has_addresses
    assert all(blocklist.refuses(parse_address(text)) for text in refused)
    assert not any(blocklist.refuses(parse_address(text)) for text in heard)


def test_whoever_types_the_beginning_of_a_member_hears_what_is_whole() -> None:
    """Lists show eight digits of an author, and a block is for one member only."""
    with pytest.raises(UsageError, match="nor a member's whole key") as refused:
        canonical_address("be27210a")
    assert refused.value.code == "address-malformed"
    assert "64 hex digits" in refused.value.hint
