"""Seeking: who is behind a NAT and has met but a tracker asks for another one soon, until one is met.

A tracker holds nothing, and names one at a time. Mostly the first that it names is met at once. But where our
NAT gives each way another port, others open theirs for a port that nothing of ours comes from, and we meet
only those whom anybody reaches: that may be one in twenty, and at the pace of steps it was found in minutes.
What NAT it is nobody knows by then, for one sees us alone.
"""

from __future__ import annotations

from dispersy.constants import STEP_INTERVAL_S

SEEKING_INTERVAL_S = 0.5
"""Until another one is asked for: who answers at all has mostly done so by then."""
SEEKING_MAX = 32
"""Asked for so soon; from then on as often as whoever knows nobody asks its bootstrap."""
SEEKING_VAIN_S = 3 * STEP_INTERVAL_S
"""After which nobody is asked for any more where no answer names anybody."""


class Seeking:
    """When one community's walk asks for another one, while none of those named so far is met."""

    def __init__(self) -> None:
        self._asked = 0
        self._named_at = 0.0
        self._due_at: float | None = None

    def name(self, now: float) -> None:
        """Somebody was named."""
        self._named_at = now
        if self._due_at is None:
            self._due_at = now + SEEKING_INTERVAL_S

    def end(self) -> None:
        """Somebody is met, or nobody is there."""
        self._asked = 0
        self._due_at = None

    def is_due(self, now: float) -> bool:
        """Whether another one is to be asked for now, if nobody is met."""
        return self._due_at is not None and now >= self._due_at

    def is_in_vain(self, now: float) -> bool:
        """Whether nobody has been named for a while."""
        return now >= self._named_at + SEEKING_VAIN_S

    def ask(self, now: float) -> None:
        """One is asked for now; whatever comes of it, another will be."""
        self._asked += 1
        self._due_at = now + (SEEKING_INTERVAL_S if self._asked < SEEKING_MAX else STEP_INTERVAL_S)

    def next_deadline(self) -> float | None:
        return self._due_at
