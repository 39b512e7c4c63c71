"""The asyncio connection to a node: the machines of conversation.py over one zmq.asyncio socket.

Requests of many tasks and all follows share the socket, in the order in which they are made: what is
published after a follow was begun with since="now" is in it. One task reads, from the first request on.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, TypeVar

import msgspec
import zmq
import zmq.asyncio

from dispersy.certificate import Certificate
from dispersy.conversation import Answered, Calls, Following, Frame, Numbers, Send
from dispersy.endpoint import Endpoint, resolve_endpoint
from dispersy.errors import UsageError
from dispersy.operations import Pause, Procedure, Resolve, Submit, Wait, find_node
from dispersy.whereabouts import Whereabouts

CALLS_MAX = 64
"""Requests under way at once; further tasks wait their turn. A gateway takes no more orders of one client."""
FRAMES_AT_ONCE_MAX = 100
FRAMES_QUEUED_MAX = 20_000
"""Frames that may wait in a connection: more than the credit of all follows that a client may have."""

T = TypeVar("T")


class AsyncStream(Protocol):
    """The events of one follow, one after another."""

    async def started(self) -> None:
        """Until the node has said where the stream begins; UsageError when it refuses."""

    async def next(self) -> Frame | None:
        """The next event, waiting for it; None at the end. UsageError as docs/python.md says."""

    def close(self) -> None:
        """Follow no more."""


class AsyncConnection(Protocol):
    """How requests reach a node: over ZeroMQ, or in memory for tests."""

    async def submit(self, op: str, fields: Mapping[str, Any]) -> int:
        """Begin a request; its number."""

    async def wait(self, numbers: Collection[int]) -> tuple[int, Frame]:
        """The first of these requests that is done, and its reply. UsageError as the node gave it."""

    def forget(self, numbers: Collection[int]) -> None:
        """Nobody waits for these any more."""

    async def pause(self, seconds: float) -> float:
        """Let time pass; the time then."""

    def follow(
        self,
        fields: Mapping[str, Any],
        *,
        idle_s: float | None,
        absence_s: float,
        on_absence: Callable[[], None] | None,
    ) -> AsyncStream:
        """Begin a follow."""

    async def close(self) -> None:
        """Let go of everything: streams end, requests fail with `closed`."""


async def run(connection: AsyncConnection, procedure: Procedure[T]) -> T:
    """Do what a procedure says, step by step; its result."""
    waiting: set[int] = set()
    try:
        step = next(procedure)
        while True:
            try:
                given: object
                match step:
                    case Submit(op, fields):
                        given = await connection.submit(op, fields)
                        waiting.add(given)
                    case Wait(numbers):
                        given = await connection.wait(numbers)
                        waiting.discard(given[0])
                    case Pause(seconds):
                        given = await connection.pause(seconds)
                    case Resolve(endpoint):
                        given = await _resolve(endpoint)
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


async def _resolve(endpoint: Endpoint) -> list[Endpoint]:
    # A name server may take seconds, in which other tasks go on; numbers need no thread.
    if endpoint.numeric is not None:
        return resolve_endpoint(endpoint)
    return await asyncio.to_thread(resolve_endpoint, endpoint)


@dataclass(slots=True)
class _Followed:
    """A follow's machine, and what wakes its reader when it may have something new."""

    following: Following
    changed: asyncio.Event = field(default_factory=asyncio.Event)


