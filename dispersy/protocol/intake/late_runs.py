"""Messages that come below others of their lane, many at once and in order among themselves.

So come those of two verifiers, or of two neighbours: whole stretches of a lane, one after the other. A
stretch between two neighbours of a regular lane, with nothing of the log in it, leaves the lane regular, so
two look-ups decide all of it and no message is looked at (lane_round.py does what this does not).
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from operator import attrgetter
from typing import Protocol

from dispersy.ext.table import Heads
from dispersy.protocol.intake.lane_round import LaneKey, LaneSlot
from dispersy.protocol.intake.received import Received


class RunStore(Protocol):
    """What is asked of the writer's store: what was committed before this round."""

    @property
    def heads(self) -> Heads: ...
    def neighbours(
        self, community: int, name: bytes, kind: int, sequence: int
    ) -> tuple[LaneSlot | None, LaneSlot | None]: ...
    def holds_between(self, community: int, name: bytes, kind: int, low: int, high: int) -> bool: ...


class LateRuns:
    """One a community; knows what a round has taken by it."""

    def __init__(self, store: RunStore, *, community: int) -> None:
        self._store = store
        self._community = community
        self.begin()

    def begin(self) -> None:
        """Another round."""
        self._taken: dict[LaneKey, list[tuple[Received, Received]]] = {}

    def take(self, received: Sequence[Received]) -> bool:
        """Whether all of these may be taken as they are: permitted messages, not live, of kinds whose lanes
        are plain, while the round has looked at no lane."""
        runs: dict[LaneKey, list[Received]] = {}
        for each in received:
            runs.setdefault((each.lane, each.kind), []).append(each)
        for lane, run in runs.items():
            run.sort(key=attrgetter("sequence"))
            if not self._fits(lane, run):
                return False
        for lane, run in runs.items():
            self._taken.setdefault(lane, []).append((run[0], run[-1]))
        return True

    def _fits(self, lane: LaneKey, run: Sequence[Received]) -> bool:
        """Whether a run rises, between stored neighbours or others of this round that it has nothing to do
        with."""
        name, kind = lane
        first, last = run[0], run[-1]
        head = self._store.heads.get(self._community, name, kind)
        if head is None or head[2] or not all(_precedes(low, high) for low, high in pairwise(run)):
            return False
        below, above = self._store.neighbours(self._community, name, kind, first.sequence)
        # Of what this round has taken in order, which the store does not know yet, all is above that.
        if above is None or not _precedes(last, above) or not (below is None or _precedes(below, first)):
            return False
        if self._store.holds_between(self._community, name, kind, first.sequence, last.sequence):
            return False
        return all(_precedes(last, low) or _precedes(high, first) for low, high in self._taken.get(lane, ()))


def _precedes(one: LaneSlot | Received, other: LaneSlot | Received) -> bool:
    """Whether of two messages of a lane one is before the other in sequence and in global time."""
    return one.sequence < other.sequence and one.global_time < other.global_time
