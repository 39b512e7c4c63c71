"""From a follow's events to messages with typed payloads, as asynchronous and as blocking iterators."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Generic, Self, TypedDict, TypeVar

from dispersy.aio import Events
from dispersy.declaration import Declared
from dispersy.messages import Event

P = TypeVar("P")

OnUndecodable = Callable[[Event], None]
OnWithdrawn = Callable[[Event], None]


class FollowOptions(TypedDict, total=False):
    """What a follow may be told.

    since           "begin", "now" (the default), or the cursor of the last message that is known
    idle_s          end when caught up and nothing came for this long; never without it
    on_undecodable  called with the event of a payload that is left out, see TypedMessages
    on_withdrawn    called with the event, denied or undone, of a message that no longer counts (or, with an
                    index, of one payload of it), in its place in the stream
    """

    since: str | int
    idle_s: float | None
    on_undecodable: OnUndecodable | None
    on_withdrawn: OnWithdrawn | None


@dataclass(frozen=True, slots=True)
class TypedMessage(Generic[P]):
    """One payload of a message, with what is known of the message.

    author         32 bytes, the key that signed it
    index          which of the message's payloads this is
    cursor         in this node's log: give it as `since` to go on after it
    arrival_ms     unix time in milliseconds at which this node stored it
    restored       whether it counts again, or for the first time, after it did not
    second_author  32 bytes, the key that signed it, too; empty where one signs alone
    """

    payload: P
    author: bytes
    kind: str
    global_time: int
    sequence: int
    index: int
    message_id: bytes
    cursor: int
    arrival_ms: int
    restored: bool
    second_author: bytes = b""


class Reading(Generic[P]):
    """From a follow's events to typed messages."""

    def __init__(self, kinds: Mapping[str, Declared[Any]], options: FollowOptions) -> None:
        self._kinds = kinds
        self._on_undecodable = options.get("on_undecodable")
        self._on_withdrawn = options.get("on_withdrawn")
        self.messages: deque[TypedMessage[P]] = deque()
        self.undecodable = 0
        self.caught_up = False

    def receive(self, event: Event) -> None:
        """Take an event; what it brings is in `messages`."""
        if event.event == "caught-up":
            self.caught_up = True
        elif event.event == "message":
            self._add(event, event.index or 0, event.payload)
        elif event.event == "restored":
            for index, payload in enumerate(event.payloads, start=event.index or 0):
                self._add(event, index, payload)
        elif event.event in ("denied", "undone") and self._on_withdrawn is not None:
            self._on_withdrawn(event)

    def _add(self, event: Event, index: int, data: bytes) -> None:
        try:
            payload = self._kinds[event.kind].decode(data)
        except (ValueError, RecursionError):
            self.undecodable += 1
            if self._on_undecodable is not None:
                self._on_undecodable(event)
            return
        self.messages.append(
            TypedMessage(
                payload=payload,
                author=event.author,
                kind=event.kind,
                global_time=event.global_time,
                sequence=event.sequence,
                index=index,
                message_id=event.message_id,
                cursor=event.cursor,
                arrival_ms=event.arrival_ms,
                restored=event.event == "restored",
                second_author=event.second_author,
            )
        )


class TypedMessages(Generic[P]):
    """A stream of messages: `async for message in chat.text.follow()`.

    A payload that is not of its kind's type, written by another version of the application, is left out and
    counted: one foreign message must not end the stream for ever.

    undecodable  how many were left out
    caught_up    whether everything that was stored when the stream began has been given
    """

    def __init__(self, events: Events, kinds: Mapping[str, Declared[Any]], options: FollowOptions) -> None:
        self._events = events
        self._reading = Reading[P](kinds, options)

    @property
    def undecodable(self) -> int:
        return self._reading.undecodable

    @property
    def caught_up(self) -> bool:
        return self._reading.caught_up

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> TypedMessage[P]:
        while not self._reading.messages:
            self._reading.receive(await anext(self._events))
        return self._reading.messages.popleft()

    async def started(self) -> None:
        """Until the node has said where the stream begins. UsageError when it refuses."""
        await self._events.started()

    async def aclose(self) -> None:
        """Follow no more."""
        await self._events.aclose()


class BlockingTypedMessages(Generic[P]):
    """TypedMessages of the blocking client: `for message in chat.text.follow()`."""

    def __init__(
        self, events: Iterator[Event], kinds: Mapping[str, Declared[Any]], options: FollowOptions
    ) -> None:
        self._events = events
        self._reading = Reading[P](kinds, options)

    @property
    def undecodable(self) -> int:
        return self._reading.undecodable

    @property
    def caught_up(self) -> bool:
        return self._reading.caught_up

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> TypedMessage[P]:
        while not self._reading.messages:
            self._reading.receive(next(self._events))
        return self._reading.messages.popleft()
