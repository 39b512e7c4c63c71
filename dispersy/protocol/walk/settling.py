"""Whether a community has settled: everybody near says the same set, and nobody new turns up."""

from __future__ import annotations

from collections.abc import Sequence

from dispersy.constants import SETTLED_NEIGHBOURS, SETTLING_S
from dispersy.protocol.walk.candidate import Candidate
from dispersy.protocol.walk.shared_pace import SharedPace
from dispersy.protocol.wire.summary import Summary


class Settling:
    """When something last happened of which there may be more.

    is_settled   steps may be far apart, as of the last review
    knows_enough there are so many neighbours that others need not be looked for
    differed_at  when a set was last another one, ours or a neighbour's
    """

    def __init__(self, pace: SharedPace, now: float) -> None:
        self.is_settled = self.knows_enough = False
        self.differed_at = now
        self._met_at = now
        self._pace = pace

    def differ(self, now: float) -> None:
        """There is something to tell or to hear: no longer settled."""
        self.differed_at = now
        self._set(is_settled=False)

    def meet(self, now: float) -> None:
        """Somebody is a neighbour that was not."""
        self._met_at = now

    def review(self, neighbours: Sequence[Candidate], ours: Summary | None, now: float) -> None:
        """Judge anew.

        neighbours  the verified ones
        """
        is_quiet = now >= self.differed_at + SETTLING_S
        # Few are enough only where steps find no more of them: perhaps there are no others.
        self.knows_enough = len(neighbours) >= SETTLED_NEIGHBOURS
        is_known = self.knows_enough or now >= self._met_at + SETTLING_S
        if self._pace.is_metered:
            # Of those that it visits so seldom most have last spoken before the last change.
            neighbours = [each for each in neighbours if each.summary_at >= self.differed_at]
        self._set(is_settled=is_quiet and is_known and _agree(neighbours, ours))

    def _set(self, *, is_settled: bool) -> None:
        if is_settled != self.is_settled:
            self.is_settled = is_settled
            self._pace.set_settled(self, is_settled)


def _agree(neighbours: Sequence[Candidate], ours: Summary | None) -> bool:
    return bool(neighbours) and all(each.in_sync_with(ours) for each in neighbours)
