"""Limits per key and second."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Generic, TypeVar

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
