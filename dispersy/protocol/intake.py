"""The intake: accept, wait or reject, for the verified messages of one community.

A *round* takes any number of batches and ends with one Round, which the writer commits as one transaction;
nothing leaves before that. Messages that are in order (rising sequence and global time of their author and
kind: nearly all) are decided by the Heads kernel without Python touching them one by one; the rest look
closer, lane by lane.

Rules 13, 14 and 16 hold from here: the outcome is a function of the set of messages, not of their order of
arrival.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from dispersy.errors import WireError
from dispersy.ext.digest import identify_many
from dispersy.ext.table import Heads
from dispersy.ext.wire import DROP_REASONS, parse_messages, split_payloads
from dispersy.protocol.definition import Definition
from dispersy.protocol.held_definitions import HeldDefinitions
from dispersy.protocol.lane import UNLIVE, Allowance, Change, LaneEntry, LaneRound, LaneStore
from dispersy.protocol.numbers import COMMUNITY_KIND_MIN, ControlKind
from dispersy.protocol.packing import encode_uvarint
from dispersy.protocol.records import MESSAGE
from dispersy.protocol.refusals import Refusals
from dispersy.protocol.waiting import Awaited, Waiter, WaitingRoom
from dispersy.protocol.wants import Wants

KIND_OFFSET = 26
FLAGS_OFFSET = 27
SOURCE_OFFSET = 31
ID_OFFSET = 32
"""Of these fields in a message_record."""


class LiveStore(LaneStore, Protocol):
    """What the intake asks of the writer's store: what was committed before this round."""

    @property
    def heads(self) -> Heads: ...
    def held(self, community: int, records: bytes) -> bytes: ...


@dataclass(slots=True)
class Round:
    """What one commit is to make durable, in the order in which it was received.

    blocks        (packed message_records, arena, one byte of marks a record)
    changes       to messages stored earlier
    definition    (decoded, whole message) when a newer one was accepted
    """

    blocks: list[tuple[bytes, bytes, bytes]] = field(default_factory=list)
    changes: list[Change] = field(default_factory=list)
    definition: tuple[Definition, bytes] | None = None

    def global_times(self) -> Iterator[int]:
        for records, _, _ in self.blocks:
            for record in MESSAGE.iter_unpack(records):
                yield record[2]


