"""The blocking Python client of a node's gateway; the protocol beneath is described in docs/interface.md.

with Client() as client:
    client.publish("chat", [b"hello"])
    for event in client.follow(["chat"], since="begin"):
        print(event.payload)
"""

from __future__ import annotations

import os
import secrets
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, fields
from itertools import islice
from types import TracebackType
from typing import Any, Self, TypeVar

import zmq

from dispersy.connection import REPEATED_CODES, RETRY_S, Connector, Stream, error_of, send
from dispersy.endpoint import parse_endpoint, resolve_endpoint
from dispersy.errors import UsageError
from dispersy.locations import home_path, socket_path

Answer = TypeVar("Answer")

TIMEOUT_S = 30.0
PUBLISH_PORTION_MAX = 500
"""Payloads of one publish-many request: one is stored while the next travels."""
PUBLISH_WINDOW = 4
"""Publish-many requests under way at once."""
FOLLOW_CREDIT = 1_000
ABSENCE_S = 300.0
"""How long a follow waits for a node that has gone."""


@dataclass(frozen=True, slots=True)
class Event:
    """One event of a follow, see docs/interface.md.

    event        message, denied, restored, undone, removed or caught-up
    cursor       of this node's log; give the last one as `since` to go on after it
    index        which of the message's payloads this is
    payload      of message events
    payloads     of restored events: all of the message
    arrival_ms   unix time in milliseconds at which this node stored it
    """

    event: str
    cursor: int
    community: bytes = b""
    kind: str = ""
    author: bytes = b""
    global_time: int = 0
    sequence: int = 0
    index: int = 0
    message_id: bytes = b""
    payload: bytes = b""
    payloads: tuple[bytes, ...] = ()
    arrival_ms: int = 0
    message_cursor: int = 0
    reason: str = ""
    low: int = 0


_EVENT_FIELDS = frozenset(field.name for field in fields(Event))


@dataclass(frozen=True, slots=True)
class Published:
    """What the node answered: stored, signed, and on its way.

    repeated   whether this request id had been answered before; nothing was published again
    """

    first_cursor: int
    last_cursor: int
    ids: tuple[bytes, ...]
    repeated: bool


