"""Goal: the table of counters names every one that is counted, and none that is not."""

from __future__ import annotations

import ast
from collections import Counter

from dispersy.protocol.spreading.upload import Row
from dispersy.protocol.sync.means import Means
from dispersy.protocol.walk.candidate import Category
from dispersy.protocol.wire.numbers import FrameType
from dispersy.service.operations.status import Reports
from dispersy.workers.counters import (
    CLIENT_COUNTERS,
    COMMUNITY_COUNTERS,
    FRAME_COUNTERS,
    ROLE_COUNTERS,
    WRITER_COUNTERS,
    count_sent,
    frame_size,
)
from dispersy.workers.report import REPORTS_PER_WHOLE, Untold
from tests.house.sources import python_sources
from tests.unit.gateway_house import encode

ROLES = {
    "dispatch.py",
    "network.py",
    "neighbourhood.py",
    "neighbourhoods.py",
    "remembering.py",
    "responder.py",
    "sending.py",
    "served.py",
    "answering.py",
    "verifier.py",
    "worker.py",
}
MACHINES = {
    "fragments.py",
    "keep_alive.py",
    "named_requests.py",
    "nudges.py",
    "pusher.py",
    "range_course.py",
    "spreading.py",
    "symbols_course.py",
    "puller.py",
    "upload.py",
    "walk_requests.py",
    "walker.py",
    "wanted_ids.py",
}
CLIENTS = {"control.py", "excess.py", "gateway.py", "publisher.py", "replies.py", "tcp.py"}
WRITER = {"cosigning.py", "drafting.py", "importing.py", "ledger.py", "passing.py", "writer.py"}
COUNTERS = {"counters", "_counters", "counts", "_counts"}


def names(node: ast.expr) -> set[str]:
    """The texts that an expression can be, `*` for what is put into them."""
    match node:
        case ast.Constant(str(text)):
            return {text}
        case ast.IfExp(_, body, orelse):
            return names(body) | names(orelse)
        case ast.JoinedStr(parts):
            return {"".join("*" if isinstance(part, ast.FormattedValue) else part.value for part in parts)}  # type: ignore[attr-defined]
    return set()


def counted(files: set[str]) -> set[str]:
    """The names under which these files count, in a subscript of a counter or in _count()."""
    found: set[str] = set()
    for source in python_sources():
        if not source.is_product or source.path.name not in files:
            continue
        for node in ast.walk(source.tree):
            if isinstance(node, ast.Subscript) and ast.unparse(node.value).rpartition(".")[2] in COUNTERS:
                found |= names(node.slice)
            if isinstance(node, ast.Call) and ast.unparse(node.func) == "self._count":
                found |= names(node.args[0])
    return found


def test_every_counter_is_in_the_table_and_no_other() -> None:
    """Families of names are written out in the table."""
    families = {
        "walk-*": {
            f"walk-{name}" for name in ("bootstrap", "former", *(category.value for category in Category))
        },
        **{
            f"upload-{what}-*": {f"upload-{what}-{row.label}" for row in Row}
            for what in ("bytes", "dropped", "waits")
        },
        "came-by-*": {f"came-by-{means}" for means in Means},
        "by-*": {f"by-{means}" for means in Means},
        "frames-in-*": {name for name in FRAME_COUNTERS if name.startswith("frames-in-")},
        "frame-bytes-in-*": {name for name in FRAME_COUNTERS if name.startswith("frame-bytes-in-")},
    }
    found = counted(ROLES | MACHINES)
    assert families.keys() <= found
    written_out = set().union(*(families.get(name, {name}) for name in found))
    received = {name for name in FRAME_COUNTERS if "-in-" in name}
    assert written_out == {*ROLE_COUNTERS, *COMMUNITY_COUNTERS, *received}


def test_what_serves_clients_and_what_writes_count_nothing_without_words() -> None:
    """A number that nobody can explain is of no use to whoever looks for a fault."""
    assert counted(CLIENTS) == CLIENT_COUNTERS.keys()
    assert counted(WRITER) == WRITER_COUNTERS.keys()


def test_frames_that_leave_are_counted_by_kind() -> None:
    """Each kind has its two names."""
    counters: Counter[str] = Counter()
    for frame_type in (FrameType.PING, FrameType.MESSAGES):
        count_sent(counters, frame_type, frame_size(200), count=3)
    assert counters == {
        "frames-out-ping": 3,
        "frame-bytes-out-ping": 203,
        "frames-out-messages": 3,
        "frame-bytes-out-messages": 203,
    }
    assert counters.keys() <= FRAME_COUNTERS.keys()


def test_a_report_tells_of_what_happened_and_now_and_then_of_all() -> None:
    """Of all, too, after one that nobody took."""
    untold = Untold()
    assert untold.take([1, 2, 3], heard=False) == (True, [1, 2, 3])
    untold.touch(2)
    assert untold.take([1, 2, 3], heard=True) == (False, [2])
    untold.touch(3)
    assert untold.take([1, 2, 3], heard=False) == (True, [1, 2, 3])
    taken = [untold.take([1, 2, 3], heard=True) for _ in range(REPORTS_PER_WHOLE)]
    assert sorted(taken) == [(False, [])] * (REPORTS_PER_WHOLE - 1) + [(True, [1, 2, 3])]


def test_the_gateway_completes_partial_reports() -> None:
    """With what the same process said before; a whole one replaces it, and so does another process's."""
    reports = Reports()

    def hear(pid: int, *, whole: bool, **communities: int) -> dict[int, dict[str, int]]:
        about = {int(number[1:]): {"counters": {"requests": count}} for number, count in communities.items()}
        reports.receive(encode({"role": "worker-0", "pid": pid, "whole": whole, "communities": about}))
        return reports.community_counters()

    assert hear(1, whole=True, c1=1, c2=2) == {1: {"requests": 1}, 2: {"requests": 2}}
    assert hear(1, whole=False, c2=5) == {1: {"requests": 1}, 2: {"requests": 5}}
    assert hear(1, whole=True, c2=6) == {2: {"requests": 6}}
    assert hear(2, whole=False, c1=1) == {1: {"requests": 1}}
    reports.receive(encode({"role": "network", "communities": {1: {"counters": {"pings-sent": 4}}}}))
    assert reports.community_counters() == {1: {"requests": 1, "pings-sent": 4}}
