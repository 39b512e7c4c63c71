"""Who may use a node over tcp: a folder of public keys in the home, and the node's own key beside it."""

from __future__ import annotations

import os
import re
from contextlib import suppress
from pathlib import Path

import zmq

from dispersy.certificate import KEY_SIZE
from dispersy.errors import StorageError, UsageError

SUFFIX = ".key"
CLIENTS_MAX = 1_000
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")


class Clients:
    """The allow-list of a home: clients/NAME.key, each with one CURVE public key in Z85."""

    def __init__(self, home: Path) -> None:
        self.folder = home / "clients"
        self._server = home / "server.key"

    def server_secret(self) -> bytes:
        """The node's CURVE secret key in Z85, made when there is none.

        raises  UsageError `permissions`, StorageError
        """
        try:
            if self._server.stat().st_mode & 0o077:
                raise UsageError(
                    f"{self._server}: others may read this",
                    code="permissions",
                    hint=f"chmod 600 {self._server}",
                )
            return _key(self._server)
        except FileNotFoundError:
            return self._new_server_secret()
        except OSError as error:
            raise StorageError(f"{self._server}: {error.strerror}") from error

    def _new_server_secret(self) -> bytes:
        try:
            # Two commands may make it at once: the first one's counts.
            with suppress(FileExistsError):
                _write(self._server, zmq.curve_keypair()[1])
            return _key(self._server)
        except OSError as error:
            raise StorageError(f"{self._server}: {error.strerror}") from error

    def add(self, name: str) -> tuple[bytes, bytes]:
        """Allow a new client; its public and its secret key, which is kept nowhere here."""
        path = self._path(name)
        if len(self.names()) >= CLIENTS_MAX:
            raise UsageError(f"at most {CLIENTS_MAX} clients", code="too-many", hint="remove some")
        public, secret = zmq.curve_keypair()
        try:
            self.folder.mkdir(mode=0o700, exist_ok=True)
            _write(path, public)
        except FileExistsError:
            raise UsageError(
                f"there is a client called {name} already", code="client-exists", hint="choose another name"
            ) from None
        except OSError as error:
            raise StorageError(f"{path}: {error.strerror}") from error
        return public, secret

    def remove(self, name: str) -> None:
        """Allow it no more. UsageError `client-unknown`."""
        try:
            self._path(name).unlink()
        except FileNotFoundError:
            known = ", ".join(self.names()) or "none"
            raise UsageError(
                f"no client is called {name}", code="client-unknown", hint=f"there are: {known}"
            ) from None

    def names(self) -> list[str]:
        return sorted(path.stem for path in self.folder.glob(f"*{SUFFIX}"))

    def allowed(self) -> dict[bytes, str]:
        """Public key in Z85 -> name; a file that holds no key allows nobody."""
        found: dict[bytes, str] = {}
        for name in self.names()[:CLIENTS_MAX]:
            try:
                found[_key(self.folder / (name + SUFFIX))] = name
            except (OSError, StorageError):
                continue
        return found

    def changed_at(self) -> int:
        """Nanoseconds of unix time at which a client was added or removed last; 0: never."""
        try:
            return self.folder.stat().st_mtime_ns
        except OSError:
            return 0

    def _path(self, name: str) -> Path:
        if not _NAME.fullmatch(name):
            raise UsageError(
                f"{name!r} is no client's name",
                hint="letters, digits, '_', '-' and '.', at most 64",
            )
        return self.folder / (name + SUFFIX)


def _key(path: Path) -> bytes:
    with path.open("rb") as file:
        text = file.read(KEY_SIZE + 2).strip()
    if len(text) != KEY_SIZE:
        raise StorageError(f"{path}: no CURVE key in Z85; restore it from a backup, or remove it")
    return text


def _write(path: Path, key: bytes) -> None:
    """A new file, whole or none; FileExistsError."""
    fresh = path.with_name(f".{path.name}.{os.getpid()}")
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(key + b"\n")
            file.flush()
            os.fsync(file.fileno())
        os.link(fresh, path)
    finally:
        fresh.unlink()