class Client:
    """A connection to one node. Not for use by several threads at once.

    home       the node's home; default as for `dispersy run`
    endpoint   a ZeroMQ endpoint instead of the home's own
    timeout_s  for each answer
    """

    def __init__(
        self,
        home: str | os.PathLike[str] | None = None,
        *,
        endpoint: str | None = None,
        timeout_s: float = TIMEOUT_S,
    ) -> None:
        self.home = home_path(home)
        self._connector = Connector(
            self.home,
            endpoint or f"ipc://{socket_path(self.home, 'control')}",
            timeout_s=timeout_s,
            check=endpoint is None,
        )
        self._socket: zmq.Socket[bytes] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Disconnect; iterators of this client end with an error when used again."""
        self._connector.close()
        self._socket = None

    def publish(
        self,
        community: str,
        payloads: Sequence[bytes],
        *,
        kind: str = "text",
        request_id: bytes | None = None,
    ) -> Published:
        """One message with these payloads. Returns when it is durable.

        community   name, id in hex, or the beginning of one
        request_id  16 bytes from new_request_id(); repeating it gives the first answer
        """
        fields = _publication(community, kind, payloads, request_id)
        return _published(self.request("publish", **fields))

    def publish_many(
        self,
        community: str,
        payloads: Iterable[bytes],
        *,
        kind: str = "text",
        progress: Callable[[int], None] | None = None,
    ) -> int:
        """One message for each payload; how many. Returns when all are durable.

        progress   called with the number that is durable so far
        raises     UsageError for the first that is refused; earlier ones are published
        """
        # A connection of its own: `progress` may ask this client for something else meanwhile.
        with self._connector.open() as socket:
            return self._publish_portions(socket, community, iter(payloads), kind, progress)

    def follow(
        self,
        communities: Sequence[str] = (),
        *,
        kinds: Sequence[str] = (),
        since: str | int = "now",
        idle_s: float | None = None,
        absence_s: float = ABSENCE_S,
        on_absence: Callable[[], None] | None = None,
    ) -> Iterator[Event]:
        """Events in the order of the node's log: stored ones after `since`, then `caught-up`, then live.

        A node that ends and comes back is followed on from the last event, without gap or repetition.

        communities  names or ids; none: all
        since        "begin", "now", or the cursor of the last event that is known
        idle_s       end when it is caught up and nothing but heartbeats came for this long; None: never
        absence_s    how long the node may be away; after that UsageError `not-running`
        on_absence   called when the node has gone
        """
        for name, given in (("communities", communities), ("kinds", kinds)):
            if isinstance(given, (str, bytes)):
                raise UsageError(f"{name} is a list, as [{given!r}], not {given!r}")
        fields = {
            "communities": list(communities),
            "kinds": list(kinds),
            "since": since,
            "credit": FOLLOW_CREDIT,
        }
        # Asked now and not at the first next(): "now" shall mean this moment.
        stream = Stream(self._connector, fields, absence_s=absence_s, on_absence=on_absence)
        return _events(stream, idle_s)

    def count(self, community: str) -> int:
        """How many messages of a community the node holds."""
        count = self.request("count", community=community)["count"]
        assert isinstance(count, int)
        return count

    def communities(self) -> list[dict[str, Any]]:
        """What the node has joined, see docs/interface.md."""
        return list(self.request("communities")["communities"])

    def community(self, name: str) -> dict[str, Any]:
        """One of communities(): by name, id in hex, or the beginning of one."""
        found = self.request("count", community=name)["community"]
        return next(entry for entry in self.communities() if entry["community"] == found)

    def create(self, name: str, definition: bytes = b"") -> dict[str, Any]:
        """A new community with the canonical bytes of a definition, or with one kind `text`."""
        return self.request("create", name=name, definition=definition)

    def join(self, community: bytes, *, name: str = "", peers: Sequence[str] = ()) -> dict[str, Any]:
        """Take part in a community.

        community  32 bytes
        peers      HOST:PORT of nodes that serve it; host names are resolved here
        """
        numeric = [str(found) for peer in peers for found in resolve_endpoint(parse_endpoint(peer))]
        return self.request("join", community=community, name=name, peers=numeric)

    def status(self, *, brief: bool = False) -> dict[str, Any]:
        """How the node is, see docs/interface.md; brief: without its processes."""
        return self.request("status", brief=brief)

    def peers(self, community: str = "") -> list[dict[str, Any]]:
        """Neighbours, of one community or of all."""
        return list(self.request("peers", community=community)["peers"])

    def wait_for_ready(self, *, timeout_s: float) -> dict[str, Any]:
        """Until every process of the node is at work; its brief status. UsageError `timeout`."""

        def ask() -> dict[str, Any]:
            return self.status(brief=True)

        return self._wait(ask, lambda status: bool(status["ready"]), timeout_s, "the node to be ready")

    def wait_for_status(
        self, enough: Callable[[dict[str, Any]], bool], *, timeout_s: float
    ) -> dict[str, Any]:
        """Until the status is as wanted; it. UsageError `timeout`."""
        return self._wait(self.status, enough, timeout_s, "the wanted status")

    def wait_for_count(
        self, community: str, count: int, *, timeout_s: float, progress: Callable[[int], None] | None = None
    ) -> int:
        """Until the node holds at least `count` messages of a community; how many. UsageError `timeout`."""

        def ask() -> int:
            held = self.count(community)
            if progress is not None:
                progress(held)
            return held

        return self._wait(ask, lambda held: held >= count, timeout_s, f"{count} messages of {community}")

    def wait_for_peers(self, community: str, count: int, *, timeout_s: float) -> list[dict[str, Any]]:
        """Until at least `count` neighbours of a community are known; they. UsageError `timeout`."""
        return self._wait(
            lambda: self.peers(community),
            lambda found: len(found) >= count,
            timeout_s,
            f"{count} neighbours in {community}",
        )

    def wait_for_definition(self, community: str, *, timeout_s: float) -> dict[str, Any]:
        """Until a community's definition is known; its entry of communities(). UsageError `timeout`."""
        community_id = self.request("count", community=community)["community"]

        def ask() -> dict[str, Any]:
            return next(entry for entry in self.communities() if entry["community"] == community_id)

        return self._wait(
            ask, lambda entry: bool(entry["defined"]), timeout_s, f"the definition of {community}"
        )

    def request(self, op: str, **fields: Any) -> dict[str, Any]:
        """Any operation of docs/interface.md; its reply. UsageError as the node gave it."""
        if self._socket is None:
            self._socket = self._connector.open()
        return self._connector.ask(self._socket, op, fields)[1]

    def _publish_portions(
        self,
        socket: zmq.Socket[bytes],
        community: str,
        rest: Iterator[bytes],
        kind: str,
        progress: Callable[[int], None] | None,
    ) -> int:
        waiting: dict[int, dict[str, Any]] = {}
        done = 0

        def repeat() -> None:
            for number, publication in waiting.items():
                send(socket, number, "publish-many", publication)

        while True:
            while len(waiting) < PUBLISH_WINDOW and (portion := list(islice(rest, PUBLISH_PORTION_MAX))):
                number = self._connector.next_number()
                waiting[number] = _publication(community, kind, portion, None)
                send(socket, number, "publish-many", waiting[number])
            if not waiting:
                return done
            reply = self._connector.receive(socket, waiting, "publish-many", repeat=repeat)
            if reply["ok"]:
                done += len(waiting.pop(reply["id"])["payloads"])
                if progress is not None:
                    progress(done)
            elif reply["error"]["code"] in REPEATED_CODES:
                time.sleep(RETRY_S)
                send(socket, reply["id"], "publish-many", waiting[reply["id"]])
            else:
                raise error_of(reply)

    def _wait(
        self, ask: Callable[[], Answer], enough: Callable[[Answer], bool], timeout_s: float, what: str
    ) -> Answer:
        limit = time.monotonic() + timeout_s
        while not enough(answer := ask()):
            if time.monotonic() > limit:
                raise UsageError(f"waited {timeout_s:g} s for {what} in vain", code="timeout")
            time.sleep(RETRY_S)
        return answer


def new_request_id() -> bytes:
    """16 bytes: 6 of unix milliseconds, so that a node can tell old ones, and 10 random ones."""
    return (time.time_ns() // 1_000_000).to_bytes(6, "big") + secrets.token_bytes(10)


def _publication(
    community: str, kind: str, payloads: Sequence[bytes], request_id: bytes | None
) -> dict[str, Any]:
    return {
        "community": community,
        "kind": kind,
        "payloads": list(payloads),
        "request_id": request_id or new_request_id(),
    }


def _published(reply: dict[str, Any]) -> Published:
    return Published(reply["first_cursor"], reply["last_cursor"], tuple(reply["ids"]), reply["repeated"])


def _events(stream: Stream, idle_s: float | None) -> Iterator[Event]:
    try:
        for frame in stream.events(idle_s):
            yield _event(frame)
    finally:
        stream.close()


def _event(frame: dict[str, Any]) -> Event:
    values = {key: value for key, value in frame.items() if key in _EVENT_FIELDS}
    if "payloads" in values:
        values["payloads"] = tuple(values["payloads"])
    return Event(**values)
