"""Goal: a person looks at what is stored with get, list, explain and subscribe, and a program with --json."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from dispersy.errors import MISUSED, REFUSED, STORAGE
from tests.integration.node import Node

MakeNode = Callable[..., Node]


def shown(node: Node, *arguments: str) -> list[dict[str, Any]]:
    """What a command prints for programs, line by line."""
    done = node.command(*arguments, "--json")
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_what_is_stored_is_found(make_node: MakeNode) -> None:
    """By list, by get of what list told, by explain; as people read it and as programs do."""
    node = make_node("a")
    with node.start() as client:
        client.create("chat")
        client.publish_many("chat", [b"line %d" % number for number in range(1, 6)])
        me = client.community("chat")["member"]
    listed = shown(node, "list", "chat")
    assert [each["texts"] for each in listed] == [[f"line {number}"] for number in range(1, 6)]
    newest = shown(node, "list", "chat", "--order", "descending", "--limit", "2", "--author", me.hex())
    assert [each["texts"][0] for each in newest] == ["line 5", "line 4"]
    assert [each["texts"][0] for each in shown(node, "last", "chat", "--count", "2", "--fetch", "1")] == [
        "line 5",
        "line 4",
    ]
    assert node.command("last", "chat", "--author", me.hex()).stdout.endswith(" line 5\n")
    low, high = listed[1]["global_time"], listed[2]["global_time"]
    some = node.command("list", "chat", "--from", str(low), "--to", str(high), "--by", "arrival")
    assert [line.split(" ", 2)[2] for line in some.stdout.splitlines()] == ["line 2", "line 3"]
    wanted = listed[3]
    by_slot = ("--author", wanted["author"], "--sequence", str(wanted["sequence"]))
    assert (
        shown(node, "get", "chat", wanted["message_id"]) == shown(node, "get", "chat", *by_slot) == [wanted]
    )
    assert "line 4" in node.command("get", "chat", wanted["message_id"]).stdout
    assert shown(node, "explain", "chat", wanted["message_id"])[0]["state"] == "shown"
    assert "how it came: this node" in node.command("explain", "chat", wanted["message_id"]).stdout
    assert "unknown" in node.command("explain", "chat", "ab" * 32).stdout
    _try_subscriptions(node, listed)
    _try_mistakes(node)


def _try_subscriptions(node: Node, listed: list[dict[str, Any]]) -> None:
    """Those that end: at what is stored, from a cursor, from now."""
    events = shown(node, "subscribe", "chat", "--no-follow")
    assert [each["event"] for each in events] == ["message"] * 5 + ["caught-up"]
    after = shown(node, "subscribe", "chat", "--no-follow", "--since", str(listed[2]["cursor"]))
    assert [each.get("text") for each in after] == ["line 4", "line 5", None]
    now = shown(node, "subscribe", "chat", "--no-follow", "--since", "now")
    assert [each["event"] for each in now] == ["caught-up"]


def _try_mistakes(node: Node) -> None:
    """Each with its exit status, and what would be right."""
    for arguments, status, part in (
        (("get", "chat"), MISUSED, "which message"),
        (("get", "chat", "abc"), MISUSED, "64 hex digits"),
        (("get", "chat", "ab" * 32), REFUSED, "explain"),
        (("list", "chat", "--kind", "image"), None, "text"),
        (("list", "chat", "--author", "nobody"), MISUSED, "64 hex digits"),
        (("subscribe", "chat", "--since", "yesterday"), MISUSED, "cursor"),
        (("explain", "nowhere", "ab" * 32), None, "community list"),
        (("publish", "chat", "x", "--as", "nobody"), STORAGE, "chat-1-member"),
    ):
        done = node.command(*arguments)
        assert done.returncode in ({MISUSED, REFUSED} if status is None else {status}), arguments
        assert part in done.stderr, done.stderr


def test_a_message_is_signed_as_the_key_that_is_named(make_node: MakeNode) -> None:
    """A key of the keyring by its name, for a message and for a community."""
    node = make_node("a")
    node.start().close()
    assert node.command("community", "create", "chat").returncode == 0
    (made,) = shown(node, "community", "create", "news", "--as", "chat-1-member")
    assert made["keys_made"] == ["news-2-master"]
    (mine,) = shown(node, "publish", "news", "as myself")
    (other,) = shown(node, "publish", "news", "as its master", "--as", "news-2-master")
    authors = [shown(node, "get", "news", each["id"])[0]["author"] for each in (mine, other)]
    assert authors == [made["member_id"], made["community_id"]]
