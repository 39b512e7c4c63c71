"""Communities as classes: kinds with typed payloads, published and followed through a client.

class Chat(Community):
    text = kind(64, Text)

async with AsyncClient() as client:
    chat = await Chat.create(client, "chat")
    await chat.text.publish(Text("hello"))
    async for message in chat.text.follow(since="begin"):
        print(message.payload)

BlockingCommunity is the same over the blocking Client. Which of the two a class is, is said where it is made.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Generic, Self, TypeVar, Unpack, overload

from dispersy import operations
from dispersy.aio import AsyncClient
from dispersy.client import Client
from dispersy.declaration import Declared, Declaring, Policy
from dispersy.endpoint import parse_endpoint
from dispersy.errors import UsageError
from dispersy.invite import Invite, parse_invite
from dispersy.messages import Published
from dispersy.operations import Procedure
from dispersy.typed_messages import BlockingTypedMessages, FollowOptions, TypedMessages

P = TypeVar("P")
Q = TypeVar("Q")
R = TypeVar("R")

JOIN_LIMIT_S = 30.0
"""How long join() waits for the definition, which comes from the first neighbour that is found."""


class Kind(Declared[P]):
    """A kind declared in the body of a class; see kind()."""

    @overload
    def __get__(self, instance: None, owner: type) -> Kind[P]: ...
    @overload
    def __get__(self, instance: Community, owner: type) -> Channel[P]: ...
    @overload
    def __get__(self, instance: BlockingCommunity, owner: type) -> BlockingChannel[P]: ...

    def __get__(self, instance: object, owner: type) -> Kind[P] | Channel[P] | BlockingChannel[P]:
        if isinstance(instance, Community):
            return Channel(instance, self)
        if isinstance(instance, BlockingCommunity):
            return BlockingChannel(instance, self)
        return self


def kind(
    number: int,
    payload: type[P],
    *,
    name: str = "",
    authentication: str | Policy = "member",
    resolution: str | Policy = "public",
    distribution: str | Policy = "full-sync",
    destination: str | Policy = "community",
    pruning: str | Policy = "none",
    size_max: int | None = None,
    rate: int = 0,
    schema: str | bool = "",
    batch_window_ms: int = 0,
    frozen: bool = False,
) -> Kind[P]:
    """Declare a kind; what the policies mean, and which are enforced, is in docs/definition.md.

    number    64 to 255, never used again for another kind
    payload   the type of its payloads: a msgspec.Struct, str or bytes
    name      in the definition; the attribute's name with hyphens unless it is given
    size_max  bytes of one payload, up to 65,416 of a stored kind; what one datagram carries unless given
    rate      messages of one author that count within 1,024 global times; 0: all
    schema    what every node checks of messagepack payloads; True: what the type says
    """
    chosen = {
        "authentication": authentication,
        "resolution": resolution,
        "distribution": distribution,
        "destination": destination,
        "pruning": pruning,
    }
    table: dict[str, Any] = {
        group: {"type": stated.name, **stated.parameters} if isinstance(stated, Policy) else stated
        for group, stated in chosen.items()
    }
    table |= {"number": number, "batch_window_ms": batch_window_ms, "frozen": frozen}
    payload_options: dict[str, Any] = {"size_max": size_max, "rate": rate or None, "schema": schema or None}
    if stated_options := {name: value for name, value in payload_options.items() if value is not None}:
        table["payload"] = stated_options
    return Kind(payload, table, name)


class Channel(Generic[P]):
    """One kind of one community."""

    def __init__(self, community: Community, declared: Declared[P]) -> None:
        self._community = community
        self._declared = declared

    async def publish(
        self,
        *payloads: P,
        request_id: bytes | None = None,
        as_key: str = "",
        to: Sequence[str | bytes] = (),
    ) -> Published:
        """One message with these payloads, usually one. Returns when it is durable.

        request_id  16 bytes from new_request_id(); repeating it gives the first answer
        as_key      a key of the node's keyring that signs; our own here unless it is given
        to          neighbours it is sent to at once, by key or HOST:PORT
        """
        community, declared = self._community, self._declared
        encoded = [declared.encode(payload) for payload in payloads]
        return await community.client.publish(
            community.id.hex(), encoded, kind=declared.name, request_id=request_id, as_key=as_key, to=to
        )

    async def publish_many(self, payloads: Iterable[P], *, as_key: str = "") -> int:
        """One message for each payload; how many."""
        community, declared = self._community, self._declared
        encoded = map(declared.encode, payloads)
        return await community.client.publish_many(
            community.id.hex(), encoded, kind=declared.name, as_key=as_key
        )

    def follow(self, **options: Unpack[FollowOptions]) -> TypedMessages[P]:
        """Its messages in the order of the node's log: those stored after `since`, then live ones.

        options  see FollowOptions
        """
        return self._community.follow_declared((self._declared,), options)


class BlockingChannel(Generic[P]):
    """Channel of the blocking client."""

    def __init__(self, community: BlockingCommunity, declared: Declared[P]) -> None:
        self._community = community
        self._declared = declared

    def publish(
        self,
        *payloads: P,
        request_id: bytes | None = None,
        as_key: str = "",
        to: Sequence[str | bytes] = (),
    ) -> Published:
        """One message with these payloads, usually one. Returns when it is durable."""
        community, declared = self._community, self._declared
        encoded = [declared.encode(payload) for payload in payloads]
        return community.client.publish(
            community.id.hex(), encoded, kind=declared.name, request_id=request_id, as_key=as_key, to=to
        )

    def publish_many(self, payloads: Iterable[P], *, as_key: str = "") -> int:
        """One message for each payload; how many."""
        community, declared = self._community, self._declared
        encoded = map(declared.encode, payloads)
        return community.client.publish_many(community.id.hex(), encoded, kind=declared.name, as_key=as_key)

    def follow(self, **options: Unpack[FollowOptions]) -> BlockingTypedMessages[P]:
        """Its messages in the order of the node's log: those stored after `since`, then live ones."""
        return self._community.follow_declared((self._declared,), options)


