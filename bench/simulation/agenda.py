"""What is to happen in a world, by when: a heap of the moments that are near, and slots of those behind them.

A large world plans some hundred thousand things at once. A heap of all of them is larger than a processor's
cache, and taking one out looks at twenty of them. Of one millisecond there are few, and they are looked at
together.
"""

from __future__ import annotations

from heapq import heapify, heappop, heappush
from typing import Any

SLOTS_PER_S = 1000.0

Entry = tuple[float, int, int, Any, Any, Any]
"""(when, how many were put in before it, and what the world wants to know of it)."""


class Agenda:
    """Entries come out by their moments, those of one moment as they were put in."""

    def __init__(self) -> None:
        self._count = 0
        self._near: list[Entry] = []
        """A heap of what lies before the end of the slot that is under way."""
        self._slot = -1
        self._later: dict[int, list[Entry]] = {}
        self._slots: list[int] = []
        """A heap of those that have entries later."""

    def put(self, at: float, kind: int, one: Any, other: Any = None, data: Any = None) -> None:
        """Let this happen at a moment; one that is over already is as good as any."""
        self._count += 1
        entry = (at, self._count, kind, one, other, data)
        slot = int(at * SLOTS_PER_S)
        if slot <= self._slot:
            heappush(self._near, entry)
        elif slot in self._later:
            self._later[slot].append(entry)
        else:
            self._later[slot] = [entry]
            heappush(self._slots, slot)

    def take(self, before: float) -> Entry | None:
        """What comes next, if it comes before this moment."""
        if not self._near:
            if not self._slots:
                return None
            # What is put in from now on for this slot goes to the heap, so it may begin before its time.
            self._slot = heappop(self._slots)
            self._near = self._later.pop(self._slot)
            heapify(self._near)
        return heappop(self._near) if self._near[0][0] < before else None
