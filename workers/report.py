"""What a role says of itself once a second: time and count of each step, counters, and what is its own to
tell."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterable
from time import monotonic, perf_counter, process_time, time
from typing import Any

import msgspec
import zmq

from dispersy.bus.settings import RoleSettings
from dispersy.bus.sockets import connected, send_or_drop
from dispersy.workers.loop import Loop

REPORT_INTERVAL_S = 1.0
REPORTS_PER_WHOLE = 5
"""Every such report tells of all communities, the others of those where something happened."""
REPORTS_PER_ALL_STEPS = 30
"""Every such report tells the time spent for each community, for who listens may have been started again."""
COMMUNITIES_TIMED_MAX = 4_096
"""Communities of which the time spent is known, the last that were met: a node may join and leave any number
between its start and its end."""
FIRST_RETRY_S = 0.02


class Untold:
    """Which communities a report tells of: all of them each second would cost more than they do when idle."""

    def __init__(self) -> None:
        self._numbers: set[int] = set()
        self._reports = 0

    def touch(self, number: int) -> None:
        """Something happened there."""
        self._numbers.add(number)

    def touch_all(self) -> None:
        """The next report tells of all, and so of those that are there no more."""
        self._reports = 0

    def take(self, numbers: Iterable[int], *, heard: bool) -> tuple[bool, list[int]]:
        """Whether the next report tells of all, and of which it does.

        heard   the last one was taken, so that it need not be told again
        """
        whole = not heard or self._reports % REPORTS_PER_WHOLE == 0
        told = [number for number in numbers if whole or number in self._numbers]
        self._reports += 1
        self._numbers.clear()
        return whole, told


class Reporter:
    """Counters and step times of one role.

    steps      name -> [seconds, count], since the start
    counters   name -> count, since the start
    by_community   number -> steps of that community alone, of those steps that are of one
    heard      somebody took the last report
    """

    def __init__(
        self, role: str, settings: RoleSettings, extra: Callable[[], dict[str, Any]] | None = None
    ) -> None:
        self.role = role
        self.steps: dict[str, list[float]] = {}
        self.counters: Counter[str] = Counter()
        self.by_community: dict[int, dict[str, list[float]]] = {}
        self._untold: set[int] = set()
        self._reports = 0
        self.heard = False
        self._settings = settings
        self._extra = extra
        self._socket: zmq.Socket[bytes] | None = None
        self._first_due: float | None = None

    def open(self, loop: Loop) -> None:
        self._socket = connected(loop.context, zmq.PUSH, self._settings.socket("reports"), queued_max=4)
        loop.every(REPORT_INTERVAL_S, self._send_next)
        # The first as soon as somebody listens: until every role has spoken the node is not ready.
        self._first_due = 0.0
        loop.deadline(lambda: self._first_due, self._send_first)

    def step(self, name: str, began: float, count: int, *, community: int | None = None) -> float:
        """Account the time since `began` (perf_counter) for `count` things; returns the time now.

        community   whose time it was, where it was that of one
        """
        now = perf_counter()
        _account(self.steps, name, now - began, count)
        if community is not None:
            if community not in self.by_community:
                self._meet(community)
            _account(self.by_community[community], name, now - began, count)
            self._untold.add(community)
        return now

    def _meet(self, community: int) -> None:
        if len(self.by_community) >= COMMUNITIES_TIMED_MAX:
            first = next(iter(self.by_community))
            del self.by_community[first]
            self._untold.discard(first)
        self.by_community[community] = {}

    def _send_first(self) -> None:
        self._first_due = None if self.send() else monotonic() + FIRST_RETRY_S

    def _send_next(self) -> None:
        self.send()

    def send(self) -> bool:
        """Say it now; False when nobody listens."""
        assert self._socket is not None
        if self._reports % REPORTS_PER_ALL_STEPS == 0:
            self._untold.update(self.by_community)
        self._reports += 1
        report: dict[str, Any] = {
            "role": self.role,
            "pid": os.getpid(),
            "time": time(),
            "cpu_seconds": process_time(),
            "steps": self.steps,
            "counters": dict(self.counters),
            # Of those where time was spent since somebody has heard it; of the others nothing is new.
            "community_steps": {number: self.by_community[number] for number in self._untold},
        }
        if self._extra is not None:
            report |= self._extra()
        self.heard = send_or_drop(self._socket, [msgspec.msgpack.encode(report)])
        if self.heard:
            self._untold.clear()
        return self.heard


def _account(steps: dict[str, list[float]], name: str, seconds: float, count: int) -> None:
    entry = steps.get(name)
    if entry is None:
        steps[name] = [seconds, count]
    else:
        entry[0] += seconds
        entry[1] += count
