"""What a role's process is told at its start, and where its sockets are."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class RoleSettings:
    """Passed from the supervisor to every role; plain values only.

    home      folder of configuration, keys and store
    runtime   folder of the sockets, mode 0700
    listen    HOST:PORT of the UDP socket; port 0 lets the system choose
    workers   number of worker processes, >= 1
    peers     HOST:PORT (numeric) to walk to first, in every community
    """

    home: str
    runtime: str
    listen: str
    workers: int
    peers: tuple[str, ...] = ()

    def socket(self, name: str) -> str:
        """The ZeroMQ endpoint of one of the sockets in docs/architecture.md."""
        return f"ipc://{self.runtime}/{name}"

    @property
    def keys_path(self) -> Path:
        return Path(self.home) / "keys"

    @property
    def store_path(self) -> Path:
        return Path(self.home) / "store"
