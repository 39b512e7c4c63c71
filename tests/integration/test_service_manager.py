"""Goal: under a service manager a node says when it is whole, that it lives, and that it stops."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from dispersy.errors import MISUSED
from tests.integration.node import Node, run_command

LIMIT_S = 60.0
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


@pytest.mark.parametrize(
    "placement",
    [pytest.param("full", marks=pytest.mark.long), "compact", pytest.param("single", marks=pytest.mark.long)],
)
def test_the_manager_is_told(make_node: MakeNode, manager: socket.socket, placement: str) -> None:
    """READY once every role works, WATCHDOG again and again, STOPPING at the end, STATUS in words."""
    node = _managed(make_node("a", "--listen", "127.0.0.1:0", "--placement", placement), 1_000_000)
    node.start().close()
    _receive_until(manager, b"READY=1\nSTATUS=ready, listening on 127.0.0.1:")
    for _ in range(3):
        _receive_until(manager, b"WATCHDOG=1")
    assert node.stop() == 0
    _receive_until(manager, b"STOPPING=1")


@pytest.mark.long
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


@pytest.mark.long
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


@pytest.mark.long
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
