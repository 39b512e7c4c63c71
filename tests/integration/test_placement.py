"""Goal: every placement is the whole node, and whatever dies or hangs in one is noticed and replaced."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from dispersy.bus.settings import RoleSettings
from dispersy.client import Client
from dispersy.locations import runtime_path
from dispersy.service.home.home import Home, create_home, take_lock
from tests.integration.node import RUN_NODE, Node, is_running

LIMIT_S = 60.0
BACK_S = 20.0
"""Ten times the goal, which a busy machine may miss; bench/crash.py judges the goal itself."""
PLACEMENTS = ("full", "compact", "single")
MakeNode = Callable[..., Node]


def _options(placement: str) -> tuple[str, ...]:
    return ("--listen", "127.0.0.1:0", "--placement", placement)


@pytest.mark.parametrize("placement", PLACEMENTS)
def test_two_nodes_exchange(make_node: MakeNode, placement: str) -> None:
    """What one publishes, before and after the other joins, the other gets and follows, and back."""
    first_node, second_node = make_node("a", *_options(placement)), make_node("b", *_options(placement))
    with first_node.start() as first, second_node.start() as second:
        community_id = first.create("chat")["community_id"]
        first.publish_many("chat", [b"%d" % number for number in range(500)])
        second.join(community_id, peers=first.status()["addresses"])
        second.wait_for_definition(community_id.hex(), timeout_s=LIMIT_S)
        events = second.follow([community_id.hex()], since="begin", idle_s=LIMIT_S)
        second.publish("chat", [b"back"])
        wanted = {b"back", *(b"%d" % number for number in range(500))}
        seen: list[bytes] = []
        for event in events:
            if event.event == "message":
                seen.append(event.payload)
            if len(seen) == len(wanted):
                break
        assert set(seen) == wanted
        assert first.wait_for_count("chat", 501, timeout_s=LIMIT_S) == 501
        told = first.status()
        assert told["placement"] == placement
        assert told["state"] == f"ready, listening on {told['listen']}"
        processes = {"full": 2 + 1 + 2, "compact": 2, "single": 1}[placement]
        workers = len([row for row in told["processes"] if row["role"].startswith("worker")])
        assert len({row["pid"] for row in told["processes"]}) == processes + max(0, workers - 1)
    runtime = Path(first_node.environment["XDG_RUNTIME_DIR"]) / "dispersy"
    for node in (first_node, second_node):
        assert node.stop() == 0
        assert node.lines[-1] == "stopped"
    assert not list(runtime.iterdir())


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
@pytest.mark.parametrize("placement", ["compact", "single"])
def test_every_signal_that_stops_a_node(make_node: MakeNode, placement: str, number: int) -> None:
    """Status 0, sockets removed, no process left."""
    node = make_node("a", *_options(placement))
    node.start().close()
    pids = node.pids()
    assert node.stop(number) == 0
    assert not [pid for pid in pids.values() if is_running(pid)]


def test_all_roles_of_compact_die(make_node: MakeNode) -> None:
    """Back soon after the kill, on the same port, with everything that was acknowledged."""
    node = make_node("a", *_options("compact"))
    with node.start() as client:
        client.create("chat")
        client.publish_many("chat", [b"%d" % number for number in range(100)])
        before = client.status()
        pid = node.kill("all")
        took = _await_back(node, "all", pid)
        assert took < BACK_S
        assert client.count("chat") == 100
        after = client.wait_for_status(lambda status: _row(status, "all")["restarts"] == 1, timeout_s=LIMIT_S)
        assert after["listen"] == before["listen"]
        assert _row(after, "all")["state"].startswith("running, was ended by SIGKILL ")
        shown = node.command("status").stdout
        assert f"ready, listening on {after['listen']}, placement compact" in shown
        assert "running, was ended by SIGKILL" in shown


@pytest.mark.parametrize("placement", ["full", "compact"])
def test_everything_ends_with_the_supervisor(make_node: MakeNode, placement: str) -> None:
    """Goal: no process is left that nobody watches; the next run finds the home free, also while one that
    hangs is left."""
    node = make_node("a", *_options(placement))
    node.start().close()
    pids = node.pids()
    descriptors = [os.pidfd_open(pid) for pid in pids.values()]
    hanging = pids["worker-0" if placement == "full" else "all"]
    os.kill(hanging, signal.SIGSTOP)
    try:
        os.kill(pids["supervisor"], signal.SIGKILL)
        os.close(take_lock(Home(node.home)))
    finally:
        os.kill(hanging, signal.SIGCONT)
    for descriptor in descriptors:
        assert _ended(descriptor, LIMIT_S)
        os.close(descriptor)
    node.stop()
    with node.start() as client:
        assert client.status()["ready"]


def test_the_supervisor_has_one_thread_and_each_process_its_name(make_node: MakeNode) -> None:
    """Goal: what is copied has no lock that another thread holds; and `top` shows which role does what."""
    node = make_node("a", *_options("full"))
    node.start().close()
    pids = node.pids()
    assert [Path(f"/proc/{pid}/comm").read_text().strip() for pid in pids.values()] == list(pids)
    assert len(list(Path(f"/proc/{pids['supervisor']}/task").iterdir())) == 1


@pytest.mark.parametrize("role", ["network", "worker-0", "publisher"])
def test_a_hung_role_is_noticed_and_replaced(short_folder: Path, role: str) -> None:
    """SIGSTOP is a hang as good as any; the others go on, and then all is well."""
    with Supervised(short_folder, silent_max_s=2) as node:
        pid = node.pids()[role]
        os.kill(pid, signal.SIGSTOP)
        descriptor = os.pidfd_open(pid)
        assert _ended(descriptor, LIMIT_S)
        os.close(descriptor)

        def replaced(status: dict[str, Any]) -> bool:
            return bool(status["ready"]) and _row(status, role)["restarts"] == 1

        with Client(node.home, timeout_s=LIMIT_S) as client:
            told = client.wait_for_status(replaced, timeout_s=LIMIT_S)
        assert _row(told, role)["state"].startswith("running, hung for 2 s and was killed ")


def test_a_node_that_was_frozen_as_a_whole_is_not_judged(short_folder: Path) -> None:
    """As by a suspended machine or a debugger: nobody ran, so nobody hung."""
    with Supervised(short_folder, silent_max_s=3) as node:
        pids = node.pids()
        supervisor = pids.pop("supervisor")
        stopped = [supervisor, *pids.values()]
        for pid in stopped:
            os.kill(pid, signal.SIGSTOP)
        # Longer than the limit, with nothing that could be waited for.
        with pytest.raises(subprocess.TimeoutExpired):
            node.process.wait(5.0)
        for pid in reversed(stopped):
            os.kill(pid, signal.SIGCONT)
        with Client(node.home, timeout_s=LIMIT_S) as client:
            looks = client.status()["processes"][0]["cpu_seconds"]
            client.wait_for_status(
                lambda status: bool(status["processes"][0]["cpu_seconds"] > looks), timeout_s=LIMIT_S
            )
        assert {**node.pids(), "supervisor": supervisor} == {**pids, "supervisor": supervisor}


class Supervised:
    """A node of placement full, with settings that the command line does not give."""

    def __init__(self, folder: Path, **settings: Any) -> None:
        self.home = folder / "home"
        create_home(self.home)
        given = RoleSettings(str(self.home), str(runtime_path(self.home)), "127.0.0.1:0", 1, **settings)
        self.process = subprocess.Popen(
            [sys.executable, "-P", "-c", RUN_NODE, given.to_json()],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        assert self.process.stdout is not None
        for line in self.process.stdout:
            if line.startswith("ready"):
                break

    def pids(self) -> dict[str, int]:
        with Client(self.home, timeout_s=LIMIT_S) as client:
            return {row["role"]: row["pid"] for row in client.status()["processes"]}

    def __enter__(self) -> Supervised:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.send_signal(signal.SIGCONT)
        self.process.terminate()
        assert self.process.stdout is not None
        self.process.stdout.close()
        self.process.wait(LIMIT_S)


def _await_back(node: Node, role: str, killed: int) -> float:
    """Seconds until the node is whole again, with another process for the role."""
    began = time.monotonic()

    def back(status: dict[str, Any]) -> bool:
        return bool(status["ready"]) and _row(status, role)["pid"] not in (None, killed)

    with node.client() as client:
        client.wait_for_status(back, timeout_s=LIMIT_S)
    return time.monotonic() - began


def _row(status: dict[str, Any], role: str) -> dict[str, Any]:
    """What is told of one process; of none when it is not there."""
    rows = [row for row in status["processes"] if row["role"] == role]
    return rows[0] if rows else {"pid": None, "restarts": 0, "state": ""}


def _ended(descriptor: int, limit_s: float) -> bool:
    """Whether the process of a pidfd has ended within the limit."""
    return bool(select.select([descriptor], [], [], limit_s)[0])
