"""What becomes too old in a round: stored messages that the pruning time has passed.

In a regular lane the old ones are those before all others, and without them the others are as they were.
Where old messages may have kept others out, or hidden them, the lane is decided again without them: who comes
later never hears of them, and has to find the same.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from dispersy.protocol.intake.lane import LaneEntry, LaneRules
from dispersy.protocol.intake.lane_round import PRUNED, Fate
from dispersy.protocol.intake.received import Authors


@dataclass(frozen=True, slots=True)
class Aged:
    """A live stored message that is too old now."""

    entry: LaneEntry
    kind: int
    authors: Authors
    cursor: int
    marks: int
    live: bool = True

    @property
    def sequence(self) -> int:
        return self.entry.sequence

    @property
    def global_time(self) -> int:
        return self.entry.global_time

    @property
    def message_id(self) -> bytes:
        return self.entry.message_id


def needs_look(rules: LaneRules, *, is_irregular: bool) -> bool:
    """Whether a lane may be another without its old messages: where the newest stay, they kept none out."""
    return is_irregular or (bool(rules.rate) and rules.newest is None)


def retire(aged: Sequence[Aged], *, except_for: Collection[Aged]) -> dict[bytes, Fate]:
    """Their fates, but for those whose lanes are decided again."""
    passed_over = {each.message_id for each in except_for}
    return {
        each.message_id: Fate(each.entry, each, None, PRUNED)
        for each in aged
        if each.message_id not in passed_over
    }
