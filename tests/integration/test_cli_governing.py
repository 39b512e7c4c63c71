"""Goal: a person and a program govern a community from the command line; what destroys is asked for twice."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from dispersy.client import Client
from dispersy.errors import MISUSED, REFUSED
from dispersy.messages import Event
from tests.integration.node import Node

LIMIT_S = 60.0
MakeNode = Callable[..., Node]
WIKI = """
name = "wiki"
[kinds.page]
number = 64
resolution = "linear"
[kinds.remark]
number = 65
resolution = { type = "dynamic", initial = "public" }
"""
MEMBER = "ab" * 32


@pytest.fixture
def node(make_node: MakeNode, tmp_path: Path) -> Node:
    """A node that has founded a wiki."""
    made = make_node("a")
    made.start().close()
    (tmp_path / "wiki.toml").write_text(WIKI, encoding="utf-8")
    done = made.command("community", "create", "wiki", "--definition", str(tmp_path / "wiki.toml"))
    assert done.returncode == 0, done.stderr
    return made


def told(node: Node, *arguments: str) -> Any:
    """What a command says to a program."""
    done = node.command(*arguments, "--json")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def refused(node: Node, status: int, *arguments: str) -> str:
    """What a command that fails says to a person; on standard error, in few lines."""
    done = node.command(*arguments)
    assert done.returncode == status, done.stdout + done.stderr
    assert done.stdout == ""
    assert len(done.stderr.splitlines()) <= 2
    return done.stderr


def test_a_program_governs(node: Node, tmp_path: Path) -> None:
    """Ids as hex, `already` where there was nothing to do, rows as docs/interface.md has them."""
    powers = ("wiki", MEMBER, "--kind", "page", "--permission", "permit,undo", "--permission", "authorize")
    (authorize,) = told(node, "authorize", *powers)["ids"]
    (row,) = [row for row in told(node, "members", "wiki") if row["member"] == MEMBER]
    assert row["permissions"] == {"page": ["permit", "authorize", "undo"]}
    reply = told(node, "permissions", "wiki", "--member", MEMBER[:8], "--kind", "page")
    assert {row["permission"] for row in reply["permissions"]} == {"permit", "authorize", "undo"}
    assert {tuple(row["proof"]) for row in reply["permissions"]} == {(authorize,)}
    assert told(node, "policy", "wiki", "remark", "public") == {"ids": [], "already": True}
    message = told(node, "publish", "wiki", "mine", "--kind", "remark")["id"]
    (undo,) = told(node, "undo", "wiki", message, "--yes")["ids"]
    explained = told(node, "explain", "wiki", message)
    assert (explained["state"], [each["message_id"] for each in explained["against"]]) == ("hidden", [undo])
    (tmp_path / "more.toml").write_text(WIKI + "[kinds.photo]\nnumber = 70\n", encoding="utf-8")
    define = ("community", "define", "wiki", "--definition", str(tmp_path / "more.toml"))
    assert len(told(node, *define)["ids"]) == 1
    assert "photo" in told(node, "community", "show", "wiki")["kinds"][2]["name"]
    revoke = ("revoke", "wiki", MEMBER, "--kind", "page", "--force", "--yes")
    assert len(told(node, *revoke)["ids"]) == 1
    assert len(told(node, "destroy", "wiki", "--soft", "--yes")["ids"]) == 1


def test_what_destroys_asks_and_says_what_goes(node: Node) -> None:
    """A program has to say --yes; nothing has happened then."""
    message = told(node, "publish", "wiki", "mine", "--kind", "remark")["id"]
    before = told(node, "community", "show", "wiki")["live"]
    for arguments, part in (
        (("undo", "wiki", message), "erases what it says on every node"),
        (("destroy", "wiki", "--hard"), "2 messages from every node"),
        (("destroy", "wiki", "--soft"), "nothing later counts"),
        (("revoke", "wiki", MEMBER, "--kind", "page", "--force"), "hidden everywhere"),
        (("policy", "wiki", "remark", "linear", "--force"), "hidden everywhere"),
    ):
        said = refused(node, MISUSED, *arguments)
        assert part in said
        assert "--yes" in said
    assert told(node, "community", "show", "wiki")["live"] == before


def test_mistakes_are_told_with_what_would_be_right(node: Node, tmp_path: Path) -> None:
    """Each with its exit status."""
    (tmp_path / "less.toml").write_text('name = "wiki"\n[kinds.page]\nnumber = 64\n', encoding="utf-8")
    define = ("community", "define", "wiki", "--definition", str(tmp_path / "less.toml"))
    for arguments, status, part in (
        (("authorize", "wiki", "nobody", "--kind", "page"), REFUSED, "no member is called 'nobody'"),
        (("authorize", "wiki", MEMBER, "--kind", "pages"), REFUSED, "there are: page, remark"),
        (("authorize", "wiki", MEMBER, "--kind", "page", "--permission", "fly"), MISUSED, "settings"),
        (("revoke", "wiki", MEMBER, "--kind", "page"), REFUSED, "alone: no neighbour answers"),
        (("policy", "wiki", "page", "public"), REFUSED, "definition says once and for all"),
        (("policy", "wiki", "remark", "dynamic"), MISUSED, "public and linear"),
        (("undo", "wiki", "ab"), MISUSED, "64 hex digits"),
        (("destroy", "wiki"), MISUSED, "--soft keeps"),
        (("publish", "wiki", "x", "--kind", "page"), REFUSED, "dispersy permissions wiki --kind page"),
        (define, MISUSED, "resolution cannot change"),
    ):
        assert part in refused(node, status, *arguments)


def take_until(client: Client, wanted: str) -> list[Event]:
    """The events of all that there is, up to the first of this name."""
    taken = []
    for event in client.follow(since="begin", idle_s=LIMIT_S):
        taken.append(event)
        if event.event == wanted:
            return taken
    raise AssertionError(f"no {wanted} in {taken}")


def test_followers_hear_what_is_taken_back(node: Node, make_node: MakeNode) -> None:
    """On another node: one payload with its index, then all of it, erased for who comes later."""
    with node.client() as founder, make_node("b").start() as other:
        entry = founder.community("wiki")
        other.join(entry["community"], peers=founder.status()["addresses"])
        other.wait_for_definition(entry["community"].hex(), timeout_s=LIMIT_S)
        page = founder.publish("wiki", [b"one", b"two"], kind="remark").ids[0]
        assert take_until(other, "message")[-1].payload == b"one"
        founder.undo("wiki", page, index=1)
        undone = take_until(other, "undone")[-1]
        assert (undone.message_id, undone.index, undone.kind) == (page, 1, "remark")
        founder.undo("wiki", page)
        events = other.follow(since=undone.cursor, idle_s=LIMIT_S)
        last = next(event for event in events if event.event == "undone")
        assert (last.message_id, last.index) == (page, None)
        told = other.explain("wiki", page)
        assert (told["state"], set(told["hidden"])) == ("hidden", {"undone", "erased"})
        assert [each["kind"] for each in told["against"]] == ["undo", "undo"]
