"""Clients' connections to nodes in memory, over the same machines: whoever waits lets the network run."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Iterator, Mapping
from itertools import count
from pathlib import Path
from typing import Any, Protocol

import msgspec

from dispersy.aio_connection import CALLS_MAX
from dispersy.conversation import Answered, Calls, Following, Frame, Numbers, Outcomes, Send
from dispersy.errors import UsageError
from dispersy.operations import TIMEOUT_S
from dispersy.whereabouts import Whereabouts

WAIT_MAX_S = 3_600.0
"""Seconds of the network in which nothing came: a test that waits for ever shall fail and say so."""
_NODE = Whereabouts(Path("memory"))
_names = count(1)


class Clock(Protocol):
    """The network, as far as a connection has to do with it."""

    now: float

    def advance(self, until: float) -> None:
        """Let the next thing happen, or time pass to `until` if nothing happens before."""


class GatewayOf(Protocol):
    """The node, as far as a connection has to do with it."""

    def attach(self, name: bytes, inbox: Callable[[bytes], None]) -> None: ...

    def detach(self, name: bytes) -> None: ...

    def receive_request(self, client: bytes, frame: bytes) -> None: ...


class _Machines:
    """Requests and follows of one client; what a blocking and an asynchronous connection share."""

    def __init__(self, node: GatewayOf, clock: Clock) -> None:
        self._node = node
        self._clock = clock
        self._name = b"client-%d" % next(_names)
        self._numbers = Numbers()
        self._calls = Calls(_NODE, self._numbers, timeout_s=TIMEOUT_S)
        self._outcomes = Outcomes()
        self._follows: dict[int, Following] = {}
        self._closed = False
        node.attach(self._name, self._receive)

    def begin(self, op: str, fields: Mapping[str, Any]) -> int:
        """Send a request; its number."""
        self._refuse_closed()
        number = self._calls.submit(op, fields, self._clock.now)
        self.flush()
        return number

    def outcome(self, numbers: Collection[int]) -> tuple[int, Frame] | None:
        """The first of these that is done; UsageError as the node gave it."""
        done = self._outcomes.take(numbers)
        if done is None:
            self._refuse_closed()
        return done

    def forget(self, numbers: Collection[int]) -> None:
        for number in numbers:
            self._calls.forget(number)
            self._outcomes.forget(number)

    def begin_follow(
        self,
        fields: Mapping[str, Any],
        *,
        idle_s: float | None,
        absence_s: float,
        on_absence: Callable[[], None] | None,
    ) -> Following:
        """Send a follow; its machine."""
        self._refuse_closed()
        following = Following(
            _NODE,
            self._numbers.next(),
            fields,
            idle_s=idle_s,
            absence_s=absence_s,
            timeout_s=TIMEOUT_S,
            on_absence=on_absence,
            now=self._clock.now,
        )
        self._follows[following.number] = following
        self.flush()
        return following

    def waits(self) -> Iterator[None]:
        """One step of the network a turn; UsageError `timeout` when it has run for too long."""
        limit = self._clock.now + WAIT_MAX_S
        while self._clock.now < limit:
            deadlines = [self._calls.next_deadline()]
            deadlines += [each.next_deadline() for each in self._follows.values()]
            due = min((each for each in deadlines if each is not None), default=limit)
            self._clock.advance(min(due, limit))
            self._calls.handle_timer(self._clock.now)
            for each in list(self._follows.values()):
                each.handle_timer(self._clock.now)
            self.flush()
            yield
        raise UsageError(
            f"nothing came in {WAIT_MAX_S:g} s of the network's time",
            code="timeout",
            hint="give the follow idle_s, or publish before you wait",
        )

    def flush(self) -> None:
        """Give the node what the machines want sent, until they want nothing more."""
        sent = True
        while sent:
            sent = False
            for event in self._calls.drain():
                match event:
                    case Send(frame):
                        self._node.receive_request(self._name, frame)
                        sent = True
                    case Answered():
                        self._outcomes.note(event)
            for number, following in list(self._follows.items()):
                for event in following.drain():
                    self._node.receive_request(self._name, event.frame)
                    sent = True
                if following.ended:
                    del self._follows[number]

    def end(self) -> None:
        """Streams end, requests fail with `closed`."""
        self._closed = True
        for following in self._follows.values():
            following.end(None)
        self._follows.clear()
        self._node.detach(self._name)

    def _receive(self, data: bytes) -> None:
        frame: Frame = msgspec.msgpack.decode(data)
        following = self._follows.get(frame["id"])
        if following is None:
            self._calls.receive(frame, self._clock.now)
        else:
            following.receive(frame, self._clock.now)

    def _refuse_closed(self) -> None:
        if self._closed:
            raise UsageError("this client was closed", code="closed", hint="make a new one")


class MemoryConnection(_Machines):
    """For Client: waiting is letting the network run."""

    def submit(self, op: str, fields: Mapping[str, Any]) -> int:
        return self.begin(op, fields)

    def wait(self, numbers: Collection[int]) -> tuple[int, Frame]:
        waits = self.waits()
        while (done := self.outcome(numbers)) is None:
            next(waits)
        return done

    def pause(self, seconds: float) -> float:
        until = self._clock.now + seconds
        while self._clock.now < until:
            self._clock.advance(until)
        return self._clock.now

    def follow(
        self,
        fields: Mapping[str, Any],
        *,
        idle_s: float | None,
        absence_s: float,
        on_absence: Callable[[], None] | None,
    ) -> MemoryStream:
        following = self.begin_follow(fields, idle_s=idle_s, absence_s=absence_s, on_absence=on_absence)
        stream = MemoryStream(self, following)
        following.is_over()
        return stream

    def close(self) -> None:
        self.end()


class _Stream:
    """A follow of either client."""

    def __init__(self, machines: _Machines, following: Following) -> None:
        self._machines = machines
        self._following = following

    def close(self) -> None:
        self._following.cancel()
        self._machines.flush()

    def _next_event(self) -> Frame | None:
        event = self._following.next_event()
        self._machines.flush()
        return event


class MemoryStream(_Stream):
    """A follow of the blocking client."""

    def next(self) -> Frame | None:
        waits = self._machines.waits()
        while (event := self._next_event()) is None and not self._following.is_over():
            next(waits)
        return event


class AsyncMemoryConnection(_Machines):
    """For AsyncClient: other tasks go first, then whoever still waits lets the network run a step."""

    def __init__(self, node: GatewayOf, clock: Clock) -> None:
        super().__init__(node, clock)
        self._room = asyncio.Semaphore(CALLS_MAX)
        self._begun: set[int] = set()

    async def submit(self, op: str, fields: Mapping[str, Any]) -> int:
        # As over a socket: what a node takes no more of would be refused and sent again at every step.
        await self._room.acquire()
        try:
            number = self.begin(op, fields)
        except UsageError:
            self._room.release()
            raise
        self._begun.add(number)
        return number

    async def wait(self, numbers: Collection[int]) -> tuple[int, Frame]:
        waits = self.waits()
        while (done := self.outcome(numbers)) is None:
            await asyncio.sleep(0)
            next(waits)
        self._release(done[0])
        await asyncio.sleep(0)
        return done

    def forget(self, numbers: Collection[int]) -> None:
        super().forget(numbers)
        for number in numbers:
            self._release(number)

    def _release(self, number: int) -> None:
        if number in self._begun:
            self._begun.remove(number)
            self._room.release()

    async def pause(self, seconds: float) -> float:
        until = self._clock.now + seconds
        while self._clock.now < until:
            await asyncio.sleep(0)
            self._clock.advance(until)
        return self._clock.now

    def follow(
        self,
        fields: Mapping[str, Any],
        *,
        idle_s: float | None,
        absence_s: float,
        on_absence: Callable[[], None] | None,
    ) -> AsyncMemoryStream:
        following = self.begin_follow(fields, idle_s=idle_s, absence_s=absence_s, on_absence=on_absence)
        return AsyncMemoryStream(self, following)

    async def close(self) -> None:
        self.end()


class AsyncMemoryStream(_Stream):
    """A follow of an asyncio client."""

    async def started(self) -> None:
        self._following.is_over()

    async def next(self) -> Frame | None:
        waits = self._machines.waits()
        while (event := self._next_event()) is None and not self._following.is_over():
            await asyncio.sleep(0)
            if not self._following.has_events:
                next(waits)
        return event
