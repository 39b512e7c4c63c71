"""Goal: Tab completes commands, options and names in a real bash, and says nothing where no node is."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from dispersy.protocol.definitions.definition import Definition, Kind, encode_definition
from tests.integration.node import Node

LIMIT_S = 60.0
MakeNode = Callable[..., Node]
# What bash does when Tab is pressed behind these words, with the script that the program prints.
PRESS_TAB = """
eval "$(dispersy --show-completion)"
COMP_WORDS=(dispersy "$@")
COMP_CWORD=$#
_dispersy_completion dispersy
[ ${#COMPREPLY[@]} -eq 0 ] || printf '%s\\n' "${COMPREPLY[@]}"
"""


def press_tab(environment: dict[str, str], *words: str) -> list[str]:
    """What bash offers for the last of these words; a word on stderr is a failure."""
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    ended = subprocess.run(
        ["bash", "--norc", "-c", PRESS_TAB, "bash", *words],
        env={**environment, "PATH": path},
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
        check=True,
    )
    assert ended.stderr == ""
    return ended.stdout.splitlines()


@pytest.fixture
def environment(short_folder: Path) -> dict[str, str]:
    """A home where nothing is."""
    home = {"DISPERSY_HOME": str(short_folder / "a"), "XDG_RUNTIME_DIR": str(short_folder)}
    return {**os.environ, **home}


@pytest.mark.parametrize(
    ("words", "offered"),
    [
        (["com"], ["community"]),
        (["co"], ["community", "config", "count"]),
        (["community", "l"], ["list", "leave", "load"]),
        (["publish", "--f"], ["--file"]),
        (["run", "--placement", "s"], ["single"]),
        (["community", "autoload", "chat", ""], ["always", "on-packet", "never"]),
        (["subscribe", ""], []),
        (["publish", "chat", "--kind", ""], []),
        (["publish", "chat", "--as", ""], []),
        (["unblock", ""], []),
        (["client", "remove", ""], []),
    ],
)
def test_bash_without_a_node(environment: dict[str, str], words: list[str], offered: list[str]) -> None:
    """Commands, options and fixed words; names are offered by none, in silence."""
    assert press_tab(environment, *words) == offered


def test_bash_beside_a_node(make_node: MakeNode, environment: dict[str, str]) -> None:
    """Names of communities and the beginning of an id, kinds of the one that is named, keys, and blocks."""
    with make_node("a").start() as client:
        made = client.create("chat")["community_id"].hex()
        client.create("news", encode_definition(Definition("news", (Kind(number=64, name="headline"),))))
        client.block("192.0.2.7")
        assert press_tab(environment, "subscribe", "") == ["chat", "news"]
        assert press_tab(environment, "community", "show", "n") == ["news"]
        assert press_tab(environment, "count", made[:12]) == [made]
        assert press_tab(environment, "publish", "chat", "--kind", "") == ["text"]
        assert press_tab(environment, "publish", "news", "--kind", "") == ["headline"]
        assert press_tab(environment, "publish", "chat", "--as", "chat") == ["chat-1-master", "chat-1-member"]
        assert press_tab(environment, "key", "export", "news-2-ma") == ["news-2-master"]
        assert press_tab(environment, "unblock", "") == ["192.0.2.7"]
        other = ["subscribe", "--home", str(make_node("none").home), ""]
        assert press_tab(environment, *other) == []


@pytest.mark.parametrize(
    ("shell", "asked", "told"),
    [
        ("zsh", {"_TYPER_COMPLETE_ARGS": "dispersy community l"}, '"leave":"Take part in a community'),
        (
            "fish",
            {"_TYPER_COMPLETE_ARGS": "dispersy community l", "_TYPER_COMPLETE_FISH_ACTION": "get-args"},
            "leave\tTake part in a community no more",
        ),
    ],
)
def test_other_shells(environment: dict[str, str], shell: str, asked: dict[str, str], told: str) -> None:
    """What they ask of the program is answered in their way, with a word on each."""
    ended = subprocess.run(
        [sys.executable, "-m", "dispersy.cli"],
        env={**environment, **asked, "_DISPERSY_COMPLETE": f"complete_{shell}"},
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
        check=True,
    )
    assert told in ended.stdout
