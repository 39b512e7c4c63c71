"""How long an answer takes, and how long to wait for it."""

from __future__ import annotations

from dispersy.constants import REQUEST_TIMEOUT_MAX_S, REQUEST_TIMEOUT_MIN_S, REQUEST_TIMEOUT_START_S

DOUBLINGS_MAX = 10
"""Of the shortest time-out make more than the longest one."""

assert REQUEST_TIMEOUT_MIN_S * 2**DOUBLINGS_MAX > REQUEST_TIMEOUT_MAX_S


class RoundTrips:
    """How long one source takes to answer, and how long to wait for it.

    deviation_s   mean, of round trips from their mean
    timeouts      in a row
    """

    __slots__ = ("deviation_s", "mean_s", "timeouts")

    def __init__(self) -> None:
        self.timeouts = 0
        self.mean_s: float | None = None
        self.deviation_s = 0.0

    def measure(self, round_trip_s: float) -> None:
        """A request's first datagram came after this time; the estimate is TCP's (RFC 6298)."""
        if self.mean_s is None:
            self.mean_s, self.deviation_s = round_trip_s, round_trip_s / 2
            return
        self.deviation_s += (abs(round_trip_s - self.mean_s) - self.deviation_s) / 4
        self.mean_s += (round_trip_s - self.mean_s) / 8

    def timeout_s(self) -> float:
        """How long to wait for a request's next datagram; doubles from the second time-out in a row on."""
        if self.mean_s is None:
            estimate = REQUEST_TIMEOUT_START_S
        else:
            estimate = max(REQUEST_TIMEOUT_MIN_S, self.mean_s + 4 * self.deviation_s)
        return min(REQUEST_TIMEOUT_MAX_S, estimate * 2.0 ** max(0, min(DOUBLINGS_MAX, self.timeouts - 1)))

    def timed_out(self) -> None:
        """A request has had no answer."""
        self.timeouts += 1
