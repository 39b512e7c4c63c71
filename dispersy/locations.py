"""Where a node's files and sockets are: its home, and the short runtime folder that belongs to it.

Applications find a running node by its home alone, so the service and the client must agree on these names.
"""

from __future__ import annotations

import fcntl
import os
from hashlib import sha256
from pathlib import Path

from dispersy.constants import SOCKET_PATH_MAX
from dispersy.errors import UsageError

LOCK_NAME = "lock"
SERVICE_RUNTIME = Path("/run/dispersy")
"""Where a system's service manager lets the node have its sockets, and all clients look for them."""
SOCKET_NAMES = ("control", "events", "intake", "notes", "orders", "outbound", "reports", "work")


def home_path(given: str | os.PathLike[str] | None = None) -> Path:
    """The absolute path of the home: what is given, or DISPERSY_HOME, or the user's data folder.

    raises  UsageError when it is no text: status and settings are written in UTF-8
    """
    given = given or os.environ.get("DISPERSY_HOME")
    data = os.environ.get("XDG_DATA_HOME") or "~/.local/share"
    path = (Path(given) if given else Path(data) / "dispersy").expanduser().absolute()
    try:
        str(path).encode()
    except UnicodeEncodeError:
        raise UsageError(
            f"the home's path {os.fsencode(path)!r} is not UTF-8 text",
            hint="choose another folder with --home",
        ) from None
    return path


def runtime_path(home: Path) -> Path:
    """The folder of this home's sockets; nothing is created.

    raises  UsageError `path-too-long` when a socket's path would not fit the system's limit
    """
    folder = _runtime_folder() / sha256(os.fsencode(os.path.realpath(home))).hexdigest()[:8]
    # Only the system may write there, so what is there is a node's; it need not be ours to read.
    of_service = SERVICE_RUNTIME / folder.name
    if os.path.lexists(of_service):
        folder = of_service
    longest = max(len(os.fsencode(folder / socket)) for socket in SOCKET_NAMES)
    if longest > SOCKET_PATH_MAX:
        raise UsageError(
            f"sockets in {folder} would have paths of {longest} bytes; the system allows {SOCKET_PATH_MAX}",
            code="path-too-long",
            hint="set XDG_RUNTIME_DIR to a folder with a shorter path",
        )
    return folder


def _runtime_folder() -> Path:
    """That of all nodes of this user, or of this service."""
    # A service manager lists what it made for us; clients may be services, too, with folders of their own.
    if str(SERVICE_RUNTIME) in os.environ.get("RUNTIME_DIRECTORY", "").split(":"):
        return SERVICE_RUNTIME
    runtime = os.environ.get("XDG_RUNTIME_DIR")
    return Path(runtime).absolute() / "dispersy" if runtime else Path(f"/tmp/dispersy-{os.getuid()}")


def is_held(home: Path) -> bool:
    """Whether a run holds the home's lock now."""
    try:
        descriptor = os.open(home / LOCK_NAME, os.O_RDONLY | os.O_CLOEXEC)
    except PermissionError:
        # Another user's home, whose sockets may be open to us: only they can tell.
        return True
    except OSError:
        return False
    try:
        # Shared and let go at once; a run that starts in this very moment tries again.
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:
        return True
    finally:
        os.close(descriptor)
    return False


def socket_path(home: Path, name: str) -> Path:
    """The path of one of SOCKET_NAMES."""
    return runtime_path(home) / name
