"""Placement `single`: one process is the whole node, every role in one loop.

Nobody starts it again but a service manager, which is told how it is. What must be tidied up at its end, it
does itself.
"""

from __future__ import annotations

from pathlib import Path

from dispersy.service.gateway.control import Control
from dispersy.service.home.home import remove_runtime
from dispersy.service.home.passphrase import take_over
from dispersy.service.logs import NODE_READY, NODE_STOPPING, announce, event, logger, say, set_up
from dispersy.service.processes.launch import Prepared
from dispersy.service.processes.notify import Notifier
from dispersy.service.processes.process import run_roles
from dispersy.service.settings.placement import ALL_ROLES
from dispersy.workers.loop import Loop


class Herald:
    """The role beside the gateway that tells people and the service manager how the node is."""

    name = "herald"

    def __init__(self, control: Control) -> None:
        self._control = control
        self._notifier = Notifier()
        self._is_announced = False

    def open(self, loop: Loop) -> None:
        loop.flush(self._tell)
        loop.every(self._notifier.interval_s, self._notifier.healthy)

    def close(self) -> None:
        logger.info("stopping", extra=event(NODE_STOPPING))
        self._notifier.stopping()

    def _tell(self) -> None:
        if self._is_announced:
            return
        state = self._control.node_state()
        if state.is_ready:
            self._is_announced = True
            announce(state.words, NODE_READY, listen=state.listen)
            self._notifier.ready(state.words)
        else:
            self._notifier.status(state.words)


def run(node: Prepared) -> int:
    """Be the node until it is stopped; the exit status."""
    settings = node.settings
    set_up(ALL_ROLES, log_format=settings.log_format, level=settings.log_level)
    passphrase = None if node.passphrase is None else take_over(node.passphrase)
    try:
        status = run_roles(ALL_ROLES, settings, Loop(), passphrase=passphrase, beside=Herald)
    finally:
        remove_runtime(Path(settings.runtime))
    say("stopped")
    return status
