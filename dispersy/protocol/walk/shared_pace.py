"""How often the settled communities of one node step, and at which moments: fifty cost what a few do.

A community is settled (settling.py) when a step would most likely tell it nothing. The more of them there
are, the further apart each one's steps are, so that all together they take little more than one alone; its
neighbours, who would be forgotten meanwhile, are kept by pings (keep_alive.py). What is not urgent happens at
ticks, which all communities of a node share: the node wakes once for all, and what it sends leaves in one
burst.
"""

from __future__ import annotations

from weakref import WeakSet

from dispersy.constants import (
    SETTLED_STEP_INTERVAL_MAX_S,
    SETTLED_STEP_SHARE_S,
    STEP_INTERVAL_S,
    TICK_S,
)
from dispersy.protocol.walk.metered import METERED_STEP_S


class SharedPace:
    """What the walkers of one node share.

    phase_s     of the ticks; another one at each node, or neighbours would ping each other at the same moment
    is_metered  each tick costs: they are far apart, and nobody is pinged
    """

    def __init__(self, *, phase_s: float = 0.0, is_metered: bool = False) -> None:
        self.is_metered = is_metered
        self._tick_s = METERED_STEP_S if is_metered else TICK_S
        self._phase_s = phase_s % self._tick_s
        # Weak: a community that is left counts no longer, whoever forgets to say so.
        self._settled: WeakSet[object] = WeakSet()

    def set_settled(self, walker: object, settled: bool) -> None:
        if settled:
            self._settled.add(walker)
        else:
            self._settled.discard(walker)

    @property
    def spaces_steps(self) -> bool:
        """Whether settled communities step more seldom than others."""
        return self.step_interval_s() > STEP_INTERVAL_S

    @property
    def keeps_by_pings(self) -> bool:
        """Whether they step so seldom that their neighbours must be kept otherwise."""
        return self.spaces_steps and not self.is_metered

    def step_interval_s(self) -> float:
        """Between two steps of a settled community."""
        if self.is_metered:
            return METERED_STEP_S
        others = max(0, len(self._settled) - 1)
        return min(SETTLED_STEP_INTERVAL_MAX_S, STEP_INTERVAL_S + others * SETTLED_STEP_SHARE_S)

    def tick_after(self, moment: float) -> float:
        """The first tick later than this moment."""
        ticks = (moment - self._phase_s) // self._tick_s + 1
        tick = self._phase_s + ticks * self._tick_s
        # Rounding must not give the moment itself, or whoever waits for the tick would spin.
        return tick if tick > moment else tick + self._tick_s
