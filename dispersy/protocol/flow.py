"""Limits per key and second, time-outs from round trips, and the backlog."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Generic, TypeVar

from dispersy.constants import (
    BACKLOG_MAX,
    BACKLOG_STALL_S,
    REQUEST_TIMEOUT_MAX_S,
    REQUEST_TIMEOUT_MIN_S,
    REQUEST_TIMEOUT_START_S,
)

Key = TypeVar("Key", bound=Hashable)


class PerSecond(Generic[Key]):
    """At most `limit` a key and second, counted in whole seconds; at most keys_max keys in each."""

    def __init__(self, *, limit: int, keys_max: int) -> None:
        self._limit = limit
        self._keys_max = keys_max
        self._counts: dict[Key, int] = {}
        self._second = 0

    def admit(self, key: Key, now: float, *, beyond_keys_max: bool = False, count: int = 1) -> bool:
        """Count so many more of this key; False: too many, and none is counted.

        beyond_keys_max    this key may come when the table is full
        """
        second = int(now)
        if second != self._second:
            self._second = second
            self._counts = {}
        before = self._counts.get(key, 0)
        if before + count > self._limit or (
            not before and len(self._counts) >= self._keys_max and not beyond_keys_max
        ):
            return False
        self._counts[key] = before + count
        return True

    def charge(self, key: Key, count: int) -> None:
        """What was admitted just now has cost so many more, whether or not that is too many."""
        self._counts[key] = self._counts.get(key, 0) + count


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
        return min(REQUEST_TIMEOUT_MAX_S, estimate * 2.0 ** max(0, self.timeouts - 1))

    def timed_out(self) -> None:
        """A request has had no answer."""
        self.timeouts += 1


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
