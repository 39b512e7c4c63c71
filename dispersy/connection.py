"""Connections to a node's gateway: requests out, replies in, waits with a limit."""

from __future__ import annotations

import shlex
import socket as sockets
import time
from collections.abc import Callable, Container
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import zmq

from dispersy.errors import UsageError
from dispersy.locations import is_held

REPEAT_S = 5.0
"""A request without an answer for this long is sent again, where that is safe."""
RETRY_S = 0.05
START_GRACE_S = 1.0
REPEATED_CODES = frozenset({"busy", "starting"})
"""Answers that mean: the same again in a moment."""
ASKED_ONCE = frozenset({"create", "follow"})
"""Operations that would do something else the second time."""
RECEIVED_MAX = 2_000
"""Frames that may wait in a connection: more than the credit of a follow."""

Socket = zmq.Socket[bytes]


class Connector:
    """Opens connections to one node and gives every request its number.

    home       for messages, and to start from
    endpoint   of `control`
    timeout_s  for each answer
    check      whether to see first that somebody is at the endpoint, which is then an ipc:// path
    """

    def __init__(self, home: Path, endpoint: str, *, timeout_s: float, check: bool) -> None:
        self.home = home
        self.timeout_s = timeout_s
        self._endpoint = endpoint
        self._checked = not check
        self._context: zmq.Context[Socket] = zmq.Context()
        self._number = 0

    def close(self) -> None:
        """Ends every connection."""
        self._context.destroy(linger=0)

    def open(self) -> Socket:
        """A new connection. UsageError `not-running` when no node is there."""
        if not self._checked:
            self._check_running()
            self._checked = True
        socket = self._context.socket(zmq.DEALER)
        socket.setsockopt(zmq.LINGER, 0)
        socket.setsockopt(zmq.RCVHWM, RECEIVED_MAX)
        socket.connect(self._endpoint)
        return socket

    def next_number(self) -> int:
        """The id of another request."""
        self._number += 1
        return self._number

    def ask(self, socket: Socket, op: str, fields: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        """The id used, and the reply; UsageError with the node's code, message and hint."""
        limit = time.monotonic() + self.timeout_s
        while True:
            number = self.next_number()
            again = partial(send, socket, number, op, fields)
            again()
            # A request that was with a gateway that crashed is lost with it.
            reply = self.receive(socket, (number,), op, repeat=None if op in ASKED_ONCE else again)
            if reply["ok"]:
                return number, reply
            if reply["error"]["code"] not in REPEATED_CODES or time.monotonic() > limit:
                raise error_of(reply)
            time.sleep(RETRY_S)

    def receive(
        self, socket: Socket, wanted: Container[int], what: str, *, repeat: Callable[[], None] | None
    ) -> dict[str, Any]:
        """The next reply to one of the wanted ids; those to requests that were given up are passed over.

        repeat  called every few seconds of silence: sends again what is waiting
        raises  UsageError `timeout`
        """
        limit = time.monotonic() + self.timeout_s
        repeat_at = time.monotonic() + REPEAT_S
        while (now := time.monotonic()) < limit:
            if repeat is not None and now >= repeat_at:
                repeat()
                repeat_at = now + REPEAT_S
            until = limit if repeat is None else min(limit, repeat_at)
            if socket.poll(int(max(0.0, until - now) * 1000) + 1):
                reply: dict[str, Any] = msgspec.msgpack.decode(socket.recv())
                if reply.get("id") in wanted:
                    return reply
        raise UsageError(
            f"the node on {self.home} did not answer {what} within {self.timeout_s:g} s",
            code="timeout",
            hint="see whether it is running and what it says: `dispersy status`",
        )

    def _check_running(self) -> None:
        """ZeroMQ would wait for a node for ever; whoever forgot to start one shall hear so at once."""
        path = Path(self._endpoint.removeprefix("ipc://"))
        limit = time.monotonic() + self.timeout_s
        grace = time.monotonic() + START_GRACE_S
        while True:
            with sockets.socket(sockets.AF_UNIX, sockets.SOCK_STREAM) as probe:
                try:
                    probe.connect(str(path))
                    return
                except OSError as error:
                    why = error.strerror
            # A home that is held belongs to a node that is starting; one that is not may be about to be,
            # where both commands were typed in one line.
            if time.monotonic() > (limit if is_held(self.home) else grace):
                break
            time.sleep(RETRY_S)
        raise UsageError(
            f"no node is running on {self.home} ({why})",
            code="not-running",
            hint=f"start it with: dispersy run --home {shlex.quote(str(self.home))}",
        )


def send(socket: Socket, number: int, op: str, fields: dict[str, Any]) -> None:
    """One request."""
    socket.send(msgspec.msgpack.encode({"v": 1, "id": number, "op": op, **fields}))


def error_of(reply: dict[str, Any]) -> UsageError:
    """What the node refused, as it said it."""
    error = reply["error"]
    return UsageError(error["message"], code=error["code"], hint=error.get("hint", ""))
