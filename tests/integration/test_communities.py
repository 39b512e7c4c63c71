"""Goal: communities on real nodes are loaded, unloaded, left and purged alone; blocks are told to no one."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from itertools import takewhile
from typing import Any

import pytest

from dispersy.client import Client, Event
from dispersy.errors import UsageError
from tests.integration.node import FULL, Node

pytestmark = pytest.mark.long

NODE_OPTIONS = FULL

LIMIT_S = 60.0
MakeNode = Callable[..., Node]


def _entry(client: Client, community: str) -> dict[str, Any]:
    return next(entry for entry in client.communities(left=True) if entry["community"].hex() == community)


def _counter(status: dict[str, Any], group: str, name: str) -> int:
    found = [process[group].get(name, 0) for process in status["processes"] if process["role"] == "network"]
    return int(found[0]) if found else 0


def _until_counted(client: Client, group: str, name: str, more: int = 1) -> None:
    """Until the network process has counted so many more: the packets did come."""
    wanted = _counter(client.status(), group, name) + more
    client.wait_for_status(lambda status: _counter(status, group, name) >= wanted, timeout_s=LIMIT_S)


def _all_shown(client: Client, *communities: str) -> list[Event]:
    """What a replay shows."""
    with closing(client.follow(communities, since="begin", idle_s=LIMIT_S)) as events:
        return list(takewhile(lambda event: event.event != "caught-up", events))


def _payloads(client: Client, community: str) -> set[bytes | None]:
    return {event.payload for event in _all_shown(client, community) if event.event == "message"}


def _joined(first: Client, second: Client, name: str) -> str:
    """A community of the first node with a message in it, held by the second; its id."""
    community_id = first.create(name)["community_id"]
    first.publish(name, [b"early"])
    second.join(community_id, peers=first.status()["addresses"])
    community: str = community_id.hex()
    second.wait_for_definition(community, timeout_s=LIMIT_S)
    second.wait_for_count(community, 1, timeout_s=LIMIT_S)
    # The first walks to the second also when it hears nothing of it.
    first.join(community_id, peers=second.status()["addresses"])
    return community


def _restarted(node: Node) -> Client:
    """The same node where it was, as its neighbours know it."""
    with node.client() as client:
        listen = client.status()["listen"]
    node.stop()
    node.options = ("--listen", listen, "--workers", "1")
    return node.start()


def test_load_and_unload(make_node: MakeNode) -> None:
    """Unloaded it takes nothing and publishes nothing, and can be read; loaded it catches up."""
    with make_node("a").start() as first, make_node("b").start() as second:
        community = _joined(first, second, "chat")
        second.unload(community)
        first.publish("chat", [b"meanwhile"])
        _until_counted(second, "drops", "community-unknown")
        with pytest.raises(UsageError) as refused:
            second.publish(community, [b"no"])
        assert refused.value.code == "community-unloaded"
        assert _payloads(second, community) == {b"early"}
        assert second.peers(community) == []
        second.load(community)
        second.wait_for_count(community, 2, timeout_s=LIMIT_S)
        second.publish(community, [b"back"])
        first.wait_for_count("chat", 3, timeout_s=LIMIT_S)


def test_how_it_is_in_words(make_node: MakeNode) -> None:
    """Alone, then in sync with the other on both sides, also after a publication; unloaded; left."""
    with make_node("a").start() as first, make_node("b").start() as second:
        made = first.create("chat")["community_id"]
        _until_state(first, made, "alone: no neighbour answers")
        second.join(made, peers=first.status()["addresses"])
        for client in (first, second):
            _until_state(client, made, "in sync with 1 of 1 neighbour")
        first.publish("chat", [b"news"])
        second.wait_for_count("chat", 1, timeout_s=LIMIT_S)
        for client in (first, second):
            _until_state(client, made, "in sync with 1 of 1 neighbour", messages=2)
            [peer] = client.peers("chat")
            assert (peer["in_sync"], peer["messages"]) == (True, 2)
        second.unload("chat")
        _until_state(second, made, "unloaded")
        assert _entry(second, made.hex())["peers"] == 0
        second.leave("chat")
        _until_state(second, made, "left")


def _until_state(client: Client, community_id: bytes, state: str, messages: int | None = None) -> None:
    """Until a community is said to be so, with a neighbour that says it holds so many."""

    def is_so(_: dict[str, Any]) -> bool:
        entry = _entry(client, community_id.hex())
        return bool(entry["state"] == state and messages in (None, entry["messages_claimed"]))

    client.wait_for_status(is_so, timeout_s=LIMIT_S)


def test_load_on_the_first_packet_where_asked_never_where_not(make_node: MakeNode) -> None:
    """After a start, one community wakes when its neighbour speaks, the other sleeps through the same."""
    node = make_node("b")
    with make_node("a").start() as first:
        with node.start() as second:
            awake, asleep = _joined(first, second, "awake"), _joined(first, second, "asleep")
            second.autoload(awake, "on-packet")
            second.autoload(asleep, "never")
            first.publish_many("awake", [b"late"])
            first.publish_many("asleep", [b"late"])
            second.wait_for_count(awake, 2, timeout_s=LIMIT_S)
        with _restarted(node) as second:
            first.publish("awake", [b"later"])
            first.publish("asleep", [b"later"])
            second.wait_for_count(awake, 3, timeout_s=LIMIT_S)
            assert _entry(second, awake)["loaded"]
            _until_counted(second, "drops", "community-unknown")
            assert not _entry(second, asleep)["loaded"]
            assert b"later" not in _payloads(second, asleep)
            # The writer alone started again: that is no start of the node.
            second.load(asleep)
            second.wait_for_count(asleep, 3, timeout_s=LIMIT_S)
            node.kill("writer")
            second.wait_for_status(lambda status: status["ready"], timeout_s=LIMIT_S)
            first.publish("asleep", [b"last"])
            second.wait_for_count(asleep, 4, timeout_s=LIMIT_S)


def test_two_at_once_stay_apart(make_node: MakeNode) -> None:
    """One is left and purged, and joined again with a fresh key; the other goes on as if nothing was."""
    with make_node("a").start() as first, make_node("b").start() as second:
        left, kept = _joined(first, second, "left"), _joined(first, second, "kept")
        for client in (first, second):
            client.publish(left, [b"in left"])
            client.publish(kept, [b"in kept"])
        for client in (first, second):
            client.wait_for_count(left, 3, timeout_s=LIMIT_S)
            client.wait_for_count(kept, 3, timeout_s=LIMIT_S)
        member, kept_member = _entry(second, left)["member"], _entry(second, kept)["member"]
        assert member != kept_member
        done = second.leave(left, purge=True)
        assert (done["name"], done["messages"], done["already"]) == ("left", 4, False)
        with pytest.raises(UsageError, match="no community"):
            second.publish(left, [b"no"])
        first.publish(kept, [b"more"])
        second.wait_for_count(kept, 4, timeout_s=LIMIT_S)
        assert _payloads(second, kept) == {b"early", b"in kept", b"more"}
        assert {event.event for event in _all_shown(second)} == {"message", "removed"}
        second.join(bytes.fromhex(left), peers=first.status()["addresses"])
        second.wait_for_count(left, 3, timeout_s=LIMIT_S)
        assert _entry(second, left)["member"] != member
        second.publish(left, [b"with a fresh key"])
        first.wait_for_count(left, 4, timeout_s=LIMIT_S)
        # Two messages in one slot would have hidden each other.
        expected = {b"early", b"in left", b"with a fresh key"}
        assert _payloads(first, left) == _payloads(second, left) == expected
        assert _entry(second, kept)["member"] == kept_member


def test_what_was_left_comes_back(make_node: MakeNode) -> None:
    """Without purge: nothing of it is shown or served, and joining again shows it all."""
    with make_node("a").start() as first, make_node("b").start() as second:
        community = _joined(first, second, "chat")
        member = _entry(second, community)["member"]
        second.leave(community)
        assert second.communities() == []
        assert [entry["left"] for entry in second.communities(left=True)] == [True]
        assert _all_shown(second) == []
        first.publish("chat", [b"meanwhile"])
        _until_counted(second, "drops", "community-unknown")
        second.join(bytes.fromhex(community))
        second.wait_for_count(community, 2, timeout_s=LIMIT_S)
        assert _payloads(second, community) == {b"early", b"meanwhile"}
        assert _entry(second, community)["member"] == member


def test_a_blocked_member_is_held_and_not_shown(make_node: MakeNode) -> None:
    """Its messages come by others, are counted and passed on, in no stream; unblocked they are there."""
    nodes = [make_node(name) for name in "abc"]
    with nodes[0].start() as first, nodes[1].start() as second, nodes[2].start() as third:
        community = _joined(first, second, "chat")
        third.join(bytes.fromhex(community), peers=second.status()["addresses"])
        third.wait_for_count(community, 1, timeout_s=LIMIT_S)
        author = _entry(second, community)["member"]
        second.publish(community, [b"before"])
        first.wait_for_count(community, 2, timeout_s=LIMIT_S)
        first.block(author, community=community)
        live = first.follow([community], since="now", idle_s=LIMIT_S)
        second.publish(community, [b"blocked"])
        first.wait_for_count(community, 3, timeout_s=LIMIT_S)
        first.publish(community, [b"own"])
        assert next(event.payload for event in live if event.event == "message") == b"own"
        assert _payloads(first, community) == {b"early", b"own"}
        # It gets what is written here, and all sets are equal.
        second.wait_for_count(community, 4, timeout_s=LIMIT_S)
        third.wait_for_count(community, 4, timeout_s=LIMIT_S)
        first.wait_for_status(
            lambda _: author not in [peer["member"] for peer in first.peers(community)], timeout_s=LIMIT_S
        )
        assert [entry["member"] for entry in first.blocked()] == [author]
        first.unblock(author, community=community)
        assert first.blocked() == []
        assert _payloads(first, community) == {b"early", b"own", b"before", b"blocked"}


def test_a_blocked_address_is_neither_heard_nor_spoken_to(make_node: MakeNode) -> None:
    """Its datagrams are counted and dropped; unblocked, all that was missed comes."""
    with make_node("a").start() as first, make_node("b").start() as second:
        community = _joined(first, second, "chat")
        (address,) = second.status()["addresses"]
        assert [first.block(address)["already"] for _ in range(2)] == [False, True]
        first.wait_for_status(
            lambda status: _counter(status, "counters", "in-dropped-blocked") > 0, timeout_s=LIMIT_S
        )
        second.publish(community, [b"unheard"])
        _until_counted(first, "counters", "in-dropped-blocked", 3)
        assert first.count(community) == 1
        assert first.peers(community) == []
        first.unblock(address)
        first.wait_for_count(community, 2, timeout_s=LIMIT_S)


def test_the_commands(make_node: MakeNode) -> None:
    """What a person types, what it prints, and its exit status; nothing is removed without a yes."""
    node = make_node("a")
    with node.start() as client:
        client.create("chat")
        client.publish("chat", [b"one"])
        member = "ab" * 32

        def run(*arguments: str, input_text: str | None = None) -> tuple[int, str]:
            done = node.command(*arguments, input_text=input_text)
            return done.returncode, done.stdout + done.stderr

        assert run("community", "unload", "chat") == (0, "unloaded: chat\n")
        assert run("community", "unload", "chat") == (0, "was not loaded: chat\n")
        status, said = run("publish", "chat", "two")
        assert (status, "dispersy community load chat" in said) == (1, True)
        assert run("community", "load", "chat") == (0, "loaded: chat\n")
        assert run("community", "autoload", "chat", "never")[0] == 0
        assert "never" in run("community", "list")[1]
        status, said = run("community", "autoload", "chat", "sometimes")
        assert (status, "always, on-packet, never" in said) == (2, True)
        assert run("block", member, "--community", "chat") == (0, f"blocked: {member}\n")
        assert run("block", "192.0.2.1") == (0, "blocked: 192.0.2.1\n")
        status, said = run("blocked")
        assert (status, member in said, "192.0.2.1" in said, "everywhere" in said) == (0, True, True, True)
        status, said = run("block", "example.org")
        assert (status, "192.0.2.1" in said) == (2, True)
        assert run("unblock", "192.0.2.1") == (0, "unblocked: 192.0.2.1\n")
        status, said = run("community", "leave", "chat", "--purge")
        assert (
            status,
            "removes 2 messages, Dispersy's own among them, of chat" in said,
            "--yes" in said,
        ) == (2, True, True)
        assert client.count("chat") == 1
        status, said = run("community", "leave", "chat")
        assert (status, "2 messages, Dispersy's own among them, stay here" in said) == (0, True)
        status, said = run("community", "leave", "chat", "--purge", "--yes")
        assert (status, "2 messages, Dispersy's own among them, are being removed" in said) == (0, True)
        assert run("community", "leave", "chat")[0] == 1
        assert client.blocked() == []
