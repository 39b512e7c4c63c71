"""How many fragments may be on their way from one source: as many as keep its link busy, and its queue short.

Small messages take the same way. So the window grows while fragments arrive as fast as the first ones did,
and shrinks where they wait longer on the way: some loss is a link's own and says little, a queue is our
doing. What takes its time though nothing waits for it looks like a queue, too: on ways that delay each
datagram as they like, one among several is soon, and the more they differ the longer the soonest may take. It
is a window and no rate, as sync/flow_control.py has: fragments are to yield to what that one asks
for on the same way, so they take what a short queue leaves and do not look for the most that the way gives.
"""

from __future__ import annotations

from collections import deque

from dispersy.constants import (
    FRAGMENT_QUEUE_S,
    FRAGMENT_WINDOW_MAX,
    FRAGMENT_WINDOW_MIN,
    FRAGMENT_WINDOW_START,
    REQUEST_TIMEOUT_MAX_S,
    REQUEST_TIMEOUT_MIN_S,
    REQUEST_TIMEOUT_START_S,
)

_LEAST_KEPT_S = 10.0
"""After so long the least round trip is found anew, for ways change."""
_RECENT = 8
"""Round trips of which the least tells the queue, once the first queue was seen. Before that each tells it:
the window doubles, and while eight come it may have grown by all that a slow link carries in a second."""
_JITTER_SHARE = 6.0
_JITTER_MAX_S = 0.2
"""How many times what round trips get shorter from one to the next, in the mean, passes for no queue, and the
most that does: so much may small messages be delayed at worst."""
_REORDER_MIN_S, _REORDER_MAX_S = 0.02, 0.5
"""How much later a fragment may come than one that was asked for after it, until it counts as lost: learnt
from those that came after that, and forgotten slowly."""


class FragmentPace:
    """Of one source.

    window      fragments that may be on their way
    reorder_s   how much later one may come than one that was asked for after it
    """

    def __init__(self) -> None:
        self.window = float(FRAGMENT_WINDOW_START)
        self._mean_s: float | None = None
        self._deviation_s = 0.0
        self.reorder_s = _REORDER_MIN_S
        self._silences = 0
        self._silent_at = 0.0
        self._is_starting = True
        self._shrunk_at = 0.0
        self._recent: deque[float] = deque(maxlen=_RECENT)
        self._jitter_s = 0.0
        # The least round trip of this stretch of time and of the one before.
        self._least_s: list[float] = []
        self._stretch_at = 0.0

    def measure(self, round_trip_s: float, now: float) -> None:
        """The first fragment of a request came so long after it; the estimate is TCP's (RFC 6298)."""
        # After a silence the way may be another one: what it carries is found out anew.
        self._is_starting = self._is_starting or self._silences > 1
        self._silences = 0
        self.reorder_s = max(_REORDER_MIN_S, self.reorder_s * 0.98)
        if self._mean_s is None:
            self._mean_s, self._deviation_s = round_trip_s, round_trip_s / 2
        else:
            self._deviation_s += (abs(round_trip_s - self._mean_s) - self._deviation_s) / 4
            self._mean_s += (round_trip_s - self._mean_s) / 8
        if not self._least_s or now >= self._stretch_at + _LEAST_KEPT_S:
            self._least_s = [round_trip_s, *self._least_s[:1]]
            self._stretch_at = now
        self._least_s[0] = min(self._least_s[0], round_trip_s)
        if self._recent:
            # A queue grows in leaps, by whole requests, and shrinks slowly: what leaps down is the way's own.
            shorter_s = max(0.0, self._recent[-1] - round_trip_s)
            self._jitter_s += (shorter_s - self._jitter_s) / 8
        self._recent.append(round_trip_s)
        if self._is_queueing(round_trip_s):
            self._is_starting = False
            # Once a round trip: what is on its way was asked before.
            if now >= self._shrunk_at + self._mean_s:
                self._shrunk_at = now
                self.window = max(FRAGMENT_WINDOW_MIN, self.window * 0.8)

    def _is_queueing(self, round_trip_s: float) -> bool:
        """Whether what comes now has waited behind what we had asked for."""
        least_s = min(self._least_s)
        jitter_s = min(_JITTER_MAX_S, _JITTER_SHARE * self._jitter_s)
        limit_s = max(FRAGMENT_QUEUE_S, least_s / 4, jitter_s)
        is_judged = self._is_starting or len(self._recent) == _RECENT
        soonest_s = round_trip_s if self._is_starting else min(self._recent)
        return is_judged and soonest_s - least_s > limit_s

    def arrived(self) -> None:
        """A fragment that was asked for is here."""
        growth = 1.0 if self._is_starting else 1.0 / self.window
        self.window = min(FRAGMENT_WINDOW_MAX, self.window + growth)

    def lost(self) -> None:
        """Something was lost among what arrived."""
        self._is_starting = False

    def came_late(self) -> None:
        """A fragment came that had counted as lost."""
        self.reorder_s = min(_REORDER_MAX_S, self.reorder_s * 1.5)

    def silent(self, now: float) -> None:
        """A request brought nothing in all its time; of several that end together one counts."""
        if now < self._silent_at + self.timeout_s():
            return
        self._silent_at = now
        self._silences += 1
        self._is_starting = False
        if self._silences > 1:
            self.window = max(FRAGMENT_WINDOW_MIN, self.window / 2)

    def timeout_s(self) -> float:
        """How long a request's next fragment may take; doubles with each silence but the first."""
        if self._mean_s is None:
            estimate = REQUEST_TIMEOUT_START_S
        else:
            estimate = max(REQUEST_TIMEOUT_MIN_S, self._mean_s + 4 * self._deviation_s)
        return min(REQUEST_TIMEOUT_MAX_S, estimate * 2.0 ** max(0, self._silences - 1))
