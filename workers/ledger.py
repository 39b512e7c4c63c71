"""What the writer decides and commits, without its sockets: communities, intake, publishing, one batch at a
time.

Everything that is received or ordered goes into the batch being gathered; commit() makes it one transaction
and says what may leave. A commit that fails takes nothing: memory is read again from the store, numbers are
used again.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from dispersy.bus.frames import CommitNote
from dispersy.errors import StorageError, UsageError
from dispersy.protocol.intake.intake_round import Round
from dispersy.protocol.wants import Wants
from dispersy.protocol.wire.summary import Summary
from dispersy.storage.keyring import Keyring
from dispersy.storage.store import Batch, EntryType, EventEntry, MessageBlock, StoreWriter
from dispersy.workers.authoring.cosigning import Cosigning
from dispersy.workers.authoring.fetching import Fetching
from dispersy.workers.authoring.orders import ControlOrder, Outcome, Ticket
from dispersy.workers.authoring.publishing import Publishing, cursors_of
from dispersy.workers.authoring.signatures import Signatures
from dispersy.workers.governing.explaining import explain
from dispersy.workers.governing.governing import Governing
from dispersy.workers.governing.permissions import members_page, powers_page
from dispersy.workers.keeping.communities import Communities, Community
from dispersy.workers.keeping.following import follow
from dispersy.workers.keeping.freshness import fresh_messages
from dispersy.workers.keeping.own_unknown import OwnUnknown
from dispersy.workers.keeping.passing import NOWHERE, Destination, Leaving, Passing
from dispersy.workers.keeping.pruning import PruningSteps
from dispersy.workers.keeping.purging import Purging
from dispersy.workers.membership.blocking import Blocking
from dispersy.workers.membership.membership import Membership
from dispersy.workers.membership.naming import free_name


@dataclass(frozen=True, slots=True)
class _GovernOrder:
    """The arguments of Ledger.govern()."""

    ticket: Ticket
    number: int
    control: ControlOrder
    request_id: bytes
    as_key: str
    now_ms: int


class Ledger:
    """One a node. `version` changes with every change to the communities, and is another one after a restart.

    counters    outcomes by name; time is unix milliseconds, for arrivals and request ids only
    """

    def __init__(self, store: StoreWriter, keyring: Keyring, *, now_ms: int) -> None:
        self.counters: Counter[str] = Counter()
        self._own_unknown = OwnUnknown()
        self._wanted: dict[int, Wants] = {}
        """As the last notes said."""
        self.version = self._incarnation = now_ms
        self._store = store
        self._communities = Communities(store, self.counters)
        self._communities.read_store()
        self.ways = self._communities.ways
        self._purging = Purging(store, self._communities)
        self._pruning = PruningSteps(store, self._communities)
        self.blocking = Blocking(store, self._communities)
        self.membership = Membership(store, keyring, self._communities, self._purging, self.blocking)
        self.fetching = Fetching(store, self._communities)
        self._passing = Passing(self.counters)
        self._publishing = Publishing(store, keyring, self._communities, self._passing)
        self._governing = Governing(store, keyring, self._communities, self._publishing)
        self._put_off: list[_GovernOrder] = []
        """Those that come when the batch is durable: what they pin is what the store holds by then."""
        cosigning = Cosigning(store, keyring, self._communities, self.counters)
        self.signatures = Signatures(self._publishing.drafting, cosigning)
        self._outcomes: list[Outcome] = []
        """Of orders that are answered with this batch; its publish requests wait elsewhere."""
        self._start_id: str | None = None

    @property
    def is_purging(self) -> bool:
        """Whether commit() has more to remove, even when nothing comes in."""
        return bool(self._purging.numbers)

    @property
    def has_more(self) -> bool:
        """Whether commit() has something to do even when nothing comes in: to remove, or what was put off."""
        is_removing = self.is_purging or self._pruning.is_under_way
        return bool(is_removing or self._outcomes or self._communities.touched)

    def start(self, start_id: str) -> None:
        """Load what is loaded when the node starts, once a start: a writer that is started again changes
        nothing. Call until a commit() has taken it."""
        if self._store.start_id() != start_id:
            self._start_id = start_id
            self.membership.start()

    # -- what comes in ---------------------------------------------------------------------------------------

    def receive(self, number: int, announced: int, records: bytes, arena: bytes) -> None:
        """Verified messages of a community that is served; `announced` counts those dropped before, too."""
        community = self._communities.served(number)
        if community is None:
            return
        community.processed += announced
        self._communities.touched.add(number)
        records = self._passing.sift(community, records, arena)
        if records:
            community.intake.receive(records, arena)
            self._own_unknown.hear(community, records, arena)

    def handle_timer(self, now: float) -> None:
        """End what has waited long enough, for proofs, signatures and neighbours; `now` in monotonic
        seconds."""
        self.signatures.handle_timer(now)
        self.fetching.handle_timer(now)
        for number, community in self._communities.by_number.items():
            waiting = len(community.intake.waiting)
            # In what was left nothing is taken late: a purge has passed its place in the log.
            if waiting and community.record.served:
                community.intake.handle_timer(now)
            if len(community.intake.waiting) != waiting:
                self._communities.touched.add(number)

    def batch_windows(self, number: int) -> Mapping[int, int]:
        """How many milliseconds a community's messages wait before they are received, by kind."""
        community = self._communities.served(number)
        return {} if community is None else community.intake.definitions.batch_windows()

    def hear_clock(self, number: int, global_time: int, *, is_median: bool, is_newcomer: bool) -> None:
        """As PruningSteps.follow()."""
        community = self._communities.by_number.get(number)
        if community is not None and self._pruning.follow(
            community, global_time, is_median=is_median, is_newcomer=is_newcomer
        ):
            self._communities.touched.add(number)

    # -- orders ----------------------------------------------------------------------------------------------

    def publish(
        self,
        ticket: Ticket,
        *,
        number: int,
        kind: int,
        groups: Sequence[Sequence[bytes]],
        request_id: bytes,
        as_key: str = "",
        destination: Destination = NOWHERE,
        now_ms: int,
    ) -> None:
        """As Publishing.publish."""
        outcome = self._publishing.publish(
            ticket,
            number=number,
            kind=kind,
            groups=groups,
            request_id=request_id,
            as_key=as_key,
            destination=destination,
            now_ms=now_ms,
        )
        if outcome is not None:
            self._outcomes.append(outcome)

    def govern(
        self,
        ticket: Ticket,
        *,
        number: int,
        control: ControlOrder,
        request_id: bytes,
        as_key: str = "",
        now_ms: int,
    ) -> None:
        """As Governing.govern(), with the batch after this one if this one brings the community something:
        only what is durable, and decided, can be pinned or taken back."""
        order = _GovernOrder(ticket, number, control, request_id, as_key, now_ms)
        if number in self._communities.touched:
            self._put_off.append(order)
        else:
            self._govern(order)

    def _govern(self, order: _GovernOrder) -> None:
        outcome = self._governing.govern(
            order.ticket,
            number=order.number,
            control=order.control,
            request_id=order.request_id,
            as_key=order.as_key,
            now_ms=order.now_ms,
        )
        if outcome is not None:
            self._outcomes.append(outcome)

    def create(
        self, ticket: Ticket, *, name: str, definition: bytes, as_key: str = "", request_id: bytes = b""
    ) -> None:
        """As Membership.create."""
        created = self.membership.create(
            name=name, definition=definition, as_key=as_key, request_id=request_id
        )
        self.answer(ticket, created)

    def join(
        self, ticket: Ticket, *, community_id: bytes, name: str, peers: Iterable[str], as_key: str = ""
    ) -> None:
        """As Membership.join."""
        joined = self.membership.join(community_id=community_id, name=name, peers=peers, as_key=as_key)
        self.answer(ticket, joined)

    def answer(self, ticket: Ticket, outcome: dict[str, Any]) -> None:
        """What an order has changed is told once it is durable."""
        self._outcomes.append((ticket, outcome))

    def own_messages_unknown(self) -> list[tuple[int, bytes, int]]:
        """(community number, its id, messages) where neighbours knew more of ours than this node."""
        return self._own_unknown.found(self._communities.by_number)

    def drain_own_unknown(self) -> set[int]:
        """The communities in which such messages have come since this was asked."""
        return self._own_unknown.drain()

    def fate(self, number: int, message_id: bytes) -> tuple[bool, str]:
        """Of a message that is not held: whether it waits here, and why it was refused lately."""
        community = self._communities.by_number.get(number)
        if community is None:
            return False, ""
        intake = community.intake
        unknown = "" if intake.definitions.current else "definition-unknown"
        return message_id in intake.waiting, intake.refusals.reason(message_id) or unknown

    def proof(self, number: int, message_id: bytes) -> list[bytes]:
        """Ids of the control messages that permit a message, those of the master first; none where nothing
        does."""
        community = self._communities.by_number.get(number)
        return [] if community is None else community.intake.proof(message_id)

    # -- what is told ----------------------------------------------------------------------------------------

    def explain(self, number: int, message_id: bytes) -> dict[str, Any]:
        """As explaining.explain()."""
        community = self._communities.joined(number)
        return {**explain(self._store, community, message_id), "came_by": self.ways.name(message_id)}

    def members(self, number: int, *, limit: int, after: bytes) -> dict[str, Any]:
        """As members_page()."""
        return members_page(self._store, self._communities.joined(number), limit=limit, after=after)

    def permissions(self, number: int, *, member: str, **wanted: Any) -> dict[str, Any]:
        """As powers_page(); member: as a person names one, empty: all."""
        community = self._communities.joined(number)
        resolved = self._governing.member(community, member) if member else None
        return powers_page(community, member=resolved, **wanted)

    # -- commit ----------------------------------------------------------------------------------------------

    def commit(self, *, now_ms: int) -> tuple[CommitNote | None, list[Outcome]]:
        """Make the batch durable: what everyone may know now (None: nothing new), and the outcome of every
        order.

        A disk that refuses is an outcome of the orders, not an exception: the service goes on and can be
        asked.
        """
        self._outcomes += [*self.signatures.drain_outcomes(), *self.fetching.drain_outcomes()]
        communities = self._communities
        due = communities.touched or communities.changed or self._outcomes or self._start_id is not None
        if not due and not self._purging.numbers and not self._pruning.is_under_way:
            return None, []
        try:
            note, outcomes = self._commit(now_ms)
        except StorageError as error:
            tickets = [*(ticket for ticket, _ in self._outcomes), *self._publishing.tickets()]
            tickets += [order.ticket for order in self._put_off]
            self._begin_again()
            return None, [(ticket, error) for ticket in tickets]
        self._govern_put_off()
        return note, outcomes

    def _govern_put_off(self) -> None:
        """Carry out what has waited for the batch before; of several in one community the first."""
        waiting, self._put_off = self._put_off, []
        for order in waiting:
            if order.number in self._communities.touched:
                self._put_off.append(order)
                continue
            try:
                self._govern(order)
            except (StorageError, UsageError) as error:
                self._outcomes.append((order.ticket, error))

    def _begin_again(self) -> None:
        """Read the store after a commit that failed."""
        self.counters["commit-failed"] += 1
        processed = {number: each.processed for number, each in self._communities.by_number.items()}
        self._store.reload()
        self._communities.read_store()
        self.ways = self._communities.ways
        self._publishing.read_store()
        self._passing.forget_batch()
        self._purging.read_store()
        self._pruning.read_store()
        self.blocking.read_store()
        self.signatures.read_store()
        self.membership.begun_again.clear()
        self._outcomes.clear()
        self._put_off.clear()
        self._start_id = None
        for number, community in self._communities.by_number.items():
            community.processed = processed.get(number, 0)

    def _commit(self, now_ms: int) -> tuple[CommitNote, list[Outcome]]:
        batch = Batch()
        communities = self._communities
        self._pruning.add_to(batch)
        for number in sorted(communities.touched):
            self._add_round(batch, communities.by_number[number], now_ms)
        for number in sorted(communities.touched & self.membership.begun_again):
            self._add_round(batch, communities.by_number[number], now_ms)
        batch.communities = list(communities.changed.values())
        batch.start_id = self._start_id
        self._purging.add_to(batch)
        self.blocking.add_to(batch)
        self.signatures.add_to(batch)
        # Orders are forgotten only once they are durable: a failure is their outcome, too.
        outcomes = list(self._outcomes)
        answered = self._publishing.place(batch, outcomes)
        # Duplicates, which anybody may send without end, cost no write.
        if batch != Batch():
            expected = self._store.last_cursor() + 1
            first, _ = self._store.commit(batch)
            assert not batch.blocks or first == expected
        outcomes += self._publishing.committed(batch, answered)
        if self._purging.committed() or communities.changed or self.blocking.is_changed or batch.start_id:
            self.version += 1
        self.fetching.committed(sorted(communities.touched))
        outcomes += self.fetching.drain_outcomes()
        note = self.note(sorted(communities.touched & communities.by_number.keys()))
        self._passing.committed()
        self.signatures.committed()
        self._pruning.committed(sorted(communities.touched))
        communities.clear_batch()
        self.membership.begun_again.clear()
        self.blocking.clear_batch()
        self._start_id = None
        self._publishing.clear_batch()
        self._outcomes.clear()
        return note, outcomes

    def drain_leaving(self) -> Leaving:
        """What the last commits let leave besides their notes; call after commit()."""
        leaving = self._passing.drain()
        leaving.signatures = self.signatures.drain_frames()
        leaving.questions = self.signatures.drain_questions()
        return leaving

    def note(self, numbers: Iterable[int] | None = None) -> CommitNote:
        """The state of these communities (None: all that are served) as everyone may know it after the last
        commit."""
        chosen = [number for number, each in self._communities.by_number.items() if each.record.served]
        is_of_all = numbers is None
        chosen = chosen if numbers is None else list(numbers)
        wanted = {number: self._wants(number) for number in chosen}
        wanted = {
            number: wants for number, wants in wanted.items() if is_of_all or self._is_news(number, wants)
        }
        self._wanted = wanted if is_of_all else {**self._wanted, **wanted}
        return CommitNote(
            last_cursor=self._store.last_cursor(),
            communities_version=self.version,
            processed={number: self._communities.by_number[number].processed for number in chosen},
            summaries={number: self._sent_summary(number).encode() for number in chosen},
            incarnation=self._incarnation,
            wanted=wanted,
        )

    def _wants(self, number: int) -> Wants:
        wants = self._communities.by_number[number].intake.wanted()
        return replace(wants, fetches=self.fetching.wanted(number))

    def _is_news(self, number: int, wants: Wants) -> bool:
        return self._wanted.get(number, Wants()) != wants

    def _sent_summary(self, number: int) -> Summary:
        state = self._store.state(number)
        return state.summary.at_clock(state.clock)

    def _add_round(self, batch: Batch, community: Community, now_ms: int) -> None:
        """One community's round of the intake as its part of the batch."""
        number = community.record.number
        decided = community.intake.finish()
        self._passing.judge(community, now_ms=now_ms)
        self.counters.update(community.intake.counters)
        community.intake.counters.clear()
        published = self._publishing.ids()
        self._own_unknown.count(community, decided, published)
        if decided.destroyed is not None and self._store.state(number).summary.count:
            # What is held goes, whatever this round brought; the destroy alone is held anew, and spreads.
            self.membership.begin_again(community, decided.destroyed)
            return
        first = self._store.last_cursor() + 1
        batch.blocks.extend(
            MessageBlock(community=number, records=records, arena=arena, marks=marks, arrival_ms=now_ms)
            for records, arena, marks in decided.blocks
            if records
        )
        self._passing.spread(number, fresh_messages(decided.blocks, published))
        batch.moved += decided.moved
        for change in decided.changes:
            if change.after is None:
                (batch.inactive if change.is_inactive else batch.unlive).append(change.cursor)
            elif change.before is None:
                batch.relive.append((change.cursor, change.after))
            else:
                batch.marks.append((change.cursor, change.after))
        if decided.events or decided.erased or decided.undone:
            self._add_told(batch, number, decided, cursors_of(batch.blocks, first))
        definition, raw = decided.definition or (None, b"")
        if definition is not None:
            name = community.record.name
            if name == community.record.community_id.hex()[:8]:
                name = free_name(definition.name, self._communities.names())
            self._communities.change(community, replace(community.record, definition=raw, name=name))
        follow(self._store, community, sorted(decided.global_times()))
        if community.clock != self._store.state(number).clock:
            batch.clocks[number] = community.clock

    def _add_told(self, batch: Batch, number: int, decided: Round, cursors: dict[bytes, int]) -> None:
        """What followers of the log hear of it, and what is erased; cursors: of this batch's own messages."""
        for event in decided.events:
            cursor = cursors[event.message_id] if event.cursor is None else event.cursor
            batch.events.append(
                EventEntry(EntryType[event.type.upper()], number, event.message_id, cursor, event.reason)
            )
        for message_id, stored in decided.erased:
            batch.erased.append(cursors[message_id] if stored is None else stored)
        for message_id, stored, indices in decided.undone:
            batch.undone.append((cursors[message_id] if stored is None else stored, indices))
