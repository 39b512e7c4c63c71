"""Which communities this node takes part in, and which of these it serves."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from dispersy.constants import DATAGRAM_MESSAGE_SIZE_MAX
from dispersy.errors import UsageError
from dispersy.protocol.definitions.definition import accept_definition
from dispersy.protocol.identifiers import CommunityId
from dispersy.protocol.wire.message import NO_PREVIOUS, MessageTooLong, create_message, payload_size_max
from dispersy.protocol.wire.numbers import ControlKind
from dispersy.storage.keyring import Keyring
from dispersy.storage.store import CommunityRecord, StoreWriter
from dispersy.workers.keeping.communities import Communities, Community
from dispersy.workers.keeping.purging import Purging
from dispersy.workers.membership.blocking import Blocking
from dispersy.workers.membership.naming import chosen_key, free_name, new_key

BOOTSTRAP_MAX = 32
"""Addresses kept per community to walk to first; the newest stay."""


class Membership:
    """Makes and joins communities; what is changed becomes durable with the batch."""

    def __init__(
        self,
        store: StoreWriter,
        keyring: Keyring,
        communities: Communities,
        purging: Purging,
        blocking: Blocking,
    ) -> None:
        self._store = store
        self._keyring = keyring
        self._communities = communities
        self._purging = purging
        self._blocking = blocking
        self.begun_again: set[int] = set()
        """Numbers that communities were given in this batch because they were destroyed."""

    def create(
        self, *, name: str, definition: bytes, as_key: str = "", request_id: bytes = b""
    ) -> dict[str, Any]:
        """A new community: keys for its master and for us as a member, and the definition that the master
        signs.

        as_key      a key of ours to be its member with, as chosen_key() takes it; empty: a fresh one
        request_id  what was made under it before is answered once more, as it is now; empty: it is made
        """
        for made_before in self._communities.by_number.values():
            if request_id and made_before.record.created_by == request_id:
                return {**_joined(made_before.record), "already": True, "keys_made": []}
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
            size = DATAGRAM_MESSAGE_SIZE_MAX + len(definition) - room
            raise MessageTooLong(size, DATAGRAM_MESSAGE_SIZE_MAX)
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
        community = self._join_new(
            number, master.public, name, member.public, (), is_master=True, created_by=request_id
        )
        self._communities.receive_own(community, [message])
        return {**_joined(community.record), "already": False, "keys_made": made}

    def join(
        self, *, community_id: bytes, name: str, peers: Iterable[str], as_key: str = ""
    ) -> dict[str, Any]:
        """Join by id alone; joining again adds the peers, and after leaving brings back what is held.

        raises  UsageError `purging` while what was held is still being removed
        """
        for community in self._communities.by_number.values():
            is_left_over = community.record.left and community.record.number in self._purging.numbers
            if community.record.community_id == community_id and not (
                is_left_over and self._is_joined(community_id)
            ):
                return self._join_again(community, name, peers)
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

    def _is_joined(self, community_id: bytes) -> bool:
        records = (each.record for each in self._communities.by_number.values())
        return any(each.community_id == community_id and not each.left for each in records)

    def _join_again(self, community: Community, name: str, peers: Iterable[str]) -> dict[str, Any]:
        record = community.record
        if record.number in self._purging.numbers:
            raise UsageError(
                "what this node held of this community is still being removed",
                code="purging",
                hint="join again in a moment",
            )
        bootstrap = tuple(dict.fromkeys([*record.bootstrap, *peers]))[-BOOTSTRAP_MAX:]
        changed = replace(record, bootstrap=bootstrap)
        if record.left:
            # Its name may have been given away meanwhile.
            called = free_name(name or record.name, self._communities.names())
            changed = replace(changed, left=False, loaded=True, name=called)
        self._communities.change(community, changed)
        return {**_joined(changed), "already": not record.left, "keys_made": []}

    def leave(self, number: int, *, purge: bool) -> dict[str, Any]:
        """Take part no more: what is held stays for joining again, or (purge) is removed bit by bit.

        The member key stays in the keyring. After a purge nobody signs with it any more: the sequences that
        it has used are forgotten, and to use one again would prove misbehaviour.

        returns  `messages` that were live, and `already`: nothing was left to do
        """
        community = self._communities.by_number.get(number)
        if community is None or number in self._purging.numbers:
            return {"already": True, "messages": 0}
        record = community.record
        messages = self._store.state(number).summary.count
        if record.left and not purge:
            return {"already": True, "messages": messages}
        self._communities.change(community, replace(record, left=True, loaded=False))
        if purge:
            self._purging.begin(number)
            self._blocking.forget(number)
        return {"already": False, "messages": messages}

    def begin_again(self, community: Community, destroy: bytes) -> None:
        """The master has destroyed a community for good: all that is held of it is removed bit by bit, under
        the number that it had. Under another one it holds the destroy alone, which goes on spreading, with
        the keys and the definition that it had: so whoever asks is told what has become of it."""
        record = community.record
        successor = replace(record, number=self._next_number())
        self._communities.change(community, replace(record, left=True, loaded=False))
        self._purging.begin(record.number)
        self._blocking.forget(record.number)
        begun = self._communities.load(successor)
        begun.clock = community.clock
        self._communities.change(begun, successor)
        self._communities.receive_own(begun, [destroy])
        self.begun_again.add(successor.number)

    def load(self, number: int, *, loaded: bool) -> dict[str, Any]:
        """Serve a community, or stay joined without serving it."""
        community = self._communities.joined(number)
        already = community.record.loaded == loaded
        if not already:
            self._communities.change(community, replace(community.record, loaded=loaded))
        return {"already": already}

    def set_autoload(self, number: int, mode: str) -> dict[str, Any]:
        """What becomes of a community when the node starts."""
        community = self._communities.joined(number)
        already = community.record.autoload == mode
        if not already:
            self._communities.change(community, replace(community.record, autoload=mode))
        return {"already": already}

    def wake(self, number: int) -> None:
        """Somebody speaks to a community that is loaded when that happens."""
        community = self._communities.by_number.get(number)
        if community is None or community.record.left or community.record.loaded:
            return
        if community.record.autoload == "on-packet":
            self._communities.change(community, replace(community.record, loaded=True))

    def start(self) -> None:
        """The node has started: load what is always loaded, and nothing else."""
        for community in self._communities.by_number.values():
            loaded = community.record.autoload == "always" and not community.record.left
            if community.record.loaded != loaded:
                self._communities.change(community, replace(community.record, loaded=loaded))

    def mark_restored(self) -> None:
        """The home was restored or copied: neighbours are to be asked everywhere, wherever it is served."""
        for community in self._communities.by_number.values():
            if not community.record.restored:
                self._communities.change(community, replace(community.record, restored=True))

    def to_ask(self, number: int) -> CommunityRecord | None:
        """The community, if neighbours are to be asked in it and can be, for it is served."""
        community = self._communities.served(number)
        return community.record if community is not None and community.record.restored else None

    def all_to_ask(self) -> list[CommunityRecord]:
        """As to_ask() has them."""
        return [record for number in self._communities.by_number if (record := self.to_ask(number))]

    def end_asking(self, number: int) -> None:
        """Neighbours were asked for long enough; where it is served no more, perhaps they were not."""
        record = self.to_ask(number)
        if record is not None:
            self._communities.change(self._communities.by_number[number], replace(record, restored=False))

    def _join_new(
        self,
        number: int,
        community_id: bytes,
        name: str,
        member_id: bytes,
        bootstrap: tuple[str, ...],
        *,
        is_master: bool,
        created_by: bytes = b"",
    ) -> Community:
        record = CommunityRecord(
            number=number,
            community_id=community_id,
            name=name,
            member_id=member_id,
            bootstrap=bootstrap,
            is_master=is_master,
            created_by=created_by,
        )
        community = self._communities.load(record)
        self._communities.change(community, record)
        return community

    def _next_number(self) -> int:
        return max(self._store.highest_number(), *self._communities.by_number, 0) + 1


def _joined(record: CommunityRecord) -> dict[str, Any]:
    return {"number": record.number, "community_id": record.community_id, "member_id": record.member_id}
