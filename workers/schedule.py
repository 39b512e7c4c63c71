"""When each of many machines is due: asked every turn of a loop, so that only touched ones are looked at."""

from __future__ import annotations

from collections.abc import Callable
from heapq import heapify, heappop, heappush

STALE_SHARE = 4
"""Entries for each machine above which the heap is made anew: most of them are of moments that moved."""


class Schedule:
    """The deadlines of machines that have a number.

    next_deadline   of the machine with this number; None: it has none, or is gone
    """

    def __init__(self, next_deadline: Callable[[int], float | None]) -> None:
        self._next_deadline = next_deadline
        self._deadlines: dict[int, float] = {}
        self._heap: list[tuple[float, int]] = []
        self._touched: set[int] = set()

    def touch(self, number: int) -> None:
        """Something happened there: its deadline may be another one."""
        self._touched.add(number)

    def next_deadline(self) -> float | None:
        """The earliest of all."""
        self._update()
        while self._heap and self._deadlines.get(self._heap[0][1]) != self._heap[0][0]:
            heappop(self._heap)
        return self._heap[0][0] if self._heap else None

    def due(self, now: float) -> list[int]:
        """Whose time has come; their deadlines are asked for again, whatever is done."""
        found = []
        while (earliest := self.next_deadline()) is not None and earliest <= now:
            _, number = heappop(self._heap)
            del self._deadlines[number]
            found.append(number)
        self._touched.update(found)
        return found

    def _update(self) -> None:
        for number in self._touched:
            deadline = self._next_deadline(number)
            if deadline is None:
                self._deadlines.pop(number, None)
            elif self._deadlines.get(number) != deadline:
                self._deadlines[number] = deadline
                heappush(self._heap, (deadline, number))
        self._touched.clear()
        if len(self._heap) > STALE_SHARE * (len(self._deadlines) + 1):
            self._heap = [(deadline, number) for number, deadline in self._deadlines.items()]
            heapify(self._heap)
