"""Goal: a service manager is told what sd_notify(3) says, on both kinds of socket, and holds nothing up."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from dispersy.service.processes.notify import STATUS_LENGTH_MAX, Notifier

LIMIT_S = 60


def listening(address: str) -> socket.socket:
    """The manager's end."""
    manager = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    manager.bind(address)
    manager.settimeout(LIMIT_S)
    return manager


@pytest.mark.parametrize("abstract", [False, True])
def test_a_nodes_life(tmp_path: Path, abstract: bool) -> None:
    """Ready, a change of state, the watchdog, the end."""
    name = f"@dispersy-test-{os.getpid()}" if abstract else str(tmp_path / "notify")
    with listening("\0" + name[1:] if abstract else name) as manager:
        notifier = Notifier({"NOTIFY_SOCKET": name, "WATCHDOG_USEC": "30000000"})
        notifier.status("starting: waiting for network")
        notifier.ready("ready, listening\non x")
        notifier.status("ready, listening\non x")
        notifier.healthy()
        notifier.stopping()
        told = [manager.recv(1_000) for _ in range(4)]
    assert told == [
        b"STATUS=starting: waiting for network",
        # A line of the state must not become an instruction.
        b"READY=1\nSTATUS=ready, listening on x",
        b"WATCHDOG=1",
        b"STOPPING=1\nSTATUS=stopping",
    ]


def test_children_do_not_speak_for_the_node(tmp_path: Path) -> None:
    """What names the manager is taken out of the environment that they inherit."""
    environment = {
        "NOTIFY_SOCKET": str(tmp_path / "x"),
        "WATCHDOG_USEC": "1",
        "WATCHDOG_PID": "1",
        "HOME": "/",
    }
    Notifier(environment)
    assert environment == {"HOME": "/"}


@pytest.mark.parametrize(
    ("environment", "watchdog_s", "interval_s"),
    [
        ({}, 0.0, 1.0),
        ({"WATCHDOG_USEC": "60000000"}, 60.0, 1.0),
        ({"WATCHDOG_USEC": "1000000"}, 1.0, 0.5),
        ({"WATCHDOG_USEC": "1000000", "WATCHDOG_PID": str(os.getpid())}, 1.0, 0.5),
        ({"WATCHDOG_USEC": "1000000", "WATCHDOG_PID": "1"}, 0.0, 1.0),
        ({"WATCHDOG_USEC": "soon"}, 0.0, 1.0),
    ],
)
def test_the_watchdogs_limit(environment: dict[str, str], watchdog_s: float, interval_s: float) -> None:
    """Half of it at most, and only if it is meant for this process."""
    notifier = Notifier(environment)
    assert (notifier.watchdog_s, notifier.interval_s) == (watchdog_s, interval_s)


@pytest.mark.parametrize("name", ["", "vsock:2:1", "relative"])
def test_no_manager_of_ours(name: str) -> None:
    """Nothing happens, as at a terminal."""
    notifier = Notifier({"NOTIFY_SOCKET": name})
    notifier.ready("x")
    notifier.healthy()
    notifier.stopping()


def test_a_manager_that_is_gone_or_slow_holds_nothing_up(tmp_path: Path) -> None:
    """What could not be said is said with the next change, and the node goes on."""
    name = str(tmp_path / "notify")
    notifier = Notifier({"NOTIFY_SOCKET": name})
    notifier.status("lost")
    with listening(name) as manager:
        notifier.status("lost")
        assert manager.recv(1_000) == b"STATUS=lost"
        for number in range(100_000):
            notifier.status(f"{number}")
        notifier.status("x" * 10 * STATUS_LENGTH_MAX)
