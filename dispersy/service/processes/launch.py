"""From `dispersy run` to the process that is the node: the command that it becomes, and its beginning."""

from __future__ import annotations

import argparse
import os
import resource
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec

from dispersy.bus.settings import RoleSettings
from dispersy.service.home.home import Home, create_runtime, take_lock
from dispersy.service.home.passphrase import hand_over
from dispersy.service.settings.placement import SINGLE


@dataclass(frozen=True, slots=True)
class Prepared:
    """What a node begins with.

    lock          descriptor that holds the home
    passphrase    descriptor to take_over() that of the keys from; None: there is none
    """

    settings: RoleSettings
    lock: int
    passphrase: int | None


def node_command(settings: RoleSettings, lock: int, passphrase: bytes | None) -> list[str]:
    """The command that becomes the node by execv; lock is an inheritable descriptor from take_lock()."""
    module = "alone" if settings.placement == SINGLE else "supervisor"
    return [
        sys.executable,
        "-P",
        "-X",
        "faulthandler",
        "-m",
        f"dispersy.service.processes.{module}",
        f"--lock={lock}",
        *_passphrase_option(passphrase),
        f"--settings={settings.to_json()}",
    ]


def _passphrase_option(passphrase: bytes | None) -> list[str]:
    if passphrase is None:
        return []
    descriptor = hand_over(passphrase)
    os.set_inheritable(descriptor, True)
    return [f"--passphrase={descriptor}"]


def prepared(program: str, arguments: Sequence[str] | None) -> Prepared:
    """Read such a command's arguments; hold the home and have the runtime folder."""
    parser = argparse.ArgumentParser(prog=program)
    parser.add_argument("--lock", type=int, help="descriptor that holds the home's lock already")
    parser.add_argument("--settings", type=RoleSettings.from_json, required=True, help="RoleSettings as JSON")
    parser.add_argument("--passphrase", type=int, help="descriptor to take_over() that of the keys from")
    given = parser.parse_args(arguments)
    settings: RoleSettings = given.settings
    lock: int = take_lock(Home(Path(settings.home))) if given.lock is None else given.lock
    for inherited in (lock, given.passphrase):
        if inherited is not None:
            os.set_inheritable(inherited, False)
    # A core file would hold keys and passphrase, and SIGABRT, which ends a hung process, asks for one.
    _, most = resource.getrlimit(resource.RLIMIT_CORE)
    resource.setrlimit(resource.RLIMIT_CORE, (0, most))
    # Sockets and files are made for their owner alone; what others may use is opened to them.
    os.umask(0o077)
    create_runtime(Path(settings.runtime), group=settings.group)
    # Roles may be started again within this start; what is loaded at a start must not be loaded then.
    settings = msgspec.structs.replace(settings, start_id=os.urandom(8).hex())
    return Prepared(settings, lock, given.passphrase)
