"""Connections to a node's gateway: requests out, replies in, waits with a limit."""

from __future__ import annotations

import shlex
import socket as sockets
import time
from collections.abc import Callable, Container, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import zmq
from zmq.utils.monitor import recv_monitor_message

from dispersy.errors import UsageError
from dispersy.locations import is_held

REPEAT_S = 5.0
"""A request without an answer for this long is sent again, where that is safe."""
RETRY_S = 0.05
START_GRACE_S = 1.0
SILENCE_S = 25.0
"""A stream that has said nothing for this long is asked for again: the node says caught-up every 10 s."""
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
        raise not_running(self.home, str(why))


class Stream:
    """The events of one follow, without gap or repetition also when the node ends and comes back.

    fields      of the follow; its credit is granted again by halves, so that the stream never dries up
    absence_s   how long the node may be away
    on_absence  called when the node has gone
    """

    def __init__(
        self,
        connector: Connector,
        fields: dict[str, Any],
        *,
        absence_s: float,
        on_absence: Callable[[], None] | None,
    ) -> None:
        self._connector = connector
        self._fields = fields
        self._absence_s = absence_s
        self._on_absence = on_absence
        self._socket = connector.open()
        self._monitor: Socket = self._socket.get_monitor_socket(zmq.EVENT_DISCONNECTED)
        try:
            self._number, reply = connector.ask(self._socket, "follow", fields)
        except BaseException:
            self.close()
            raise
        self._cursor: int = reply["since"]
        self._used = 0
        self._caught_up = False
        self._asked = False
        self._heard_at = self._quiet_since = time.monotonic()
        self._absent_since: float | None = None

    def close(self) -> None:
        """Let go of both sockets; the node notices."""
        # When the whole client was closed first, they are closed already.
        if not self._socket.closed:
            self._socket.disable_monitor()
        self._monitor.close()
        self._socket.close()

    def events(self, idle_s: float | None) -> Iterator[dict[str, Any]]:
        """Frames as they come; ends when caught up and nothing but caught-up came for `idle_s`.

        raises  UsageError `not-running` when the node stays away, or what it answers
        """
        said_caught_up = False
        while (frame := self._next(idle_s)) is not None:
            if frame["event"] == "caught-up":
                if said_caught_up:
                    continue
                said_caught_up = True
            yield frame
            if self._used >= self._fields["credit"] // 2:
                send(self._socket, self._number, "credit", {"count": self._used})
                self._used = 0

    def _next(self, idle_s: float | None) -> dict[str, Any] | None:
        while True:
            due = self._next_asking()
            until = self._quiet_since + idle_s if idle_s is not None and self._caught_up else due
            if self._wait(min(due, until) - time.monotonic()):
                frame = self._take(msgspec.msgpack.decode(self._socket.recv()))
                if frame is not None:
                    return frame
            elif self._caught_up and until < due and time.monotonic() >= until:
                return None
            elif time.monotonic() >= due:
                # Whether it has gone shows in the answer: it knows the follow, or begins it here.
                self._ask_again(gone=self._asked)

    def _next_asking(self) -> float:
        if not self._asked:
            return self._heard_at + SILENCE_S
        due = self._heard_at + REPEAT_S
        return due if self._absent_since is None else min(due, self._absent_since + self._absence_s)

    def _wait(self, seconds: float) -> bool:
        """Whether there is a frame; what came before the connection was lost is taken first."""
        sources = zmq.Poller()
        sources.register(self._socket, zmq.POLLIN)
        sources.register(self._monitor, zmq.POLLIN)
        ready = dict(sources.poll(int(max(0.0, seconds) * 1000) + 1))
        if self._socket in ready:
            return True
        if self._monitor in ready:
            recv_monitor_message(self._monitor)
            self._ask_again(gone=True)
        return False

    def _ask_again(self, *, gone: bool) -> None:
        """Ask for all after the last event; ZeroMQ keeps the request until somebody is there."""
        self._caught_up = False
        if gone:
            self._note_absence()
        self._asked = True
        self._heard_at = time.monotonic()
        send(self._socket, self._number, "follow", {**self._fields, "since": self._cursor})

    def _note_absence(self) -> None:
        now = time.monotonic()
        if self._absent_since is None:
            self._absent_since = now
            if self._on_absence is not None:
                self._on_absence()
        elif now - self._absent_since >= self._absence_s:
            away = f"it has been away for {now - self._absent_since:.0f} s"
            raise not_running(self._connector.home, away)

    def _take(self, frame: dict[str, Any]) -> dict[str, Any] | None:
        """Note what a frame says; it, if it is an event that was not seen."""
        if frame.get("id") != self._number:
            return None
        self._heard_at = time.monotonic()
        if "event" not in frame:
            self._take_reply(frame)
            return None
        if frame["event"] == "caught-up":
            if not self._caught_up:
                self._caught_up = True
                self._quiet_since = self._heard_at
            self._cursor = max(self._cursor, frame["cursor"])
            return frame
        self._used += 1
        self._quiet_since = self._heard_at
        # Some of what the old node had sent may still have been under way when the new one was asked.
        if frame["cursor"] <= self._cursor:
            return None
        self._cursor = frame["cursor"]
        return frame

    def _take_reply(self, reply: dict[str, Any]) -> None:
        """The answer to asking again."""
        if not reply["ok"] and reply["error"]["code"] in REPEATED_CODES:
            time.sleep(RETRY_S)
            self._ask_again(gone=True)
            return
        if reply["ok"]:
            self._used = 0
        elif reply["error"]["code"] != "follow-exists":
            raise error_of(reply)
        self._asked = False
        self._absent_since = None


def send(socket: Socket, number: int, op: str, fields: dict[str, Any]) -> None:
    """One request."""
    socket.send(msgspec.msgpack.encode({"v": 1, "id": number, "op": op, **fields}))


def not_running(home: Path, why: str) -> UsageError:
    """What to tell whoever needs a node that is not there."""
    return UsageError(
        f"no node is running on {home} ({why})",
        code="not-running",
        hint=f"start it with: dispersy run --home {shlex.quote(str(home))}",
    )


def error_of(reply: dict[str, Any]) -> UsageError:
    """What the node refused, as it said it."""
    error = reply["error"]
    return UsageError(error["message"], code=error["code"], hint=error.get("hint", ""))
