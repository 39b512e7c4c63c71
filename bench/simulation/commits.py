"""What has come to a simulated node and is not stored yet: checked first, and a commit takes a while."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import Any

Arrived = Sequence[bytes] | Sequence[int]


class Commits:
    """Those of one node, in order.

    delay_s    a commit takes
    processed  messages so far of those that an envelope told the puller of
    """

    def __init__(self, delay_s: float) -> None:
        self.delay_s = delay_s
        self.processed = 0
        self._waiting: deque[tuple[float, Arrived, int]] = deque()
        self._checks_until = 0.0

    def add(self, arrived: Arrived, now: float, *, announced: int, checking_s: float) -> None:
        """Each is checked behind those that came before, which takes checking_s."""
        self._checks_until = max(now, self._checks_until) + len(arrived) * checking_s
        self._waiting.append((self._checks_until + self.delay_s, arrived, announced))

    def next_at(self) -> float | None:
        """When the next is stored."""
        return self._waiting[0][0] if self._waiting else None

    def take(self, now: float) -> list[Any]:
        """What is stored by now."""
        arrived: list[Any] = []
        while self._waiting and self._waiting[0][0] <= now:
            _, messages, announced = self._waiting.popleft()
            arrived += messages
            self.processed += announced
        return arrived
