"""The control part of the intake: definitions and what the timeline makes of the messages that govern.

They go before all data of a batch. One that counts for nothing yet waits, and the timeline knows of it: what
comes later may give it effect, or take it from one that had it. What the timeline says after the round's last
word is what the store is told.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import zip_longest
from typing import Protocol

from dispersy.errors import WireError
from dispersy.protocol.definitions.held_definitions import HeldDefinitions
from dispersy.protocol.identifiers import CommunityId, MemberId, MessageId
from dispersy.protocol.intake.ended_forms import EndedForms, FormStore
from dispersy.protocol.intake.intake_round import Change
from dispersy.protocol.intake.kind_rules import KindRules, kind_rules
from dispersy.protocol.intake.lane_round import LaneSlot
from dispersy.protocol.intake.received import Authors, Received, authors_of
from dispersy.protocol.intake.waiting import Awaited, Waiter, WaitingRoom
from dispersy.protocol.permissions.control_messages import Authorize, ControlMessage, Undo, read_control
from dispersy.protocol.permissions.timeline import Timeline, TimelineChanges
from dispersy.protocol.wire.message import read_message
from dispersy.protocol.wire.numbers import COMMUNITY_KIND_MIN, ControlKind


class ControlStore(FormStore, Protocol):
    """What is asked of the writer's store: what was committed before this round."""

    def held(self, community: int, records: bytes) -> bytes: ...
    def find(self, community: int, global_time: int, message_id: bytes) -> int | None: ...
    def lane(self, community: int, name: bytes, kind: int, *, unlive: bool = False) -> Iterator[LaneSlot]: ...


@dataclass(slots=True)
class Touched:
    """What the control messages of a round may have changed about data.

    lanes           (member, kind) whose permissions may differ
    kinds           kind -> the least global time at which something may differ
    undone          ids of messages that may be undone otherwise
    targets         ids that an undo has named for the first time
    is_destroyed    whether the community has come to its end, or to an earlier one
    moved           kind -> whether its messages are on request now: it was otherwise before
    """

    lanes: set[tuple[bytes, int]] = field(default_factory=set)
    kinds: dict[int, int] = field(default_factory=dict)
    undone: set[bytes] = field(default_factory=set)
    targets: set[bytes] = field(default_factory=set)
    is_destroyed: bool = False
    moved: dict[int, bool] = field(default_factory=dict)

    def add(self, changes: TimelineChanges) -> None:
        self.lanes.update(changes.lanes)
        for kind, low in changes.kinds.items():
            self.touch_kind(kind, low)
        self.undone.update(changes.undone)
        self.is_destroyed |= changes.destroyed

    def touch_kind(self, kind: int, low: int) -> None:
        self.kinds[kind] = min(low, self.kinds.get(kind, low))

    def covers(self, waiter: Waiter) -> bool:
        """Whether a message that waits for its kind or for permission may go on now."""
        if waiter.kind in self.kinds:
            return True
        return any((author, waiter.kind) in self.lanes for author in authors_of(waiter.message))


