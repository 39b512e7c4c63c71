"""The intake: accept, wait or reject, for the verified messages of one community.

A *round* takes any number of batches and ends with one Round, which the writer commits as one transaction;
nothing leaves before that. Control messages go before data (control_intake.py), for they say who may write
(timeline.py). Data that is permitted and in order, nearly all, is decided by kernels without Python touching
it message by message; the rest looks closer, lane by lane (data_intake.py, lane_round.py). What a control
message touches is decided again with the round that brings it, and nothing else is looked at.

The outcome is a function of the set of messages, not of their order of arrival.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Protocol

from dispersy.protocol.definitions.held_definitions import HeldDefinitions
from dispersy.protocol.identifiers import CommunityId, MemberId, MessageId
from dispersy.protocol.intake.control_intake import ControlIntake, ControlStore
from dispersy.protocol.intake.data_intake import DataIntake, DataStore
from dispersy.protocol.intake.intake_round import Round
from dispersy.protocol.intake.lane_round import Fate
from dispersy.protocol.intake.marks import ERASED
from dispersy.protocol.intake.parts import marks_by_kind, moved_messages
from dispersy.protocol.intake.received import (
    ID_OFFSET,
    KIND_OFFSET,
    STATE_OFFSET,
    Received,
    authors_of,
    each_received,
    ids_of,
    pack,
    record_at,
)
from dispersy.protocol.intake.refusals import Refusals
from dispersy.protocol.intake.retiring import Aged
from dispersy.protocol.intake.undo_marks import UndoMarks, UndoStore
from dispersy.protocol.intake.waiting import WaitingRoom
from dispersy.protocol.permissions.timeline import Timeline
from dispersy.protocol.pruning import Pruning
from dispersy.protocol.wants import Wants
from dispersy.protocol.wire.message import read_message
from dispersy.protocol.wire.numbers import COMMUNITY_KIND_MIN, ControlKind
from dispersy.protocol.wire.records import MESSAGE, STRIPPED


class LiveStore(DataStore, ControlStore, UndoStore, Protocol):
    """What the intake asks of the writer's store: what was committed before this round."""

    def find_ids(self, ids: bytes, *, unlive: bool = False) -> list[int | None]: ...


