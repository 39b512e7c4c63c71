"""What the writer decides and commits, without its sockets: communities, intake, publishing, one batch at a
time.

Everything that is received or ordered goes into the batch being gathered; commit() makes it one transaction
and says what may leave. A commit that fails takes nothing: memory is read again from the store, numbers are
used again.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

from dispersy.bus.frames import CommitNote
from dispersy.constants import MESSAGE_SIZE_MAX
from dispersy.errors import StorageError, UsageError, WireError
from dispersy.ext.digest import identify_many
from dispersy.ext.wire import DROP_REASONS, parse_messages, split_payloads
from dispersy.protocol import clock
from dispersy.protocol.definition import accept_definition
from dispersy.protocol.held_definitions import HeldDefinitions
from dispersy.protocol.holdings import highest_stored
from dispersy.protocol.identifiers import CommunityId
from dispersy.protocol.intake import Intake, Round
from dispersy.protocol.lane import UNLIVE
from dispersy.protocol.message import (
    NO_PREVIOUS,
    MessageTooLong,
    create_many,
    create_message,
    payload_size_max,
)
from dispersy.protocol.numbers import ControlKind
from dispersy.protocol.packing import encode_uvarint
from dispersy.protocol.records import MESSAGE
from dispersy.protocol.summary import Summary
from dispersy.storage.keyring import Keyring
from dispersy.storage.store import (
    Batch,
    CommunityRecord,
    EntryType,
    EventEntry,
    MessageBlock,
    RequestRecord,
    StoreWriter,
)
from dispersy.workers.naming import free_name, new_key
from dispersy.workers.requests import Requests

BOOTSTRAP_MAX = 32
"""Addresses kept per community to walk to first; the newest stay."""
PUBLISH_MESSAGES_MAX = 1_000
PAYLOAD_COUNT_INDEX = 7
ID_INDEX = 11
"""Of these fields in an unpacked message_record."""

Ticket = Any
"""What the caller wants back with the outcome of an order."""
Outcome = tuple[Ticket, dict[str, Any] | StorageError | UsageError]


class _Community:
    """A joined community; clock includes what the batch being gathered has lifted it to."""

    def __init__(self, record: CommunityRecord, intake: Intake, clock_now: int) -> None:
        self.record = record
        self.intake = intake
        self.clock = clock_now
        self.processed = 0


@dataclass(slots=True)
class _Publishing:
    """A publish order whose messages are in the batch being gathered."""

    ids: list[bytes]
    tickets: list[Ticket] = field(default_factory=list)


class Ledger:
    """One a node. `version` changes with every change to the communities, and is another one after a restart.

    counters    outcomes by name; time is unix milliseconds, for arrivals and request ids only
    """

    def __init__(self, store: StoreWriter, keyring: Keyring, *, now_ms: int) -> None:
        self.counters: Counter[str] = Counter()
        self.version = self._incarnation = now_ms
        self._store = store
        self._keyring = keyring
        self._communities: dict[int, _Community] = {}
        self._read_store()

    def _read_store(self) -> None:
        self._requests = Requests(self._store.requests())
        self._communities = {}
        self._touched: set[int] = set()
        self._changed_records: dict[int, CommunityRecord] = {}
        self._publishing: dict[bytes, tuple[int, _Publishing]] = {}
        self._orders: list[Outcome] = []
        for record in self._store.communities():
            self._load(record)

    def _load(self, record: CommunityRecord) -> _Community:
        definitions = HeldDefinitions(CommunityId(record.community_id))
        lane = list(self._store.lane(record.number, record.community_id, ControlKind.DEFINITION))
        stored = self._store.messages([slot.cursor for slot in lane])
        for message in dict.fromkeys([record.definition, *stored] if record.definition else stored):
            try:
                definitions.add(message)
            except WireError as error:
                # Live, but of another version than this software understands.
                self.counters[error.reason] += 1
        intake = Intake(
            community=record.number,
            community_id=record.community_id,
            store=self._store,
            definitions=definitions,
        )
        community = _Community(record, intake, self._store.state(record.number).clock)
        self._communities[record.number] = community
        return community

    # -- what comes in ---------------------------------------------------------------------------------------

    def receive(self, number: int, announced: int, records: bytes, arena: bytes) -> None:
        """Verified messages of a community; `announced` counts those dropped on the way, too."""
        community = self._communities.get(number)
        if community is None:
            return
        community.processed += announced
        self._touched.add(number)
        if records:
            community.intake.receive(records, arena)

    def start_clock(self, number: int, global_time: int) -> None:
        """Where a newcomer's clock goes on from, unless it has run further by itself."""
        community = self._communities.get(number)
        if community is not None:
            community.clock = max(community.clock, global_time)

    def publish(
        self,
        ticket: Ticket,
        *,
        number: int,
        kind: int,
        groups: Sequence[Sequence[bytes]],
        request_id: bytes,
        now_ms: int,
    ) -> None:
        """Give global times and sequences, sign, and put into the batch: one message a group of payloads.

        raises  UsageError: unknown community, a request id that is none, too old or too new, a message too
                long
        """
        pending = self._publishing.get(request_id)
        if pending is not None:
            pending[1].tickets.append(ticket)
            return
        known = self._requests.find(request_id, now_ms=now_ms)
        if known is not None:
            self._orders.append((ticket, self._answer(known, repeated=True)))
            return
        community = self._communities.get(number)
        if community is None:
            raise UsageError(f"no community has number {number}", code="community-unknown")
        if not 1 <= len(groups) <= PUBLISH_MESSAGES_MAX or not all(groups):
            raise UsageError(
                f"a request publishes 1 to {PUBLISH_MESSAGES_MAX} messages with payloads", code="count"
            )
        # All of a request or nothing: a message refused later would leave the others of it published.
        refusal = community.intake.refusal(kind, groups)
        if refusal is not None:
            raise _refused(refusal)
        key = self._keyring.by_public(community.record.member_id)
        # A node on a restored home may have written more than its clock tells.
        head = self._store.heads.get(number, key.public, kind) or (0, 0, False)
        first_global_time = max(community.clock, head[1]) + 1
        messages = create_many(
            CommunityId(community.record.community_id),
            key.secret,
            kind=kind,
            first_global_time=first_global_time,
            first_sequence=head[0] + 1,
            payload_groups=groups,
        )
        community.clock = first_global_time + len(messages) - 1
        records = self._receive_own(community, messages)
        ids = [fields[ID_INDEX] for fields in MESSAGE.iter_unpack(records)]
        self._publishing[request_id] = (number, _Publishing(ids, [ticket]))

    def create(self, ticket: Ticket, *, name: str, definition: bytes) -> None:
        """A new community: keys for its master and for us as a member, and the definition that the master
        signs."""
        accept_definition(definition)
        if name in self._names():
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
        member = new_key(self._keyring, f"{name}-{number}-member")
        community = self._join_new(number, master.public, name, member.public, (), is_master=True)
        self._receive_own(community, [message])
        made = [master.name, member.name]
        self._orders.append((ticket, {**_joined(community.record), "already": False, "keys_made": made}))

    def join(self, ticket: Ticket, *, community_id: bytes, name: str, peers: Iterable[str]) -> None:
        """Join by id alone; joining again adds the peers."""
        for community in self._communities.values():
            if community.record.community_id == community_id:
                bootstrap = tuple(dict.fromkeys([*community.record.bootstrap, *peers]))[-BOOTSTRAP_MAX:]
                self._change(community, replace(community.record, bootstrap=bootstrap))
                self._orders.append((ticket, {**_joined(community.record), "already": True, "keys_made": []}))
                return
        number = self._next_number()
        name = free_name(name, self._names()) if name else community_id.hex()[:8]
        # A fresh key for each community: nothing on the wire but its address links a person's communities.
        member = new_key(self._keyring, f"{name}-{number}-member")
        bootstrap = tuple(peers)[-BOOTSTRAP_MAX:]
        community = self._join_new(number, community_id, name, member.public, bootstrap, is_master=False)
        made = [member.name]
        self._orders.append((ticket, {**_joined(community.record), "already": False, "keys_made": made}))

    def _names(self) -> set[str]:
        return {community.record.name for community in self._communities.values()}

    def _join_new(
        self,
        number: int,
        community_id: bytes,
        name: str,
        member_id: bytes,
        bootstrap: tuple[str, ...],
        *,
        is_master: bool,
    ) -> _Community:
        record = CommunityRecord(
            number=number,
            community_id=community_id,
            name=name,
            member_id=member_id,
            bootstrap=bootstrap,
            is_master=is_master,
        )
        community = self._load(record)
        self._change(community, record)
        return community

    def _next_number(self) -> int:
        return max(self._communities, default=0) + 1

    def _change(self, community: _Community, record: CommunityRecord) -> None:
        community.record = record
        self._changed_records[record.number] = record

    def _receive_own(self, community: _Community, messages: Sequence[bytes]) -> bytes:
        area = b"".join(encode_uvarint(len(message)) + message for message in messages)
        records = parse_messages(area, bytearray(4 * len(DROP_REASONS)))
        identify_many(records, area, community.record.community_id)
        community.intake.receive(bytes(records), area)
        self._touched.add(community.record.number)
        return bytes(records)

    # -- commit ----------------------------------------------------------------------------------------------

    def commit(self, *, now_ms: int) -> tuple[CommitNote | None, list[Outcome]]:
        """Make the batch durable: what everyone may know now (None: nothing new), and the outcome of every
        order.

        A disk that refuses is an outcome of the orders, not an exception: the service goes on and can be
        asked.
        """
        if not self._touched and not self._changed_records and not self._orders:
            return None, []
        try:
            return self._commit(now_ms)
        except StorageError as error:
            outcomes: list[Outcome] = [(ticket, error) for ticket, _ in self._orders]
            outcomes += [
                (t, error) for _, publishing in self._publishing.values() for t in publishing.tickets
            ]
            self.counters["commit-failed"] += 1
            processed = {number: each.processed for number, each in self._communities.items()}
            self._store.reload()
            self._read_store()
            for number, count in processed.items():
                if number in self._communities:
                    self._communities[number].processed = count
            return None, outcomes

    def _commit(self, now_ms: int) -> tuple[CommitNote, list[Outcome]]:
        batch = Batch()
        for number in sorted(self._touched):
            self._add_round(batch, self._communities[number], now_ms)
        batch.communities = list(self._changed_records.values())
        # Orders are forgotten only once they are durable: a failure is their outcome, too.
        outcomes = list(self._orders)
        answered = self._place_requests(batch, outcomes)
        # Duplicates, which anybody may send without end, cost no write.
        if batch != Batch():
            expected = self._store.last_cursor() + 1
            first, _ = self._store.commit(batch)
            assert not batch.blocks or first == expected
        for request in batch.requests:
            self._requests.add(request)
            tickets = answered[request.request_id]
            outcomes += [(ticket, self._answer(request, repeated=False)) for ticket in tickets]
        if self._changed_records:
            self.version += 1
        note = self.note(sorted(self._touched))
        self._touched.clear()
        self._changed_records.clear()
        self._orders.clear()
        self._publishing.clear()
        return note, outcomes

    def note(self, numbers: Iterable[int] | None = None) -> CommitNote:
        """The state of these communities (None: all) as everyone may know it after the last commit."""
        chosen = list(self._communities) if numbers is None else list(numbers)
        return CommitNote(
            last_cursor=self._store.last_cursor(),
            communities_version=self.version,
            processed={number: self._communities[number].processed for number in chosen},
            summaries={number: self._sent_summary(number).encode() for number in chosen},
            incarnation=self._incarnation,
        )

    def _sent_summary(self, number: int) -> Summary:
        state = self._store.state(number)
        return state.summary.at_clock(state.clock)

    def _add_round(self, batch: Batch, community: _Community, now_ms: int) -> None:
        """One community's round of the intake as its part of the batch."""
        number = community.record.number
        decided = community.intake.finish()
        self.counters.update(community.intake.counters)
        community.intake.counters.clear()
        batch.blocks.extend(
            MessageBlock(community=number, records=records, arena=arena, marks=marks, arrival_ms=now_ms)
            for records, arena, marks in decided.blocks
            if records
        )
        for change in decided.changes:
            if change.marks == UNLIVE:
                batch.unlive.append(change.cursor)
            else:
                batch.marks.append((change.cursor, change.marks))
            if change.reason:
                entry_type = EntryType.RESTORED if change.reason == "restored" else EntryType.DENIED
                batch.events.append(
                    EventEntry(entry_type, number, change.message_id, change.cursor, change.reason)
                )
        if decided.definition is not None:
            definition, raw = decided.definition
            name = community.record.name
            if name == community.record.community_id.hex()[:8]:
                name = free_name(definition.name, self._names())
            self._change(community, replace(community.record, definition=raw, name=name))
        self._follow(community, decided)
        if community.clock != self._store.state(number).clock:
            batch.clocks[number] = community.clock

    def _follow(self, community: _Community, decided: Round) -> None:
        times = sorted(decided.global_times())
        if not times:
            return
        stored_highest = self._store.state(community.record.number).summary.highest

        def highest_within(low: int, high: int) -> int | None:
            place = bisect_right(times, high)
            found = [time for time in times[max(0, place - 1) : place] if time > low]
            if stored_highest > low:
                stored = highest_stored(partial(self._store.scan, community.record.number), low, high)
                found += [] if stored is None else [stored]
            return max(found, default=None)

        community.clock = clock.follow(
            community.clock, times, highest=max(stored_highest, times[-1]), highest_within=highest_within
        )

    def _place_requests(self, batch: Batch, outcomes: list[Outcome]) -> dict[bytes, list[Ticket]]:
        """Find the cursors that the publish orders of this batch will get; request id -> tickets."""
        answered: dict[bytes, list[Ticket]] = {}
        if not self._publishing:
            return answered
        cursors: dict[bytes, int] = {}
        cursor = self._store.last_cursor() + 1
        for block in batch.blocks:
            for fields in MESSAGE.iter_unpack(block.records):
                cursors[fields[ID_INDEX]] = cursor
                cursor += fields[PAYLOAD_COUNT_INDEX]
        for request_id, (_, publishing) in self._publishing.items():
            stored = [message_id for message_id in publishing.ids if message_id in cursors]
            if stored:
                # Fewer than were asked for only where somebody else signs with our key, and took a slot in
                # this very batch; the answer names those that are there.
                batch.requests.append(RequestRecord(request_id, cursors[stored[0]], len(stored)))
                answered[request_id] = publishing.tickets
            else:
                outcomes += [(ticket, _refused("slot taken")) for ticket in publishing.tickets]
        return answered

    def _answer(self, request: RequestRecord, *, repeated: bool) -> dict[str, Any]:
        entries = self._store.log(request.first_cursor, request.message_count)
        return {
            "first_cursor": request.first_cursor,
            "last_cursor": entries[-1].cursor + len(split_payloads(entries[-1].message)) - 1,
            "ids": [entry.message_id for entry in entries],
            "repeated": repeated,
        }


def _refused(reason: str) -> UsageError:
    return UsageError(
        f"the community's rules refuse a message of this request: {reason}",
        code="refused",
        hint="check the payloads against the definition of their kind (community show)",
    )


def _joined(record: CommunityRecord) -> dict[str, Any]:
    return {"number": record.number, "community_id": record.community_id, "member_id": record.member_id}
