"""A node's home on disk and its runtime folder: created privately, checked, and held by one run at a time."""

from __future__ import annotations

import errno
import fcntl
import os
import shlex
import stat
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from time import monotonic, sleep

from dispersy.bus.settings import NO_GROUP
from dispersy.errors import StorageError, UsageError
from dispersy.locations import LOCK_NAME, SERVICE_RUNTIME, runtime_path

LOCK_LIMIT_S = 0.2
"""Clients look whether a home is held by locking it for an instant."""
LOCK_RETRY_S = 0.02


@dataclass(frozen=True, slots=True)
class Home:
    """The files of one node."""

    path: Path

    @property
    def config(self) -> Path:
        return self.path / "config.toml"

    @property
    def keys(self) -> Path:
        return self.path / "keys"

    @property
    def store(self) -> Path:
        return self.path / "store"

    @property
    def lock(self) -> Path:
        return self.path / LOCK_NAME

    @property
    def runtime(self) -> Path:
        return runtime_path(self.path)


def is_under_service_manager(environment: Mapping[str, str]) -> bool:
    """Whether a service manager started this very process, where nobody sees what a new home would print."""
    if "NOTIFY_SOCKET" in environment:
        return True
    # A terminal may itself be a service and hand these on: then the process meant is another one.
    started = environment.get("SYSTEMD_EXEC_PID", str(os.getpid()))
    return "INVOCATION_ID" in environment and started == str(os.getpid())


def demand_home(path: Path) -> None:
    """Refuse a home that was never made: a disk that is not mounted must not give a node new keys.

    raises  UsageError `home-missing`
    """
    home = Home(path)
    if not home.config.exists() and not (home.store / "data.mdb").exists():
        raise UsageError(
            f"there is no home in {path}, and a service manager's node makes none by itself",
            code="home-missing",
            hint=f"once, as the node's user: dispersy run --init-only --home {shlex.quote(str(path))}",
        )


def create_home(path: Path) -> tuple[Home, bool]:
    """Make the home and its folders, closed to others; whether the home is new.

    raises  StorageError that names the path
    """
    home = Home(path)
    try:
        new = not path.exists()
        for folder in (home.path, home.keys, home.store):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise StorageError(f"cannot create {error.filename or path}: {error.strerror}") from error
    return home, new


def create_runtime(folder: Path, *, group: int = NO_GROUP) -> None:
    """Make the runtime folder, closed to others, and refuse one that somebody else could have prepared.

    group   id of the group whose members may pass through it, to the sockets that are theirs to use
    raises  StorageError that names the folder
    """
    for level in (folder.parent, folder):
        try:
            level.mkdir(mode=0o700, parents=True, exist_ok=True)
            found = level.lstat()
        except OSError as error:
            raise StorageError(f"cannot create {level}: {error.strerror}") from error
        if not stat.S_ISDIR(found.st_mode):
            raise StorageError(f"{level} is no folder; remove it")
        # Below /tmp anyone can make this name first: sockets in another's folder would be theirs to replace.
        if found.st_uid != os.getuid():
            raise StorageError(f"{level} belongs to user {found.st_uid}, not to you; set XDG_RUNTIME_DIR")
        # What the service manager has made has the mode that its owner asked for.
        if level == SERVICE_RUNTIME:
            continue
        if group != NO_GROUP:
            os.chown(level, -1, group)
        # The upper one holds the folders of other homes, too, which other groups may have to pass to.
        open_to = 0o011 if level == folder.parent else 0
        wanted = (0o700 | stat.S_IMODE(found.st_mode) & open_to) if group == NO_GROUP else 0o710 | open_to
        if stat.S_IMODE(found.st_mode) != wanted:
            level.chmod(wanted)


def demand_passage(folder: Path, group: int) -> None:
    """Refuse a runtime folder that the group cannot get to.

    raises  UsageError `group-shut-out` that names the folder above it which is closed
    """
    for level in folder.parent.parents:
        found = level.stat()
        open_to = 0o010 if found.st_gid == group else 0o001
        if not found.st_mode & open_to:
            raise UsageError(
                f"the group cannot reach the sockets in {folder}: {level} is closed to it",
                code="group-shut-out",
                hint="set XDG_RUNTIME_DIR to a folder that the group may enter, or run it as a service",
            )


def remove_runtime(folder: Path) -> None:
    """Remove the sockets and, when nothing else is in it, the folder; call while the home is held."""
    for path in folder.iterdir() if folder.exists() else ():
        if path.is_socket():
            path.unlink()
    with suppress(OSError):
        folder.rmdir()


def take_lock(home: Home) -> int:
    """Hold the home for this run; the descriptor keeps it, also across execv when made inheritable.

    raises  UsageError `home-in-use` when another run holds it
    """
    try:
        descriptor = os.open(home.lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise StorageError(f"cannot open {home.lock}: {error.strerror}") from error
    limit = monotonic() + LOCK_LIMIT_S
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno not in (errno.EWOULDBLOCK, errno.EACCES):
                os.close(descriptor)
                raise StorageError(f"cannot lock {home.lock}: {error.strerror}") from error
        else:
            return descriptor
        if monotonic() >= limit:
            break
        sleep(LOCK_RETRY_S)
    os.close(descriptor)
    raise UsageError(
        f"a node is running on {home.path} already",
        code="home-in-use",
        hint="use it (`dispersy status`), stop it, or choose another folder with --home",
    )
