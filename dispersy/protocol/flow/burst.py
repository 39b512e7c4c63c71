"""How long an answer may be, so that the narrowest place on its way takes it at once.

An answer leaves as fast as its sender can, and a router that has room for a few datagrams drops the rest of
it: its end. What a link loses by itself is lost anywhere in it, and a short answer is as likely to be
complete as its last datagram is to arrive, so it is the missing end alone that makes answers shorter.
"""

from __future__ import annotations

_GROWTH = 0.1
"""Datagrams, for each answer that came to its end."""
_SHRINKAGE = 0.5
"""Of the datagrams that were missing of one that did not."""


class Burst:
    """Of one source.

    least, most   datagrams
    """

    def __init__(self, least: int, most: int) -> None:
        self._least, self._most = least, most
        self._limit = float(most)

    @property
    def limit(self) -> int:
        """Datagrams that one answer may have."""
        return int(self._limit)

    def took(self) -> None:
        """An answer came to its end."""
        self._limit = min(self._most, self._limit + _GROWTH)

    def cut(self, arrived: int, lost: int) -> None:
        """So much of one came, and its end did not."""
        shorter = arrived if lost > arrived else min(self._limit, arrived + lost) - _SHRINKAGE * lost
        self._limit = max(self._least, min(self._limit, shorter))
