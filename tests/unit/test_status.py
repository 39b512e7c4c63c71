"""Goal: the gateway knows which roles work from what they and the supervisor say, whichever says it first."""

from __future__ import annotations

import subprocess
import sys
from time import perf_counter
from typing import Any

import msgspec
import pytest
import zmq

from dispersy.bus.settings import RoleSettings
from dispersy.service.operations.status import Reports
from dispersy.workers.report import COMMUNITIES_TIMED_MAX, REPORTS_PER_ALL_STEPS, Reporter
from tests.sockets import bounded_context


def reports(**told: dict[str, Any]) -> Reports:
    """What each role has said."""
    made = Reports()
    for role, report in told.items():
        assert made.receive(msgspec.msgpack.encode({"role": role, **report})) is not None
    return made


def child(pid: int | None, *, begun: bool = False, trouble: bool = False) -> dict[str, Any]:
    """A process as the supervisor sees it."""
    return {"pid": pid, "begun": begun, "trouble": trouble, "state": "in a state", "restarts": 0}


@pytest.mark.parametrize(
    ("told", "missing"),
    [
        ({}, ["writer"]),
        ({"writer": {"pid": 7}}, []),
        ({"writer": {"pid": 7}, "supervisor": {"processes": {"writer": child(7)}}}, []),
        # What its predecessor said does not count.
        ({"writer": {"pid": 6}, "supervisor": {"processes": {"writer": child(7)}}}, ["writer"]),
        ({"writer": {"pid": 6}, "supervisor": {"processes": {"writer": child(None)}}}, ["writer"]),
        # A gateway that was just started again has not heard the writer, but the supervisor has.
        ({"supervisor": {"processes": {"writer": child(7, begun=True)}}}, []),
    ],
)
def test_a_role_that_works(told: dict[str, dict[str, Any]], missing: list[str]) -> None:
    """Either voice is enough, if it is about the process that runs now."""
    assert reports(**told).missing(["writer"]) == missing


def test_roles_of_one_process() -> None:
    """They work when it does."""
    told = reports(supervisor={"processes": {"all": child(7, begun=True)}})
    assert told.missing(["writer", "network"], process="all") == []
    assert told.missing(["writer"]) == ["writer"]


def test_troubles_are_named() -> None:
    """With what the supervisor says of them."""
    told = reports(supervisor={"processes": {"writer": child(None, trouble=True), "network": child(1)}})
    assert told.troubles() == ["writer in a state"]


def test_a_process_with_several_roles_is_one_row() -> None:
    """What its roles count is added; its memory and its time are counted once."""
    told = reports(
        supervisor={"pid": 1, "processes": {"all": child(7)}},
        writer={"pid": 7, "cpu_seconds": 1.0, "time": 1.0, "counters": {"x": 1}, "steps": {"a": [1, 1]}},
        network={"pid": 7, "cpu_seconds": 1.5, "time": 2.0, "counters": {"x": 2}, "steps": {"b": [2, 2]}},
    )
    rows = told.processes()
    assert [row["role"] for row in rows] == ["supervisor", "all"]
    assert sorted(rows[1]["roles"]) == ["network", "writer"]
    assert (rows[1]["cpu_seconds"], rows[1]["counters"]) == (1.5, {"x": 3})
    assert rows[1]["steps"] == {"a": [1, 1], "b": [2, 2]}
    assert "trouble" not in rows[1]


def test_of_every_process_the_same_is_told() -> None:
    """Whoever reads it in another language need not ask what is there; memory only of what runs."""
    told = reports(supervisor={"pid": 1, "processes": {"writer": child(None), "network": child(7)}})
    maps = {"steps", "counters", "drops", "outcomes"}
    for row in told.processes():
        assert {"role", "state", "restarts", "pid", "roles", "cpu_seconds"} | maps <= row.keys()
        assert all(row[name] == {} for name in maps)


def test_where_the_node_listens() -> None:
    """The network process knows best, the supervisor remembers."""
    assert reports().listen() == ""
    assert reports(supervisor={"listen": "a:1"}).listen() == "a:1"
    assert reports(supervisor={"listen": "a:1"}, network={"listen": "b:2"}).listen() == "b:2"


