"""One process below the supervisor: its start, its end, its silence, and what is said of it."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from dataclasses import dataclass, field

from dispersy.service.processes.fork import Process
from dispersy.service.processes.silence import Silence
from dispersy.stop_signals import STOP_SIGNALS
from dispersy.workers.pulse import PulseBoard

BACK_OFF_FIRST_S = 0.1
BACK_OFF_MAX_S = 5.0
STEADY_S = 5.0
"""A process that has run this long starts again with the shortest back-off: its fault is a rare one."""
WRITER_PATIENCE = 6
"""Times the silence that others are allowed: a commit may wait long for a slow disk's fsync."""
START_LOOKS_MAX = 300
"""A process that has not opened its roles after so many looks is hung, too: a large index takes a while."""
DUMP_S = 1.0
"""Between SIGABRT, at which a hung process writes where it is, and SIGKILL."""
RECENT_S = 60.0
"""How long what happened to the process before is told."""


@dataclass(slots=True)
class Child:
    """One process, or the time of its next start.

    slot         of its pulse
    silent_max   looks without a pulse, after which it is hung; those at which it only waited for a processor
                 do not count
    ended        how the process before ended, in words
    """

    name: str
    slot: int
    silent_max: int
    process: Process | None = None
    started_at: float = 0.0
    start_due: float = 0.0
    back_off_s: float = BACK_OFF_FIRST_S
    restarts: int = 0
    ended: str = ""
    hung: str = ""
    kill_due: float | None = None
    board: PulseBoard = field(kw_only=True)
    silence: Silence = field(default_factory=Silence)

    @property
    def is_well(self) -> bool:
        """Whether it runs and shows its pulse; one that starts for the first time is given its time."""
        if self.process is None or self.hung:
            return False
        return self.has_begun or not self.restarts

    @property
    def has_begun(self) -> bool:
        """Whether its process runs and has opened its roles."""
        return self.process is not None and self.board.has_begun(self.slot)

    @property
    def pid(self) -> int | None:
        """Of its process, when it has one."""
        return self.process.pid if self.process else None

    def state(self, now: float) -> str:
        """How it is, in words."""
        if self.process is None:
            again_s = max(0.0, self.start_due - now)
            return f"{self.ended}, starts again in {again_s:.1f} s" if self.ended else "not started"
        if self.hung:
            return f"{self.hung}, is being killed"
        if not self.board.has_begun(self.slot):
            return "starting" + (f" again, {self.ended}" if self.ended else "")
        if self.ended and now - self.started_at < RECENT_S:
            return f"running, {self.ended} {now - self.started_at:.0f} s ago and was started again"
        return "running"

    def start(self, make: Callable[[], Process], *, now: float) -> None:
        """Start the process; the signals that stop a node wait until it has handlers for them."""
        self.board.clear(self.slot)
        self.silence.end()
        if self.ended:
            self.restarts += 1
        before = signal.pthread_sigmask(signal.SIG_BLOCK, STOP_SIGNALS)
        try:
            self.process = make()
        except OSError as error:
            # The system has no memory, or no more processes for us: it may have later.
            self._back_off(f"could not be started: {os.strerror(error.errno or 0)}", now)
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
        self.started_at = now
        self.hung, self.kill_due = "", None

    def take_end(self, now: float) -> bool:
        """Whether the process has ended since the last call; then the time of its next start is set."""
        if self.process is None:
            return False
        return_code = self.process.poll()
        if return_code is None:
            return False
        self.process = None
        if now - self.started_at >= STEADY_S:
            self.back_off_s = BACK_OFF_FIRST_S
        self._back_off(f"{self.hung} and was killed" if self.hung else describe_end(return_code), now)
        self.hung, self.kill_due = "", None
        return True

    def _back_off(self, why: str, now: float) -> None:
        self.ended = why
        self.start_due = now + self.back_off_s
        self.back_off_s = min(2 * self.back_off_s, BACK_OFF_MAX_S)

    def look(self, now: float) -> bool:
        """Look at the pulse, once a second; True when it is found to be hung now, and asked where it is."""
        if self.process is None or self.hung:
            return False
        if self.board.has_changed(self.slot):
            self.silence.end()
            return False
        self.silence.look(self.process.pid)
        if self.silence.counted < (self.silent_max if self.board.has_begun(self.slot) else START_LOOKS_MAX):
            return False
        self.hung = f"hung for {self.silence.looks} s"
        self.kill_due = now + DUMP_S
        # Python writes the stack of every thread before it ends; one that is stopped cannot, and is killed.
        self.process.send_signal(signal.SIGABRT)
        return True

    def kill_when_due(self, now: float) -> None:
        """A hung process that has had its time is killed."""
        if self.process is not None and self.kill_due is not None and self.kill_due <= now:
            self.kill_due = None
            self.process.send_signal(signal.SIGKILL)


def describe_end(return_code: int) -> str:
    """How a process ended, in words."""
    if return_code >= 0:
        return f"ended with status {return_code}"
    try:
        return f"was ended by {signal.Signals(-return_code).name}"
    except ValueError:
        return f"was ended by signal {-return_code}"
