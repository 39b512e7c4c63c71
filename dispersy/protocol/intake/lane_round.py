"""One lane within one round of the intake: what is stored, what the round adds, and what that changes.

A *regular* lane has one message a slot and global times that rise with the sequences; then a newcomer needs
only its two neighbours, or where the kind keeps the newest or has a rate, the end of the lane. Anything else
makes the lane *irregular* for ever, and it is decided whole. So is a lane that a control message touches: all
that the log has of it is judged again, live or not.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Protocol

from dispersy.constants import (
    LANE_ALLOWANCE,
    LANE_ALLOWANCE_MAX,
    LANE_MESSAGES_MAX,
    LANE_SIZES_MAX,
    SEQUENCE_MAX,
)
from dispersy.ext.table import Heads
from dispersy.protocol.intake.lane import RATE_BLOCK_BITS, SLOT_MAX, LaneEntry, LaneRules, decide_lane
from dispersy.protocol.intake.marks import HIDDEN_BY_EQUIVOCATION, HIDDEN_BY_ORDER
from dispersy.protocol.intake.received import Authors

LANE_MARKS = HIDDEN_BY_EQUIVOCATION | HIDDEN_BY_ORDER
"""What a lane says of its messages; the other marks are none of its business."""
PRUNED = "pruned"
"""The reason of what is too old to be offered: it has no say any more in what is live."""
LaneKey = tuple[bytes, int]
"""Name and kind."""
Judge = Callable[[Authors, int, int, int], str]
"""(authors, kind, global time, sequence) -> why it is not permitted, "" when it is."""


class LaneSlot(Protocol):
    """What is read of a stored message (storage.store.SlotEntry)."""

    @property
    def sequence(self) -> int: ...
    @property
    def global_time(self) -> int: ...
    @property
    def message_id(self) -> bytes: ...
    @property
    def cursor(self) -> int: ...
    @property
    def marks(self) -> int: ...
    @property
    def live(self) -> bool: ...


class LaneStore(Protocol):
    """What a lane asks of the writer's store."""

    @property
    def heads(self) -> Heads: ...
    def slot(
        self, community: int, name: bytes, kind: int, sequence: int, *, unlive: bool = False
    ) -> Sequence[LaneSlot]: ...
    def neighbours(
        self, community: int, name: bytes, kind: int, sequence: int
    ) -> tuple[LaneSlot | None, LaneSlot | None]: ...
    def lane(self, community: int, name: bytes, kind: int, *, unlive: bool = False) -> Iterator[LaneSlot]: ...


@dataclass(frozen=True, slots=True)
class Fate:
    """What a round has decided about a message of a lane that it looked at: one that it brings, or a stored
    one whose place or marks that changes.

    stored    what the store has of it, None when the round brings it
    marks     what its lane gives it, None: it is not live
    reason    why it is not live
    """

    entry: LaneEntry
    stored: LaneSlot | None
    marks: int | None
    reason: str = ""


class Allowance:
    """How many stored messages of misbehaving authors one community's intake may look at again.

    It is gained with every message taken in and saved up to a bound: so one who misbehaves costs the others
    no more than the messages that they verify anyway. A lane longer than the bound is read when all of it has
    been saved.
    """

    def __init__(self) -> None:
        self._saved = LANE_ALLOWANCE_MAX
        self._sizes: dict[LaneKey, int] = {}

    def gain(self, messages: int) -> None:
        """So many messages have been taken in."""
        self._saved = min(LANE_ALLOWANCE_MAX, self._saved + LANE_ALLOWANCE * messages)

    def limit(self, lane: LaneKey) -> int:
        """How far this lane may be read now; -1: not at all, for it is known to be longer."""
        if self._saved >= LANE_ALLOWANCE_MAX:
            return LANE_MESSAGES_MAX
        return self._saved if self._sizes.get(lane, 0) <= self._saved else -1

    def spend(self, lane: LaneKey, count: int, limit: int) -> bool:
        """That many were read of it; False when it went on behind the limit."""
        if limit < 0:
            return False
        self._saved = max(0, self._saved - count)
        if count <= limit:
            return True
        if len(self._sizes) >= LANE_SIZES_MAX:
            self._sizes.clear()
        # Twice as far the next time, so that looking again and again stays cheap in the long run.
        self._sizes[lane] = min(LANE_ALLOWANCE_MAX, 2 * count)
        return False


