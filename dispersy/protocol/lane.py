"""Rules 13 and 14: what holds among the messages of one author in one kind (a lane).

Two permitted messages in one slot (author, kind, sequence) prove misbehaviour: neither is shown, and the two
lowest ids stay live as the proof. Of two permitted messages a lower sequence with an equal or later global
time is hidden. Both are pure functions of the set, so arrival order does not matter.

A *regular* lane has one message a slot and global times that rise with the sequences; then a newcomer needs
only its two neighbours. Anything else makes the lane *irregular* for ever, and it is decided whole.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Protocol

from dispersy.constants import LANE_ALLOWANCE, LANE_ALLOWANCE_MAX, LANE_MESSAGES_MAX, LANE_SIZES_MAX
from dispersy.ext.table import Heads
from dispersy.protocol.marks import HIDDEN, HIDDEN_BY_EQUIVOCATION, HIDDEN_BY_ORDER

UNLIVE = -1
"""Instead of marks: out of the live set."""


@dataclass(frozen=True, slots=True, order=True)
class LaneEntry:
    """One message of a lane; sorts by (sequence, id)."""

    sequence: int
    message_id: bytes
    global_time: int


def decide_lane(entries: Iterable[LaneEntry]) -> dict[bytes, int]:
    """Message id -> marks (0 shown) of what is live among the entries of one lane; what is missing is not
    live.

    entries    distinct ids, in any order
    """
    live: list[tuple[LaneEntry, int]] = []
    ordered = sorted(entries)
    first = 0
    while first < len(ordered):
        after = first
        while after < len(ordered) and ordered[after].sequence == ordered[first].sequence:
            after += 1
        marks = HIDDEN_BY_EQUIVOCATION if after - first > 1 else 0
        live.extend((entry, marks) for entry in ordered[first : min(after, first + 2)])
        first = after
    return _hide_by_order(live)


def _hide_by_order(live: Sequence[tuple[LaneEntry, int]]) -> dict[bytes, int]:
    decided: dict[bytes, int] = {}
    least_above: int | None = None  # least global time among strictly higher sequences
    least_here: int | None = None  # the same, with the slot that is being walked through
    sequence_here = -1
    for entry, marks in reversed(live):
        if entry.sequence != sequence_here:
            least_above, sequence_here = least_here, entry.sequence
        hidden = least_above is not None and least_above <= entry.global_time
        decided[entry.message_id] = marks | (HIDDEN_BY_ORDER if hidden else 0)
        least_here = entry.global_time if least_here is None else min(least_here, entry.global_time)
    return decided


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


class LaneStore(Protocol):
    """What a lane asks of the writer's store."""

    @property
    def heads(self) -> Heads: ...
    def slot(self, community: int, author: bytes, kind: int, sequence: int) -> Sequence[LaneSlot]: ...
    def neighbours(
        self, community: int, author: bytes, kind: int, sequence: int
    ) -> tuple[LaneSlot | None, LaneSlot | None]: ...
    def lane(self, community: int, author: bytes, kind: int) -> Iterator[LaneSlot]: ...


@dataclass(frozen=True, slots=True)
class Change:
    """A stored message that a round shows, hides or (marks UNLIVE) takes out of the live set.

    reason    "equivocation" or "order" when it is hidden now and was not, "restored" when it is shown again,
              else ""
    """

    message_id: bytes
    cursor: int
    marks: int
    reason: str


