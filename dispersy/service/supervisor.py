"""The supervisor: starts the processes of a node, restarts one that dies, and ends them all together.

It holds the write end of a pipe that every child reads: however the supervisor ends, the children see it and
end too. `dispersy run` checks everything first and then becomes this module by execv, so that the command
line's libraries do not stay in memory.
"""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from time import monotonic, process_time, time

import msgspec
import zmq

from dispersy.bus.settings import RoleSettings
from dispersy.bus.sockets import connected, send_or_drop
from dispersy.service.home import Home, create_runtime, remove_runtime, take_lock

BACK_OFF_FIRST_S = 0.1
BACK_OFF_MAX_S = 5.0
STEADY_S = 30.0
"""A process that has run this long starts again with the shortest back-off."""
STOP_LIMIT_S = 1.5
"""After this the children are killed: all must be gone within 2 s of the signal."""
STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
"""Each ends the node in order; the last comes when its terminal is closed."""
REPORT_INTERVAL_S = 1.0
READY_INTERVAL_S = 0.1


@dataclass(slots=True)
class Child:
    """One role's process, or the time of its next start."""

    role: str
    process: subprocess.Popen[bytes] | None = None
    started_at: float = 0.0
    start_due: float = 0.0
    back_off_s: float = BACK_OFF_FIRST_S
    restarts: int = 0
    state: str = "not started"


class Supervisor:
    """One node's processes. run() returns when all of them are gone."""

    def __init__(self, settings: RoleSettings) -> None:
        self._settings = settings
        workers = [f"worker-{index}" for index in range(settings.workers)]
        self._children = [Child(role) for role in ("writer", "publisher", *workers, "network")]
        self._stopping = False
        self._life_read, self._life_write = os.pipe2(os.O_CLOEXEC)
        self._wake_read, self._wake_write = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        self._context: zmq.Context[zmq.Socket[bytes]] = zmq.Context(io_threads=1)
        self._reports = connected(self._context, zmq.PUSH, settings.socket("reports"), queued_max=2)
        self._poller = zmq.Poller()
        self._poller.register(self._wake_read, zmq.POLLIN)
        self._question: zmq.Socket[bytes] | None = None
        self._question_due = 0.0
        self._ready = False

    def run(self) -> int:
        """Until one of STOP_SIGNALS; the exit status."""
        # Handlers only wake the poll: what is to be done is decided in one place.
        signal.set_wakeup_fd(self._wake_write, warn_on_full_buffer=False)
        for number in STOP_SIGNALS:
            signal.signal(number, self._stop)
        # `dispersy run` has blocked them for the time in which nobody could have taken them.
        signal.pthread_sigmask(signal.SIG_UNBLOCK, STOP_SIGNALS)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        report_due = monotonic()
        while not self._stopping:
            now = monotonic()
            changed = self._collect(now) + self._start_due(now)
            if changed or now >= report_due:
                self._report()
                report_due = now + REPORT_INTERVAL_S
            if not self._ready:
                self._ask_ready(now)
            self._wait(self._next_due(report_due) - monotonic())
        self._end_all()
        say("stopped")
        return 0

    def _stop(self, *_: object) -> None:
        self._stopping = True

    def _wait(self, seconds: float) -> None:
        if dict(self._poller.poll(max(0, int(seconds * 1000 + 0.999)))).get(self._wake_read):
            os.read(self._wake_read, 4096)

    def _next_due(self, report_due: float) -> float:
        starts = [child.start_due for child in self._children if child.process is None]
        return min([report_due, *starts, *([] if self._ready else [self._question_due])])

    def _collect(self, now: float) -> int:
        """Take note of processes that have ended; how many."""
        ended = 0
        for child in self._children:
            if child.process is None or child.process.poll() is None:
                continue
            ended += 1
            how = describe_end(child.process.returncode)
            if now - child.started_at >= STEADY_S:
                child.back_off_s = BACK_OFF_FIRST_S
            child.process = None
            child.start_due = now + child.back_off_s
            child.state = f"{how}, starts again"
            if not self._stopping:
                say(f"{child.role} {how}; starting it again in {child.back_off_s:.1f} s", error=True)
            child.back_off_s = min(2 * child.back_off_s, BACK_OFF_MAX_S)
        return ended

    def _start_due(self, now: float) -> int:
        """Start those whose time has come; how many."""
        started = 0
        for child in self._children:
            if child.process is not None or child.start_due > now:
                continue
            if child.started_at:
                child.restarts += 1
            command = [
                sys.executable,
                "-P",
                "-m",
                "dispersy.service.process",
                child.role,
                f"--life={self._life_read}",
                f"--settings={self._settings.to_json()}",
            ]
            child.process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                pass_fds=(self._life_read,),
            )
            child.started_at = now
            child.state = "running"
            started += 1
        return started

    def _report(self) -> None:
        processes = {
            child.role: {
                "pid": child.process.pid if child.process else None,
                "restarts": child.restarts,
                "state": child.state,
            }
            for child in self._children
        }
        report = {
            "role": "supervisor",
            "pid": os.getpid(),
            "time": time(),
            "cpu_seconds": process_time(),
            "processes": processes,
        }
        send_or_drop(self._reports, [msgspec.msgpack.encode(report)])

    def _ask_ready(self, now: float) -> None:
        """Ask the gateway whether the node is whole; say so once."""
        if self._question is None:
            self._question = connected(
                self._context, zmq.DEALER, self._settings.socket("control"), queued_max=4
            )
            self._poller.register(self._question, zmq.POLLIN)
        while self._question.poll(0, zmq.POLLIN):
            answer = msgspec.msgpack.decode(self._question.recv())
            if answer.get("ready"):
                say(f"ready, listening on {answer['listen']}")
                self._ready = True
                # Where the system chose the port: a restarted network process must be found where it was.
                self._settings = msgspec.structs.replace(self._settings, listen=answer["listen"])
        if self._ready:
            self._poller.unregister(self._question)
            self._question.close()
            self._question = None
        elif now >= self._question_due:
            self._question_due = now + READY_INTERVAL_S
            question = {"v": 1, "id": 0, "op": "status", "brief": True}
            send_or_drop(self._question, [msgspec.msgpack.encode(question)])

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