class ControlIntake:
    """One a community.

    timeline    of all control messages that are stored or wait
    rules       by kind
    ended_forms  what a soft end leaves of the forms of what is stored
    on_request  by kind that was ever defined, whether its messages are offered to nobody
    touched     since the round began
    """

    def __init__(
        self,
        *,
        community: int,
        community_id: CommunityId,
        store: ControlStore,
        definitions: HeldDefinitions,
        waiting: WaitingRoom,
        counters: Counter[str],
        refuse: Callable[[bytes, str], None],
    ) -> None:
        self.definitions = definitions
        self.timeline = Timeline(MemberId(community_id))
        self.ended_forms = EndedForms(self.timeline, definitions, store)
        self.rules: dict[int, KindRules] = {}
        self.on_request: dict[int, bool] = {}
        self._community = community
        self._community_id = community_id
        self._store = store
        self._waiting = waiting
        self._counters = counters
        self._refuse = refuse
        self._times: dict[MessageId, int] = {}
        """Global time of every control message that is stored or waits: where the store finds it."""
        self._unlive: dict[MessageId, int] = {}
        """Cursors of those that are stored and not live."""
        self._undos: dict[bytes, Undo] = {}
        """What every undo says that is stored or waits."""
        self.targets: dict[bytes, Counter[int]] = {}
        """Ids that they name, each with the global times at which they say that it is."""
        self._named: set[bytes] = set()
        """Whom a live authorize has named: what they say is the last to be dropped while it waits."""
        self.begin()

    def begin(self) -> None:
        """Another round."""
        self.touched = Touched()
        self._arrived: dict[MessageId, Received] = {}
        self._late: list[Waiter] = []
        self._moved: set[MessageId] = set()
        self.is_definition_new = False

    @property
    def is_destroyed(self) -> bool:
        """Whether the master has destroyed the community for good."""
        return self.timeline.hard_destroyed is not None

    def destroy_message(self) -> bytes:
        """The whole message of the hard destroy that this round has brought."""
        destroy = self.timeline.hard_destroyed
        assert destroy is not None, "nothing was destroyed"
        return self._arrived[destroy].message

    def load(self, messages: Iterable[tuple[bytes, int, bool]]) -> None:
        """Begin with what is stored: (whole message, cursor, whether it is live)."""
        for message, cursor, is_live in messages:
            view = read_message(self._community_id, message)
            self._times[view.id] = view.global_time
            if view.kind == ControlKind.DEFINITION:
                continue
            control = read_control(view)
            self._add(control)
            if not is_live:
                self._unlive[control.id] = cursor
            elif isinstance(control.body, Authorize):
                self._named.update(grant.member for grant in control.body.grants)
        self.timeline.settle()
        self.definitions.end_at(self.timeline.soft_destroyed_at)
        self._follow_definitions()
        self.timeline.settle()

    def receive(self, received: Sequence[Received]) -> None:
        """Take control messages of a batch; then settle()."""
        held = self._store.held(self._community, b"".join(each.record for each in received))
        for each, is_live in zip(received, held, strict=True):
            if is_live or each.id in self._arrived or each.id in self._waiting or each.id in self._unlive:
                self._counters["duplicate"] += 1
            elif each.kind == ControlKind.DEFINITION:
                self._receive_definition(each)
            else:
                self._receive_control(each)

    def _receive_definition(self, received: Received) -> None:
        if received.flags or received.message[2:34] != self._community_id:
            self._refuse(received.id, "definition-author")
            return
        end = self.timeline.soft_destroyed_at
        if self.is_destroyed or (end is not None and received.global_time > end):
            self._refuse(received.id, "destroyed")
            return
        self._arrived[received.id] = received
        self._times[received.id] = received.global_time
        try:
            self.is_definition_new |= self.definitions.add(received.message)
        except WireError as error:
            self._counters[error.reason] += 1
            return
        self._follow_definitions()
        if end is not None:
            # What the end took away lies here, and this one may admit it.
            for kind in self.definitions.names():
                self.touched.touch_kind(kind, 0)

    def _receive_control(self, received: Received) -> None:
        try:
            control = read_control(read_message(self._community_id, received.message))
        except WireError as error:
            self._refuse(received.id, error.reason)
            return
        self._arrived[received.id] = received
        self._add(control)

    def _add(self, control: ControlMessage) -> None:
        self._times[control.id] = control.global_time
        self.timeline.add(control)
        if isinstance(control.body, Undo) and control.id not in self._undos:
            self._undos[control.id] = control.body
            self.targets.setdefault(control.body.target, Counter())[control.body.global_time] += 1
            self.touched.targets.add(control.body.target)

    def _follow_definitions(self) -> None:
        """Tell the timeline what the definitions say now, and note for which kinds it is something else."""
        rules = kind_rules(self.definitions)
        for kind in rules.keys() | self.rules.keys():
            row = rules.get(kind)
            self.timeline.set_resolution(kind, row.resolution if row else None)
            self.timeline.set_on_request(kind, row is not None and row.on_request)
            if row != self.rules.get(kind):
                self.touched.touch_kind(kind, 0)
            if row is not None:
                if self.on_request.get(kind, row.on_request) != row.on_request:
                    self.touched.moved[kind] = row.on_request
                self.on_request[kind] = row.on_request
        self.rules = rules

    def is_taken_back(self, message_id: bytes, message: Waiter | Received) -> bool:
        """Whether a message's own author has undone it whole, as far as the undos here say."""
        authors = authors_of(message.message)
        return self.timeline.is_taken_back(MessageId(message_id), authors, message.kind, message.global_time)

    def taken_back(self, waiters: Iterable[Waiter]) -> list[bytes]:
        """Ids of those of which it has."""
        return [each.message_id for each in waiters if self.is_taken_back(each.message_id, each)]

    def forgives(self, received: Received) -> bool:
        """Whether what is in a message is nothing to refuse it for."""
        place = received.authors, received.kind, received.global_time
        return self.ended_forms.forgives(received.id, *place)

    def forgiven(self) -> list[tuple[int, Authors]]:
        """Kinds and authors of what is stored and may have come to be admitted by undos of this round."""
        named = {each: self.targets[each] for each in self.touched.targets if each in self.targets}
        return list(self.ended_forms.forgiven(named))

    def missing(self) -> list[MessageId]:
        """Messages that a chain or a pin names and nobody has sent; definitions are held elsewhere.

        Heads of pins come first, then those that chains name, in turns of their authors: who names many that
        nobody has keeps out none of others'.
        """
        pinned: list[MessageId] = []
        named: dict[MemberId, list[MessageId]] = {}
        for each in sorted(self.timeline.missing() - self._times.keys()):
            namers = self.timeline.namers(each)
            if namers:
                named.setdefault(min(namers), []).append(each)
            else:
                pinned.append(each)
        turns = zip_longest(*named.values())
        return pinned + [each for turn in turns for each in turn if each is not None]

    def settle(self) -> None:
        """Let the timeline decide, and note what that touches."""
        changes = self.timeline.settle()
        self._moved.update(changes.lived, changes.unlived)
        self.touched.add(changes)
        end = self.timeline.soft_destroyed_at
        if changes.destroyed and end is not None:
            for kind in self.rules:
                self.touched.touch_kind(kind, end + 1)
            if self.definitions.end_at(end):
                self.is_definition_new = True
                self._follow_definitions()
                for kind in self.rules:
                    # With the newest definitions the forms that they alone admitted have gone.
                    self.touched.touch_kind(kind, 0)
                self.settle()

    def is_live(self, message_id: MessageId, kind: int) -> bool:
        """Whether a control message that is held is live, as things stand."""
        if kind != ControlKind.DEFINITION:
            return self.timeline.is_live(message_id)
        end = self.timeline.soft_destroyed_at
        return not self.is_destroyed and (end is None or self._times[message_id] <= end)

    def finish(self, changes: list[Change]) -> list[bytes]:
        """Whole messages that are to be stored, and (appended) what changes about those that are; the others
        wait."""
        arrived = self._arrived.values()
        stored = [each.message for each in arrived if self.is_live(each.id, each.kind)]
        # What had to leave the waiting room in this round may have come to count in it, before or since.
        left = {each.message_id: each for each in [*self._late, *self._waiting.drain_evicted()]}
        for message_id in sorted(self._moved - self._arrived.keys()):
            is_live = self.timeline.is_live(message_id)
            if message_id in self._waiting:
                if is_live:
                    stored += [each.message for each in self._waiting.take((message_id,))]
            elif message_id in left:
                if is_live:
                    stored.append(left[message_id].message)
            elif message_id in self._unlive:
                if is_live:
                    changes.append(Change(message_id, self._unlive.pop(message_id), None, 0))
            elif not is_live:
                self._end(message_id, changes)
        for each in arrived:
            if self.is_live(each.id, each.kind):
                continue
            if each.kind == ControlKind.DEFINITION:
                self._refuse(each.id, "destroyed")
            else:
                self._wait(each)
        self._forget([*left.values(), *self._waiting.drain_evicted()])
        if self.touched.is_destroyed:
            self._end_definitions(changes)
        for message in stored:
            self._remember(message)
        return stored

    def _end(self, message_id: MessageId, changes: list[Change]) -> None:
        """What is stored is not live any more."""
        if message_id not in self._times:
            # It counted within this round alone, and has left the waiting room since.
            return
        cursor = self._store.find(self._community, self._times[message_id], message_id)
        if cursor is not None:
            changes.append(Change(message_id, cursor, 0, None))
            self._unlive[message_id] = cursor

    def _end_definitions(self, changes: list[Change]) -> None:
        end = self.timeline.soft_destroyed_at
        lane = self._store.lane(self._community, self._community_id, ControlKind.DEFINITION)
        for slot in lane:
            if end is not None and slot.global_time > end:
                changes.append(Change(slot.message_id, slot.cursor, 0, None))

    def _remember(self, message: bytes) -> None:
        if message[0] == ControlKind.AUTHORIZE:
            body = read_control(read_message(self._community_id, message)).body
            assert isinstance(body, Authorize)
            self._named.update(grant.member for grant in body.grants)

    def _wait(self, received: Received) -> None:
        is_spared = received.authors[0] in self._named
        if self._waiting.add(received.waiter(Awaited.POWER, is_spared=is_spared)):
            self._counters["waiting"] += 1

    def expire(self, waiters: Iterable[Waiter]) -> None:
        """These have waited for too long; what counts since this round began is stored with it all the
        same."""
        late = list(waiters)
        self._late += [each for each in late if self.timeline.is_live(MessageId(each.message_id))]
        self._forget(late)

    def _forget(self, waiters: Iterable[Waiter]) -> None:
        """These have left the waiting room: the timeline shall hold what is stored or waits, and no more."""
        for each in waiters:
            message_id = MessageId(each.message_id)
            if (
                each.kind >= COMMUNITY_KIND_MIN
                or message_id in self._waiting
                or self.timeline.is_live(message_id)
            ):
                continue
            self.timeline.discard(message_id)
            self._times.pop(message_id, None)
            undo = self._undos.pop(message_id, None)
            if undo is not None:
                self._forget_target(undo)

    def _forget_target(self, undo: Undo) -> None:
        times = self.targets[undo.target]
        times[undo.global_time] -= 1
        if not times[undo.global_time]:
            del times[undo.global_time]
        if not times:
            del self.targets[undo.target]
            # Nobody tells the timeline of it from here on: what names it next has to look whether it is live.
            self.timeline.set_target(MessageId(undo.target), None, undo.kind, undo.global_time)
