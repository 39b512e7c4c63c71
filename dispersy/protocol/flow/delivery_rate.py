"""How many datagrams a second arrive: the most of what was measured lately, for a path that was full then."""

from __future__ import annotations

from collections import deque

MEASURE_S = 0.25
_DATAGRAMS = 9
"""The least that a rate is measured over."""
_LIFETIME_S = 3.0
_LIFETIME_ROUND_TRIPS = 10
_GUESS_LIFETIME_S = 1.0


class DeliveryRate:
    """Of one source; `value` in datagrams a second, 0.0 before any is known."""

    __slots__ = ("_counted", "_counts_from", "_guessed", "_guessed_until", "_measured", "value")

    def __init__(self) -> None:
        self.value = 0.0
        self._guessed = self._guessed_until = 0.0
        # (when, rate), the oldest first.
        self._measured: deque[tuple[float, float]] = deque()
        self._counted = 0
        self._counts_from = 0.0

    def arrive(self, now: float, *, round_trip_s: float, least_s: float) -> None:
        """A datagram has come; the next rate is measured over least_s or more."""
        self._counted += 1
        if self._counted < _DATAGRAMS:
            return
        over_s = now - self._counts_from
        if over_s < least_s:
            return
        self._measured.append((now, self._counted / over_s))
        self._counted, self._counts_from = 0, now
        lifetime_s = max(_LIFETIME_S, _LIFETIME_ROUND_TRIPS * round_trip_s)
        while len(self._measured) > 1 and self._measured[0][0] < now - lifetime_s:
            self._measured.popleft()
        if now >= self._guessed_until:
            self._guessed = 0.0
        self.value = max(self._guessed, *(rate for _, rate in self._measured))

    def guess(self, now: float, rate: float) -> None:
        """One answer alone suggests this: for a moment it counts beside what is measured."""
        self._guessed, self._guessed_until = rate, now + _GUESS_LIFETIME_S
        self.value = max(self.value, rate)

    def leave_out(self, now: float, idle_s: float) -> None:
        """Nothing could arrive for so long; before anything is measured all that came counts anew."""
        if self._measured:
            self._counts_from += idle_s
        else:
            self._counted, self._counts_from = 0, now

    def measure_anew(self, now: float) -> None:
        """Count from here, and remember the rates from before as if they were of now."""
        self._measured = deque((now, rate) for _, rate in self._measured)
        self._counted, self._counts_from = 0, now