def describe_end(return_code: int) -> str:
    """How a process ended, in words."""
    if return_code >= 0:
        return f"ended with status {return_code}"
    try:
        return f"was ended by {signal.Signals(-return_code).name}"
    except ValueError:
        return f"was ended by signal {-return_code}"


def say(text: str, *, error: bool = False) -> None:
    """One line for people."""
    stream = sys.stderr if error else sys.stdout
    # The terminal may have been closed: that is no reason to leave processes behind.
    with suppress(OSError):
        stream.write(text + "\n")
        stream.flush()


def supervisor_command(settings: RoleSettings, lock: int) -> list[str]:
    """The command that becomes the supervisor; lock is an inheritable descriptor from take_lock()."""
    return [
        sys.executable,
        "-P",
        "-m",
        "dispersy.service.supervisor",
        f"--lock={lock}",
        f"--settings={settings.to_json()}",
    ]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a node whose home is prepared."""
    parser = argparse.ArgumentParser(prog="dispersy.service.supervisor")
    parser.add_argument("--lock", type=int, help="descriptor that holds the home's lock already")
    parser.add_argument("--settings", type=RoleSettings.from_json, required=True, help="RoleSettings as JSON")
    given = parser.parse_args(arguments)
    settings: RoleSettings = given.settings
    if given.lock is None:
        take_lock(Home(Path(settings.home)))
    else:
        os.set_inheritable(given.lock, False)
    create_runtime(Path(settings.runtime))
    return Supervisor(settings).run()


if __name__ == "__main__":
    sys.exit(main())
