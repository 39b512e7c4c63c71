"""What a program on another machine needs to reach a node over tcp: a file of `dispersy client add`."""

from __future__ import annotations

import os
import tomllib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import zmq

from dispersy.errors import StorageError, UsageError

CERTIFICATE_SIZE_MAX = 1 << 16
KEY_SIZE = 40
"""Characters of a CURVE key in Z85."""
_FIELDS = ("control", "events", "server_key", "public_key", "secret_key")


@dataclass(frozen=True, slots=True)
class Certificate:
    """control, events: tcp:// endpoints, empty where the node has none; the keys are CURVE's, in Z85."""

    control: str
    events: str
    server_key: str
    public_key: str
    secret_key: str = field(repr=False)

    def protect(self, socket: zmq.Socket[Any]) -> None:
        """Let this socket, before it connects, prove who we are and demand who the node is."""
        socket.curve_serverkey = self.server_key.encode()
        socket.curve_publickey = self.public_key.encode()
        socket.curve_secretkey = self.secret_key.encode()

    def to_toml(self) -> str:
        """As the file has it."""
        return "".join(f'{name} = "{getattr(self, name)}"\n' for name in _FIELDS)


def read_certificate(path: str | os.PathLike[str]) -> Certificate:
    """The certificate in a file.

    raises  StorageError when it cannot be read, UsageError `certificate` when it is none
    """
    file = Path(path).expanduser()
    try:
        with file.open("rb") as opened:
            values = tomllib.loads(opened.read(CERTIFICATE_SIZE_MAX).decode())
    except OSError as error:
        raise StorageError(f"cannot read {file}: {error.strerror}") from error
    except ValueError as error:
        raise _no_certificate(file, str(error)) from None
    for name in _FIELDS:
        value = values.get(name)
        if not isinstance(value, str) or (name.endswith("_key") and len(value) != KEY_SIZE):
            raise _no_certificate(file, f"{name} is missing or wrong")
    return Certificate(**{name: values[name] for name in _FIELDS})


def _no_certificate(file: Path, why: str) -> UsageError:
    return UsageError(
        f"{file} is no certificate: {why}",
        code="certificate",
        hint="make one: dispersy client add NAME --file FILE",
    )
