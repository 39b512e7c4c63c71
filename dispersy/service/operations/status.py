"""What the gateway knows of the node's processes: each role's last report, and memory from /proc."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Self

import msgspec

from dispersy.service.settings.placement import ALL_ROLES
from dispersy.workers.report import COMMUNITIES_TIMED_MAX

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
        self._newest[role] = _completed(report, self._newest.get(role, {}))
        return report

    def copy(self) -> Self:
        """The reports as they are now: no later one changes it."""
        copied = type(self)()
        copied._newest = dict(self._newest)
        return copied

    def of(self, role: str) -> Report:
        """The newest report of a role; empty when it has not said anything."""
        return self._newest.get(role, {})

    def missing(self, roles: Iterable[str], *, process: str = "") -> list[str]:
        """Which of the roles do not work yet, as far as they and the supervisor have said.

        process    the one that holds all of them; empty: each has its own
        """
        children = self.of("supervisor").get("processes") or {}
        missing = []
        for role in roles:
            child, report = children.get(process or role) or {}, self.of(role)
            # The supervisor knows sooner: reports come once a second, and this process may be the newest.
            has_spoken = bool(report) and report.get("pid") == child.get("pid", report.get("pid"))
            if not has_spoken and not child.get("begun"):
                missing.append(role)
        return missing

    def listen(self) -> str:
        """Where the network process listens; empty until somebody has said."""
        return str(self.of("network").get("listen") or self.of("supervisor").get("listen") or "")

    def troubles(self) -> list[str]:
        """What the supervisor says of the processes that do not work now."""
        children = self.of("supervisor").get("processes") or {}
        return [f"{name} {child['state']}" for name, child in children.items() if child.get("trouble")]

    def warnings(self) -> list[dict[str, Any]]:
        """What the roles warn of now, one map each: code, community, message, hint."""
        return [warning for report in self._newest.values() for warning in report.get("warnings") or ()]

    def neighbourhood(self, number: int) -> Report:
        """What the network role says of the community of this number; empty while it has not."""
        return (self.of("network").get("communities") or {}).get(number) or {}

    def community_counters(self) -> dict[int, dict[str, int]]:
        """By a community's number what all roles count for it (dispersy.workers.counters)."""
        counted: dict[int, Counter[str]] = {}
        for report in self._newest.values():
            for number, about in (report.get("communities") or {}).items():
                counted.setdefault(number, Counter()).update(about.get("counters") or {})
        return {number: dict(counts) for number, counts in counted.items()}

    def community_steps(self) -> dict[int, dict[str, tuple[float, float]]]:
        """By a community's number the seconds and things of each step, of all processes together."""
        found: dict[int, dict[str, tuple[float, float]]] = {}
        for report in self._newest.values():
            for number, steps in (report.get("community_steps") or {}).items():
                known = found.setdefault(number, {})
                for step, (seconds, count) in steps.items():
                    before = known.get(step, (0.0, 0.0))
                    known[step] = (before[0] + seconds, before[1] + count)
        return found

    def counters_of(self, number: int) -> Counter[str]:
        """The same of one community."""
        counted: Counter[str] = Counter()
        for report in self._newest.values():
            counted.update(((report.get("communities") or {}).get(number) or {}).get("counters") or {})
        return counted

    def processes(self) -> list[dict[str, Any]]:
        """One map a process, the supervisor first: what it is, how it is, what it used."""
        supervisor = self.of("supervisor")
        children = supervisor.get("processes") or {}
        roles: dict[object, list[str]] = {}
        for role, report in self._newest.items():
            roles.setdefault(report.get("pid"), []).append(role)
        rows: dict[str, dict[str, Any]] = {}
        if supervisor:
            rows["supervisor"] = {"state": "running", "restarts": 0, **_process([supervisor])}
            roles.pop(supervisor.get("pid"), None)
        for name, child in children.items():
            # A report of a pid that is gone says nothing about the process that took its place.
            held = roles.pop(child.get("pid"), [])
            told = {key: value for key, value in child.items() if key not in ("trouble", "begun")}
            rows[name] = {**_process([self.of(role) for role in held]), **told, "roles": held}
        for held in roles.values():
            if not any(role in children or ALL_ROLES in children for role in held):
                name = held[0] if len(held) == 1 else ALL_ROLES
                reports = [self.of(role) for role in held]
                rows[name] = {"state": "running", "restarts": 0, **_process(reports), "roles": held}
        return [{"role": name, **_nothing(), **row, **_memory(row.get("pid"))} for name, row in rows.items()]


def _completed(report: Report, before: Report) -> Report:
    """A report that tells only of communities where something happened, with what is known of the others."""
    if report.get("pid") != before.get("pid"):
        return report
    steps = {**(before.get("community_steps") or {}), **(report.get("community_steps") or {})}
    for number in list(steps)[:-COMMUNITIES_TIMED_MAX]:
        del steps[number]
    report = {**report, "community_steps": steps}
    if report.get("whole", True):
        return report
    return {**report, "communities": {**before.get("communities", {}), **report["communities"]}}


def _nothing() -> dict[str, Any]:
    """What is told of every process, of one that has said nothing yet."""
    maps: dict[str, Any] = {name: {} for name in ("steps", "counters", "drops", "outcomes")}
    return {"pid": None, "roles": [], "cpu_seconds": 0.0, **maps}


def _process(reports: list[Report]) -> dict[str, Any]:
    """What one process used, from what its roles say; the CPU's time is the whole process's."""
    told: dict[str, Any] = {}
    for report in sorted(reports, key=lambda report: report.get("time", 0.0)):
        for key in _TOLD:
            value = report.get(key)
            if isinstance(value, dict) and isinstance(told.get(key), dict):
                told[key] = {**told[key], **value}
            elif value is not None:
                told[key] = value
    counters: Counter[str] = Counter()
    for report in reports:
        counters.update(report.get("counters", {}))
    return {**told, "counters": dict(counters)} if counters else told


def _memory(pid: object) -> dict[str, int]:
    """Anonymous and file-backed resident bytes of a process; empty when it is gone.

    Processes that are copies of one share memory until one of them writes to it. Of that each is given its
    part, so that the sum over all processes is what the node has.
    """
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
    resident = sizes.get("Anonymous", 0)
    # Linux tells of parts since 5.9.
    shared_out = sizes.get("Pss_Anon", resident)
    return {"anonymous_bytes": shared_out, "file_bytes": sizes.get("Rss", 0) - resident}
