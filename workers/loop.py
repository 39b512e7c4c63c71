"""The one loop that drives every role: wait, call back what is ready, flush, tick.

A role has a name and `open(loop)`, in which it registers its sockets and timers. No asyncio: a poller over
ZeroMQ sockets and descriptors is lighter. A role's exception ends the process: the supervisor starts it
again.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from time import CLOCK_BOOTTIME, clock_gettime, monotonic
from typing import Protocol

import zmq

from dispersy.stop_signals import STOP_SIGNALS, heeded_signals

Callback = Callable[[], None]
IDLE_WAIT_S = 1.0
"""The longest wait without a timer: bounds how late a signal that fell between two waits is seen."""
SLEPT_MIN_S = 30.0
"""Of a sleep that is told: after 57.5 s without a word neighbours forget each other."""


class Role(Protocol):
    """What the loop drives."""

    name: str

    def open(self, loop: Loop) -> None:
        """Register sockets, timers and flushes."""

    def close(self) -> None:
        """Let go of what must not be left to the process's end."""


class Loop:
    """One per process; several roles may share it.

    life_fd    read end of a pipe whose write end the supervisor holds: when it closes, the process ends
    beat       called once a turn, and a turn comes at least every IDLE_WAIT_S
    """

    def __init__(self, life_fd: int | None = None, beat: Callback | None = None) -> None:
        self.context: zmq.Context[zmq.Socket[bytes]] = zmq.Context(io_threads=1)
        self._poller = zmq.Poller()
        self._callbacks: dict[zmq.Socket[bytes] | int, Callback] = {}
        self._timers: list[_Timer] = []
        self._deadlines: list[tuple[Callable[[], float | None], Callback]] = []
        self._flushes: list[Callback] = []
        self._sleepers: list[Callable[[float], None]] = []
        self._clocks = Clocks()
        self._processor_time: tuple[float, Callback] | None = None
        self._used_processor = False
        self._busy = False
        self._ended = False
        self._wake_read, self._wake_write = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        self.watch(self._wake_read, self._drain_wake)
        if life_fd is not None:
            self.watch(life_fd, self.stop)
        if beat is not None:
            self.flush(beat)

    def watch(self, source: zmq.Socket[bytes] | int, callback: Callback, events: int = zmq.POLLIN) -> None:
        """Call back whenever `source` is readable (or, POLLOUT, takes more); the callback takes a bounded
        portion."""
        self._callbacks[source] = callback
        self._poller.register(source, events)

    def unwatch(self, source: zmq.Socket[bytes] | int) -> None:
        """Stop watching; nothing happens when it was not watched."""
        if self._callbacks.pop(source, None) is not None:
            self._poller.unregister(source)

    def every(self, seconds: float, callback: Callback) -> None:
        """Call back about every `seconds`, first after that time."""
        self._timers.append(_Timer(seconds, monotonic() + seconds, callback))

    def deadline(self, next_deadline: Callable[[], float | None], callback: Callback) -> None:
        """Call back when the time (monotonic seconds) that `next_deadline` names is reached; it is asked
        every turn."""
        self._deadlines.append((next_deadline, callback))

    def flush(self, callback: Callback) -> None:
        """Call back at the end of every turn, after all that was ready."""
        self._flushes.append(callback)

    def slept(self, callback: Callable[[float], None]) -> None:
        """Tell it for how many seconds the machine has slept, or this process was stopped, as soon as it is
        over."""
        self._sleepers.append(callback)

    def after_processor_time(self, seconds: float, callback: Callback) -> None:
        """Call back whenever the process has used so many more seconds of processor time: often while it is
        busy, and never while it is idle. One in a process, whose SIGPROF it takes."""
        self._processor_time = (seconds, callback)

    def again(self) -> None:
        """Do not wait in the next turn: work is left."""
        self._busy = True

    def stop(self) -> None:
        """End after this turn. Safe in signal handlers."""
        self._ended = True
        os.write(self._wake_write, b"!")

    def run(self, *roles: Role) -> None:
        """Drive the roles until one of STOP_SIGNALS, the supervisor's end or stop()."""
        for number in heeded_signals():
            signal.signal(number, lambda *_: self.stop())
        # Whoever started us may have blocked them for the time in which nobody could have taken them.
        signal.pthread_sigmask(signal.SIG_UNBLOCK, STOP_SIGNALS)
        for role in roles:
            role.open(self)
        self._count_processor_time()
        try:
            while not self._ended:
                self._turn()
        finally:
            signal.setitimer(signal.ITIMER_PROF, 0)
            for role in reversed(roles):
                role.close()
            self.context.destroy(linger=0)

    def _count_processor_time(self) -> None:
        if self._processor_time is None:
            return

        def used(*_: object) -> None:
            self._used_processor = True
            os.write(self._wake_write, b"!")

        signal.signal(signal.SIGPROF, used)
        # What it falls into goes on; only a wait ends.
        signal.siginterrupt(signal.SIGPROF, False)
        seconds, _ = self._processor_time
        signal.setitimer(signal.ITIMER_PROF, seconds, seconds)

    def _turn(self) -> None:
        for source, _ in self._poller.poll(self._wait_ms()):
            callback = self._callbacks.get(source)
            if callback is not None:
                callback()
        if self._used_processor and self._processor_time is not None:
            self._used_processor = False
            self._processor_time[1]()
        slept_s = self._clocks.slept_s(monotonic(), clock_gettime(CLOCK_BOOTTIME))
        if slept_s:
            for wake in self._sleepers:
                wake(slept_s)
        now = monotonic()
        for timer in self._timers:
            if timer.due <= now:
                # From now, not from when it was due: a suspended machine must not be punished with a burst.
                timer.due = now + timer.interval
                timer.callback()
        for next_deadline, callback in self._deadlines:
            due = next_deadline()
            if due is not None and due <= now:
                callback()
        for callback in self._flushes:
            callback()

    def _wait_ms(self) -> int:
        if self._busy:
            self._busy = False
            return 0
        now = monotonic()
        wait = min([IDLE_WAIT_S, *(timer.due - now for timer in self._timers)])
        for next_deadline, _ in self._deadlines:
            due = next_deadline()
            if due is not None:
                wait = min(wait, due - now)
        # Rounded up: waking a little early would spin until the moment is there.
        return max(0, int(wait * 1000 + 0.999))

    def _drain_wake(self) -> None:
        os.read(self._wake_read, 4096)


class Clocks:
    """What two clocks tell of a sleep, looked at every turn: one goes on while the machine sleeps, one does
    not, and both go on while a process is stopped."""

    def __init__(self) -> None:
        self._last: tuple[float, float] | None = None

    def slept_s(self, now: float, boottime: float) -> float:
        """Seconds since the last look that nobody was awake to see; 0: so few that nobody has forgotten us.

        now       monotonic: of the time awake
        boottime  the time since the machine was started
        """
        last, self._last = self._last, (now, boottime)
        if last is None:
            return 0.0
        # A turn comes at least every IDLE_WAIT_S, whatever little there is to do.
        passed_s = max(now - last[0], boottime - last[1])
        return passed_s if passed_s >= SLEPT_MIN_S else 0.0


class _Timer:
    __slots__ = ("callback", "due", "interval")

    def __init__(self, interval: float, due: float, callback: Callback) -> None:
        self.interval = interval
        self.due = due
        self.callback = callback
