"""Goal: at a terminal what takes long is shown until it ends, and Ctrl-C ends the looking alone."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.integration.node import Node
from tests.integration.terminal import COLUMNS, Terminal

IN_SYNC = "in sync with 1 of 1 neighbour"
LIMIT_S = 60.0
MESSAGES = 2_000
MakeNode = Callable[..., Node]
MakeTerminal = Callable[[Node, str], Terminal]


@pytest.fixture
def at_terminal(short_folder: Path) -> Iterator[MakeTerminal]:
    """A terminal with a shell for one node's home, where `dispersy` is this one."""
    if shutil.which("tmux") is None:
        pytest.skip("no tmux: apt-get install tmux")
    opened: list[Terminal] = []

    def open_terminal(node: Node, name: str) -> Terminal:
        path = f"{Path(sys.executable).parent}:{node.environment['PATH']}"
        own = {name: value for name, value in node.environment.items() if name != "COLUMNS"}
        environment = {**own, "PATH": path, "DISPERSY_HOME": str(node.home), "PS1": "$ "}
        opened.append(Terminal(short_folder, name, ["bash", "--norc"], environment))
        return opened[-1]

    yield open_terminal
    for terminal in opened:
        terminal.close()


def test_a_newcomer_fills_and_is_removed_again(make_node: MakeNode, at_terminal: MakeTerminal) -> None:
    """Joining ends with all that the neighbour holds; a purge, when nothing is left."""
    second = make_node("b")
    with make_node("a").start() as first, second.start() as client:
        made = first.create("chat")["community_id"]
        first.publish_many("chat", [b"%d" % number for number in range(MESSAGES)])
        terminal = at_terminal(second, "fill")
        invite = f"dispersy:{made.hex()}?peer={first.status()['addresses'][0]}"
        terminal.type(f"dispersy community join '{invite}'; echo status $?", limit_s=LIMIT_S)
        terminal.wait_for("it is called chat", "status 0", limit_s=LIMIT_S)
        assert client.count("chat") == MESSAGES
        client.wait_for_status(lambda _: client.community("chat")["state"] == IN_SYNC, timeout_s=LIMIT_S)
        terminal.type("clear; dispersy status; dispersy peers chat; echo end $?", limit_s=LIMIT_S)
        screen = terminal.wait_for(IN_SYNC, "end 0", limit_s=LIMIT_S)
        [row] = [line for line in screen.splitlines() if "walked" in line or "stumbled" in line]
        assert row.split()[-2:] == ["yes", str(MESSAGES + 1)]
        assert len(row) <= COLUMNS
        terminal.type("clear; dispersy community leave chat --purge; echo gone $?", limit_s=LIMIT_S)
        terminal.wait_for("Remove? [y/N]:", limit_s=LIMIT_S)
        terminal.press("y", "Enter")
        terminal.wait_for(
            f"its {MESSAGES + 1} messages, Dispersy's own among them, are removed", "gone 0", limit_s=LIMIT_S
        )
        assert client.communities(left=True) == []


def test_ctrl_c_leaves_it_joined(make_node: MakeNode, at_terminal: MakeTerminal) -> None:
    """Nobody answers: that is shown, and whoever has seen enough has broken nothing."""
    node = make_node("a")
    with node.start() as client:
        terminal = at_terminal(node, "wait")
        terminal.type(f"dispersy community join {bytes(32).hex()}; echo status $?", limit_s=LIMIT_S)
        terminal.wait_for("waiting for the community's definition", limit_s=LIMIT_S)
        terminal.press("C-c")
        terminal.wait_for("the community stays joined", "status 0", limit_s=LIMIT_S)
        [entry] = client.communities()
        assert entry["state"].startswith("definition awaited")
