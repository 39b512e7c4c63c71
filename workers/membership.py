"""Which communities this node takes part in: making one, joining one."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from dispersy.constants import MESSAGE_SIZE_MAX
from dispersy.errors import UsageError
from dispersy.protocol.definition import accept_definition
from dispersy.protocol.identifiers import CommunityId
from dispersy.protocol.message import NO_PREVIOUS, MessageTooLong, create_message, payload_size_max
from dispersy.protocol.numbers import ControlKind
from dispersy.storage.keyring import Keyring
from dispersy.storage.store import CommunityRecord
from dispersy.workers.communities import Communities, Community
from dispersy.workers.naming import chosen_key, free_name, new_key

BOOTSTRAP_MAX = 32
"""Addresses kept per community to walk to first; the newest stay."""


class Membership:
    """Makes and joins communities; what is changed becomes durable with the batch."""

    def __init__(self, keyring: Keyring, communities: Communities) -> None:
        self._keyring = keyring
        self._communities = communities

    def create(self, *, name: str, definition: bytes, as_key: str = "") -> dict[str, Any]:
        """A new community: keys for its master and for us as a member, and the definition that the master
        signs.

        as_key    a key of ours to be its member with, as chosen_key() takes it; empty: a fresh one
        """
        accept_definition(definition)
        # Before anything is made: a key that is not there must leave nothing behind.
        member = chosen_key(self._keyring, as_key) if as_key else None
        if name in self._communities.names():
            raise UsageError(
                f"this node has a community called {name} already",
                code="name-taken",
                hint="choose another name: names stand for ids on this node",
            )
        # Looked at first: a definition that is too long must leave nothing behind.
        room = payload_size_max(ControlKind.DEFINITION, global_time=1, sequence=1)
        if len(definition) > room:
            raise MessageTooLong(MESSAGE_SIZE_MAX + len(definition) - room)
        number = self._next_number()
        master = new_key(self._keyring, f"{name}-{number}-master")
        message = create_message(
            CommunityId(master.public),
            master.secret,
            kind=ControlKind.DEFINITION,
            global_time=1,
            sequence=1,
            payloads=[definition],
            previous=NO_PREVIOUS,
        )
        made = [master.name]
        if member is None:
            member = new_key(self._keyring, f"{name}-{number}-member")
            made.append(member.name)
        community = self._join_new(number, master.public, name, member.public, (), is_master=True)
        self._communities.receive_own(community, [message])
        return {**_joined(community.record), "already": False, "keys_made": made}

    def join(
        self, *, community_id: bytes, name: str, peers: Iterable[str], as_key: str = ""
    ) -> dict[str, Any]:
        """Join by id alone; joining again adds the peers."""
        for community in self._communities.by_number.values():
            if community.record.community_id == community_id:
                bootstrap = tuple(dict.fromkeys([*community.record.bootstrap, *peers]))[-BOOTSTRAP_MAX:]
                self._communities.change(community, replace(community.record, bootstrap=bootstrap))
                return {**_joined(community.record), "already": True, "keys_made": []}
        number = self._next_number()
        name = free_name(name, self._communities.names()) if name else community_id.hex()[:8]
        # A fresh key for each community: nothing on the wire but its address links a person's communities.
        made: list[str] = []
        if as_key:
            member = chosen_key(self._keyring, as_key)
        else:
            member = new_key(self._keyring, f"{name}-{number}-member")
            made = [member.name]
        bootstrap = tuple(peers)[-BOOTSTRAP_MAX:]
        community = self._join_new(number, community_id, name, member.public, bootstrap, is_master=False)
        return {**_joined(community.record), "already": False, "keys_made": made}

    def _join_new(
        self,
        number: int,
        community_id: bytes,
        name: str,
        member_id: bytes,
        bootstrap: tuple[str, ...],
        *,
        is_master: bool,
    ) -> Community:
        record = CommunityRecord(
            number=number,
            community_id=community_id,
            name=name,
            member_id=member_id,
            bootstrap=bootstrap,
            is_master=is_master,
        )
        community = self._communities.load(record)
        self._communities.change(community, record)
        return community

    def _next_number(self) -> int:
        return max(self._communities.by_number, default=0) + 1


def _joined(record: CommunityRecord) -> dict[str, Any]:
    return {"number": record.number, "community_id": record.community_id, "member_id": record.member_id}