class Community(Declaring):
    """A community as an application over AsyncClient sees it; its kinds are attributes of the class.

    client  through which it is reached
    id      32 bytes
    """

    def __init__(self, client: AsyncClient, community_id: bytes) -> None:
        self.client = client
        self.id = community_id

    @classmethod
    async def create(cls, client: AsyncClient, name: str, *, as_key: str = "") -> Self:
        """A new community of this class and name, whose master this node is."""
        return cls(client, await client.run(_create(cls, name, as_key)))

    @classmethod
    async def join(
        cls,
        client: AsyncClient,
        invite: str,
        *,
        name: str = "",
        as_key: str = "",
        timeout_s: float = JOIN_LIMIT_S,
    ) -> Self:
        """Take part by an invite (`dispersy:...`) or an id in hex; joining again changes nothing.

        name      what this node calls it
        raises    UsageError: `timeout` when the definition does not come, `definition-different`
        """
        return cls(client, await client.run(_join(cls, invite, name, as_key, timeout_s)))

    @classmethod
    async def open(cls, client: AsyncClient, name: str) -> Self:
        """One that this node has joined: by name, id in hex, or the beginning of one.

        raises  UsageError: `community-unknown`, `definition-unknown`, `definition-different`
        """
        return cls(client, await client.run(_open(cls, name)))

    async def invite(self) -> str:
        """What others need to join: the id, and where this node may be reached."""
        return await self.client.run(_invite(self.id))

    @overload
    def follow(self, one: Kind[P], /, **options: Unpack[FollowOptions]) -> TypedMessages[P]: ...
    @overload
    def follow(
        self, one: Kind[P], two: Kind[Q], /, **options: Unpack[FollowOptions]
    ) -> TypedMessages[P | Q]: ...
    @overload
    def follow(
        self, one: Kind[P], two: Kind[Q], three: Kind[R], /, **options: Unpack[FollowOptions]
    ) -> TypedMessages[P | Q | R]: ...
    @overload
    def follow(self, *kinds: Kind[Any], **options: Unpack[FollowOptions]) -> TypedMessages[Any]: ...

    def follow(self, *kinds: Kind[Any], **options: Unpack[FollowOptions]) -> TypedMessages[Any]:
        """Messages of several kinds, given as Chat.text, in one stream; none: all of the class."""
        return self.follow_declared(kinds, options)

    def follow_declared(self, kinds: Sequence[Declared[Any]], options: FollowOptions) -> TypedMessages[Any]:
        """Messages of these kinds; none: all of the class."""
        wanted = {each.name: each for each in kinds or self.kinds.values()}
        since, idle_s = options.get("since", "now"), options.get("idle_s")
        events = self.client.follow([self.id.hex()], kinds=list(wanted), since=since, idle_s=idle_s)
        return TypedMessages(events, wanted, options)


