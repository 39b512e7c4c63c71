"""From `dispersy run` to the process that is the node: the command that it becomes, and its beginning."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from dispersy.bus.settings import RoleSettings
from dispersy.service.home import Home, create_runtime, take_lock
from dispersy.service.placement import SINGLE


def node_command(settings: RoleSettings, lock: int) -> list[str]:
    """The command that becomes the node; lock is an inheritable descriptor from take_lock()."""
    module = "dispersy.service.alone" if settings.placement == SINGLE else "dispersy.service.supervisor"
    return [
        sys.executable,
        "-P",
        "-X",
        "faulthandler",
        "-m",
        module,
        f"--lock={lock}",
        f"--settings={settings.to_json()}",
    ]


def prepared_settings(program: str, arguments: Sequence[str] | None) -> RoleSettings:
    """Read such a command's arguments; hold the home and have the runtime folder."""
    parser = argparse.ArgumentParser(prog=program)
    parser.add_argument("--lock", type=int, help="descriptor that holds the home's lock already")
    parser.add_argument("--settings", type=RoleSettings.from_json, required=True, help="RoleSettings as JSON")
    given = parser.parse_args(arguments)
    settings: RoleSettings = given.settings
    if given.lock is None:
        take_lock(Home(Path(settings.home)))
    else:
        os.set_inheritable(given.lock, False)
    create_runtime(Path(settings.runtime))
    return settings
