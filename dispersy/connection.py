"""The blocking connection to a node: the machines of conversation.py over ZeroMQ sockets of one thread."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Protocol, TypeVar

import msgspec
import zmq

from dispersy.certificate import Certificate
from dispersy.conversation import Answered, Calls, Following, Frame, Numbers, Outcomes, Send
from dispersy.endpoint import resolve_endpoint
from dispersy.errors import UsageError
from dispersy.operations import Pause, Procedure, Resolve, Submit, Wait, find_node
from dispersy.whereabouts import Whereabouts

RECEIVED_MAX = 2_000
"""Frames that may wait in a connection: more than the credit of a follow."""

T = TypeVar("T")
Socket = zmq.Socket[bytes]


class Stream(Protocol):
    """The events of one follow, one after another."""

    def next(self) -> Frame | None:
        """The next event, waiting for it; None at the end. UsageError as docs/python.md says."""

    def close(self) -> None:
        """Follow no more."""


class Connection(Protocol):
    """How requests reach a node: over ZeroMQ, or in memory for tests."""

    def submit(self, op: str, fields: Mapping[str, Any]) -> int:
        """Begin a request; its number."""

    def wait(self, numbers: Collection[int]) -> tuple[int, Frame]:
        """The first of these requests that is done, and its reply. UsageError as the node gave it."""

    def forget(self, numbers: Collection[int]) -> None:
        """Nobody waits for these any more."""

    def pause(self, seconds: float) -> float:
        """Let time pass; the time then."""

    def follow(
        self,
        fields: Mapping[str, Any],
        *,
        idle_s: float | None,
        absence_s: float,
        on_absence: Callable[[], None] | None,
    ) -> Stream:
        """Begin a follow; returns when the node has said where it begins."""

    def close(self) -> None:
        """Let go of everything."""


def run(connection: Connection, procedure: Procedure[T]) -> T:
    """Do what a procedure says, step by step; its result."""
    waiting: set[int] = set()
    try:
        step = next(procedure)
        while True:
            try:
                given: object
                match step:
                    case Submit(op, fields):
                        given = connection.submit(op, fields)
                        waiting.add(given)
                    case Wait(numbers):
                        given = connection.wait(numbers)
                        waiting.discard(given[0])
                    case Pause(seconds):
                        given = connection.pause(seconds)
                    case Resolve(endpoint):
                        given = resolve_endpoint(endpoint)
            except UsageError as error:
                step = procedure.throw(error)
            else:
                step = procedure.send(given)
    except StopIteration as ended:
        result: T = ended.value
        return result
    finally:
        procedure.close()
        connection.forget(waiting)


class SocketConnection:
    """A DEALER for requests, and one for each follow.

    home       for messages, and to find the node by
    endpoint   of `control`
    timeout_s  for each answer
    check      whether to see first that somebody is at the endpoint, which is then an ipc:// path
    curve      for a tcp:// endpoint
    """

    def __init__(
        self,
        home: Path,
        endpoint: str,
        *,
        timeout_s: float,
        check: bool,
        curve: Certificate | None = None,
    ) -> None:
        self._home = home
        self._node = Whereabouts(home, "" if check else endpoint)
        self._curve = curve
        self.timeout_s = timeout_s
        self._endpoint = endpoint
        self._checked = not check
        self._context: zmq.Context[Socket] = zmq.Context()
        self._numbers = Numbers()
        self._calls = Calls(self._node, self._numbers, timeout_s=timeout_s)
        self._outcomes = Outcomes()
        self._socket: Socket | None = None

    def close(self) -> None:
        self._context.destroy(linger=0)
        self._socket = None

    def open(self) -> Socket:
        """A new socket. UsageError `not-running` when no node is there."""
        if self._context.closed:
            raise UsageError("this client was closed", code="closed", hint="make a new one")
        if not self._checked:
            path = Path(self._endpoint.removeprefix("ipc://"))
            run(self, find_node(self._home, path, timeout_s=self.timeout_s))
            self._checked = True
        socket = self._context.socket(zmq.DEALER)
        socket.setsockopt(zmq.LINGER, 0)
        socket.setsockopt(zmq.RCVHWM, RECEIVED_MAX)
        if self._curve is not None:
            self._curve.protect(socket)
        socket.connect(self._endpoint)
        return socket

    def submit(self, op: str, fields: Mapping[str, Any]) -> int:
        if self._socket is None:
            self._socket = self.open()
        number = self._calls.submit(op, fields, time.monotonic())
        self._flush(self._socket)
        return number

    def wait(self, numbers: Collection[int]) -> tuple[int, Frame]:
        assert self._socket is not None
        while (done := self._outcomes.take(numbers)) is None:
            if self._socket.poll(_milliseconds(self._calls.next_deadline())):
                self._calls.receive(msgspec.msgpack.decode(self._socket.recv()), time.monotonic())
            self._calls.handle_timer(time.monotonic())
            self._flush(self._socket)
        return done

    def forget(self, numbers: Collection[int]) -> None:
        for number in numbers:
            self._calls.forget(number)
            self._outcomes.forget(number)

    def pause(self, seconds: float) -> float:
        if seconds:
            time.sleep(seconds)
        return time.monotonic()

    def follow(
        self,
        fields: Mapping[str, Any],
        *,
        idle_s: float | None,
        absence_s: float,
        on_absence: Callable[[], None] | None,
    ) -> Stream:
        following = Following(
            self._node,
            self._numbers.next(),
            fields,
            idle_s=idle_s,
            absence_s=absence_s,
            timeout_s=self.timeout_s,
            on_absence=on_absence,
            now=time.monotonic(),
        )
        return SocketStream(self.open(), following)

    def _flush(self, socket: Socket) -> None:
        for event in self._calls.drain():
            match event:
                case Send(frame):
                    _send(socket, frame)
                case Answered():
                    self._outcomes.note(event)


class SocketStream:
    """One follow over a socket of its own, whose end shows in a monitor."""

    def __init__(self, socket: Socket, following: Following) -> None:
        self._socket = socket
        self._following = following
        self._monitor: Socket = socket.get_monitor_socket(zmq.EVENT_DISCONNECTED)
        try:
            while not following.started and not following.is_over():
                self._turn()
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        # When the whole client was closed first, they are closed already.
        if not self._socket.closed:
            self._socket.disable_monitor()
        self._monitor.close()
        self._socket.close()

    def next(self) -> Frame | None:
        while (event := self._following.next_event()) is None and not self._following.is_over():
            self._turn()
        return event

    def _turn(self) -> None:
        """Wait for what comes first: a frame, the end of the connection, or the machine's deadline."""
        if self._socket.closed:
            raise UsageError("this client was closed", code="closed", hint="make a new one")
        self._flush()
        sources = zmq.Poller()
        sources.register(self._socket, zmq.POLLIN)
        sources.register(self._monitor, zmq.POLLIN)
        ready = dict(sources.poll(_milliseconds(self._following.next_deadline())))
        now = time.monotonic()
        # What came before the connection was lost is taken first.
        if self._socket in ready:
            frame = msgspec.msgpack.decode(self._socket.recv())
            if frame.get("id") == self._following.number:
                self._following.receive(frame, now)
        elif self._monitor in ready:
            self._monitor.recv_multipart(zmq.NOBLOCK)
            self._following.receive_disconnect(now)
        self._following.handle_timer(now)
        self._flush()

    def _flush(self) -> None:
        for event in self._following.drain():
            _send(self._socket, event.frame)


def _milliseconds(deadline: float | None) -> int | None:
    """Until then, for poll(); None: without end."""
    return None if deadline is None else int(max(0.0, deadline - time.monotonic()) * 1000) + 1


def _send(socket: Socket, frame: bytes) -> None:
    """Without waiting: after a node has refused our key there is nothing left to send to, and no end to it.

    What is not sent is not answered, and the machine's own time-out tells so.
    """
    with suppress(zmq.Again):
        socket.send(frame, zmq.NOBLOCK)
