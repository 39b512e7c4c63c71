"""What neighbours' clocks say to one whose own is behind: a newcomer's, and one that pruning has left behind,
where what would lift it step by step is gone."""

from __future__ import annotations

from dispersy.protocol.pruning import is_later
from dispersy.protocol.wire.summary import Summary
from dispersy.storage.store import CommunityState

CLOCK_VOICES = 5
CLOCK_VOICES_S = 2.0


class ClockVoices:
    """Of one community: the clocks of up to five neighbours, and when they are counted.

    due    when the median of those that were heard is taken; None: nobody waits for it
    """

    def __init__(self) -> None:
        self.due: float | None = None
        self._is_newcomer = False
        self._voices: dict[bytes, int] = {}

    def hear(self, source: bytes, summary: Summary, ours: CommunityState, now: float) -> int | None:
        """A neighbour's word; the clock of one whose horizon is later, which is followed a little way."""
        is_behind = is_later(summary.horizon, ours.summary.horizon)
        if is_behind and self.due is None:
            self._voices.clear()
        if len(self._voices) < CLOCK_VOICES and source not in self._voices:
            is_newcomer = not self._voices and ours.clock == 0
            if self.due is None and (is_behind or is_newcomer):
                self.due = now + CLOCK_VOICES_S
                self._is_newcomer = ours.clock == 0
            self._voices[source] = summary.highest
            if len(self._voices) == CLOCK_VOICES and self.due is not None:
                self.due = now
        return summary.highest if is_behind else None

    def take(self, now: float) -> tuple[int, bool] | None:
        """The median, once it is due, of two the lower one; whether a newcomer takes it, with nothing of its
        own to hold against what it is told."""
        if self.due is None or now < self.due:
            return None
        self.due = None
        voices = sorted(self._voices.values())
        return voices[(len(voices) - 1) // 2], self._is_newcomer