class Intake:
    """One a community, in the writer.

    definitions    what is held; while none is understood, every kind but a definition is refused
    counters       outcomes by name, for the caller to read
    """

    def __init__(
        self, *, community: int, community_id: bytes, store: LiveStore, definitions: HeldDefinitions
    ) -> None:
        self.definitions = definitions
        self.counters: Counter[str] = Counter()
        self.waiting = WaitingRoom()
        self.refusals = Refusals()
        self._community = community
        self._community_id = community_id
        self._store = store
        self._allowance = Allowance()
        self._begin()

    def _begin(self) -> None:
        self._round = Round()
        self._control_ids: set[bytes] = set()
        self._lanes: dict[tuple[bytes, int], LaneRound] | None = None

    def receive(self, records: bytes, arena: bytes) -> None:
        """Take a batch of verified messages: packed message_records with ids, and their arena."""
        if min(records[KIND_OFFSET :: MESSAGE.size], default=COMMUNITY_KIND_MIN) < COMMUNITY_KIND_MIN:
            records = self._receive_control(records, arena)
        if not records:
            return
        count = len(records) // MESSAGE.size
        if self.definitions.current is None:
            self.counters["definition-unknown"] += count
            return
        self._allowance.gain(count)
        wanted = self._admit(records, arena)
        in_order = self._store.heads.advance_many(records, arena, self._community, wanted)
        if in_order == b"\x01" * len(in_order):
            self._accept(records, arena)
            return
        self._accept_mixed(records, arena, wanted, in_order)

    def refusal(self, number: int, groups: Sequence[Sequence[bytes]]) -> str | None:
        """Why a message of this kind with one of these groups of payloads would not be taken; None if all
        would."""
        if self.definitions.current is None:
            return "definition-unknown"
        reasons = self.definitions.refusals(number, groups)
        return next((reason for reason in reasons if reason is not None), None)

    def wanted(self) -> Wants:
        """What is to be asked for by name."""
        return self.waiting.wanted()

    def handle_timer(self, now: float) -> None:
        """Let what has waited long enough leave the waiting room."""
        self.waiting.expire(now)
        self.counters.update(self.waiting.left)
        self.waiting.left.clear()

    def finish(self) -> Round:
        """End the round; the next receive() begins another. The caller commits it, or reloads the store if
        that fails."""
        finished = self._round
        fates: dict[bytes, int] = {}
        for lane in (self._lanes or {}).values():
            lane.decide(finished.changes, fates, self._allowance)
        if fates:
            finished.blocks = [self._decided(*block, fates) for block in finished.blocks]
        self._begin()
        return finished

    def _decided(
        self, records: bytes, arena: bytes, _: bytes, fates: dict[bytes, int]
    ) -> tuple[bytes, bytes, bytes]:
        """A block with the marks that its irregular lanes gave it, less what rule 13 keeps out."""
        kept: list[bytes] = []
        marks: list[int] = []
        for index in range(len(records) // MESSAGE.size):
            record = _record(records, index)
            fate = fates.get(record[ID_OFFSET : ID_OFFSET + 32], 0)
            if fate == UNLIVE:
                self._refuse(record, "lane-refused")
            else:
                kept.append(record)
                marks.append(fate)
        return b"".join(kept), arena, bytes(marks)

    # -- control messages ------------------------------------------------------------------------------------

    def _receive_control(self, records: bytes, arena: bytes) -> bytes:
        """Definitions go before all else; returns the records of data messages."""
        data: list[bytes] = []
        control: list[bytes] = []
        for index in range(len(records) // MESSAGE.size):
            record = _record(records, index)
            (data if record[KIND_OFFSET] >= COMMUNITY_KIND_MIN else control).append(record)
        held = self._store.held(self._community, b"".join(control))
        for record, known in zip(control, held, strict=True):
            fields = MESSAGE.unpack(record)
            message_id = fields[11]
            if known or message_id in self._control_ids:
                self.counters["duplicate"] += 1
            elif fields[5] != ControlKind.DEFINITION:
                self._wait(record, arena)
            elif self._receive_definition(_message(record, arena)):
                self._control_ids.add(message_id)
                self._accept(record, arena)
            else:
                self.refusals.add(message_id, "definition-author")
        return b"".join(data)

    def _receive_definition(self, message: bytes) -> bool:
        if message[1] or message[2:34] != self._community_id:
            self.counters["definition-author"] += 1
            return False
        try:
            is_current = self.definitions.add(message)
        except WireError as error:
            self.counters[error.reason] += 1
            return True
        if is_current:
            assert self.definitions.current is not None
            self._round.definition = (self.definitions.current, message)
        self._release_waiting()
        return True

    def _release_waiting(self) -> None:
        released = self.waiting.release(self.definitions.names())
        if not released:
            return
        area = b"".join(encode_uvarint(len(each.message)) + each.message for each in released)
        records = parse_messages(area, bytearray(4 * len(DROP_REASONS)))
        identify_many(records, area, self._community_id)
        # They may have to wait again, for something else, and then count as their neighbour's as before.
        records[SOURCE_OFFSET :: MESSAGE.size] = bytes(each.source for each in released)
        self.receive(bytes(records), area)

    # -- data messages ---------------------------------------------------------------------------------------

    def _admit(self, records: bytes, arena: bytes) -> bytes:
        """One byte a record: 1 if its kind is defined and its flags and payloads suit it; the others wait or
        are refused."""
        wanted = bytearray(len(records) // MESSAGE.size)
        flags = records[FLAGS_OFFSET :: MESSAGE.size]
        named = self.definitions.names()
        by_kind: dict[int, list[int]] = {}
        for index, number in enumerate(records[KIND_OFFSET :: MESSAGE.size]):
            by_kind.setdefault(number, []).append(index)
        for number, indices in by_kind.items():
            if number not in named:
                for index in indices:
                    self._wait(_record(records, index), arena)
                continue
            plain = [index for index in indices if not flags[index]]
            if len(plain) < len(indices):
                for index in set(indices).difference(plain):
                    self._refuse(_record(records, index), "policy-authentication")
            groups = [split_payloads(_message(_record(records, index), arena)) for index in plain]
            for index, reason in zip(plain, self.definitions.refusals(number, groups), strict=True):
                if reason is None:
                    wanted[index] = 1
                else:
                    self._refuse(_record(records, index), reason)
        return bytes(wanted)

    def _wait(self, record: bytes, arena: bytes) -> None:
        fields = MESSAGE.unpack(record)
        message = _message(record, arena)
        if fields[6] & 2:  # without an author: direct and relay kinds, never stored
            self._refuse(record, "policy-authentication")
            return
        waiter = Waiter(
            fields[11],
            Awaited.KIND if fields[5] >= COMMUNITY_KIND_MIN else Awaited.POWER,
            kind=fields[5],
            author=message[2:34],
            message=message,
            global_time=fields[2],
            sequence=fields[3],
            source=fields[10],
        )
        if self.waiting.add(waiter):
            self.counters["waiting"] += 1

    def _refuse(self, record: bytes, reason: str) -> None:
        self.counters[reason] += 1
        self.refusals.add(record[ID_OFFSET : ID_OFFSET + 32], reason)

    def _accept(self, records: bytes, arena: bytes) -> None:
        self._round.blocks.append((records, arena, bytes(len(records) // MESSAGE.size)))
        if self._lanes is not None:
            self._enter(records, arena)

    def _accept_mixed(self, records: bytes, arena: bytes, wanted: bytes, in_order: bytes) -> None:
        accepted = [_record(records, index) for index, ready in enumerate(in_order) if ready]
        if accepted:
            self._accept(b"".join(accepted), arena)
        closer = [
            _record(records, index) for index, ready in enumerate(in_order) if wanted[index] and not ready
        ]
        held = self._store.held(self._community, b"".join(closer))
        late = [record for record, known in zip(closer, held, strict=True) if not known]
        if late and self._lanes is None:
            # From here on some of this round's messages must be found again: keep them by lane.
            self._lanes = {}
            for block_records, block_arena, _ in self._round.blocks:
                self._enter(block_records, block_arena)
        self.counters["duplicate"] += len(closer) - len(late)
        taken = [record for record in late if self._receive_late(record, arena)]
        if taken:
            self._round.blocks.append((b"".join(taken), arena, bytes(len(taken))))

    def _receive_late(self, record: bytes, arena: bytes) -> bool:
        entry, author, kind = _entry(record, arena)
        refused = self._lane(author, kind).receive(entry)
        if refused:
            self._refuse(record, refused)
        return not refused

    def _enter(self, records: bytes, arena: bytes) -> None:
        for index in range(len(records) // MESSAGE.size):
            record = _record(records, index)
            if record[KIND_OFFSET] >= COMMUNITY_KIND_MIN:
                entry, author, kind = _entry(record, arena)
                self._lane(author, kind).enter(entry)

    def _lane(self, author: bytes, kind: int) -> LaneRound:
        assert self._lanes is not None
        lane = self._lanes.get((author, kind))
        if lane is None:
            lane = LaneRound(self._store, community=self._community, author=author, kind=kind)
            self._lanes[author, kind] = lane
        return lane


def _record(records: bytes, index: int) -> bytes:
    return records[index * MESSAGE.size : (index + 1) * MESSAGE.size]


def _message(record: bytes, arena: bytes) -> bytes:
    offset, length = MESSAGE.unpack(record)[:2]
    return arena[offset : offset + length]


def _entry(record: bytes, arena: bytes) -> tuple[LaneEntry, bytes, int]:
    """(entry, author, kind) of a data message's record."""
    fields = MESSAGE.unpack(record)
    author = arena[fields[0] + 2 : fields[0] + 34]
    return LaneEntry(sequence=fields[3], message_id=fields[11], global_time=fields[2]), author, fields[5]
