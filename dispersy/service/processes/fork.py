"""A process as a copy of this one: everything that it needs is imported already, and shared until written to.

Only a process of one thread may be copied: what another thread holds would stay held in the copy. And what
is open stays open in it. So the supervisor has no ZeroMQ context, whose threads would be missing in the copy,
and no store, and each copy closes what is not for it.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from typing import Protocol

from dispersy.errors import REFUSED


class Process(Protocol):
    """A process that we have started; subprocess.Popen is one, too.

    returncode    its exit status, -N where signal N has ended it; None until poll() finds that it has ended
    """

    returncode: int | None

    @property
    def pid(self) -> int: ...

    def poll(self) -> int | None:
        """Its returncode, asked for now."""

    def send_signal(self, number: int) -> None:
        """Send it a signal; nothing happens where it has ended."""


class Copy:
    """A process that is a copy of this one."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self.returncode: int | None = None

    def poll(self) -> int | None:
        """Its returncode, asked for now."""
        if self.returncode is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            self.returncode = os.waitstatus_to_exitcode(status) if pid else None
        return self.returncode

    def wait(self) -> int:
        """Its returncode, when it has ended."""
        if self.returncode is None:
            self.returncode = os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])
        return self.returncode

    def send_signal(self, number: int) -> None:
        """Send it a signal; nothing happens where it has ended."""
        # Until it was waited for, its number is given to no other process.
        if self.poll() is None:
            os.kill(self.pid, number)


def copy_of_this(run: Callable[[], int], *, reads: bool = False) -> Copy:
    """A copy of this process that does `run`, and ends with the exit status which that returns.

    It has none of the supervisor's means to hear of signals; what is open it has to close by itself.

    reads     whether it may read what this process may; otherwise there is nothing on its standard input
    raises    OSError where the system gives no process
    """
    pid = os.fork()
    if pid:
        return Copy(pid)
    status = REFUSED
    try:
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        if not reads:
            with open(os.devnull, "rb") as nothing:
                os.dup2(nothing.fileno(), 0)
        status = run()
    except BaseException:
        sys.excepthook(*sys.exc_info())
        raise
    finally:
        # Above this frame are the supervisor's, which are nothing to the copy: here it ends in any case.
        os._exit(status)
