"""How long a process has shown no pulse though nothing but itself kept it from a turn.

A machine that is busy with other things may give a process no processor for many seconds. It would go on at
once if it got one, and to kill it would make the machine busier. So a silent second of a process that is
ready to run counts by the processor time that it got, and counts whole where it sleeps, is stopped or waits
for a disk.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

CLOCK_TICKS_PER_S = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True)
class Activity:
    """What the kernel says of a process.

    wants_processor   whether it runs, or would
    processor_s       what all of its threads have used so far
    """

    wants_processor: bool
    processor_s: float


def activity_of(pid: int) -> Activity | None:
    """None: it has ended."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="ascii", errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        return None
    # Its name may hold anything, brackets and spaces too.
    state, *fields = stat.rpartition(")")[2].split()
    user, system = fields[10:12]
    return Activity(state == "R", (int(user) + int(system)) / CLOCK_TICKS_PER_S)


class Silence:
    """Of one process, looked at once a second.

    looks     in a row that found no pulse
    counted   of these, those that count, in parts
    """

    def __init__(self, activity: Callable[[int], Activity | None] = activity_of) -> None:
        self.looks = 0
        self.counted = 0.0
        self._activity = activity
        self._used_s: float | None = None

    def end(self) -> None:
        """It has shown its pulse, or another process has taken its place."""
        self.looks, self.counted, self._used_s = 0, 0.0, None

    def look(self, pid: int) -> None:
        """It has shown no pulse since the last look."""
        self.looks += 1
        activity = self._activity(pid)
        if activity is None or not activity.wants_processor:
            self.counted += 1.0
        elif self._used_s is not None:
            self.counted += min(1.0, activity.processor_s - self._used_s)
        self._used_s = None if activity is None else activity.processor_s
