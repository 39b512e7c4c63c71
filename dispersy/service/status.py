"""What the gateway knows of the node's processes: each role's last report, and memory from /proc."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec

REPORTS_MAX = 128
"""Roles remembered: more than a node with the most workers has."""

Report = dict[str, Any]
_TOLD = ("pid", "cpu_seconds", "steps", "counters", "drops", "outcomes")


class Reports:
    """The newest report of every role."""

    def __init__(self) -> None:
        self._newest: dict[str, Report] = {}

    def receive(self, frame: bytes) -> Report | None:
        """Keep a report; None when it is none."""
        try:
            report = msgspec.msgpack.decode(frame)
        except (msgspec.MsgspecError, RecursionError, ValueError):
            return None
        if not isinstance(report, dict) or not isinstance(report.get("role"), str):
            return None
        role = report["role"]
        if role not in self._newest and len(self._newest) >= REPORTS_MAX:
            return None
        self._newest[role] = report
        return report

    def of(self, role: str) -> Report:
        """The newest report of a role; empty when it has not said anything."""
        return self._newest.get(role, {})

    def processes(self) -> list[dict[str, Any]]:
        """One map a process, the supervisor first: what it is, how it is, what it used."""
        supervisor = self.of("supervisor")
        children = supervisor.get("processes") or {}
        rows: dict[str, dict[str, Any]] = {}
        if supervisor:
            rows["supervisor"] = {"state": "running", "restarts": 0, **_process(supervisor)}
        for role, child in children.items():
            # A report of a pid that is gone says nothing about the process that took its place.
            report = self.of(role)
            used = _process(report) if report.get("pid") == child.get("pid") else {}
            rows[role] = {**used, **child}
        for role, report in self._newest.items():
            rows.setdefault(role, {"state": "running", "restarts": 0, **_process(report)})
        return [{"role": role, **row, **_memory(row.get("pid"))} for role, row in rows.items()]


def _process(report: Report) -> dict[str, Any]:
    return {key: report[key] for key in _TOLD if key in report}


def _memory(pid: object) -> dict[str, int]:
    """Anonymous and file-backed resident bytes of a process; empty when it is gone."""
    if type(pid) is not int:
        return {}
    try:
        text = Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="ascii")
    except OSError:
        return {}
    sizes = {}
    for line in text.splitlines()[1:]:
        key, _, value = line.partition(":")
        sizes[key] = int(value.split()[0]) * 1024
    anonymous = sizes.get("Anonymous", 0)
    return {"anonymous_bytes": anonymous, "file_bytes": sizes.get("Rss", 0) - anonymous}
