"""Which share of all datagrams is lost, and whether that is the link's own loss or our doing.

What is lost while we ask for less than the link is known to carry is lost by the link; where more is lost at
other times, a queue without room drops it, and it would be no use to ask for more.
"""

from __future__ import annotations

_DATAGRAMS = 400
"""That the shares are means over, about."""
_SLOW_MIN = 100
"""Datagrams of times in which little was asked for, from which on the link's own loss is known."""
_OURS_MIN = 0.06
_OURS_MARGIN = 0.03
_OURS_RATIO = 1.25


class Losses:
    """Of one source.

    link    share that is the link's own, as far as known
    """

    __slots__ = ("_slow_seen", "_total", "link")

    def __init__(self) -> None:
        self.link = self._total = 0.0
        self._slow_seen = 0

    def note(self, arrived: int, lost: int, *, is_slow: bool) -> None:
        """What became of a request's answer; is_slow: it was asked for when little was."""
        seen = arrived + lost
        self._total += seen / (seen + _DATAGRAMS) * (lost / seen - self._total)
        if is_slow:
            self._slow_seen = min(_DATAGRAMS, self._slow_seen + seen)
            self.link += seen / max(_DATAGRAMS / 4, self._slow_seen) * (lost / seen - self.link)

    def are_ours(self, *, in_doubt: bool = False) -> bool:
        """Whether more is lost than the link loses by itself; in_doubt: what is said before that is known."""
        limit = max(_OURS_MIN, _OURS_RATIO * self.link + _OURS_MARGIN)
        return (in_doubt or self._slow_seen >= _SLOW_MIN) and self._total > limit
