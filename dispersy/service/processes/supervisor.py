"""The supervisor: starts the processes of a node, restarts one that dies, and ends them all together.

It holds the write end of a pipe that every child reads: however the supervisor ends, the children see it and
end too. The process of `dispersy run`, which has checked everything, becomes the supervisor. What the roles
need it imports once: each process is a copy of it, and is there in milliseconds, where a start of Python with
all imports takes a third of a second of a core.
"""

from __future__ import annotations

import gc
import os
import select
import signal
from functools import partial
from pathlib import Path
from time import monotonic, process_time, time

import msgspec

from dispersy.service.home.home import remove_runtime
from dispersy.service.home.passphrase import take_over
from dispersy.service.logs import (
    NODE_READY,
    NODE_STOPPING,
    ROLE_ENDED,
    ROLE_HUNG,
    ROLE_STARTED,
    announce,
    event,
    logger,
    say,
    set_up,
)
from dispersy.service.processes.child import WRITER_PATIENCE, Child
from dispersy.service.processes.fork import Copy, copy_of_this
from dispersy.service.processes.launch import Prepared
from dispersy.service.processes.link import LinkRole, open_link, receive_state, tell
from dispersy.service.processes.notify import Notifier
from dispersy.service.processes.process import run_roles, show_name
from dispersy.service.settings.placement import ALL_ROLES, GATEWAY_HOLDERS, KEY_READERS, processes_of
from dispersy.stop_signals import STOP_SIGNALS, heeded_signals
from dispersy.workers.loop import Loop
from dispersy.workers.pulse import Pulse, PulseBoard

STOP_LIMIT_S = 1.5
"""After this the children are killed: all must be gone within 2 s of the signal."""
LOOK_INTERVAL_S = 1.0
LIVELY_S = 2.0
LIVELY_INTERVAL_S = 0.1
"""For a while after a start or an end reports go out more often: whoever waits for the node needs them."""