class AsyncSocketConnection:
    """One DEALER for everything that one client asks; belongs to the event loop of its first request.

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
        self._timeout_s = timeout_s
        self._endpoint = endpoint
        self._checked = not check
        self._numbers = Numbers()
        self._calls = Calls(self._node, self._numbers, timeout_s=timeout_s)
        self._room = asyncio.Semaphore(CALLS_MAX)
        self._replies: dict[int, asyncio.Future[Frame]] = {}
        self._follows: dict[int, _Followed] = {}
        self._socket: zmq.asyncio.Socket | None = None
        self._reader: asyncio.Task[None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._closed = False

    async def close(self) -> None:
        self._closed = True
        self._end_all(None)
        if self._reader is not None:
            self._reader.cancel()
            await asyncio.wait({self._reader})
            if not self._reader.cancelled() and (failure := self._reader.exception()) is not None:
                raise failure

    async def submit(self, op: str, fields: Mapping[str, Any]) -> int:
        await self._room.acquire()
        try:
            self._start()
        except UsageError:
            self._room.release()
            raise
        number = self._calls.submit(op, fields, self._now())
        self._replies[number] = asyncio.get_running_loop().create_future()
        self.flush()
        return number

    async def wait(self, numbers: Collection[int]) -> tuple[int, Frame]:
        replies = {number: self._replies[number] for number in numbers}
        await asyncio.wait(replies.values(), return_when=asyncio.FIRST_COMPLETED)
        number = next(number for number, reply in replies.items() if reply.done())
        return number, self._replies.pop(number).result()

    def forget(self, numbers: Collection[int]) -> None:
        for number in numbers:
            self._calls.forget(number)
            reply = self._replies.pop(number, None)
            if reply is None:
                continue
            if not reply.done():
                reply.cancel()
                self._room.release()
            elif not reply.cancelled():
                reply.exception()  # nobody else will ask for it
        self.flush()

    async def pause(self, seconds: float) -> float:
        if seconds:
            await asyncio.sleep(seconds)
        return self._now()

    def follow(
        self,
        fields: Mapping[str, Any],
        *,
        idle_s: float | None,
        absence_s: float,
        on_absence: Callable[[], None] | None,
    ) -> AsyncStream:
        self._start()
        following = Following(
            self._node,
            self._numbers.next(),
            fields,
            idle_s=idle_s,
            absence_s=absence_s,
            timeout_s=self._timeout_s,
            on_absence=on_absence,
            now=self._now(),
        )
        followed = self._follows[following.number] = _Followed(following)
        self.flush()
        return AsyncSocketStream(self, followed)

    def end_follow(self, number: int) -> None:
        """Tell the node that nobody follows any more; for one that has ended this does nothing."""
        followed = self._follows.get(number)
        if followed is not None:
            followed.following.cancel()
            self.flush()

    def flush(self) -> None:
        """Do what the machines want done, and set the timer for when they want to be asked again."""
        if self._socket is None:
            return  # the reader is opening it, and calls this again
        for event in self._calls.drain():
            match event:
                case Send(frame):
                    self._send(frame)
                case Answered(number, outcome):
                    self._answer(number, outcome)
        for number, followed in list(self._follows.items()):
            for event in followed.following.drain():
                self._send(event.frame)
            if followed.following.ended:
                del self._follows[number]
                followed.changed.set()
        self._set_timer()

    def _answer(self, number: int, outcome: Frame | UsageError) -> None:
        reply = self._replies.get(number)
        if reply is None or reply.done():
            return
        self._room.release()
        if isinstance(outcome, UsageError):
            reply.set_exception(outcome)
        else:
            reply.set_result(outcome)

    def _send(self, frame: bytes) -> None:
        assert self._socket is not None
        # Done at once, or never: what ZeroMQ has no room for is repeated like what a node did not answer.
        sent = self._socket.send(frame, zmq.NOBLOCK)
        assert isinstance(sent, asyncio.Future)
        sent.exception()

    def _now(self) -> float:
        return asyncio.get_running_loop().time()

    def _set_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        deadlines = [self._calls.next_deadline()]
        deadlines += [followed.following.next_deadline() for followed in self._follows.values()]
        due = min((deadline for deadline in deadlines if deadline is not None), default=None)
        if due is not None:
            self._timer = asyncio.get_running_loop().call_at(due, self._handle_timer)

    def _handle_timer(self) -> None:
        now = self._now()
        self._calls.handle_timer(now)
        for followed in self._follows.values():
            followed.following.handle_timer(now)
        self.flush()

    def _start(self) -> None:
        if self._closed:
            raise UsageError("this client was closed", code="closed", hint="make a new one")
        if self._reader is None or self._reader.done():
            self._reader = asyncio.get_running_loop().create_task(self._read(), name="dispersy client")

    async def _read(self) -> None:
        """Open the socket, then take what comes until close()."""
        try:
            if not self._checked:
                path = Path(self._endpoint.removeprefix("ipc://"))
                await run(self, find_node(self._home, path, timeout_s=self._timeout_s))
                self._checked = True
            with zmq.asyncio.Context() as context, context.socket(zmq.DEALER) as socket:
                socket.setsockopt(zmq.LINGER, 0)
                socket.setsockopt(zmq.RCVHWM, FRAMES_QUEUED_MAX)
                socket.setsockopt(zmq.SNDHWM, FRAMES_QUEUED_MAX)
                with socket.get_monitor_socket(zmq.EVENT_DISCONNECTED) as monitor:
                    if self._curve is not None:
                        self._curve.protect(socket)
                    socket.connect(self._endpoint)
                    self._socket = socket
                    await self._serve(socket, monitor)
        except UsageError as error:
            self._end_all(error)
        finally:
            # Also where this fails by a fault of its own: nobody may wait for what will not come.
            self._socket = None
            self._end_all(UsageError("the connection to the node has ended", code="closed"))

    async def _serve(self, socket: zmq.asyncio.Socket, monitor: zmq.asyncio.Socket) -> None:
        sources = zmq.asyncio.Poller()
        sources.register(socket, zmq.POLLIN)
        sources.register(monitor, zmq.POLLIN)
        while True:
            self.flush()
            ready = dict(await sources.poll())
            # What came before the connection was lost is taken first.
            if socket in ready:
                await self._take_frames(socket)
            elif monitor in ready:
                await monitor.recv_multipart()
                self._receive_disconnect()

    async def _take_frames(self, socket: zmq.asyncio.Socket) -> None:
        for _ in range(FRAMES_AT_ONCE_MAX):
            try:
                data = await socket.recv(zmq.NOBLOCK)
            except zmq.Again:
                return
            frame: Frame = msgspec.msgpack.decode(data)
            number = frame.get("id")
            followed = self._follows.get(number) if isinstance(number, int) else None
            if followed is None:
                self._calls.receive(frame, self._now())
            else:
                followed.following.receive(frame, self._now())
                followed.changed.set()

    def _receive_disconnect(self) -> None:
        now = self._now()
        self._calls.receive_disconnect(now)
        for followed in self._follows.values():
            followed.following.receive_disconnect(now)

    def _end_all(self, error: UsageError | None) -> None:
        """Nothing more will come: streams end with this error, requests fail with it or `closed`."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        for number in list(self._replies):
            self._calls.forget(number)
            closed = UsageError("this client was closed", code="closed", hint="make a new one")
            self._answer(number, error or closed)
        # Whoever was told that it failed does not want it sent over the next connection.
        self._calls.drain()
        for followed in self._follows.values():
            followed.following.end(error)
            followed.changed.set()
        self._follows.clear()


class AsyncSocketStream:
    """One follow over the client's connection; whoever drops it unread follows no more."""

    def __init__(self, connection: AsyncSocketConnection, followed: _Followed) -> None:
        self._connection = connection
        self._following = followed.following
        self._changed = followed.changed
        self._loop = asyncio.get_running_loop()

    def __del__(self) -> None:
        # `async for ...: break` leaves a stream behind that nobody closes.
        if not self._following.ended and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._connection.end_follow, self._following.number)

    async def started(self) -> None:
        while not self._following.started and not self._following.is_over():
            await self._change()

    async def next(self) -> Frame | None:
        while (event := self._next_event()) is None and not self._following.is_over():
            await self._change()
        return event

    def _next_event(self) -> Frame | None:
        event = self._following.next_event()
        if self._following.wants_to_send:
            self._connection.flush()
        return event

    def close(self) -> None:
        self._connection.end_follow(self._following.number)

    async def _change(self) -> None:
        self._changed.clear()
        await self._changed.wait()
