"""What a client does to govern a community, as procedures (dispersy.operations says what these are)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from dispersy.errors import UsageError
from dispersy.operations import Procedure, new_request_id, request

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Governed:
    """What the node answered: signed, stored, and on its way.

    ids        of the control messages; empty where there was nothing left to do
    repeated   whether this request id had been answered before
    already    whether all was as wanted before
    """

    ids: tuple[bytes, ...]
    repeated: bool
    already: bool


@dataclass(frozen=True, slots=True)
class Rows:
    """Rows of `members` or `permissions`, as docs/interface.md has them, and what holds for all.

    about    the other fields of the reply
    """

    rows: tuple[dict[str, Any], ...]
    about: dict[str, Any]


def govern(
    op: str, community: str, request_id: bytes | None, as_key: str, **said: Any
) -> Procedure[Governed]:
    """One request that signs; fields that are None stay out."""
    fields = {name: value for name, value in said.items() if value is not None}
    reply = yield from request(
        op, community=community, request_id=request_id or new_request_id(), **{"as": as_key}, **fields
    )
    return Governed(tuple(reply["ids"]), reply["repeated"], reply["already"])


def powers(
    op: str,
    community: str,
    members: Sequence[str | bytes],
    kinds: Sequence[str],
    permissions: Sequence[str],
    request_id: bytes | None,
    as_key: str,
    **said: Any,
) -> Procedure[Governed]:
    """authorize or revoke."""
    for name, given in (("members", members), ("kinds", kinds), ("permissions", permissions)):
        if isinstance(given, (str, bytes)):
            raise UsageError(f"{name} is a list, as [{given!r}], not {given!r}")
    named = {"members": [member_text(each) for each in members]}
    return govern(
        op, community, request_id, as_key, **named, kinds=list(kinds), permissions=list(permissions), **said
    )


def member_text(member: str | bytes) -> str:
    """A member as the node takes it."""
    return member.hex() if isinstance(member, bytes) else member


def all_rows(op: str, community: str, **wanted: Any) -> Procedure[Rows]:
    """All pages of members or permissions."""
    fields = {name: value for name, value in wanted.items() if value is not None}
    rows: list[dict[str, Any]] = []
    following: bytes | None = None
    while True:
        reply = yield from request(op, community=community, **fields, next=following)
        rows += reply[op]
        following = reply["next"]
        if following is None:
            about = {key: value for key, value in reply.items() if key not in ("v", "id", "ok", "next", op)}
            return Rows(tuple(rows), about)


class Governs:
    """The methods of a blocking client that govern a community."""

    def run(self, procedure: Procedure[T]) -> T:
        """Run a procedure; the client knows how."""
        raise NotImplementedError

    def authorize(
        self,
        community: str,
        members: Sequence[str | bytes],
        *,
        kinds: Sequence[str],
        permissions: Sequence[str] = ("permit",),
        request_id: bytes | None = None,
        as_key: str = "",
    ) -> Governed:
        """Let members do something with kinds. Returns when it is signed and durable.

        members      32 bytes, 64 hex digits, the name of a key of the node, or the first digits of a member
        permissions  permit, authorize, revoke, undo, settings; who gives one needs it, and authorize
        request_id   as in publish()
        as_key       a key of the node's keyring that signs; the founder's where the node has it, else our own
        """
        return self.run(powers("authorize", community, members, kinds, permissions, request_id, as_key))

    def revoke(
        self,
        community: str,
        members: Sequence[str | bytes],
        *,
        kinds: Sequence[str],
        permissions: Sequence[str] = ("permit",),
        force: bool = False,
        request_id: bytes | None = None,
        as_key: str = "",
    ) -> Governed:
        """Take from members what they were authorized to; arguments as in authorize().

        What the node holds of them goes on counting, and nothing else that they have signed: so it is
        refused with `not-in-sync` unless neighbours hold the same, or force is given.
        """
        return self.run(
            powers("revoke", community, members, kinds, permissions, request_id, as_key, force=force)
        )

    def undo(
        self,
        community: str,
        message_id: bytes,
        *,
        index: int | None = None,
        request_id: bytes | None = None,
        as_key: str = "",
    ) -> Governed:
        """Take back a message, or one of its payloads.

        Its author's own undo of a whole message erases the payloads everywhere, for good; another's hides
        them.
        """
        said = {"message_id": message_id, "index": index}
        return self.run(govern("undo", community, request_id, as_key, **said))

    def policy(
        self,
        community: str,
        kind: str,
        resolution: str,
        *,
        force: bool = False,
        request_id: bytes | None = None,
        as_key: str = "",
    ) -> Governed:
        """From now on a kind of dynamic resolution is "public", or "linear": for those who are permitted.

        What was public and the node holds goes on counting; so linear is refused as revoke() is.
        """
        said = {"kind": kind, "resolution": resolution, "force": force}
        return self.run(govern("policy", community, request_id, as_key, **said))

    def destroy(
        self,
        community: str,
        *,
        hard: bool,
        yes: bool,
        request_id: bytes | None = None,
        as_key: str = "",
    ) -> Governed:
        """End a community for everybody, for good: only its founder can.

        hard   every node removes all of it; else all stays, and nothing later counts
        yes    True, so that nobody does it by mistake
        """
        said = {"hard": hard, "yes": yes}
        return self.run(govern("destroy", community, request_id, as_key, **said))

    def define(
        self, community: str, definition: bytes, *, request_id: bytes | None = None, as_key: str = ""
    ) -> Governed:
        """Publish a newer definition, given by its canonical bytes: only the founder can."""
        return self.run(govern("define", community, request_id, as_key, definition=definition))

    def members(self, community: str) -> list[dict[str, Any]]:
        """Who holds, or held, a permission, or has published; see docs/interface.md."""
        return list(self.run(all_rows("members", community)).rows)

    def permissions(
        self, community: str, *, member: str | bytes = "", kind: str = "", at: int | None = None
    ) -> Rows:
        """Who may do what, by which proof: of one member, of one kind, at a global time."""
        wanted = {"member": member_text(member), "kind": kind, "at": at}
        return self.run(all_rows("permissions", community, **wanted))


class AsyncGoverns:
    """The same, to be awaited."""

    async def run(self, procedure: Procedure[T]) -> T:
        """Run a procedure; the client knows how."""
        raise NotImplementedError

    async def authorize(
        self,
        community: str,
        members: Sequence[str | bytes],
        *,
        kinds: Sequence[str],
        permissions: Sequence[str] = ("permit",),
        request_id: bytes | None = None,
        as_key: str = "",
    ) -> Governed:
        """Let members do something with kinds. Returns when it is signed and durable.

        members      32 bytes, 64 hex digits, the name of a key of the node, or the first digits of a member
        permissions  permit, authorize, revoke, undo, settings; who gives one needs it, and authorize
        request_id   as in publish()
        as_key       a key of the node's keyring that signs; the founder's where the node has it, else our own
        """
        return await self.run(powers("authorize", community, members, kinds, permissions, request_id, as_key))

    async def revoke(
        self,
        community: str,
        members: Sequence[str | bytes],
        *,
        kinds: Sequence[str],
        permissions: Sequence[str] = ("permit",),
        force: bool = False,
        request_id: bytes | None = None,
        as_key: str = "",
    ) -> Governed:
        """Take from members what they were authorized to; arguments as in authorize().

        What the node holds of them goes on counting, and nothing else that they have signed: so it is
        refused with `not-in-sync` unless neighbours hold the same, or force is given.
        """
        return await self.run(
            powers("revoke", community, members, kinds, permissions, request_id, as_key, force=force)
        )

    async def undo(
        self,
        community: str,
        message_id: bytes,
        *,
        index: int | None = None,
        request_id: bytes | None = None,
        as_key: str = "",
    ) -> Governed:
        """Take back a message, or one of its payloads.

        Its author's own undo of a whole message erases the payloads everywhere, for good; another's hides
        them.
        """
        said = {"message_id": message_id, "index": index}
        return await self.run(govern("undo", community, request_id, as_key, **said))

    async def policy(
        self,
        community: str,
        kind: str,
        resolution: str,
        *,
        force: bool = False,
        request_id: bytes | None = None,
        as_key: str = "",
    ) -> Governed:
        """From now on a kind of dynamic resolution is "public", or "linear": for those who are permitted.

        What was public and the node holds goes on counting; so linear is refused as revoke() is.
        """
        said = {"kind": kind, "resolution": resolution, "force": force}
        return await self.run(govern("policy", community, request_id, as_key, **said))

    async def destroy(
        self,
        community: str,
        *,
        hard: bool,
        yes: bool,
        request_id: bytes | None = None,
        as_key: str = "",
    ) -> Governed:
        """End a community for everybody, for good: only its founder can.

        hard   every node removes all of it; else all stays, and nothing later counts
        yes    True, so that nobody does it by mistake
        """
        said = {"hard": hard, "yes": yes}
        return await self.run(govern("destroy", community, request_id, as_key, **said))

    async def define(
        self, community: str, definition: bytes, *, request_id: bytes | None = None, as_key: str = ""
    ) -> Governed:
        """Publish a newer definition, given by its canonical bytes: only the founder can."""
        return await self.run(govern("define", community, request_id, as_key, definition=definition))

    async def members(self, community: str) -> list[dict[str, Any]]:
        """Who holds, or held, a permission, or has published; see docs/interface.md."""
        return list((await self.run(all_rows("members", community))).rows)

    async def permissions(
        self, community: str, *, member: str | bytes = "", kind: str = "", at: int | None = None
    ) -> Rows:
        """Who may do what, by which proof: of one member, of one kind, at a global time."""
        wanted = {"member": member_text(member), "kind": kind, "at": at}
        return await self.run(all_rows("permissions", community, **wanted))
