"""The communities that the network role serves, as the store says: each with its neighbourhood, or asleep."""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from time import monotonic

from dispersy.bus.settings import RoleSettings
from dispersy.errors import StorageError, UsageError
from dispersy.protocol.address import Address, parse_address
from dispersy.protocol.walk.metered import METERED_STEP_S
from dispersy.protocol.walk.shared_pace import SharedPace
from dispersy.protocol.wire.summary import Summary
from dispersy.storage.blocklist import Blocklist
from dispersy.storage.keyring import Keyring
from dispersy.storage.store import BlockedRecord, CommunityRecord, StoreReader
from dispersy.workers.networking.neighbourhood import Neighbourhood
from dispersy.workers.networking.remembering import Remembering
from dispersy.workers.networking.sleeping import Sleeping
from dispersy.workers.opening import joined
from dispersy.workers.report import Reporter


class Neighbourhoods:
    """One a node, in the network role.

    served        in the order of their tags
    tags          8 bytes each: of those that are served, then of those that are loaded when spoken to
    without_key   number of a community -> why its key is not to be had: it is not served
    blocklist     whom this node does not listen to
    touch         as Neighbourhood takes it
    """

    def __init__(
        self,
        reader: StoreReader,
        keyring: Keyring,
        settings: RoleSettings,
        reporter: Reporter,
        *,
        secret: bytes,
        epoch: Callable[[float], int],
        rng: Random,
        own_address: Address,
        pace: SharedPace,
        touch: Callable[[int], None],
    ) -> None:
        self.served: list[Neighbourhood] = []
        self.by_number: dict[int, Neighbourhood] = {}
        self.sleeping = Sleeping(secret)
        self.blocklist = Blocklist()
        self._blocked: list[BlockedRecord] = []
        self.tags = b""
        self.without_key: dict[int, str] = {}
        self._reader = reader
        self._keyring = keyring
        self._settings = settings
        self._reporter = reporter
        self._secret = secret
        self._epoch = epoch
        self._rng = rng
        self._own_address = own_address
        self._pace = pace
        self._metered_pace = SharedPace(phase_s=rng.random() * METERED_STEP_S, is_metered=True)
        self._touch = touch
        self._peers = [parse_address(peer) for peer in settings.peers]
        self._remembering = Remembering(settings.home_path, counters=reporter.counters, now=monotonic())
        self._unreadable: set[str] = set()
        self._records: dict[int, CommunityRecord] = {}
        """Of those that are served, as they were last looked at: of all only what changed is news."""

    def load(self, now: float) -> set[int]:
        """Serve what is to be served, as it is stored now; the numbers of those that are served no more."""
        self._reader.refresh()
        try:
            blocked = self._reader.blocked()
            is_blocklist_new = blocked != self._blocked
            if is_blocklist_new:
                self._blocked, self.blocklist = blocked, Blocklist(blocked)
            records = joined(self._reader, self._settings.start_id)
            # Though the writer may not have begun this start: what was left is left.
            self._remembering.keep(
                {record.community_id for record in self._reader.communities() if not record.left}
            )
            gone = self._drop_unserved({record.number for record in records if record.served}, now)
            for record in records:
                if not record.served:
                    continue
                neighbourhood = self.by_number.get(record.number)
                if neighbourhood is None:
                    self._add(record, now)
                elif record != self._records.get(record.number):
                    self._records[record.number] = record
                    neighbourhood.add_peers(self._bootstrap(record), now)
                    if record.definition and not neighbourhood.defined:
                        neighbourhood.define(self._sent_summary(record.number), now)
        finally:
            self._reader.release()
        if is_blocklist_new:
            for neighbourhood in self.served:
                neighbourhood.block(self.blocklist)
                self._touch(neighbourhood.number)
        self.sleeping.set_communities(
            record for record in records if not record.loaded and record.autoload == "on-packet"
        )
        self.tags = b"".join(each.tag for each in self.served) + self.sleeping.tags
        return gone

    def move(self, own_address: Address, now: float) -> None:
        """This node has another address: what routers let through to the former one comes here no more."""
        self._own_address = own_address
        for neighbourhood in self.served:
            neighbourhood.move(own_address, now)

    def remember(self, now: float, *, ends: bool = False) -> None:
        """Now and then, and when this node ends: keep where neighbours answer for its next start."""
        if ends or self._remembering.is_due(now):
            self._remembering.note(self.served, now)
            self._remembering.save(now)

    def _drop_unserved(self, served: set[int], now: float) -> set[int]:
        """What is left or unloaded costs nothing: no timer, no neighbour, no key."""
        gone = self.by_number.keys() - served
        self._remembering.note([self.by_number[number] for number in gone], now)
        self.served = [each for each in self.served if each.number in served]
        self.by_number = {each.number: each for each in self.served}
        self._records = {number: record for number, record in self._records.items() if number in served}
        self.without_key = {number: why for number, why in self.without_key.items() if number in served}
        return gone

    def _sent_summary(self, number: int) -> Summary:
        state = self._reader.state(number)
        return state.summary.at_clock(state.clock)

    def _add(self, record: CommunityRecord, now: float) -> None:
        try:
            key = self._keyring.by_public(record.member_id)
        except (StorageError, UsageError) as error:
            # One community whose key is gone must not stop the others.
            self.without_key[record.number] = str(error)
            return
        self.without_key.pop(record.number, None)
        chosen = self._settings.community(record.community_id, record.name)
        neighbourhood = Neighbourhood(
            record,
            secret=key.secret,
            token_secret=self._secret,
            epoch=self._epoch,
            rng=self._rng,
            peers=[*self._peers, *self._bootstrap(record)],
            own_address=self._own_address,
            workers=self._settings.workers,
            settings=chosen,
            counters=self._reporter.counters,
            pace=self._metered_pace if chosen.metered else self._pace,
            remembered=self._remembering.of(record.community_id, now),
            touch=self._touch,
            now=now,
        )
        if record.definition:
            neighbourhood.define(self._sent_summary(record.number), now)
        neighbourhood.block(self.blocklist)
        self._touch(record.number)
        self.served.append(neighbourhood)
        self.by_number[record.number] = neighbourhood
        self._records[record.number] = record

    def _bootstrap(self, record: CommunityRecord) -> list[Address]:
        """Where to walk to first; an entry that this version cannot read must not stop the node."""
        addresses = []
        for text in record.bootstrap:
            try:
                addresses.append(parse_address(text))
            except UsageError:
                if text not in self._unreadable:
                    self._unreadable.add(text)
                    self._reporter.counters["bootstrap-unreadable"] += 1
        return addresses
