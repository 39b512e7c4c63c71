"""How long an answer may be, so that the narrowest place on its way takes it at once.

An answer leaves as fast as its sender can, and a router that has room for a few datagrams drops the rest of
it: its end. So an end that is missing makes answers shorter; what is lost in the middle does not. A link
loses ends by itself, too, as often as anything else: so often they count for little.
"""

from __future__ import annotations

_GROWTH = 0.1
"""Datagrams, for each answer that came to its end."""
_SHRINKAGE = 0.5
"""Of the datagrams that were missing of one that did not."""
_KEPT = 0.8
"""Share of the growth that ends may cost that are missing no more often than the link loses them."""


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

    def cut(self, arrived: int, lost: int, *, link_loss: float = 0.0) -> None:
        """So much of one came, and its end did not.

        link_loss   share that the link loses by itself, as far as known: so often an end is missing anyway
        """
        seen = min(self._limit, arrived + lost)
        shorter = arrived if lost > arrived else seen - _SHRINKAGE * lost
        if link_loss:
            # What took() adds between two such ends outweighs what this takes away.
            shorter = max(shorter, self._limit - _KEPT * _GROWTH * (1 - link_loss) / link_loss)
        self._limit = max(self._least, min(self._limit, shorter))