def test_the_time_of_each_community_is_kept_and_added() -> None:
    """Reports tell of those where time was spent since the one before; what a dead process spent is gone."""
    told = reports(
        writer={"pid": 7, "community_steps": {1: {"intake": [1.0, 10]}, 2: {"intake": [2.0, 5]}}},
        worker={"pid": 8, "community_steps": {1: {"intake": [0.5, 1], "verify": [4.0, 3]}}},
    )
    later = {"role": "writer", "pid": 7, "community_steps": {2: {"intake": [3.0, 6]}}}
    told.receive(msgspec.msgpack.encode(later))
    assert told.community_steps() == {
        1: {"intake": (1.5, 11), "verify": (4.0, 3)},
        2: {"intake": (3.0, 6)},
    }
    told.receive(msgspec.msgpack.encode({"role": "writer", "pid": 9, "community_steps": {}}))
    assert told.community_steps() == {1: {"intake": (0.5, 1), "verify": (4.0, 3)}}


def test_the_times_of_communities_that_come_and_go_do_not_add_up() -> None:
    """Goal: a node that joins and purges for ever holds what it held, in the role and in the gateway."""
    reporter, told = Reporter("writer", RoleSettings("", "", "", 1)), reports()
    for number in range(COMMUNITIES_TIMED_MAX + 10):
        reporter.step("writer.intake", perf_counter(), 1, community=number)
        if number % 1000 == 0 or number > COMMUNITIES_TIMED_MAX:
            steps = {each: {"intake": [1.0, 1]} for each in reporter._untold}
            told.receive(msgspec.msgpack.encode({"role": "writer", "pid": 7, "community_steps": steps}))
            reporter._untold.clear()
    newest = set(range(10, COMMUNITIES_TIMED_MAX + 10))
    assert set(reporter.by_community) == newest
    assert set(told.community_steps()) == newest


def test_a_role_tells_whose_time_it_spent() -> None:
    """Once it has been heard, no more of those where nothing happens: fifty idle ones cost nothing."""
    context = bounded_context()
    pull = context.socket(zmq.PULL)
    port = pull.bind_to_random_port("tcp://127.0.0.1")
    reporter = Reporter("writer", RoleSettings("", "", "", 1))
    reporter._socket = context.socket(zmq.PUSH)
    reporter._socket.connect(f"tcp://127.0.0.1:{port}")

    def told() -> dict[int, dict[str, list[float]]]:
        assert reporter.send()
        assert pull.poll(10_000)
        steps: dict[int, dict[str, list[float]]] = msgspec.msgpack.decode(pull.recv())["community_steps"]
        return steps

    reporter.step("writer.commit", perf_counter(), 3)
    assert told() == {}
    reporter.step("writer.intake", perf_counter(), 3, community=1)
    reporter.step("writer.intake", perf_counter(), 4, community=1)
    ((spent, count),) = told()[1].values()
    assert (spent > 0.0, count) == (True, 7)
    reporter.step("writer.intake", perf_counter(), 1, community=2)
    assert set(told()) == {2}
    assert [set(told()) for _ in range(REPORTS_PER_ALL_STEPS)].count({1, 2}) == 1
    context.destroy(linger=0)


# -- memory ----------------------------------------------------------------------------------------------

SHARED_SIZE = 32 << 20
SHARE = f"""
import os, sys
held = b"x" * {SHARED_SIZE}
child = os.fork()
if not child:
    sys.stdin.read()
    os._exit(0)
print(os.getpid(), child, flush=True)
sys.stdin.read()
os.waitpid(child, 0)
"""


def test_what_processes_share_is_counted_once() -> None:
    """Roles are copies of one process: each is given its part, so that the sum is what the node has."""
    command = [sys.executable, "-c", SHARE]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        pids = [int(word) for word in process.stdout.readline().split()]
        made = reports(**{f"role-{pid}": {"pid": pid} for pid in pids})
        sizes = [int(row["anonymous_bytes"]) for row in made.processes()]
    assert len(sizes) == 2
    assert min(sizes) > SHARED_SIZE // 4
    assert sum(sizes) < SHARED_SIZE * 3 // 2
