"""Hunger: who knows few neighbours, and has reason to think that there are others, asks for them soon.

A step asks nobody twice within REVISIT_S. Whoever knows the bootstrap alone, or whose neighbours have gone,
would so hear nothing for half a minute, though one more answer may name somebody. So it asks again whom it
asked longest ago, at intervals that double: where there are but two or three, that is over soon.
"""

from __future__ import annotations

from dispersy.constants import REVISIT_S

FED = 4
"""Neighbours that have not fallen silent, from which on a node is not hungry: any of them may soon go."""
HUNGRY_INTERVAL_S = 1.0
"""Until somebody is asked again; doubles each time, and ends where steps do the same."""
HUNGRY_REVISIT_S = 0.5
"""Who was asked so lately may still answer."""


class Hunger:
    """When one community's walk asks again, beside its steps."""

    def __init__(self) -> None:
        self._interval_s = HUNGRY_INTERVAL_S
        self._due_at: float | None = None
        self._is_for_lost = False

    def lose(self, now: float) -> None:
        """A neighbour has fallen silent: begin anew."""
        self._interval_s = HUNGRY_INTERVAL_S
        if self._due_at is None:
            self._due_at = now + self._interval_s
            self._is_for_lost = True

    def regain(self) -> None:
        """It speaks again: it is only far away, or a datagram was lost."""
        if self._is_for_lost:
            self._due_at = None

    def hope(self, now: float) -> None:
        """There is somebody who was not known, or that somebody is not reached."""
        if self._due_at is None and self._interval_s < REVISIT_S:
            self._due_at = now + self._interval_s
            self._is_for_lost = False

    def is_due(self, now: float) -> bool:
        """Whether take() has something to say."""
        return self._due_at is not None and now >= self._due_at

    def take(self, now: float, *, neighbours: int) -> bool:
        """Whether somebody is to be asked again now.

        neighbours  that have not fallen silent
        """
        if not self.is_due(now):
            return False
        self._due_at = None
        if neighbours >= FED:
            self._interval_s = HUNGRY_INTERVAL_S
            return False
        self._interval_s *= 2
        self.hope(now)
        return True

    def next_deadline(self) -> float | None:
        return self._due_at
