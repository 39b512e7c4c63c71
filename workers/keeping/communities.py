"""The communities that the writer has joined, each with its intake, and what of them the batch being gathered
changes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from dispersy.errors import UsageError, WireError
from dispersy.protocol.definitions.held_definitions import HeldDefinitions
from dispersy.protocol.identifiers import CommunityId
from dispersy.protocol.intake.intake import Intake
from dispersy.protocol.intake.marks import DENIED
from dispersy.protocol.intake.received import pack
from dispersy.protocol.ways import Way
from dispersy.protocol.wire.numbers import ControlKind
from dispersy.storage.store import CommunityRecord, StoreWriter
from dispersy.workers.keeping.ways import Ways


class Community:
    """A joined community; clock includes what the batch being gathered has lifted it to.

    followed    the highest global time of a message that it has followed since the writer began
    """

    def __init__(self, record: CommunityRecord, intake: Intake, clock_now: int) -> None:
        self.record = record
        self.intake = intake
        self.clock = clock_now
        self.followed = 0
        self.processed = 0


class Communities:
    """By their numbers, as the store knows them and the batch changes them.

    touched     numbers of those that the batch brings something
    ways        by which the newest messages came
    changed     records that the batch makes durable, by number
    counters    where what cannot be understood is counted
    """

    def __init__(self, store: StoreWriter, counters: Counter[str]) -> None:
        self._store = store
        self._counters = counters
        self.ways = Ways()
        self.by_number: dict[int, Community] = {}
        self.touched: set[int] = set()
        self.changed: dict[int, CommunityRecord] = {}

    def read_store(self) -> None:
        """Forget the batch and begin with what is durable."""
        self.by_number = {}
        self.touched = set()
        self.changed = {}
        for record in self._store.communities():
            self.load(record)

    def clear_batch(self) -> None:
        """What was touched and changed is durable."""
        self.touched.clear()
        self.changed.clear()

    def load(self, record: CommunityRecord) -> Community:
        """Begin to take in what belongs to it."""
        definitions = HeldDefinitions(CommunityId(record.community_id))
        control = self._store.control(record.number)
        stored = [entry.message for entry in control if entry.message[0] == ControlKind.DEFINITION]
        # What was destroyed keeps its last definition in the record alone.
        for message in dict.fromkeys([record.definition, *stored] if record.definition else stored):
            try:
                definitions.add(message)
            except WireError as error:
                # Live, but of another version than this software understands.
                self._counters[error.reason] += 1
        intake = Intake(
            community=record.number,
            community_id=record.community_id,
            store=self._store,
            definitions=definitions,
        )
        intake.set_pruning_time(self._store.state(record.number).pruning_time)
        intake.load((entry.message, entry.cursor, not entry.marks & DENIED) for entry in control)
        community = Community(record, intake, self._store.state(record.number).clock)
        self.by_number[record.number] = community
        if intake.has_unsaid:
            self.touched.add(record.number)
        return community

    def change(self, community: Community, record: CommunityRecord) -> None:
        """Another record for it, durable with the batch."""
        community.record = record
        self.changed[record.number] = record

    def receive_own(self, community: Community, messages: Sequence[bytes]) -> bytes:
        """Take messages that we have signed; their packed message_records."""
        records, arena = pack(messages, community.record.community_id)
        self.ways.note(records, Way.OWN)
        community.intake.receive(records, arena)
        self.touched.add(community.record.number)
        return records

    def joined(self, number: int) -> Community:
        """One that this node takes part in; UsageError `community-unknown`."""
        community = self.by_number.get(number)
        if community is None or community.record.left:
            raise UsageError(
                f"no community has number {number}",
                code="community-unknown",
                hint="`dispersy community list` shows those that this node has joined",
            )
        return community

    def serving(self, number: int) -> Community:
        """One in which this node may publish.

        raises  UsageError `community-unknown`, `community-unloaded`, `community-destroyed`
        """
        community = self.joined(number)
        name = community.record.name
        if not community.record.loaded:
            raise UsageError(
                f"{name} is not loaded: this node does not serve it now",
                code="community-unloaded",
                hint=f"load it: dispersy community load {name}",
            )
        timeline = community.intake.timeline
        if timeline.hard_destroyed is not None or timeline.soft_destroyed_at is not None:
            raise UsageError(
                f"{name} was destroyed by its founder: nothing is published in it any more",
                code="community-destroyed",
                hint="after a soft destroy what is there can be read; make a new community for more",
            )
        return community

    def served(self, number: int) -> Community | None:
        """One that takes messages, None when it is left or not loaded."""
        community = self.by_number.get(number)
        return community if community is not None and community.record.served else None

    def names(self) -> set[str]:
        return {each.record.name for each in self.by_number.values() if not each.record.left}
