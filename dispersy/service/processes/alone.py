"""Placement `single`: `python -m dispersy.service.processes.alone` is the whole node, every role in one loop.

Nobody starts it again but a service manager, which is told how it is. What must be tidied up at its end, it
does itself.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from time import monotonic

from dispersy.bus.settings import RoleSettings
from dispersy.service.home.home import remove_runtime
from dispersy.service.logs import NODE_READY, NODE_STOPPING, announce, event, logger, say, set_up
from dispersy.service.processes.launch import prepared
from dispersy.service.processes.notify import Notifier
from dispersy.service.processes.process import run_roles
from dispersy.service.processes.readiness import Readiness
from dispersy.service.settings.placement import ALL_ROLES
from dispersy.workers.loop import Loop


class Herald:
    """The role that tells people and the service manager how the node is."""

    name = "herald"

    def __init__(self, settings: RoleSettings) -> None:
        self._settings = settings
        self._notifier = Notifier()
        self._readiness: Readiness | None = None

    def open(self, loop: Loop) -> None:
        self._loop = loop
        self._readiness = Readiness(loop.context, self._settings)
        loop.watch(self._readiness.socket, self._listen)
        loop.deadline(lambda: self._readiness.due if self._readiness else None, self._ask)
        loop.every(self._notifier.interval_s, self._notifier.healthy)

    def close(self) -> None:
        logger.info("stopping", extra=event(NODE_STOPPING))
        self._notifier.stopping()

    def _ask(self) -> None:
        if self._readiness is not None:
            self._readiness.ask(monotonic())

    def _listen(self) -> None:
        assert self._readiness is not None
        listen = self._readiness.answered()
        if listen:
            self._loop.unwatch(self._readiness.socket)
            self._readiness.socket.close()
            self._readiness = None
            announce(f"ready, listening on {listen}", NODE_READY, listen=listen)
            self._notifier.ready(f"ready, listening on {listen}")
        else:
            self._notifier.status(self._readiness.state)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a node whose home is prepared."""
    node = prepared("dispersy.service.processes.alone", arguments)
    settings = node.settings
    set_up(ALL_ROLES, log_format=settings.log_format, level=settings.log_level)
    try:
        status = run_roles(ALL_ROLES, settings, Loop(), Herald(settings), passphrase=node.passphrase)
    finally:
        remove_runtime(Path(settings.runtime))
    say("stopped")
    return status


if __name__ == "__main__":
    sys.exit(main())
