"""Goal: examples/chat in real terminals: two people join, talk, see how their nodes are, and miss nothing."""

from __future__ import annotations

import importlib.util
import re
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.integration.node import Node
from tests.integration.terminal import COLUMNS, ROWS, Terminal

CHAT = Path(__file__).resolve().parents[2] / "examples" / "chat" / "chat.py"
IN_SYNC = "in sync with 1 of 1 neighbour"
LIMIT_S = 60.0
MakeNode = Callable[..., Node]
OpenChat = Callable[[Node], Terminal]


@pytest.fixture
def open_chat(short_folder: Path) -> Iterator[OpenChat]:
    """A chat on a node, in a terminal of its own."""
    if shutil.which("tmux") is None or importlib.util.find_spec("textual") is None:
        pytest.skip("no tmux or textual: apt-get install tmux, and python -m pip install '.[test]'")
    opened: list[Terminal] = []

    def open_one(node: Node) -> Terminal:
        # The chat imports from beside itself (see tests/conftest.py).
        environment = {**node.environment, "PYTHONSAFEPATH": ""}
        environment.pop("COLUMNS")
        command = [sys.executable, str(CHAT), "--home", str(node.home)]
        opened.append(Terminal(short_folder, str(len(opened)), command, environment))
        return opened[-1]

    yield open_one
    for terminal in opened:
        terminal.close()


def invite_on(screen: str) -> str:
    """The invite, which is longer than a row; empty where there is none."""
    whole = "".join(line.strip() for line in screen.splitlines())
    found = re.search(r"dispersy:[0-9a-f]{64}\?peer=127\.0\.0\.1:\d+", whole)
    return found[0] if found else ""


def test_two_people_talk_over_two_nodes_and_a_restart(make_node: MakeNode, open_chat: OpenChat) -> None:
    """By an invite; names and neighbours show; what is typed while a node is away is published after."""
    first, second = make_node("a"), make_node("b")
    first.start().close()
    second.start().close()
    anna, bert = open_chat(first), open_chat(second)
    anna.wait_for("ready ·", limit_s=LIMIT_S)
    anna.type("/create lounge", limit_s=LIMIT_S)
    invite = invite_on(anna.wait_until(lambda screen: bool(invite_on(screen)), limit_s=LIMIT_S))
    anna.type("/nick anna", limit_s=LIMIT_S)
    anna.type("hello from the first", limit_s=LIMIT_S)
    anna.wait_for("│ anna~", "hello from the first", "all shown", limit_s=LIMIT_S)

    bert.wait_for("ready ·", limit_s=LIMIT_S)
    bert.type(f"/join {invite}", limit_s=LIMIT_S)
    screen = bert.wait_for("lounge", "anna~", "hello from the first", IN_SYNC, limit_s=LIMIT_S)
    assert len(screen.splitlines()) == ROWS
    assert max(map(len, screen.splitlines())) <= COLUMNS
    bert.type("hello from the second", limit_s=LIMIT_S)
    anna.wait_for("hello from the second", IN_SYNC, limit_s=LIMIT_S)

    assert second.stop() == 0
    bert.wait_for("the node is away; what is typed waits", limit_s=LIMIT_S)
    bert.type("typed while it was away", limit_s=LIMIT_S)
    second.start().close()
    bert.wait_for("the node is back", "ready ·", "│ anna~", limit_s=LIMIT_S)
    anna.wait_for("typed while it was away", limit_s=LIMIT_S)
    anna.type("and goes on", limit_s=LIMIT_S)
    screen = bert.wait_for("typed while it was away", "and goes on", "all shown", limit_s=LIMIT_S)
    for text in ("hello from the first", "hello from the second", "typed while it was away", "and goes on"):
        assert screen.count(text) == 1

    for chat in (anna, bert):
        chat.type("/quit", limit_s=LIMIT_S)
        chat.wait_for_end(limit_s=LIMIT_S)
    again = open_chat(second)
    again.wait_for("hello from the first", "hello from the second", "and goes on", limit_s=LIMIT_S)


def test_mistakes_are_answered_and_nothing_moves_the_cursor(make_node: MakeNode, open_chat: OpenChat) -> None:
    """An unknown command, no community, an invite that is none; a message of control characters."""
    node = make_node("a")
    chat = open_chat(node)
    chat.wait_for("the node is away: is `dispersy run` running?", limit_s=LIMIT_S)
    with node.start() as client:
        chat.wait_for("ready ·", limit_s=LIMIT_S)
        chat.type("/dance", limit_s=LIMIT_S)
        chat.wait_for("/join INVITE [NAME]", limit_s=LIMIT_S)
        # Faster than a busy program reads: each line is one all the same.
        chat.press(*"first", "Enter", *"second", "Enter")
        chat.wait_until(lambda screen: "\n second: there is no" in screen, limit_s=LIMIT_S)
        chat.type("to nobody", limit_s=LIMIT_S)
        chat.wait_for("there is no community yet", limit_s=LIMIT_S)
        chat.type("/join somewhere", limit_s=LIMIT_S)
        chat.wait_for("this is no invite", limit_s=LIMIT_S)
        client.create("plain")
        client.publish("plain", [b"\x1b[2J[bold]wiped\r\n"])
        chat.wait_for("plain", "\N{REPLACEMENT CHARACTER}[2J[bold]wiped", limit_s=LIMIT_S)
        client.create("other")
        client.publish("other", [b"unread"])
        chat.wait_for("other (1)", limit_s=LIMIT_S)
        chat.press("C-n")
        chat.wait_until(lambda screen: "unread" in screen and "wiped" not in screen, limit_s=LIMIT_S)
        chat.type("/nick anna", limit_s=LIMIT_S)
        chat.wait_for("nick", "text", limit_s=LIMIT_S)
