"""What becomes too old in a round: stored messages that the pruning time has passed.

In a regular lane the old ones are those before all others, and without them the others are as they were.
Where old messages may have kept others out, or hidden them, the lane is decided again without them: who comes
later never hears of them, and has to find the same.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass

from dispersy.protocol.intake.lane import LaneEntry, LaneRules
from dispersy.protocol.intake.lane_round import PRUNED, Fate, LaneStore
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


def concerned(
    aged: Sequence[Aged],
    *,
    store: LaneStore,
    community: int,
    rules_of: Callable[[int], LaneRules],
    opened: Collection[tuple[int, bytes]],
) -> list[Aged]:
    """Those of the old ones without which their lanes may be others.

    opened    (kind, lane) of those at which the round looks closer anyway
    """
    lanes: dict[tuple[int, bytes], list[Aged]] = {}
    for each in aged:
        lanes.setdefault((each.kind, each.entry.lane), []).append(each)
    found: list[Aged] = []
    for (kind, lane), old in lanes.items():
        head = store.heads.get(community, lane, kind)
        rules = rules_of(kind)
        if not _needs_look(rules, is_irregular=head is not None and head[2]):
            continue
        if not rules.is_plain or (kind, lane) in opened or not _leaves_rest_alone(store, community, old):
            found += old
    return found


def _needs_look(rules: LaneRules, *, is_irregular: bool) -> bool:
    """Whether a lane may be another without its old messages: where the newest stay, they kept none out."""
    return is_irregular or (bool(rules.rate) and rules.newest is None)


def _leaves_rest_alone(store: LaneStore, community: int, aged: Sequence[Aged]) -> bool:
    """Whether the rest of a lane, where two a slot is the only rule, is as it was without these.

    It is where none of them shares its slot with one that stays, or has a higher sequence than one that
    stays, which it has hidden. So an author who once erred has not all that is live of it decided again at
    each step.
    """
    gone = {each.message_id for each in aged}
    for each in aged:
        place = (community, each.entry.lane, each.kind, each.sequence)
        beside = [*store.slot(*place, unlive=True), store.neighbours(*place)[0]]
        if any(other is not None and other.message_id not in gone for other in beside):
            return False
    return True


def retire(aged: Sequence[Aged], *, except_for: Collection[Aged]) -> dict[bytes, Fate]:
    """Their fates, but for those whose lanes are decided again."""
    passed_over = {each.message_id for each in except_for}
    return {
        each.message_id: Fate(each.entry, each, None, PRUNED)
        for each in aged
        if each.message_id not in passed_over
    }
