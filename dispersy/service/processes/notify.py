"""What a service manager is told, by sd_notify(3): datagrams of NAME=value lines to the socket it names."""

from __future__ import annotations

import os
import socket
from collections.abc import MutableMapping

STATUS_LENGTH_MAX = 200


class Notifier:
    """Tells the service manager that started us, if there is one, how we are.

    environment    what it says of the manager is taken out of it: children must not speak for us
    """

    def __init__(self, environment: MutableMapping[str, str] | None = None) -> None:
        given = os.environ if environment is None else environment
        name = given.pop("NOTIFY_SOCKET", "")
        watchdog_us = given.pop("WATCHDOG_USEC", "")
        watchdog_pid = given.pop("WATCHDOG_PID", "")
        self._status = ""
        # "@" stands for the zero byte that begins an abstract name; other kinds of address are not for us.
        address = "\0" + name[1:] if name.startswith("@") else name
        self._address = address if address[:1] in ("/", "\0") else ""
        for_us = watchdog_pid in ("", str(os.getpid()))
        self.watchdog_s = int(watchdog_us) / 1e6 if for_us and watchdog_us.isdigit() else 0.0
        """Silence after which the manager ends us; 0: it does not watch."""

    @property
    def interval_s(self) -> float:
        """How often to call healthy(): twice within the limit, at most once a second."""
        return min(1.0, self.watchdog_s / 2) if self.watchdog_s else 1.0

    def ready(self, status: str) -> None:
        """The node is whole."""
        self._status = status
        self._send("READY=1", f"STATUS={_line(status)}")

    def status(self, status: str) -> None:
        """What `systemctl status` shows; sent when it has changed."""
        if status != self._status:
            self._status = status
            self._send(f"STATUS={_line(status)}")

    def healthy(self) -> None:
        """Call only while everything works: the manager restarts a node that stays silent."""
        if self.watchdog_s:
            self._send("WATCHDOG=1")

    def stopping(self) -> None:
        """We are ending, in order."""
        self._send("STOPPING=1", "STATUS=stopping")

    def _send(self, *lines: str) -> None:
        if not self._address:
            return
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
                sender.setblocking(False)
                sender.sendto("\n".join(lines).encode(), self._address)
        except OSError:
            # The manager may be restarting itself, or be slow: the next one tells it the same.
            self._status = ""


def _line(text: str) -> str:
    return " ".join(text.split())[:STATUS_LENGTH_MAX]
