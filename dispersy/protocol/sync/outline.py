"""An outline of what a source has and we lack: how many messages, over global time.

It decides where a range is cut into requests of about one budget, and nothing else: a cut that brings more
than was expected leaves a rest to ask for, one that brings less costs a small request. So a neighbour's wrong
counts cost little, and what is found corrects them.
"""

from __future__ import annotations

from collections.abc import Sequence

from dispersy.protocol.holdings import first_key_of, time_of
from dispersy.protocol.identifiers import OrderKey

SCALE_MAX = 1 << 20
Part = tuple[int, int, int]
"""(first global time, behind the last one, messages expected from there), in ascending order."""


class Outline:
    """Pieces of global time with the number of messages expected in each, evenly spread.

    parts   ascending and apart; nothing is known of what lies outside
    """

    def __init__(self, parts: Sequence[Part] = ()) -> None:
        self._parts = list(parts)
        self._scale = 1.0

    def cut(self, low: OrderKey, high: OrderKey, wanted: float) -> OrderKey | None:
        """Where the first about `wanted` messages of a range end, at most `high`; None: nobody knows."""
        start = time_of(low)
        left = wanted / self._scale
        is_known = False
        for begin, end, count in self._parts:
            if end <= start or not count:
                continue
            if first_key_of(begin) >= high:
                break
            is_known = True
            density = count / (end - begin)
            begin = max(begin, start)
            if density * (end - begin) >= left:
                return min(high, first_key_of(max(start, begin + int(left / density)) + 1))
            left -= density * (end - begin)
        return high if is_known else None

    def expected(self, low: OrderKey, high: OrderKey) -> float:
        """How many messages a range is thought to have."""
        begin, end = time_of(low), max(time_of(low) + 1, time_of(high))
        total = 0.0
        for first, behind, count in self._parts:
            overlap = min(end, behind) - max(begin, first)
            if overlap > 0:
                total += count * overlap / (behind - first)
        return total * self._scale

    def learn(self, low: OrderKey, high: OrderKey, found: int) -> None:
        """A range had so many."""
        expected = self.expected(low, high)
        if expected:
            ratio = min(4.0, max(0.25, (found + 1) / (expected + 1)))
            self._scale = min(SCALE_MAX, max(1 / SCALE_MAX, self._scale * ratio**0.25))
