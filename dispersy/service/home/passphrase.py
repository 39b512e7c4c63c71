"""The passphrase of the keyring: where it comes from, and its way to the processes that read keys.

It is never in an argument or in an environment, which other programs may read, but in a file that exists in
memory alone, and whose descriptor a process inherits. Who starts processes again keeps that open, and it is
closed in those that do not sign.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from dispersy.errors import StorageError, UsageError

PASSPHRASE_SIZE_MAX = 1023
"""Bytes, as OpenSSL takes them."""
CREDENTIAL = "passphrase"
CODE = "passphrase"


def find_passphrase(file: Path | None, environment: Mapping[str, str]) -> tuple[bytes, Path] | None:
    """The passphrase and the file it is from: the configured one, or the service manager's credential.

    raises  UsageError `passphrase` when it holds none, `permissions` when others may read it;
            StorageError when it cannot be read
    """
    folder = environment.get("CREDENTIALS_DIRECTORY")
    if file is None and folder and (Path(folder) / CREDENTIAL).exists():
        # Its mode tells of a list of rights that names the service's user alone.
        return _read_file(Path(folder) / CREDENTIAL, closed=False), Path(folder) / CREDENTIAL
    return None if file is None else (_read_file(file, closed=True), file)


def checked_passphrase(passphrase: bytes, where: str) -> bytes:
    """It; UsageError `passphrase` when it is none or too long."""
    if not 1 <= len(passphrase) <= PASSPHRASE_SIZE_MAX:
        raise UsageError(
            f"{where}: a passphrase has 1 to {PASSPHRASE_SIZE_MAX} bytes, not {len(passphrase)}", code=CODE
        )
    return passphrase


def open_hand_over() -> int:
    """A descriptor through which one process may hand_over() a passphrase to others that inherit it."""
    return os.memfd_create("passphrase")


def hand_over(descriptor: int, passphrase: bytes) -> None:
    """Let any number of processes that have the descriptor take_over() the passphrase, once there is one."""
    os.write(descriptor, passphrase)


def is_handed_over(descriptor: int) -> bool:
    """Whether there is something to take_over()."""
    return os.fstat(descriptor).st_size > 0


def take_over(descriptor: int) -> bytes:
    """What hand_over() was given; the descriptor is closed: no program started from here inherits it."""
    try:
        # Not by where the last reader has stopped: processes that share the descriptor share that, too.
        return os.pread(descriptor, PASSPHRASE_SIZE_MAX, 0)
    finally:
        os.close(descriptor)


def _read_file(path: Path, *, closed: bool) -> bytes:
    try:
        with path.open("rb") as file:
            mode = os.fstat(file.fileno()).st_mode
            text = file.read(PASSPHRASE_SIZE_MAX + 3)
    except OSError as error:
        raise StorageError(f"cannot read the passphrase in {path}: {error.strerror}") from error
    if closed and mode & 0o077:
        raise UsageError(
            f"{path}: others may read this passphrase", code="permissions", hint=f"chmod 600 {path}"
        )
    # Editors end a line; what else stands there belongs to it.
    return checked_passphrase(text.removesuffix(b"\n").removesuffix(b"\r"), str(path))
