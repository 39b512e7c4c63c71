"""What is on its way to the store."""

from __future__ import annotations

from dispersy.constants import BACKLOG_MAX, BACKLOG_STALL_S


class Backlog:
    """Messages on their way to the store, by counts that may be lost or start again.

    count       of them now
    announced   in all so far
    """

    def __init__(self) -> None:
        self.count = 0
        self.announced = 0
        self._processed = 0
        self._moved_at = 0.0

    def announce(self, count: int, now: float) -> None:
        if not self.count:
            self._moved_at = now
        self.count += count
        self.announced += count

    def process(self, total: int, now: float) -> None:
        """total    so far, of all that was announced; lower than before: counted from zero again"""
        progress = total - self._processed if total >= self._processed else total
        self._processed = total
        if progress:
            self._moved_at = now
            self.count = max(0, self.count - progress)

    def forget(self) -> None:
        """All of it was lost, and counts start again."""
        self.count = self.announced = self._processed = 0

    def has_passed(self, announced: int) -> bool:
        """Whether the first so many that were announced have been dealt with, whatever came since."""
        return self.announced - self.count >= announced

    def is_full(self) -> bool:
        return self.count >= BACKLOG_MAX

    def room(self) -> int:
        """Messages until it is full."""
        return max(0, BACKLOG_MAX - self.count)

    def forget_stalled(self, now: float) -> None:
        if self.count and now >= self._moved_at + BACKLOG_STALL_S:
            self.count = 0

    def next_deadline(self) -> float | None:
        return self._moved_at + BACKLOG_STALL_S if self.count else None
