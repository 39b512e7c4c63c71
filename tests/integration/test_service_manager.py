"""Goal: under a service manager a node says when it is whole, that it lives, and that it stops; and the
unit in deploy/ is one that systemd takes, with options that exist."""

from __future__ import annotations

import configparser
import os
import shlex
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from dispersy.cli.commands import COMMANDS, load
from dispersy.errors import MISUSED
from tests.integration.node import Node, run_command

pytestmark = pytest.mark.long

LIMIT_S = 60.0
ROOT = Path(__file__).resolve().parents[2]
UNIT = ROOT / "deploy/dispersy.service"
MakeNode = Callable[..., Node]


@pytest.fixture
def manager(short_folder: Path) -> Iterator[socket.socket]:
    """The socket on which a service manager listens."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
        listening.bind(str(short_folder / "notify"))
        listening.settimeout(LIMIT_S)
        yield listening


def _managed(node: Node, watchdog_us: int) -> Node:
    """As if a service manager started it; the home is made before, as it demands."""
    assert node.command("run", "--init-only").returncode == 0
    node.environment["NOTIFY_SOCKET"] = str(node.home.parent / "notify")
    node.environment["WATCHDOG_USEC"] = str(watchdog_us)
    return node


def _receive_until(manager: socket.socket, wanted: bytes) -> list[bytes]:
    """What is told up to the first message with these bytes."""
    told: list[bytes] = []
    while not told or wanted not in told[-1]:
        told.append(manager.recv(1_000))
    return told


@pytest.mark.parametrize("placement", ["full", "compact", "single"])
def test_the_manager_is_told(make_node: MakeNode, manager: socket.socket, placement: str) -> None:
    """READY once every role works, WATCHDOG again and again, STOPPING at the end, STATUS in words."""
    node = _managed(make_node("a", "--listen", "127.0.0.1:0", "--placement", placement), 1_000_000)
    node.start().close()
    _receive_until(manager, b"READY=1\nSTATUS=ready, listening on 127.0.0.1:")
    for _ in range(3):
        _receive_until(manager, b"WATCHDOG=1")
    assert node.stop() == 0
    _receive_until(manager, b"STOPPING=1")


def test_the_watchdog_hears_nothing_while_a_role_fails(make_node: MakeNode, manager: socket.socket) -> None:
    """Goal: what the supervisor cannot mend, the service manager does."""
    node = _managed(make_node("a", "--listen", "127.0.0.1:0", "--placement", "full"), 1_000_000)
    node.start().close()
    _receive_until(manager, b"WATCHDOG=1")
    # A writer that finds a file in its folder's place dies again and again.
    store = node.home / "store"
    store.rename(node.home / "gone")
    store.write_bytes(b"")
    node.kill("writer")
    _receive_until(manager, b"STATUS=writer ended with status 4")
    assert b"WATCHDOG=1" not in [manager.recv(1_000) for _ in range(4)]


def test_a_missing_home_is_named(short_folder: Path) -> None:
    """A disk that is not mounted must not become a node with new keys; status 2 is not started again."""
    home = short_folder / "not mounted"
    environment = {**os.environ, "INVOCATION_ID": "0" * 32}
    environment.pop("SYSTEMD_EXEC_PID", None)
    refused = run_command(["run", "--home", str(home)], environment)
    assert refused.returncode == MISUSED
    assert str(home) in refused.stderr
    assert f"dispersy run --init-only --home '{home}'" in refused.stderr
    assert not home.exists()


def test_init_only(short_folder: Path) -> None:
    """The home is made, and its place said; a second time changes nothing."""
    home = short_folder / "home"
    made = run_command(["run", "--init-only", "--home", str(home)])
    assert (made.returncode, made.stderr) == (0, "")
    assert str(home) in made.stdout
    config = (home / "config.toml").read_bytes()
    assert (home / "store/data.mdb").exists()
    assert (home / "keys").is_dir()
    again = run_command(["run", "--init-only", "--home", str(home)])
    assert again.returncode == 0
    assert (home / "config.toml").read_bytes() == config


def _unit() -> configparser.RawConfigParser:
    parser = configparser.RawConfigParser(strict=False)
    parser.optionxform = str  # type: ignore[assignment,method-assign]
    parser.read(UNIT, encoding="utf-8")
    return parser


def test_the_units_command_exists() -> None:
    """Its program is ours, and so are its options."""
    program, name, *options = shlex.split(_unit()["Service"]["ExecStart"])
    assert Path(program).name == "dispersy"
    assert name in COMMANDS
    known = {option for parameter in load(name).params for option in parameter.opts}
    assert {option for option in options if option.startswith("-")} <= known


def test_the_unit_says_what_the_node_relies_on() -> None:
    """What docs/operation.md promises, and what finds the sockets."""
    service = _unit()["Service"]
    assert service["Type"] == "notify"
    assert service["RuntimeDirectory"] == service["StateDirectory"] == "dispersy"
    assert service["Environment"] == "DISPERSY_HOME=/var/lib/dispersy"
    assert int(service["RestartPreventExitStatus"]) == MISUSED
    assert service["Restart"] == "on-failure"
    assert int(service["WatchdogSec"]) >= 10


@pytest.mark.parametrize("tool", [shutil.which("systemd-analyze")] if shutil.which("systemd-analyze") else [])
def test_systemd_takes_the_unit(tmp_path: Path, tool: str) -> None:
    """With the program and the user of this machine in place of those that a set-up makes."""
    text = UNIT.read_text(encoding="utf-8").replace("/opt/dispersy/bin/dispersy", sys.executable)
    (tmp_path / "dispersy.service").write_text(text.replace("User=dispersy", "User=root"), encoding="utf-8")
    ended = subprocess.run(
        [tool, "verify", "--man=no", str(tmp_path / "dispersy.service")],
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
        check=False,
    )
    ours = [line for line in ended.stderr.splitlines() if "dispersy" in line]
    assert (ended.returncode, ours) == (0, [])
