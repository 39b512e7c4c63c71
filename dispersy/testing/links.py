"""What lies between nodes in memory: datagrams that are late, lost, doubled, or cut off."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from heapq import heappop, heappush
from random import Random

from dispersy.protocol.address import Address


@dataclass(frozen=True, slots=True)
class Link:
    """What every datagram goes through; jitter reorders, loss and duplicates are chances."""

    delay_s: float = 0.02
    jitter_s: float = 0.0
    loss: float = 0.0
    duplicates: float = 0.0


class Links:
    """All that is on its way; `cut` holds pairs that do not reach each other."""

    def __init__(self, rng: Random, link: Link) -> None:
        self.link = link
        self.cut: set[frozenset[Address]] = set()
        self._rng = rng
        self._way: list[tuple[float, int, Address, Address, bytes]] = []
        self._count = 0

    def send(self, now: float, source: Address, target: Address, data: bytes) -> None:
        """Put a datagram on its way, or lose it."""
        if frozenset((source, target)) in self.cut:
            return
        for _ in range(2 if self._rng.random() < self.link.duplicates else 1):
            if self._rng.random() >= self.link.loss:
                delay = self.link.delay_s + self._rng.random() * self.link.jitter_s
                self._count += 1
                heappush(self._way, (now + delay, self._count, source, target, data))

    def part(self, ones: Iterable[Address], others: Iterable[Address]) -> None:
        """None of these reaches any of those; what is on its way arrives."""
        others = list(others)
        self.cut |= {frozenset((one, other)) for one in ones for other in others}

    def next_arrival(self) -> float | None:
        """When the next datagram arrives."""
        return self._way[0][0] if self._way else None

    def arrived(self, now: float) -> Iterator[tuple[Address, Address, bytes]]:
        """(source, target, datagram) of all that has arrived by now."""
        while self._way and self._way[0][0] <= now:
            _, _, source, target, data = heappop(self._way)
            yield source, target, data