class BlockingCommunity(Declaring):
    """Community over the blocking Client."""

    def __init__(self, client: Client, community_id: bytes) -> None:
        self.client = client
        self.id = community_id

    @classmethod
    def create(cls, client: Client, name: str, *, as_key: str = "") -> Self:
        """As Community.create()."""
        return cls(client, client.run(_create(cls, name, as_key)))

    @classmethod
    def join(
        cls, client: Client, invite: str, *, name: str = "", as_key: str = "", timeout_s: float = JOIN_LIMIT_S
    ) -> Self:
        """As Community.join()."""
        return cls(client, client.run(_join(cls, invite, name, as_key, timeout_s)))

    @classmethod
    def open(cls, client: Client, name: str) -> Self:
        """As Community.open()."""
        return cls(client, client.run(_open(cls, name)))

    def invite(self) -> str:
        """As Community.invite()."""
        return self.client.run(_invite(self.id))

    @overload
    def follow(self, one: Kind[P], /, **options: Unpack[FollowOptions]) -> BlockingTypedMessages[P]: ...
    @overload
    def follow(
        self, one: Kind[P], two: Kind[Q], /, **options: Unpack[FollowOptions]
    ) -> BlockingTypedMessages[P | Q]: ...
    @overload
    def follow(
        self, one: Kind[P], two: Kind[Q], three: Kind[R], /, **options: Unpack[FollowOptions]
    ) -> BlockingTypedMessages[P | Q | R]: ...
    @overload
    def follow(self, *kinds: Kind[Any], **options: Unpack[FollowOptions]) -> BlockingTypedMessages[Any]: ...

    def follow(self, *kinds: Kind[Any], **options: Unpack[FollowOptions]) -> BlockingTypedMessages[Any]:
        """As Community.follow()."""
        return self.follow_declared(kinds, options)

    def follow_declared(
        self, kinds: Sequence[Declared[Any]], options: FollowOptions
    ) -> BlockingTypedMessages[Any]:
        """Messages of these kinds; none: all of the class."""
        wanted = {each.name: each for each in kinds or self.kinds.values()}
        since, idle_s = options.get("since", "now"), options.get("idle_s")
        events = self.client.follow([self.id.hex()], kinds=list(wanted), since=since, idle_s=idle_s)
        return BlockingTypedMessages(events, wanted, options)


def _create(cls: type[Declaring], name: str, as_key: str) -> Procedure[bytes]:
    fields = operations.creation(name, cls.definition(name), None, as_key)
    reply = yield from operations.request("create", **fields)
    community_id: bytes = reply["community_id"]
    return community_id


def _join(cls: type[Declaring], text: str, name: str, as_key: str, timeout_s: float) -> Procedure[bytes]:
    invite = parse_invite(text)
    peers = [str(peer) for peer in invite.peers]
    yield from operations.join(invite.community_id, name=name, peers=peers, as_key=as_key)
    yield from operations.wait_for_definition(invite.community_id.hex(), timeout_s=timeout_s)
    return (yield from _open(cls, invite.community_id.hex()))


def _open(cls: type[Declaring], name: str) -> Procedure[bytes]:
    entry = yield from operations.community(name)
    if not entry["defined"]:
        refused = entry["definition_refused"]
        raise UsageError(
            f"the definition of {entry['name']} "
            + (f"is not taken by this node: {refused}" if refused else "has not come yet"),
            code=refused or "definition-unknown",
            hint="upgrade the node" if refused else "it comes from the first neighbour that is found",
        )
    cls.check(entry["name"], entry["definition"])
    community_id: bytes = entry["community"]
    return community_id


def _invite(community_id: bytes) -> Procedure[str]:
    status = yield from operations.request("status", brief=True)
    return str(Invite(community_id, tuple(map(parse_endpoint, status["addresses"]))))
