"""Pruning by global time: what of a kind is too old to be offered, and what too old to be kept.

The time that counts is the *pruning time*: our clock, as far as permitted messages bear it out. It never
falls, for what is gone does not come back. It counts in steps, for each kind a power of two and at most an
eighth of its inactive threshold: between two steps nothing leaves, so that a set stands still long enough to
be compared. Since steps of all kinds are multiples of the smallest, the number of that one, the *horizon*,
says for every kind what has left.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

HORIZON_MODULUS = 1 << 16
"""A summary has 16 bits for the horizon; what it says is taken to be less than half of that from ours."""
STEPS_PER_THRESHOLD = 8


@dataclass(frozen=True, slots=True)
class Pruning:
    """Thresholds of a kind, in global time below the pruning time; prune_after is above inactive_after."""

    inactive_after: int
    prune_after: int

    @property
    def step(self) -> int:
        """What its cuts move by: the highest power of two within an eighth of inactive_after, at least 1."""
        return 1 << max(0, (self.inactive_after // STEPS_PER_THRESHOLD).bit_length() - 1)

    def inactive_to(self, time: int) -> int:
        """The highest global time that is inactive at a pruning time; below 0: none."""
        return time - time % self.step - self.inactive_after

    def pruned_to(self, time: int) -> int:
        """The highest global time that is gone at a pruning time; below 0: none."""
        return time - time % self.step - self.prune_after


def step_of(kinds: Iterable[Pruning]) -> int:
    """Global times between two horizons of a community that has these kinds; 0: nothing is ever pruned."""
    return min((pruning.step for pruning in kinds), default=0)


def horizon_at(time: int, step: int) -> int:
    """The horizon as a summary says it; 0 where nothing is ever pruned."""
    return time // step % HORIZON_MODULUS if step else 0


def is_later(horizon: int, other: int) -> bool:
    """Whether a horizon is later than another one, as numbers that go round are compared."""
    return 0 < (horizon - other) % HORIZON_MODULUS < HORIZON_MODULUS // 2