class Intake:
    """One a community, in the writer.

    definitions    what is held; while none is understood, every kind but Dispersy's own is refused
    timeline       what the control messages that are held say
    counters       outcomes by name, for the caller to read
    """

    def __init__(
        self, *, community: int, community_id: bytes, store: LiveStore, definitions: HeldDefinitions
    ) -> None:
        self.definitions = definitions
        self.counters: Counter[str] = Counter()
        self.waiting = WaitingRoom()
        self.refusals = Refusals()
        self._store = store
        self._community = community
        self._community_id = CommunityId(community_id)
        self._control = ControlIntake(
            community=community,
            community_id=self._community_id,
            store=store,
            definitions=definitions,
            waiting=self.waiting,
            counters=self.counters,
            refuse=self._refuse,
        )
        self._data = DataIntake(
            community=community,
            community_id=self._community_id,
            store=store,
            control=self._control,
            waiting=self.waiting,
            counters=self.counters,
            refuse=self._refuse,
        )
        self._undo_marks = UndoMarks(store, self._control, community=community)
        self._is_destroyed = False

    @property
    def timeline(self) -> Timeline:
        return self._control.timeline

    def load(self, control: Iterable[tuple[bytes, int, bool]]) -> None:
        """Begin with the control messages that are stored: (whole message, cursor, whether it is live)."""
        self._control.load(control)
        self._undo_marks.load()
        self._is_destroyed = self._control.is_destroyed
        self._begin()

    @property
    def has_unsaid(self) -> bool:
        """Whether an older store is to be brought up to date with the next round, whatever that brings."""
        return bool(self._undo_marks.unsaid)

    def prunings(self) -> dict[int, Pruning]:
        """By kind, when messages leave."""
        rules = self._control.rules.items()
        return {kind: each.pruning for kind, each in rules if each.pruning is not None}

    def set_pruning_time(self, time: int) -> None:
        """As DataIntake.set_pruning_time(); between two rounds."""
        self._data.set_pruning_time(time)

    def retire(self, aged: Sequence[Aged]) -> None:
        """As DataIntake.retire(); before finish()."""
        self._data.retire(aged)

    def _begin(self) -> None:
        self._control.begin()
        self._data.begin()

    # -- what comes in ---------------------------------------------------------------------------------------

    def receive(self, records: bytes, arena: bytes) -> None:
        """Take a batch of verified messages: packed message_records with ids, and their arena."""
        if min(records[KIND_OFFSET :: MESSAGE.size], default=COMMUNITY_KIND_MIN) < COMMUNITY_KIND_MIN:
            records = self._receive_control(records, arena)
        if not records:
            return
        if self._control.is_destroyed:
            for message_id in ids_of(records):
                self._refuse(message_id, "destroyed")
        elif self.definitions.current is None:
            self.counters["definition-unknown"] += len(records) // MESSAGE.size
        else:
            self._data.receive(records, arena)

    def _receive_control(self, records: bytes, arena: bytes) -> bytes:
        """Control messages go before all else; returns the records of data messages."""
        every = list(each_received(records, arena))
        # Definitions first: they say for which kinds the others may speak.
        control = sorted(
            (each for each in every if each.kind < COMMUNITY_KIND_MIN),
            key=lambda each: each.kind != ControlKind.DEFINITION,
        )
        self._control.receive(control)
        self._control.settle()
        if not self._control.is_destroyed:
            self._data.release(self._control.touched)
        return b"".join(each.record for each in every if each.kind >= COMMUNITY_KIND_MIN)

    def handle_timer(self, now: float) -> None:
        """Let what has waited long enough leave the waiting room, or go on without what it waited for."""
        late = self.waiting.expire(now)
        self._control.expire(late)
        self._data.release_late(late)
        self.counters.update(self.waiting.left)
        self.waiting.left.clear()

    def _refuse(self, message_id: bytes, reason: str) -> None:
        self.counters[reason] += 1
        self.refusals.add(message_id, reason)

    # -- what may be said ------------------------------------------------------------------------------------

    def refusal(self, number: int, groups: Sequence[Sequence[bytes]]) -> str | None:
        """Why a message of this kind with one of these groups of payloads would not be taken; None if all
        would."""
        if self._control.is_destroyed:
            return "destroyed"
        if self.definitions.current is None:
            return "definition-unknown"
        reasons = self.definitions.refusals(number, groups)
        return next((reason for reason in reasons if reason is not None), None)

    def permission(self, authors: Sequence[bytes], kind: int, global_time: int, sequence: int) -> str:
        """Why a message of these authors is not permitted, or would not be, "" when it is."""
        return self._data.judge(tuple(map(MemberId, authors)), kind, global_time, sequence)

    def wanted(self) -> Wants:
        """What is to be asked for by name."""
        return self.waiting.wanted(messages=self._control.missing(), ranges=self._data.gaps())

    def proof(self, message_id: bytes) -> list[bytes]:
        """Ids of the control messages by which a live message counts, from the master down; none where nobody
        had to permit it."""
        chain = self.timeline.proof_of(MessageId(message_id))
        (cursor,) = [None] if chain else self._store.find_ids(message_id)
        if cursor is None:
            return list(chain)
        (entry,) = self._store.entries([cursor])
        view = read_message(self._community_id, entry.message)
        if view.kind < COMMUNITY_KIND_MIN:
            return []
        return list(
            self.timeline.proof(authors_of(entry.message), view.kind, view.global_time, view.sequence)
        )

    # -- the end of a round ----------------------------------------------------------------------------------

    def finish(self) -> Round:
        """End the round; the next receive() begins another. The caller commits it, or reads everything again
        if that fails."""
        finished = Round()
        if self._control.is_destroyed and not self._is_destroyed:
            # The wipe takes all of it: nothing else of this round has to be decided.
            self._is_destroyed = True
            finished.destroyed = self._control.destroy_message()
        else:
            self._finish_data(finished)
        stored = self._control.finish(finished.changes)
        if stored:
            records, arena = pack(stored, self._community_id)
            # In front of the data that they permit.
            finished.blocks.insert(0, (records, arena, bytes(len(stored))))
        if self._control.is_definition_new:
            finished.definition = (self.definitions.current, self.definitions.message)
        self._begin()
        return finished

    def _finish_data(self, finished: Round) -> None:
        touched = self._control.touched
        self._data.touch(touched)
        fates = self._data.decide()
        arrived = self._named_by_undos()
        self._undo_marks.see(fates, arrived, touched.targets)
        self._control.settle()
        marks = self._undo_marks.close(finished, fates, arrived, touched.undone)
        parts = marks_by_kind(self._control.on_request)
        for records, arena in self._data.blocks:
            self._add_block(finished, records, arena, fates, marks, parts)
        finished.moved += moved_messages(self._store, self._community, touched.moved)
        finished.heard = self._data.heard

    def _named_by_undos(self) -> dict[bytes, Received]:
        """Messages of this round that an undo names."""
        awaited = self._control.targets
        if not awaited:
            return {}
        return {
            each: Received(record_at(records, index), arena)
            for records, arena in self._data.blocks
            for index, each in enumerate(ids_of(records))
            if each in awaited
        }

    def _add_block(
        self,
        finished: Round,
        records: bytes,
        arena: bytes,
        fates: dict[bytes, Fate],
        marks: dict[bytes, int],
        parts: bytes,
    ) -> None:
        """What the round has accepted, less what its lanes keep out; parts: marks_by_kind()."""
        states = records[STATE_OFFSET :: MESSAGE.size]
        kind_marks = records[KIND_OFFSET :: MESSAGE.size].translate(parts)
        if not fates and not marks and not any(states):
            finished.blocks.append((records, arena, kind_marks))
            return
        kept: list[bytes] = []
        kept_marks: list[int] = []
        for index in range(len(records) // MESSAGE.size):
            record = record_at(records, index)
            message_id = record[ID_OFFSET : ID_OFFSET + 32]
            fate = fates.get(message_id)
            if fate is not None and fate.marks is None:
                self._keep_out(Received(record, arena), fate.reason)
            else:
                kept.append(record)
                erased = ERASED if states[index] == STRIPPED else 0
                kept_marks.append(marks.get(message_id, 0) | erased | kind_marks[index])
        if kept:
            finished.blocks.append((b"".join(kept), arena, bytes(kept_marks)))

    def _keep_out(self, received: Received, reason: str) -> None:
        """Of what the round has accepted: permitted no longer, or no place for it in its lane."""
        if reason in ("revoked", "policy"):
            self._data.wait(received)
        elif reason in ("slot-full", "superseded", "rate"):
            self._data.keep_out(received, reason)
        else:
            self._refuse(received.id, reason)