class LaneRound:
    """The lanes that are decided together: one, or both of a pair whose newest count as one.

    lanes        name -> authors
    judge        looks at a message's permission; asked only about lanes that are decided whole
    form         looks at the form of a stored one, likewise: (kind, slot) -> why it is not admitted
    inactive_to  the highest global time that is too old
    """

    def __init__(
        self,
        store: LaneStore,
        *,
        community: int,
        kind: int,
        lanes: Mapping[bytes, Authors],
        rules: LaneRules,
        judge: Judge,
        form: Callable[[int, LaneSlot], str],
        inactive_to: int = -1,
    ) -> None:
        self._store = store
        self._inactive_to = inactive_to
        self._community = community
        self._kind = kind
        self.lanes = lanes
        self._rules = rules
        self._judge = judge
        self._form = form
        self._added: list[LaneEntry] = []
        self._added_ids: set[bytes] = set()
        self._irregular: dict[bytes, bool] = {}
        for name in lanes:
            head = store.heads.get(community, name, kind)
            self._irregular[name] = head is not None and head[2]
        self._between: set[bytes] = set()
        self._beyond: set[bytes] = set()
        self._is_touched = False

    def touch(self) -> None:
        """Permission may have changed here: all that is held is judged again."""
        self._is_touched = True

    def enter(self, entry: LaneEntry) -> None:
        """A message that this round has already accepted as in order."""
        insort(self._added, entry)
        self._added_ids.add(entry.message_id)

    def receive(self, entry: LaneEntry) -> str:
        """A permitted message that is not live and did not come in order; why it is not taken, "" when it
        is."""
        if entry.message_id in self._added_ids:
            return "duplicate"
        key = (self._community, entry.lane, self._kind)
        stored = self._store.slot(*key, entry.sequence, unlive=True)
        if any(slot.message_id == entry.message_id for slot in stored):
            # It was live, and is kept out by what still is, or it would live again already.
            return "duplicate"
        slot = [each for each in stored if each.live]
        if self._rules.is_plain and self._is_full(entry, slot):
            # The third of a slot says nothing that the two lowest do not: it costs no look at the lane.
            return "slot-full"
        head = self._store.heads.get(*key)
        sequence, global_time = (head[0], head[1]) if head is not None else (0, 0)
        # What lies beyond everything else hides nothing and is hidden by nothing, however irregular the lane:
        # an author who once erred goes on without the whole lane being read for each message.
        if entry.sequence > sequence and entry.global_time > global_time:
            self._beyond.add(entry.message_id)
        elif not self._rules.is_plain:
            # Decided with the whole lane, as far as the allowance goes, which tells whether it is regular
            # still. Its neighbours may be far, behind all that the newest have put out.
            self._between.add(entry.message_id)
        elif self._irregular[entry.lane] or not self._fits(entry, slot):
            self._irregular[entry.lane] = True
            self._between.add(entry.message_id)
        self.enter(entry)
        self._store.heads.put(
            *key,
            max(sequence, entry.sequence),
            max(global_time, entry.global_time),
            self._irregular[entry.lane],
        )
        return ""

    def _is_full(self, entry: LaneEntry, slot: Sequence[LaneSlot]) -> bool:
        """Whether two lower ids have its slot, and keep it: this round may take it from them."""
        lower = [each for each in slot if each.message_id < entry.message_id]
        return len(lower) == SLOT_MAX and not any(self._reason(_entry_of(entry.lane, each)) for each in lower)

    def _fits(self, entry: LaneEntry, slot: Sequence[LaneSlot]) -> bool:
        """Whether a regular lane stays regular with it."""
        place = bisect_left(self._added, entry)
        near: list[LaneEntry | LaneSlot] = [
            each for each in self._added[max(0, place - 1) : place + 1] if each.lane == entry.lane
        ]
        near.extend(slot)
        both = self._store.neighbours(self._community, entry.lane, self._kind, entry.sequence)
        near.extend(slot for slot in both if slot is not None)
        return all(
            (other.sequence < entry.sequence and other.global_time < entry.global_time)
            or (other.sequence > entry.sequence and other.global_time > entry.global_time)
            for other in near
        )

    def decide(self, fates: dict[bytes, Fate], allowance: Allowance) -> None:
        """Note the fate of everything that the round adds here, and of what is stored and concerned.

        Without allowance what came between others is not taken, and may come again by synchronisation; what
        a control message touches is decided in any case.
        """
        if self._is_touched:
            self._decide_again(fates)
        elif self._between or (self._beyond and not self._has_plain_end()):
            self._decide_whole(fates, allowance)
        elif self._beyond and not self._rules.is_plain:
            self._decide_among(list(self._end()), fates)

    def _has_plain_end(self) -> bool:
        """Whether what came beyond all others concerns only the end of one regular lane."""
        if self._rules.is_plain:
            return True
        is_one_rule = self._rules.newest is None or not self._rules.rate
        return is_one_rule and len(self.lanes) == 1 and not any(self._irregular.values())

    def _decide_again(self, fates: dict[bytes, Fate]) -> None:
        """Judge and decide all that is held."""
        reasons = {entry.message_id: self._reason(entry) for entry in self._added}
        stored = list(self._stored(unlive=True))
        for entry, slot in stored:
            reasons[entry.message_id] = self._reason_of_stored(entry, slot)
        self._decide(stored, reasons, fates)
        self._mark_irregular(stored, fates)

    def _mark_irregular(
        self, stored: Sequence[tuple[LaneEntry, LaneSlot]], fates: Mapping[bytes, Fate]
    ) -> None:
        """What lives may stand between others that came while it did not, or share a slot with one."""
        hidden = {entry.lane for entry, slot in stored if slot.live and slot.marks & LANE_MARKS}
        hidden |= {fate.entry.lane for fate in fates.values() if fate.marks}
        for name in hidden & self.lanes.keys():
            head = self._store.heads.get(self._community, name, self._kind)
            if head is not None and not head[2]:
                self._store.heads.put(self._community, name, self._kind, head[0], head[1], True)

    def _decide_whole(self, fates: dict[bytes, Fate], allowance: Allowance) -> None:
        """Decide with all that may matter, as far as the allowance goes.

        What is not live can matter only where a newcomer that puts one out lets another in: not where two a
        slot is the only rule.
        """
        lane = (min(self.lanes), self._kind)
        limit = allowance.limit(lane)
        stored = list(islice(self._stored(unlive=not self._rules.is_plain), limit + 1))
        if not allowance.spend(lane, len(stored), limit):
            came = self._between | (self._beyond if not self._has_plain_end() else set())
            for entry in self._added:
                if entry.message_id in came:
                    fates[entry.message_id] = Fate(entry, None, None, "lane-refused")
            return
        self._decide_among(stored, fates)
        self._mark_irregular(stored, fates)

    def _decide_among(self, stored: Sequence[tuple[LaneEntry, LaneSlot]], fates: dict[bytes, Fate]) -> None:
        reasons = {
            entry.message_id: self._reason_of_stored(entry, slot) for entry, slot in stored if not slot.live
        }
        self._decide(stored, reasons, fates)

    def _decide(
        self,
        stored: Sequence[tuple[LaneEntry, LaneSlot]],
        reasons: Mapping[bytes, str],
        fates: dict[bytes, Fate],
    ) -> None:
        """reasons: why a message is not permitted, by id; those that are missing are."""
        together = [(entry, None) for entry in self._added] + list(stored)
        old = {each.message_id for each, _ in together if each.global_time <= self._inactive_to}
        reasons = {**reasons, **dict.fromkeys(old, PRUNED)} if old else reasons
        decision = decide_lane(
            (entry for entry, _ in together if not reasons.get(entry.message_id)), self._rules
        )
        for entry, slot in together:
            marks = decision.marks.get(entry.message_id)
            if slot is not None and marks == (slot.marks & LANE_MARKS if slot.live else None):
                continue
            reason = reasons.get(entry.message_id) or decision.refused.get(entry.message_id, "")
            fates[entry.message_id] = Fate(entry, slot, marks, reason)

    def _reason(self, entry: LaneEntry) -> str:
        return self._judge(self.lanes[entry.lane], self._kind, entry.global_time, entry.sequence)

    def _reason_of_stored(self, entry: LaneEntry, slot: LaneSlot) -> str:
        return self._reason(entry) or self._form(self._kind, slot)

    def _stored(self, *, unlive: bool) -> Iterator[tuple[LaneEntry, LaneSlot]]:
        for name in self.lanes:
            for slot in self._store.lane(self._community, name, self._kind, unlive=unlive):
                yield _entry_of(name, slot), slot

    def _end(self) -> Iterator[tuple[LaneEntry, LaneSlot]]:
        """The live messages of a regular lane that those beyond it may put out, or be kept out by."""
        (name,) = self.lanes
        block_low = self._added[0].global_time >> RATE_BLOCK_BITS
        sequence, count = SEQUENCE_MAX + 1, 0
        while self._rules.newest is None or count < self._rules.newest:
            slot, _ = self._store.neighbours(self._community, name, self._kind, sequence)
            if slot is None or (self._rules.rate and slot.global_time >> RATE_BLOCK_BITS < block_low):
                return
            yield _entry_of(name, slot), slot
            sequence, count = slot.sequence, count + 1


def _entry_of(name: bytes, slot: LaneSlot) -> LaneEntry:
    return LaneEntry(name, slot.sequence, slot.message_id, slot.global_time)
