"""The blocking Python client of a node's gateway; the protocol beneath is described in docs/interface.md.

with Client() as client:
    client.publish("chat", [b"hello"])
    for event in client.follow(["chat"], since="begin"):
        print(event.payload)
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from types import TracebackType
from typing import Any, Self, TypeVar

from dispersy import cosigning, operations
from dispersy.bundling import Carries
from dispersy.certificate import read_certificate
from dispersy.connection import Connection, SocketConnection, Stream, run
from dispersy.cosigning import Cosigns, SignatureWanted
from dispersy.governance import Governed, Governs, Rows
from dispersy.locations import home_path, socket_path
from dispersy.messages import Event, Message, Page, Published, event_of
from dispersy.operations import (
    ABSENCE_S,
    PUBLISH_PORTION_MAX,
    PUBLISH_WINDOW,
    TIMEOUT_S,
    Procedure,
    follow_fields,
    new_request_id,
)

__all__ = [
    "PUBLISH_PORTION_MAX",
    "PUBLISH_WINDOW",
    "Client",
    "Event",
    "Governed",
    "Message",
    "Page",
    "Published",
    "Rows",
    "SignatureWanted",
    "new_request_id",
]

T = TypeVar("T")


class Client(Governs, Cosigns, Carries):
    """A connection to one node. Not for use by several threads at once.

    home        the node's home; default as for `dispersy run`
    endpoint    a ZeroMQ endpoint instead of the home's own
    certificate instead of a home: the file that `dispersy client add` made, to reach a node over tcp
    timeout_s   for each answer
    connection  instead of all this, another way to a node: dispersy.testing has one in memory
    """

    def __init__(
        self,
        home: str | os.PathLike[str] | None = None,
        *,
        endpoint: str | None = None,
        certificate: str | os.PathLike[str] | None = None,
        timeout_s: float = TIMEOUT_S,
        connection: Connection | None = None,
    ) -> None:
        self.home = home_path(home)
        curve = None if certificate is None else read_certificate(certificate)
        if curve is not None:
            endpoint = endpoint or curve.control
        self._connection = connection or SocketConnection(
            self.home,
            endpoint or f"ipc://{socket_path(self.home, 'control')}",
            timeout_s=timeout_s,
            check=endpoint is None,
            curve=curve,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Disconnect; iterators of this client end with an error when used again."""
        self._connection.close()

    def publish(
        self,
        community: str,
        payloads: Sequence[bytes],
        *,
        kind: str = "text",
        request_id: bytes | None = None,
        as_key: str = "",
        to: Sequence[str | bytes] = (),
        second: str | bytes = "",
        appended: Callable[[tuple[bytes, ...]], bool] | None = None,
    ) -> Published:
        """One message with these payloads. Returns when it is durable, or has left if its kind is not stored.

        community   name, id in hex, or the beginning of one
        request_id  16 bytes from new_request_id(); repeating it gives the first answer
        as_key      a key of the node's keyring that signs, by name or public key in hex; our own here
        to          neighbours it is sent to at once, by key (32 bytes, or hex digits) or HOST:PORT
        second      the neighbour that signs it, too, where its kind wants two authors; named as in `to`
        appended    is told what the second has appended, and says whether we sign that; without it we do not
        """
        return self.run(
            cosigning.publish(
                community,
                payloads,
                kind=kind,
                request_id=request_id,
                as_key=as_key,
                to=to,
                second=second,
                appended=appended,
            )
        )

    def publish_many(
        self,
        community: str,
        payloads: Iterable[bytes],
        *,
        kind: str = "text",
        progress: Callable[[int], None] | None = None,
        as_key: str = "",
        to: Sequence[str | bytes] = (),
    ) -> int:
        """One message for each payload; how many. Returns when all are durable.

        progress   called with the number that is durable so far
        to         as in publish
        raises     UsageError for the first that is refused; earlier ones are published
        """
        return self.run(
            operations.publish_many(community, payloads, kind=kind, progress=progress, as_key=as_key, to=to)
        )

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
        fields = follow_fields(communities, kinds, since)
        # Asked now and not at the first next(): "now" shall mean this moment.
        stream = self._connection.follow(fields, idle_s=idle_s, absence_s=absence_s, on_absence=on_absence)
        return _events(stream)

    def get(
        self,
        community: str,
        message_id: bytes | None = None,
        *,
        author: bytes | None = None,
        kind: str = "text",
        sequence: int = 0,
        fetch_s: int = 0,
    ) -> list[Message]:
        """A message by its id, or by author, kind and sequence: then two where they prove misbehaviour.

        fetch_s  how long neighbours are asked for what is not here, 25 s at most; 0: not at all
        raises   UsageError `message-unknown` when none is held, nor by them; `fetch-unanswered`
        """
        return self.run(
            operations.get(
                community, message_id, author=author, kind=kind, sequence=sequence, fetch_s=fetch_s
            )
        )

    def page(
        self,
        community: str,
        *,
        kinds: Sequence[str] = (),
        author: bytes | None = None,
        time_low: int | None = None,
        time_high: int | None = None,
        by: str = "global-time",
        order: str = "ascending",
        hidden: bool = False,
        limit: int = 100,
        after: bytes | None = None,
    ) -> Page:
        """Some of the stored messages, see `list` in docs/interface.md.

        time_low, time_high  global times, both included
        by, order            global-time or arrival; ascending or descending
        hidden               also those that do not count
        after                `next` of the page before, everything else as it was
        """
        return self.run(
            operations.page(
                community,
                kinds=kinds,
                author=author,
                time_low=time_low,
                time_high=time_high,
                by=by,
                order=order,
                hidden=hidden,
                limit=limit,
                after=after,
            )
        )

    def last(
        self,
        community: str,
        count: int = 1,
        *,
        kind: str = "text",
        author: bytes | None = None,
        fetch_s: int = 0,
    ) -> list[Message]:
        """The newest messages of a kind by global time, the newest first; fetch_s: as in get()."""
        return self.run(operations.last(community, kind=kind, count=count, author=author, fetch_s=fetch_s))

    def explain(self, community: str, message_id: bytes) -> dict[str, Any]:
        """What became of a message on this node: its `state`, and a `text` for people."""
        return self.request("explain", community=community, message_id=message_id)

    def count(self, community: str) -> int:
        """How many messages of a community the node holds."""
        return self.run(operations.count(community))

    def communities(self, *, left: bool = False) -> list[dict[str, Any]]:
        """What the node has joined (left: or has left and still holds), see docs/interface.md."""
        return self.run(operations.communities(left=left))

    def community(self, name: str) -> dict[str, Any]:
        """One of communities(): by name, id in hex, or the beginning of one."""
        return self.run(operations.community(name))

    def create(
        self, name: str, definition: bytes = b"", *, as_key: str = "", request_id: bytes | None = None
    ) -> dict[str, Any]:
        """A new community with the canonical bytes of a definition, or with one kind `text`.

        as_key      a key of the node's keyring to be a member with; without it a fresh one
        request_id  as in publish(): whoever repeats it gets the first community
        """
        fields = operations.creation(name, definition, request_id, as_key)
        return self.request("create", **fields)

    def join(
        self, community: bytes, *, name: str = "", peers: Sequence[str] = (), as_key: str = ""
    ) -> dict[str, Any]:
        """Take part in a community.

        community  32 bytes
        peers      HOST:PORT of nodes that serve it; host names are resolved here
        as_key     a key of the node's keyring to be a member with; without it a fresh one
        """
        return self.run(operations.join(community, name=name, peers=peers, as_key=as_key))

    def leave(self, community: str, *, purge: bool = False) -> dict[str, Any]:
        """Take part in a community no more. What the node holds stays for joining again; purge removes it.

        returns  `messages` that were held, and `already`: nothing was left to do
        """
        return self.run(operations.leave(community, purge=purge))

    def load(self, community: str) -> dict[str, Any]:
        """Serve a community that was unloaded."""
        return self.request("load", community=community)

    def unload(self, community: str) -> dict[str, Any]:
        """Stay joined, but neither walk, synchronise nor publish in it; what is held can be read."""
        return self.request("unload", community=community)

    def autoload(self, community: str, mode: str) -> dict[str, Any]:
        """What becomes of it when the node starts: "always" loaded, "on-packet" once somebody speaks to it,
        or "never" but by load()."""
        return self.request("autoload", community=community, mode=mode)

    def block(self, who: str | bytes, *, community: str = "") -> dict[str, Any]:
        """Show no more what a member writes, or speak no more with an address; nobody is told.

        who        a member's 32 bytes or 64 hex digits, or HOST or HOST:PORT
        community  where the member is blocked; none: everywhere
        """
        return self.run(operations.block("block", who, community))

    def unblock(self, who: str | bytes, *, community: str = "") -> dict[str, Any]:
        """The opposite of block() with the same arguments; replays show the member's messages again."""
        return self.run(operations.block("unblock", who, community))

    def blocked(self) -> list[dict[str, Any]]:
        """Whom the node does not listen to: `member` and `community` (empty: all), or `address`."""
        return self.run(operations.blocked())

    def status(self, *, brief: bool = False) -> dict[str, Any]:
        """How the node is, see docs/interface.md; brief: without its processes."""
        return self.request("status", brief=brief)

    def peers(self, community: str = "") -> list[dict[str, Any]]:
        """Neighbours, of one community or of all."""
        return self.run(operations.peers(community))

    def wait_for_ready(self, *, timeout_s: float) -> dict[str, Any]:
        """Until every process of the node is at work; its brief status. UsageError `timeout`."""
        return self.run(operations.wait_for_ready(timeout_s=timeout_s))

    def wait_for_status(
        self, enough: Callable[[dict[str, Any]], bool], *, timeout_s: float
    ) -> dict[str, Any]:
        """Until the status is as wanted; it. UsageError `timeout`."""
        return self.run(operations.wait_for_status(enough, timeout_s=timeout_s))

    def wait_for_count(
        self, community: str, count: int, *, timeout_s: float, progress: Callable[[int], None] | None = None
    ) -> int:
        """Until the node holds at least `count` messages of a community; how many. UsageError `timeout`."""
        return self.run(operations.wait_for_count(community, count, timeout_s=timeout_s, progress=progress))

    def wait_for_peers(self, community: str, count: int, *, timeout_s: float) -> list[dict[str, Any]]:
        """Until at least `count` neighbours of a community are known; they. UsageError `timeout`."""
        return self.run(operations.wait_for_peers(community, count, timeout_s=timeout_s))

    def wait_for_definition(self, community: str, *, timeout_s: float) -> dict[str, Any]:
        """Until a community's definition is known; its entry of communities(). UsageError `timeout`."""
        return self.run(operations.wait_for_definition(community, timeout_s=timeout_s))

    def request(self, op: str, **fields: Any) -> dict[str, Any]:
        """Any operation of docs/interface.md; its reply. UsageError as the node gave it."""
        return self.run(operations.request(op, **fields))

    def run(self, procedure: Procedure[T]) -> T:
        """A procedure of dispersy.operations, which may be several requests."""
        return run(self._connection, procedure)


def _events(stream: Stream) -> Iterator[Event]:
    try:
        while (frame := stream.next()) is not None:
            yield event_of(frame)
    finally:
        stream.close()
