"""The supervisor: starts the processes of a node, restarts one that dies, and ends them all together.

It holds the write end of a pipe that every child reads: however the supervisor ends, the children see it and
end too. `dispersy run` checks everything first and then becomes this module by execv, so that the command
line's libraries do not stay in memory.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from time import monotonic, process_time, time

import msgspec
import zmq

from dispersy.bus.settings import RoleSettings
from dispersy.bus.sockets import connected, send_or_drop
from dispersy.service.home.home import remove_runtime
from dispersy.service.home.passphrase import hand_over
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
from dispersy.service.processes.launch import prepared
from dispersy.service.processes.notify import Notifier
from dispersy.service.processes.readiness import Readiness
from dispersy.service.settings.placement import ALL_ROLES, KEY_READERS, processes_of
from dispersy.workers.loop import STOP_SIGNALS
from dispersy.workers.pulse import PulseBoard

STOP_LIMIT_S = 1.5
"""After this the children are killed: all must be gone within 2 s of the signal."""
LOOK_INTERVAL_S = 1.0
LIVELY_S = 2.0
LIVELY_INTERVAL_S = 0.1
"""For a while after a start or an end reports go out more often: whoever waits for the node needs them."""


class Supervisor:
    """One node's processes. run() returns when all of them are gone."""

    def __init__(self, settings: RoleSettings, passphrase: bytes | None = None) -> None:
        self._settings = settings
        self._passphrase = passphrase
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
        self._context: zmq.Context[zmq.Socket[bytes]] = zmq.Context(io_threads=1)
        self._reports = connected(self._context, zmq.PUSH, settings.path("reports"), queued_max=2)
        self._readiness: Readiness | None = Readiness(self._context, settings)
        self._poller = zmq.Poller()
        self._poller.register(self._wake_read, zmq.POLLIN)
        self._poller.register(self._readiness.socket, zmq.POLLIN)
        self._look_due = self._watchdog_due = self._report_due = monotonic()
        self._lively_until = 0.0

    def run(self) -> int:
        """Until one of STOP_SIGNALS; the exit status."""
        # Handlers only wake the poll: what is to be done is decided in one place.
        signal.set_wakeup_fd(self._wake_write, warn_on_full_buffer=False)
        for number in STOP_SIGNALS:
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
                is_lively = now < self._lively_until or self._readiness is not None
                self._report_due = now + (LIVELY_INTERVAL_S if is_lively else LOOK_INTERVAL_S)
                self._report(now)
            if now >= self._watchdog_due and all(child.is_well for child in self._children):
                self._watchdog_due = now + self._notifier.interval_s
                self._notifier.healthy()
            if self._readiness is not None:
                self._ask_ready(self._readiness, now)
            self._wait(self._next_due() - monotonic())
        logger.info("stopping", extra=event(NODE_STOPPING))
        self._notifier.stopping()
        self._end_all()
        say("stopped")
        return 0

    def _stop(self, *_: object) -> None:
        self._stopping = True

    def _wait(self, seconds: float) -> None:
        if dict(self._poller.poll(max(0, int(seconds * 1000 + 0.999)))).get(self._wake_read):
            os.read(self._wake_read, 4096)

    def _next_due(self) -> float:
        due = [self._look_due, self._report_due]
        due += [child.start_due for child in self._children if child.process is None]
        due += [child.kill_due for child in self._children if child.kill_due is not None]
        if self._readiness is not None:
            due.append(self._readiness.due)
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
            command = [
                sys.executable,
                "-P",
                # What crashes, or is found to be hung, writes where it was.
                "-X",
                "faulthandler",
                "-m",
                "dispersy.service.processes.process",
                child.name,
                f"--life={self._life_read}",
                "--pulse",
                str(self._board.descriptor),
                str(child.slot),
                f"--settings={self._settings.to_json()}",
            ]
            self._start(child, command, now)
            started = event(ROLE_STARTED, role=child.name, pid_started=child.pid, restarts=child.restarts)
            logger.debug("started %s as process %s", child.name, child.pid, extra=started)
        return len(due)

    def _start(self, child: Child, command: list[str], now: float) -> None:
        inherited = (self._life_read, self._board.descriptor)
        if self._passphrase is None or child.name not in KEY_READERS:
            child.start(command, inherited=inherited, now=now)
            return
        descriptor = hand_over(self._passphrase)
        try:
            given = [*command, f"--passphrase={descriptor}"]
            child.start(given, inherited=(*inherited, descriptor), now=now)
        finally:
            os.close(descriptor)

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
        if self._readiness is not None:
            return "; ".join(troubles) or self._readiness.state or "starting"
        return "; ".join(troubles) or f"ready, listening on {self._settings.listen}"

    def _report(self, now: float) -> None:
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
            "listen": "" if self._readiness is not None else self._settings.listen,
        }
        send_or_drop(self._reports, [msgspec.msgpack.encode(report)])

    def _ask_ready(self, readiness: Readiness, now: float) -> None:
        """Ask the gateway whether the node is whole; say so once."""
        listen = readiness.answered()
        if not listen:
            readiness.ask(now)
            return
        announce(f"ready, listening on {listen}", NODE_READY, listen=listen)
        self._poller.unregister(readiness.socket)
        readiness.socket.close()
        self._readiness = None
        # Where the system chose the port: a restarted network process must be found where it was.
        self._settings = msgspec.structs.replace(self._settings, listen=listen)
        self._notifier.ready(self._words(now))

    def _end_all(self) -> None:
        """SIGTERM to all, SIGKILL to those that are not gone in time."""
        running = [child.process for child in self._children if child.process is not None]
        for process in running:
            process.terminate()
        limit = monotonic() + STOP_LIMIT_S
        while any(process.poll() is None for process in running) and monotonic() < limit:
            self._wait(limit - monotonic())
        for process in running:
            if process.poll() is None:
                process.kill()
            process.wait()
        self._context.destroy(linger=0)
        remove_runtime(Path(self._settings.runtime))


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a node whose home is prepared."""
    node = prepared("dispersy.service.processes.supervisor", arguments)
    set_up("supervisor", log_format=node.settings.log_format, level=node.settings.log_level)
    return Supervisor(node.settings, node.passphrase).run()


if __name__ == "__main__":
    sys.exit(main())
