"""What was new lately: which messages are known already, their bytes for whoever asks, and how much comes."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from math import exp

from dispersy.protocol.wire.announcements import IdPrefix

KNOWN_MAX = 8_192
"""Ids that a generation holds, some 0.8 MB; two generations are kept."""
KNOWN_LIFETIME_S = 30.0
"""Of a generation: announcements of a message are over long before."""
KEPT_BYTES_MAX = 1 << 20
KEPT_LIFETIME_S = 10.0
"""Of messages that are given to whoever asks: longer than it takes to ask all who announced one."""
LOAD_S = 1.0


class Known:
    """Which ids have reached the store lately."""

    def __init__(self) -> None:
        self._newer: set[IdPrefix] = set()
        self._older: set[IdPrefix] = set()
        self._since = 0.0

    def add(self, prefixes: Iterable[IdPrefix], now: float) -> None:
        if len(self._newer) >= KNOWN_MAX or now >= self._since + KNOWN_LIFETIME_S:
            is_all_old = now >= self._since + 2 * KNOWN_LIFETIME_S
            self._older = set() if is_all_old else self._newer
            self._newer = set()
            self._since = now
        self._newer.update(prefixes)

    def __contains__(self, prefix: IdPrefix) -> bool:
        return prefix in self._newer or prefix in self._older

    def without(self, prefixes: Iterable[IdPrefix]) -> set[IdPrefix]:
        """Those that are not known."""
        return set(prefixes).difference(self._newer, self._older)


class Kept:
    """Messages by the beginning of their id, for a short while."""

    def __init__(self) -> None:
        self._messages: dict[IdPrefix, bytes] = {}
        self._since: deque[tuple[float, IdPrefix]] = deque()
        self._size = 0

    def put(self, prefix: IdPrefix, message: bytes, now: float) -> None:
        while self._since and (
            self._size + len(message) > KEPT_BYTES_MAX or now >= self._since[0][0] + KEPT_LIFETIME_S
        ):
            _, oldest = self._since.popleft()
            self._size -= len(self._messages.pop(oldest))
        if prefix not in self._messages:
            self._messages[prefix] = message
            self._since.append((now, prefix))
            self._size += len(message)

    def get(self, prefix: IdPrefix) -> bytes | None:
        return self._messages.get(prefix)


class Load:
    """How many new messages a second come, over the last second or so."""

    def __init__(self) -> None:
        self._count = 0.0
        self._at = 0.0

    def add(self, count: int, now: float) -> None:
        self._count = self.rate(now) + count
        self._at = now

    def rate(self, now: float) -> float:
        return self._count * exp((self._at - now) / LOAD_S)
