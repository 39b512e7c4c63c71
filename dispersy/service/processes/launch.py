"""From checked settings to the node: what holds for all its processes, and the placement's own beginning."""

from __future__ import annotations

import faulthandler
import os
import resource
import signal
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path

import msgspec

from dispersy.bus.settings import RoleSettings
from dispersy.service.home.home import create_runtime
from dispersy.service.settings.placement import SINGLE
from dispersy.stop_signals import STOP_SIGNALS


@dataclass(frozen=True, slots=True)
class Prepared:
    """What a node begins with.

    lock          descriptor that holds the home
    passphrase    descriptor to take_over() that of the keys from; None: there is none
    """

    settings: RoleSettings
    lock: int
    passphrase: int | None


def run_node(settings: RoleSettings, *, lock: int, passphrase: int | None = None) -> int:
    """Be the node, until it is stopped; the exit status.

    lock, passphrase   as Prepared has them; no program that is started from here inherits them
    """
    # All roles are imported only now: nobody has waited for them to be told what is wrong.
    placed = "alone" if settings.placement == SINGLE else "supervisor"
    module = import_module(f"dispersy.service.processes.{placed}")
    # From here on the node ends in order: it hears of what is blocked as soon as it can.
    signal.pthread_sigmask(signal.SIG_BLOCK, STOP_SIGNALS)
    # A process that hangs is ended by SIGABRT, and says then where it is.
    faulthandler.enable()
    # A core file would hold keys and passphrase, and SIGABRT asks for one.
    _, most = resource.getrlimit(resource.RLIMIT_CORE)
    resource.setrlimit(resource.RLIMIT_CORE, (0, most))
    # Sockets and files are made for their owner alone; what others may use is opened to them.
    os.umask(0o077)
    create_runtime(Path(settings.runtime), group=settings.group)
    # Roles may be started again within this start; what is loaded at a start must not be loaded then.
    settings = msgspec.structs.replace(settings, start_id=os.urandom(8).hex())
    status: int = module.run(Prepared(settings, lock, passphrase))
    return status