class Allowance:
    """How many stored messages of misbehaving authors one community's intake may look at again.

    It is gained with every message taken in and saved up to a bound: so one who misbehaves costs the others
    no more than the messages that they verify anyway. A lane longer than the bound is read when all of it has
    been saved.
    """

    def __init__(self) -> None:
        self._saved = LANE_ALLOWANCE_MAX
        self._sizes: dict[tuple[int, bytes, int], int] = {}

    def gain(self, messages: int) -> None:
        """So many messages have been taken in."""
        self._saved = min(LANE_ALLOWANCE_MAX, self._saved + LANE_ALLOWANCE * messages)

    def limit(self, lane: tuple[int, bytes, int]) -> int:
        """How far this lane may be read now; -1: not at all, for it is known to be longer."""
        if self._saved >= LANE_ALLOWANCE_MAX:
            return LANE_MESSAGES_MAX
        return self._saved if self._sizes.get(lane, 0) <= self._saved else -1

    def spend(self, lane: tuple[int, bytes, int], count: int, limit: int) -> bool:
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
    """One lane within one round of the intake: what is stored, and what this round adds to it."""

    def __init__(self, store: LaneStore, *, community: int, author: bytes, kind: int) -> None:
        self._store = store
        self._key = (community, author, kind)
        self._added: list[LaneEntry] = []
        self._added_ids: set[bytes] = set()
        head = store.heads.get(*self._key)
        self._irregular = head is not None and head[2]
        self._between: set[bytes] = set()

    def enter(self, entry: LaneEntry) -> None:
        """A message that this round has already accepted as in order."""
        insort(self._added, entry)
        self._added_ids.add(entry.message_id)

    def receive(self, entry: LaneEntry) -> str:
        """A message that is not stored and did not come in order; why it is not taken, "" when it is."""
        if entry.message_id in self._added_ids:
            return "duplicate"
        slot = self._store.slot(*self._key, entry.sequence)
        if len(slot) == 2 and all(stored.message_id < entry.message_id for stored in slot):
            # The third of a slot says nothing that the two lowest do not: it costs no look at the lane.
            return "slot-full"
        head = self._store.heads.get(*self._key)
        sequence, global_time = (head[0], head[1]) if head is not None else (0, 0)
        # What lies beyond everything else hides nothing and is hidden by nothing, however irregular the lane:
        # an author who once erred goes on without the whole lane being read for each message.
        beyond = entry.sequence > sequence and entry.global_time > global_time
        if not beyond and (self._irregular or not self._fits(entry, slot)):
            self._irregular = True
            self._between.add(entry.message_id)
        self.enter(entry)
        self._store.heads.put(
            *self._key, max(sequence, entry.sequence), max(global_time, entry.global_time), self._irregular
        )
        return ""

    def _fits(self, entry: LaneEntry, slot: Sequence[LaneSlot]) -> bool:
        """Whether a regular lane stays regular with it."""
        place = bisect_left(self._added, entry)
        near: list[LaneEntry | LaneSlot] = [*self._added[max(0, place - 1) : place + 1]]
        near.extend(slot)
        near.extend(slot for slot in self._store.neighbours(*self._key, entry.sequence) if slot is not None)
        return all(
            (other.sequence < entry.sequence and other.global_time < entry.global_time)
            or (other.sequence > entry.sequence and other.global_time > entry.global_time)
            for other in near
        )

    def decide(self, changes: list[Change], fates: dict[bytes, int], allowance: Allowance) -> None:
        """Where messages came between others in an irregular lane: append what changes among the stored, and
        note the marks of what was added. Without allowance what came between is not taken, and may come again
        by synchronisation."""
        if not self._between:
            return
        cursors: dict[bytes, int] = {}
        stored: list[LaneEntry] = []
        limit = allowance.limit(self._key)
        for slot in islice(self._store.lane(*self._key), limit + 1):
            cursors[slot.message_id] = slot.cursor
            stored.append(LaneEntry(slot.sequence, slot.message_id, slot.global_time))
        if not allowance.spend(self._key, len(stored), limit):
            fates |= dict.fromkeys(self._between, UNLIVE)
            return
        before = decide_lane(stored)
        after = decide_lane([*stored, *self._added])
        for entry in self._added:
            fates[entry.message_id] = after.get(entry.message_id, UNLIVE)
        for message_id, cursor in cursors.items():
            marks = after.get(message_id, UNLIVE)
            if marks != before[message_id]:
                changes.append(Change(message_id, cursor, marks, _reason(before[message_id], marks)))


def _reason(before: int, after: int) -> str:
    if after == UNLIVE or after & HIDDEN:
        if before & HIDDEN:
            return ""
        return "order" if after == HIDDEN_BY_ORDER else "equivocation"
    return "restored"