class Supervisor:
    """One node's processes. run() returns when all of them are gone."""

    def __init__(self, node: Prepared) -> None:
        self._settings = settings = node.settings
        self._lock = node.lock
        self._passphrase = node.passphrase
        self._board = PulseBoard()
        self._notifier = Notifier()
        names = processes_of(settings.placement, workers=settings.workers)
        patience = {name: WRITER_PATIENCE if name in ("writer", ALL_ROLES) else 1 for name in names}
        self._children = [
            Child(name, slot, settings.silent_max_s * patience[name], board=self._board)
            for slot, name in enumerate(names)
        ]
        self._stopping = False
        self._life_read, self._life_write = os.pipe2(os.O_CLOEXEC)
        self._wake_read, self._wake_write = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        self._link: int | None = None
        self._poll = select.poll()
        self._poll.register(self._wake_read, select.POLLIN)
        self._listen = ""
        self._waits_for = "starting"
        self._look_due = self._watchdog_due = self._report_due = monotonic()
        self._lively_until = 0.0

    def run(self) -> int:
        """Until one of STOP_SIGNALS; the exit status."""
        # Handlers only wake the poll: what is to be done is decided in one place.
        signal.set_wakeup_fd(self._wake_write, warn_on_full_buffer=False)
        for number in heeded_signals():
            signal.signal(number, self._stop)
        # `dispersy run` has blocked them for the time in which nobody could have taken them.
        signal.pthread_sigmask(signal.SIG_UNBLOCK, STOP_SIGNALS)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        while not self._stopping:
            now = monotonic()
            changed = self._collect(now) + self._start_due(now)
            if now >= self._look_due:
                self._look_due = now + LOOK_INTERVAL_S
                self._look(now)
            if changed:
                self._lively_until = now + LIVELY_S
            if changed or now >= self._report_due:
                is_lively = now < self._lively_until or not self._listen
                self._report_due = now + (LIVELY_INTERVAL_S if is_lively else LOOK_INTERVAL_S)
                self._report(now)
            if now >= self._watchdog_due and all(child.is_well for child in self._children):
                self._watchdog_due = now + self._notifier.interval_s
                self._notifier.healthy()
            self._wait(self._next_due() - monotonic())
        logger.info("stopping", extra=event(NODE_STOPPING))
        self._notifier.stopping()
        self._end_all()
        say("stopped")
        return 0

    def _stop(self, *_: object) -> None:
        self._stopping = True

    def _wait(self, seconds: float) -> None:
        ready = dict(self._poll.poll(max(0, int(seconds * 1000 + 0.999))))
        if self._wake_read in ready:
            os.read(self._wake_read, 4096)
        if self._link is not None and self._link in ready:
            self._hear(self._link)

    def _next_due(self) -> float:
        due = [self._look_due, self._report_due]
        due += [child.start_due for child in self._children if child.process is None]
        due += [child.kill_due for child in self._children if child.kill_due is not None]
        if self._notifier.watchdog_s:
            # Where one is not well this is in the past: then the next look is early enough.
            due += [self._watchdog_due] if self._watchdog_due > monotonic() else []
        return min(due)

    def _collect(self, now: float) -> int:
        """Take note of processes that have ended; how many."""
        ended = [child for child in self._children if child.take_end(now)]
        for child in ended:
            again_s = child.start_due - now
            logger.warning(
                "%s %s; starting it again in %.1f s",
                child.name,
                child.ended,
                again_s,
                extra=event(ROLE_ENDED, role=child.name, how=child.ended, again_s=round(again_s, 3)),
            )
        return len(ended)

    def _start_due(self, now: float) -> int:
        """Start those whose time has come; how many."""
        due = [child for child in self._children if child.process is None and child.start_due <= now]
        for child in due:
            self._start(child, now)
            if child.process is not None:
                started = event(ROLE_STARTED, role=child.name, pid_started=child.pid, restarts=child.restarts)
                logger.debug("started %s as process %s", child.name, child.pid, extra=started)
        return len(due)

    def _start(self, child: Child, now: float) -> None:
        theirs: int | None = None
        if child.name in GATEWAY_HOLDERS:
            self._close_link()
            self._link, theirs = open_link()
            self._poll.register(self._link, select.POLLIN)

        def copy() -> Copy:
            return copy_of_this(lambda: self._be(child, theirs))

        try:
            child.start(copy, now=now)
        finally:
            if theirs is not None:
                os.close(theirs)

    def _be(self, child: Child, link: int | None) -> int:
        """In the copy: the whole life of the process, with what is for it alone; its exit status."""
        show_name(child.name)
        signs = child.name in KEY_READERS
        # Were the lock or the pipe left open here, the home would not be free, nor anybody see the end of us,
        # when the supervisor has ended.
        ours = [self._lock, self._life_write, self._wake_read, self._wake_write, self._link]
        for descriptor in (*ours, None if signs else self._passphrase):
            if descriptor is not None:
                os.close(descriptor)
        settings = self._settings
        set_up(child.name, log_format=settings.log_format, level=settings.log_level)
        loop = Loop(self._life_read, Pulse(self._board.descriptor, child.slot).beat)
        passphrase = None if self._passphrase is None or not signs else take_over(self._passphrase)
        beside = None if link is None else partial(LinkRole, link)
        return run_roles(child.name, settings, loop, passphrase=passphrase, beside=beside)

    def _look(self, now: float) -> None:
        """Look for processes that do nothing."""
        for child in self._children:
            if child.look(now):
                how = event(ROLE_HUNG, role=child.name, how=child.hung, pid_hung=child.pid)
                logger.error("%s %s; killing it", child.name, child.hung, extra=how)
            child.kill_when_due(now)
        self._notifier.status(self._words(now))

    def _words(self, now: float) -> str:
        """How the node is, as the service manager is told it."""
        troubles = [f"{child.name} {child.state(now)}" for child in self._children if not child.is_well]
        return "; ".join(troubles) or self._waits_for or f"ready, listening on {self._listen}"

    def _report(self, now: float) -> None:
        if self._link is None:
            return
        processes = {
            child.name: {
                "pid": child.pid,
                "restarts": child.restarts,
                "state": child.state(now),
                "trouble": not child.is_well,
                "begun": child.has_begun,
            }
            for child in self._children
        }
        report = {
            "role": "supervisor",
            "pid": os.getpid(),
            "time": time(),
            "cpu_seconds": process_time(),
            "processes": processes,
            "listen": self._listen,
        }
        tell(self._link, report)

    def _hear(self, link: int) -> None:
        """What the gateway says of the node; say once that it is whole."""
        state = receive_state(link)
        if state is None:
            self._close_link()
        elif state.is_ready and not self._listen:
            # Where the system chose the port: a restarted network process must be found where it was.
            self._listen = state.listen
            self._settings = msgspec.structs.replace(self._settings, listen=state.listen)
            self._waits_for = ""
            announce(state.words, NODE_READY, listen=state.listen)
            self._notifier.ready(self._words(monotonic()))
        elif not self._listen:
            self._waits_for = state.words

    def _close_link(self) -> None:
        if self._link is not None:
            self._poll.unregister(self._link)
            os.close(self._link)
            self._link = None

    def _end_all(self) -> None:
        """SIGTERM to all, SIGKILL to those that are not gone in time."""
        running = [child.process for child in self._children if child.process is not None]
        for process in running:
            process.send_signal(signal.SIGTERM)
        limit = monotonic() + STOP_LIMIT_S
        while any(process.poll() is None for process in running) and monotonic() < limit:
            self._wait(limit - monotonic())
        for process in running:
            process.send_signal(signal.SIGKILL)
        while any(process.poll() is None for process in running):
            self._wait(LOOK_INTERVAL_S)
        remove_runtime(Path(self._settings.runtime))


def run(node: Prepared) -> int:
    """Be the supervisor of a node until it is stopped; the exit status."""
    show_name("supervisor")
    set_up("supervisor", log_format=node.settings.log_format, level=node.settings.log_level)
    # What is imported by now is there for good, and shared with every copy as long as nobody writes to it, as
    # the garbage collector does to whatever it looks at.
    gc.collect()
    gc.freeze()
    return Supervisor(node).run()
