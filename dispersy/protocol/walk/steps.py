"""When the next step of a walk is: soon for newcomers and lonely ones, far off where all have settled."""

from __future__ import annotations

from random import Random

from dispersy.constants import (
    EARLY_STEP_INTERVAL_S,
    EARLY_STEPS_MAX,
    LONELY_INTERVALS_S,
    STEP_INTERVAL_S,
)
from dispersy.protocol.walk.settling import Settling
from dispersy.protocol.walk.shared_pace import SharedPace
from dispersy.protocol.walk.turnover import HURRIED_INTERVAL_S

SPREAD_MIN = 0.6
"""Of the interval between a settled community's steps, the part after which the next may come."""


class Steps:
    """The clock of one community's steps.

    interval_s  between them once neighbours are known and while there may be news
    lonely      how many there were in a row with nobody known
    """

    def __init__(
        self, *, interval_s: float, settling: Settling, pace: SharedPace, rng: Random, now: float
    ) -> None:
        self.lonely = 0
        self._interval_s = interval_s
        self._settling = settling
        self._pace = pace
        self._rng = rng
        self._early = 0
        self._at = self._last_at = now

    def due_at(self) -> float:
        """A step that was put off for long is due earlier when there is no reason any more."""
        if self._settling.is_settled:
            return min(self._at, self._pace.tick_after(self._last_at + self._settled_interval_s()))
        return min(self._at, max(self._last_at, self._settling.differed_at) + self._interval_s)

    def hasten(self, moment: float) -> None:
        """The next one comes at this moment at the latest."""
        self._at = min(self._at, moment)

    def begin_again(self, now: float) -> None:
        """As a newcomer: at once, and then quickly."""
        self.lonely = self._early = 0
        self._at = now

    def hasten_early(self, now: float) -> None:
        """Somebody answered: a newcomer goes on at once."""
        if self._early < EARLY_STEPS_MAX:
            self.hasten(now + EARLY_STEP_INTERVAL_S)

    def take_lonely(self, now: float, *, addresses: int) -> None:
        """One was taken with nobody known.

        addresses  of the bootstrap, each of which is asked before the pace slows
        """
        rounds = self.lonely // max(1, addresses)
        interval_s = LONELY_INTERVALS_S[min(rounds, len(LONELY_INTERVALS_S) - 1)]
        self.lonely += 1
        self._last_at = now
        # Fifty communities in which nobody is wake the node as often as one.
        self._at = now + interval_s if interval_s < STEP_INTERVAL_S else self._pace.tick_after(now)

    def take(self, now: float, *, asked: bool, is_hurried: bool = False) -> None:
        """One was taken among neighbours, and there was somebody to ask, or not.

        is_hurried   neighbours go so fast that others have to be found soon
        """
        self.lonely = 0
        self._last_at = now
        early = asked and self._early < EARLY_STEPS_MAX
        self._early += early
        if is_hurried:
            self._at = now + min(HURRIED_INTERVAL_S, self._interval_s)
        elif self._settling.is_settled and self._pace.spaces_steps:
            # Not at the very same time again, or those that settled together would step together for ever.
            spread = SPREAD_MIN + (1 - SPREAD_MIN) * self._rng.random()
            self._at = self._pace.tick_after(now + spread * self._settled_interval_s())
        else:
            self._at = now + (EARLY_STEP_INTERVAL_S if early else self._interval_s)

    def _settled_interval_s(self) -> float:
        return max(self._interval_s, self._pace.step_interval_s())
