"""How fast neighbours come and go: where many fall silent, the freshest alone are worth asking and naming."""

from __future__ import annotations

from math import exp

from dispersy.constants import STEP_INTERVAL_S
from dispersy.protocol.walk.hunger import Hunger
from dispersy.protocol.walk.isolation import Isolation

MEMORY_S = 4 * STEP_INTERVAL_S
SILENT_MIN = 1.5
SILENT_SHARE_MIN = 0.2
"""From so many neighbours on that fell silent lately, and such a share of those that were asked."""
HURRIED_INTERVAL_S = 1.0
HEARD_ENOUGH = 5
HEARD_WITHIN_S = 4.0
"""Where neighbours go so fast steps follow each other in a second, unless so many were heard that lately."""
HURRIED_REVISIT_S = 5.0
"""And who was asked so long ago is asked again, where all have been asked."""
NAMED_WITHIN_S = 10.0
"""And then only those are introduced that were heard within this time."""


class Turnover:
    """Of one community: neighbours that answered and neighbours that fell silent, the older the less.

    hunger     what the walk does about it where few are left
    isolation  and what where perhaps none is
    """

    def __init__(self) -> None:
        self.hunger = Hunger()
        self.isolation = Isolation()
        self._answered = self._silent = 0.0
        self._at = 0.0

    def answer(self, now: float) -> None:
        """A neighbour that was asked has answered."""
        self._age(now)
        self._answered += 1

    def fall_silent(self, now: float) -> None:
        """A neighbour that was asked has not answered for a while."""
        self._age(now)
        self._silent += 1
        self.hunger.lose(now)

    def take_back(self, now: float) -> None:
        """One that had fallen silent has answered after all: it is only far away."""
        self._age(now)
        self._silent = max(0.0, self._silent - 1)
        self.hunger.regain()

    def is_high(self, now: float) -> bool:
        """Whether neighbours go so fast that only the freshest count."""
        self._age(now)
        asked = self._answered + self._silent
        return self._silent >= SILENT_MIN and self._silent >= SILENT_SHARE_MIN * asked

    def _age(self, now: float) -> None:
        share = exp((self._at - now) / MEMORY_S)
        self._answered *= share
        self._silent *= share
        self._at = now
