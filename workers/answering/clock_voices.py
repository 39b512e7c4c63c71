"""What neighbours' clocks say to one whose own is behind: a newcomer's, and one that pruning has left behind,
where what would lift it step by step is gone."""

from __future__ import annotations

from dispersy.protocol.address import Address
from dispersy.protocol.hosts import Host, host_of
from dispersy.protocol.pruning import is_later
from dispersy.protocol.wire.summary import Summary
from dispersy.storage.store import CommunityState

CLOCK_VOICES = 5
CLOCK_VOICES_MIN = 3
"""Hosts whose median a newcomer takes as it is, with nothing of its own to hold against it: among fewer a
single liar decides."""
CLOCK_VOICES_S = 2.0


class ClockVoices:
    """Of one community: the clocks of neighbours on up to five hosts, and when they are counted.

    due    when the median of those that were heard is taken; None: nobody waits for it
    """

    def __init__(self) -> None:
        self.due: float | None = None
        self._is_newcomer = False
        self._is_unsure = False  # a newcomer that has heard too few
        self._voices: dict[Host | Address, int] = {}

    def hear(self, source: Address, summary: Summary, ours: CommunityState, now: float) -> int | None:
        """A neighbour's word; the clock of one whose horizon is later, which is followed a little way."""
        is_behind = is_later(summary.horizon, ours.summary.horizon)
        if is_behind and self.due is None and not self._is_unsure:
            self._voices.clear()
        host = host_of(source) or source
        if len(self._voices) < CLOCK_VOICES and (self._is_unsure or host not in self._voices):
            is_first = not self._voices and ours.clock == 0
            is_newcomer = is_first or (self._is_unsure and summary.highest > ours.clock)
            if self.due is None and (is_behind or is_newcomer):
                self.due = now + CLOCK_VOICES_S
                self._is_newcomer = ours.clock == 0 or self._is_unsure
            self._voices[host] = summary.highest
            if len(self._voices) == CLOCK_VOICES and self.due is not None:
                self.due = now
        return summary.highest if is_behind else None

    def take(self, now: float) -> tuple[int, bool, bool] | None:
        """The median, once it is due, of two the lower one; whether it is believed across a gap; whether a
        newcomer takes it. One that has heard too few hosts listens on."""
        if self.due is None or now < self.due:
            return None
        self.due = None
        voices = sorted(self._voices.values())
        self._is_unsure = self._is_newcomer and len(voices) < CLOCK_VOICES_MIN
        return voices[(len(voices) - 1) // 2], not self._is_unsure, self._is_newcomer
