"""The asyncio client of a node's gateway: the methods of Client, to be awaited, for many tasks at once.

async with AsyncClient() as client:
    await client.publish("chat", [b"hello"])
    async for event in client.follow(["chat"], since="begin"):
        print(event.payload)
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from types import TracebackType
from typing import Any, Self, TypeVar

from dispersy import cosigning, operations
from dispersy.aio_connection import AsyncConnection, AsyncSocketConnection, AsyncStream, run
from dispersy.bundling import AsyncCarries
from dispersy.certificate import read_certificate
from dispersy.cosigning import AsyncCosigns
from dispersy.governance import AsyncGoverns
from dispersy.locations import home_path, socket_path
from dispersy.messages import Event, Message, Page, Published, event_of
from dispersy.operations import ABSENCE_S, TIMEOUT_S, Procedure, follow_fields

T = TypeVar("T")


class Events:
    """The events of a follow: `async for event in client.follow(...)`.

    Ended by aclose(), by `async with`, by closing the client, or by letting go of it.
    """

    def __init__(self, stream: AsyncStream) -> None:
        self._stream = stream

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Event:
        frame = await self._stream.next()
        if frame is None:
            raise StopAsyncIteration
        return event_of(frame)

    async def __aenter__(self) -> Self:
        await self.started()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    async def started(self) -> None:
        """Until the node has said where it begins. UsageError when it refuses."""
        await self._stream.started()

    async def aclose(self) -> None:
        """Follow no more."""
        self._stream.close()


class AsyncClient(AsyncGoverns, AsyncCosigns, AsyncCarries):
    """A connection to one node, for many tasks of one event loop at once.

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
        connection: AsyncConnection | None = None,
    ) -> None:
        self.home = home_path(home)
        curve = None if certificate is None else read_certificate(certificate)
        if curve is not None:
            endpoint = endpoint or curve.control
        self._connection = connection or AsyncSocketConnection(
            self.home,
            endpoint or f"ipc://{socket_path(self.home, 'control')}",
            timeout_s=timeout_s,
            check=endpoint is None,
            curve=curve,
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Disconnect: iterators of this client end, and requests that wait fail with `closed`."""
        await self._connection.close()

    async def publish(
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
        return await self.run(
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

    async def publish_many(
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
        return await self.run(
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
    ) -> Events:
        """Events in the order of the node's log: stored ones after `since`, then `caught-up`, then live.

        A node that ends and comes back is followed on from the last event, without gap or repetition.

        communities  names or ids; none: all
        since        "begin", "now", or the cursor of the last event that is known
        idle_s       end when it is caught up and nothing but heartbeats came for this long; None: never
        absence_s    how long the node may be away; after that UsageError `not-running`
        on_absence   called when the node has gone
        """
        fields = follow_fields(communities, kinds, since)
        # Asked now and not at the first step: "now" shall mean this moment.
        stream = self._connection.follow(fields, idle_s=idle_s, absence_s=absence_s, on_absence=on_absence)
        return Events(stream)

    async def get(
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
        return await self.run(
            operations.get(
                community, message_id, author=author, kind=kind, sequence=sequence, fetch_s=fetch_s
            )
        )

    async def page(
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
        return await self.run(
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

    async def last(
        self,
        community: str,
        count: int = 1,
        *,
        kind: str = "text",
        author: bytes | None = None,
        fetch_s: int = 0,
    ) -> list[Message]:
        """The newest messages of a kind by global time, the newest first; fetch_s: as in get()."""
        return await self.run(
            operations.last(community, kind=kind, count=count, author=author, fetch_s=fetch_s)
        )

    async def explain(self, community: str, message_id: bytes) -> dict[str, Any]:
        """What became of a message on this node: its `state`, and a `text` for people."""
        return await self.request("explain", community=community, message_id=message_id)

    async def count(self, community: str) -> int:
        """How many messages of a community the node holds."""
        return await self.run(operations.count(community))

    async def communities(self, *, left: bool = False) -> list[dict[str, Any]]:
        """What the node has joined (left: or has left and still holds), see docs/interface.md."""
        return await self.run(operations.communities(left=left))

    async def community(self, name: str) -> dict[str, Any]:
        """One of communities(): by name, id in hex, or the beginning of one."""
        return await self.run(operations.community(name))

    async def create(
        self, name: str, definition: bytes = b"", *, as_key: str = "", request_id: bytes | None = None
    ) -> dict[str, Any]:
        """A new community with the canonical bytes of a definition, or with one kind `text`.

        as_key      a key of the node's keyring to be a member with; without it a fresh one
        request_id  as in publish(): whoever repeats it gets the first community
        """
        fields = operations.creation(name, definition, request_id, as_key)
        return await self.request("create", **fields)

    async def join(
        self, community: bytes, *, name: str = "", peers: Sequence[str] = (), as_key: str = ""
    ) -> dict[str, Any]:
        """Take part in a community.

        community  32 bytes
        peers      HOST:PORT of nodes that serve it; host names are resolved here
        as_key     a key of the node's keyring to be a member with; without it a fresh one
        """
        return await self.run(operations.join(community, name=name, peers=peers, as_key=as_key))

    async def leave(self, community: str, *, purge: bool = False) -> dict[str, Any]:
        """Take part in a community no more. What the node holds stays for joining again; purge removes it.

        returns  `messages` that were held, and `already`: nothing was left to do
        """
        return await self.run(operations.leave(community, purge=purge))

    async def load(self, community: str) -> dict[str, Any]:
        """Serve a community that was unloaded."""
        return await self.request("load", community=community)

    async def unload(self, community: str) -> dict[str, Any]:
        """Stay joined, but neither walk, synchronise nor publish in it; what is held can be read."""
        return await self.request("unload", community=community)

    async def autoload(self, community: str, mode: str) -> dict[str, Any]:
        """What becomes of it when the node starts: "always" loaded, "on-packet" once somebody speaks to it,
        or "never" but by load()."""
        return await self.request("autoload", community=community, mode=mode)

    async def block(self, who: str | bytes, *, community: str = "") -> dict[str, Any]:
        """Show no more what a member writes, or speak no more with an address; nobody is told.

        who        a member's 32 bytes or 64 hex digits, or HOST or HOST:PORT
        community  where the member is blocked; none: everywhere
        """
        return await self.run(operations.block("block", who, community))

    async def unblock(self, who: str | bytes, *, community: str = "") -> dict[str, Any]:
        """The opposite of block() with the same arguments; replays show the member's messages again."""
        return await self.run(operations.block("unblock", who, community))

    async def blocked(self) -> list[dict[str, Any]]:
        """Whom the node does not listen to: `member` and `community` (empty: all), or `address`."""
        return await self.run(operations.blocked())

    async def status(self, *, brief: bool = False) -> dict[str, Any]:
        """How the node is, see docs/interface.md; brief: without its processes."""
        return await self.request("status", brief=brief)

    async def peers(self, community: str = "") -> list[dict[str, Any]]:
        """Neighbours, of one community or of all."""
        return await self.run(operations.peers(community))

    async def wait_for_ready(self, *, timeout_s: float) -> dict[str, Any]:
        """Until every process of the node is at work; its brief status. UsageError `timeout`."""
        return await self.run(operations.wait_for_ready(timeout_s=timeout_s))

    async def wait_for_status(
        self, enough: Callable[[dict[str, Any]], bool], *, timeout_s: float
    ) -> dict[str, Any]:
        """Until the status is as wanted; it. UsageError `timeout`."""
        return await self.run(operations.wait_for_status(enough, timeout_s=timeout_s))

    async def wait_for_count(
        self, community: str, count: int, *, timeout_s: float, progress: Callable[[int], None] | None = None
    ) -> int:
        """Until the node holds at least `count` messages of a community; how many. UsageError `timeout`."""
        return await self.run(
            operations.wait_for_count(community, count, timeout_s=timeout_s, progress=progress)
        )

    async def wait_for_peers(self, community: str, count: int, *, timeout_s: float) -> list[dict[str, Any]]:
        """Until at least `count` neighbours of a community are known; they. UsageError `timeout`."""
        return await self.run(operations.wait_for_peers(community, count, timeout_s=timeout_s))

    async def wait_for_definition(self, community: str, *, timeout_s: float) -> dict[str, Any]:
        """Until a community's definition is known; its entry of communities(). UsageError `timeout`."""
        return await self.run(operations.wait_for_definition(community, timeout_s=timeout_s))

    async def request(self, op: str, **fields: Any) -> dict[str, Any]:
        """Any operation of docs/interface.md; its reply. UsageError as the node gave it."""
        return await self.run(operations.request(op, **fields))

    async def run(self, procedure: Procedure[T]) -> T:
        """A procedure of dispersy.operations, which may be several requests."""
        return await run(self._connection, procedure)
