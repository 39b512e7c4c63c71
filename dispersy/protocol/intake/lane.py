"""Rules 13 to 15: which of the permitted messages of one lane are live, and which of these are shown.

A lane is what one author (or one ordered pair) says in one kind; a slot is a sequence in it. Who misbehaves,
or says more than the kind allows, is not cut off by who came first: what is live is one greedy choice over
the set. Messages are gone through in an order that each carries itself, and only one that is taken can keep
another out. So whoever drops what was not taken, or never heard of it, decides the same.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from dispersy.protocol.intake.marks import HIDDEN_BY_EQUIVOCATION, HIDDEN_BY_ORDER

SLOT_MAX = 2
"""Live messages of a slot: two prove that their author misbehaves, more would prove nothing else."""
RATE_BLOCK_BITS = 10
"""A rate counts the messages of a lane within 1,024 global times."""


@dataclass(frozen=True, slots=True, order=True)
class LaneEntry:
    """One message of a lane; sorts by (lane, sequence, id).

    lane    its name (protocol.identifiers.lane_name)
    """

    lane: bytes
    sequence: int
    message_id: bytes
    global_time: int


@dataclass(frozen=True, slots=True)
class LaneRules:
    """What the community's definition says about the lanes of a kind.

    newest    slots that stay (last-sync); None: all
    rate      messages within a block of global times that count; 0: all
    """

    newest: int | None = None
    rate: int = 0

    @property
    def is_plain(self) -> bool:
        """Whether a message that comes behind all others of its lane changes nothing about them."""
        return self.newest is None and not self.rate


PLAIN = LaneRules()


@dataclass(slots=True)
class LaneDecision:
    """What is decided about permitted messages, by id.

    marks      of those that are live (0: shown)
    refused    why the others are not: slot-full, superseded, rate
    """

    marks: dict[bytes, int] = field(default_factory=dict)
    refused: dict[bytes, str] = field(default_factory=dict)


def decide_lane(entries: Iterable[LaneEntry], rules: LaneRules = PLAIN) -> LaneDecision:
    """Rules 13 to 15 for all permitted messages of one lane; with `newest` also for both lanes of a pair.

    entries    distinct ids, in any order
    """
    decision = LaneDecision()
    taken: list[LaneEntry] = []
    slots: Counter[tuple[bytes, int]] = Counter()
    blocks: Counter[tuple[bytes, int]] = Counter()
    for entry in _in_turn(entries, rules):
        slot, block = (entry.lane, entry.sequence), (entry.lane, entry.global_time >> RATE_BLOCK_BITS)
        if slots[slot] == SLOT_MAX:
            decision.refused[entry.message_id] = "slot-full"
        elif slot not in slots and len(slots) == rules.newest:
            decision.refused[entry.message_id] = "superseded"
        elif rules.rate and blocks[block] == rules.rate:
            decision.refused[entry.message_id] = "rate"
        else:
            slots[slot] += 1
            blocks[block] += 1
            taken.append(entry)
    _mark(sorted(taken), slots, decision.marks)
    return decision


def _in_turn(entries: Iterable[LaneEntry], rules: LaneRules) -> list[LaneEntry]:
    if rules.newest is None:
        return sorted(entries)
    return sorted(entries, key=lambda entry: (entry.global_time, entry.message_id), reverse=True)


def _mark(taken: Sequence[LaneEntry], slots: Counter[tuple[bytes, int]], marks: dict[bytes, int]) -> None:
    """Hide what shares a slot, and what a higher sequence of its lane has overtaken; `taken` is sorted."""
    lane: bytes | None = None
    least_above: int | None = None  # least global time among strictly higher sequences
    least_here: int | None = None  # the same, with the slot that is being walked through
    sequence_here = -1
    for entry in reversed(taken):
        if entry.lane != lane:
            lane, least_above, least_here, sequence_here = entry.lane, None, None, -1
        if entry.sequence != sequence_here:
            least_above, sequence_here = least_here, entry.sequence
        is_overtaken = least_above is not None and least_above <= entry.global_time
        is_doubled = slots[entry.lane, entry.sequence] > 1
        marks[entry.message_id] = HIDDEN_BY_EQUIVOCATION * is_doubled | HIDDEN_BY_ORDER * is_overtaken
        least_here = entry.global_time if least_here is None else min(least_here, entry.global_time)
