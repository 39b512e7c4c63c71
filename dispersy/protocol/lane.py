"""Rules 13 and 14: what holds among the messages of one author in one kind (a lane).

Two permitted messages in one slot (author, kind, sequence) prove misbehaviour: neither is shown, and the two lowest
ids stay live as the proof. Of two permitted messages a lower sequence with an equal or later global time is hidden.
Both are pure functions of the set, so arrival order does not matter.

A *regular* lane has one message a slot and global times that rise with the sequences; then a newcomer needs only its
two neighbours. Anything else makes the lane *irregular* for ever, and it is decided whole.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from dispersy.protocol.marks import HIDDEN_BY_EQUIVOCATION, HIDDEN_BY_ORDER


@dataclass(frozen=True, slots=True, order=True)
class LaneEntry:
    """One message of a lane; sorts by (sequence, id)."""

    sequence: int
    message_id: bytes
    global_time: int


def decide_lane(entries: Iterable[LaneEntry]) -> dict[bytes, int]:
    """Message id -> marks (0 shown) of what is live among the entries of one lane; what is missing is not live.

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
