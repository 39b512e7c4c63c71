"""Goal: the list of commands is true to the commands, and asking for it loads none of them."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from dispersy.cli.commands import COMMANDS, load


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_the_summary_is_the_commands_own(name: str) -> None:
    """Two descriptions of one thing would part ways."""
    command = load(name)
    assert command.help.startswith(COMMANDS[name].summary)
    assert "Examples" in command.epilog


WITHOUT_JSON = {
    "run": "becomes the node; what it says for programs are its log and the status",
    "tracker": "runs until it is stopped, and logs",
    "demo": "is for people to watch",
}


def test_what_a_command_says_a_program_can_read() -> None:
    """Every other command has --json."""
    without = set()
    for name in COMMANDS:
        command = load(name)
        for each in getattr(command, "commands", {name: command}).values():
            if not any("--json" in parameter.opts for parameter in each.params):
                without.add(name if each is command else f"{name} {each.name}")
    assert without == WITHOUT_JSON.keys()


COMPLETED = {"_DISPERSY_COMPLETE": "complete_bash", "COMP_WORDS": "dispersy\npu", "COMP_CWORD": "1"}


@pytest.mark.parametrize(("arguments", "environment"), [(["--help"], {}), (["statsu"], {}), ([], COMPLETED)])
def test_help_imports_no_command(arguments: list[str], environment: dict[str, str]) -> None:
    """Nor does Tab, nor what commands need: ZeroMQ, the store, the client."""
    script = (
        "import sys; from dispersy.cli import main; main(sys.argv[1:]); "
        "loaded = {'zmq', 'lmdb', 'msgspec', 'dispersy.client', 'rich.progress', 'dispersy.cli.node'}"
        " & set(sys.modules); sys.exit(f'loaded {loaded}' if loaded else 0)"
    )
    ended = subprocess.run(
        [sys.executable, "-c", script, *arguments],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr


def test_a_start_imports_no_more_than_a_node_needs() -> None:
    """Goal: a node that died is there again when its program has imported what it needs.

    That is neither what a command line does for people, nor what applications need, nor what reads mail,
    which is imported to look for a version.
    """
    unneeded = {"typer", "rich", "dispersy.cli.app", "dispersy.client", "dispersy.aio", "asyncio", "email"}
    script = (
        "import sys, dispersy.cli, dispersy.cli.start, dispersy.service.processes.supervisor\n"
        f"loaded = {unneeded} & set(sys.modules)\n"
        "sys.exit(f'loaded {loaded}' if loaded else 0)\n"
    )
    ended = subprocess.run(
        [sys.executable, "-P", "-c", script], capture_output=True, text=True, timeout=60, check=False
    )
    assert ended.returncode == 0, ended.stderr
