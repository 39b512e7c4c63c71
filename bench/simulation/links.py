"""Links as bad as wanted: delay, jitter, loss alone and in bursts, duplicates, rates with queues, pauses.

A datagram goes through the sender's uplink, the link of the pair, and the receiver's downlink, as far as
these are given. Each direction of a pair has a state of its own. A rate is a queue served in order: what does
not fit is dropped at its tail. All sizes count IP's and UDP's headers.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from random import Random

from dispersy.protocol.address import Address
from dispersy.testing.links import Link

HEADERS_SIZE = 28
"""Bytes of IPv4 and UDP before each datagram."""


@dataclass(frozen=True, slots=True)
class Path(Link):
    """What lies between two nodes, each way; beside what any Link has:

    spread_s       delay differs by up to so much either way; nothing arrives before it was sent
    keeps_order    jitter delays what comes behind, too, instead of being overtaken
    burst_loss     share of all time in which everything is lost, in bursts of burst_s (means of exponentials)
    rate           bytes a second, headers included; 0: unlimited
    queue          bytes that wait for the rate at most
    pause_s        length of a pause in every pause_every_s, in which all is lost; the first at pause_at_s
    """

    spread_s: float = 0.0
    keeps_order: bool = False
    burst_loss: float = 0.0
    burst_s: float = 0.1
    rate: float = 0.0
    queue: int = 65_536
    pause_s: float = 0.0
    pause_every_s: float = 0.0
    pause_at_s: float = 0.0


def path_of(link: Link) -> Path:
    """The same as a Path."""
    if isinstance(link, Path):
        return link
    return Path(delay_s=link.delay_s, jitter_s=link.jitter_s, loss=link.loss, duplicates=link.duplicates)


class Tail:
    """A rate with its queue: when what is put in now comes out at the other end."""

    __slots__ = ("_free_at", "queue", "rate")

    def __init__(self, rate: float, queue: int) -> None:
        self.rate = rate
        self.queue = queue
        self._free_at = 0.0

    def pass_through(self, now: float, size: int) -> float | None:
        """When so many bytes have gone through; None: they did not fit."""
        waits_s = self._free_at - now
        if waits_s <= 0.0:
            waits_s = 0.0
        elif waits_s * self.rate + size > self.queue:
            return None
        self._free_at = now + waits_s + size / self.rate
        return self._free_at


class _Way:
    """One direction between two nodes, and the state it is in."""

    __slots__ = ("bursts", "last_at", "path", "tail", "turns_at")

    def __init__(self, path: Path) -> None:
        self.path = path
        self.tail = Tail(path.rate, path.queue) if path.rate else None
        self.bursts = False
        self.turns_at = 0.0
        self.last_at = 0.0

    def is_lost(self, now: float, rng: Random) -> bool:
        path = self.path
        if path.pause_s and (now - path.pause_at_s) % path.pause_every_s < path.pause_s:
            return True
        if path.burst_loss and self._is_bad(now, rng):
            return True
        return path.loss > 0.0 and rng.random() < path.loss

    def _is_bad(self, now: float, rng: Random) -> bool:
        """Whether this falls into a burst: good and bad stretches take turns, their lengths exponential."""
        path = self.path
        good_s = path.burst_s * (1 - path.burst_loss) / path.burst_loss
        while now >= self.turns_at:
            self.bursts = self.turns_at > 0.0 and not self.bursts
            self.turns_at += rng.expovariate(1 / (path.burst_s if self.bursts else good_s))
        return self.bursts

    def delay_s(self, rng: Random) -> float:
        path = self.path
        delay_s = path.delay_s
        if path.jitter_s:
            delay_s += rng.random() * path.jitter_s
        if path.spread_s:
            delay_s = max(0.0, delay_s + (2 * rng.random() - 1) * path.spread_s)
        return delay_s


class Links:
    """All links of a world; `cut` holds pairs that do not reach each other.

    lost    datagrams by what became of them: cut, loss, queue; `sent` of all
    """

    def __init__(self, rng: Random, link: Link) -> None:
        self.cut: set[frozenset[Address]] = set()
        self.lost: Counter[str] = Counter()
        self.uplinks: dict[Address, Tail] = {}
        self.downlinks: dict[Address, Tail] = {}
        self._path = path_of(link)
        self._is_plain = False
        self._rng = rng
        self._paths: dict[frozenset[Address], Path] = {}
        self._ways: dict[tuple[Address, Address], _Way] = {}
        self._parts: dict[Address, int] = {}
        self.link = link

    @property
    def link(self) -> Link:
        """What every pair goes through that has no path of its own; may be set at any time."""
        return self._path

    @link.setter
    def link(self, link: Link) -> None:
        self._path = path = path_of(link)
        self._ways.clear()
        self._is_plain = not (path.rate or path.burst_loss or path.pause_s or path.keeps_order)

    def set_path(self, one: Address, other: Address, link: Link) -> None:
        """Give two nodes a path of their own, both ways."""
        self._paths[frozenset((one, other))] = path_of(link)
        self._ways.pop((one, other), None)
        self._ways.pop((other, one), None)

    def set_access(
        self, address: Address, *, up: float = 0.0, down: float = 0.0, queue: int = 65_536
    ) -> None:
        """Bytes a second that a node sends and receives at most, to and from all others together."""
        if up:
            self.uplinks[address] = Tail(up, queue)
        if down:
            self.downlinks[address] = Tail(down, queue)

    def part(self, ones: Iterable[Address], others: Iterable[Address]) -> None:
        """None of these reaches any of those; what is on its way arrives."""
        others = list(others)
        self.cut |= {frozenset((one, other)) for one in ones for other in others}

    def part_groups(self, groups: Iterable[Iterable[Address]]) -> None:
        """Nodes of different groups do not reach each other, until join_groups(); large worlds part so."""
        self._parts = {address: index for index, group in enumerate(groups) for address in group}

    def join_groups(self, bridges: Iterable[tuple[Address, Address]] | None = None) -> None:
        """All reach each other again, or only these pairs across."""
        if bridges is None:
            self._parts = {}
            return
        for one, other in bridges:
            self._paths.setdefault(frozenset((one, other)), self._path)

    def arrivals(self, now: float, source: Address, target: Address, size: int) -> list[float]:
        """When a datagram that is sent now comes to the target's downlink: never, once or twice."""
        rng = self._rng
        self.lost["sent"] += 1
        if (self.cut or self._parts) and self._is_cut(source, target):
            self.lost["cut"] += 1
            return []
        at = now
        if self.uplinks and source in self.uplinks:
            through = self.uplinks[source].pass_through(now, size + HEADERS_SIZE)
            if through is None:
                self.lost["queue"] += 1
                return []
            at = through
        if self._is_plain and not self._paths:
            path = self._path
            if path.loss and rng.random() < path.loss:
                self.lost["loss"] += 1
                return []
            delay_s = path.delay_s
            if path.jitter_s:
                delay_s += rng.random() * path.jitter_s
            if path.spread_s:
                delay_s = max(0.0, delay_s + (2 * rng.random() - 1) * path.spread_s)
            if path.duplicates and rng.random() < path.duplicates:
                return [at + delay_s, at + delay_s + rng.random() * (path.jitter_s + path.spread_s)]
            return [at + delay_s]
        return self._through(self._way(source, target), at, size)

    def _through(self, way: _Way, at: float, size: int) -> list[float]:
        rng = self._rng
        if way.tail is not None:
            through = way.tail.pass_through(at, size + HEADERS_SIZE)
            if through is None:
                self.lost["queue"] += 1
                return []
            at = through
        found = []
        for _ in range(2 if way.path.duplicates and rng.random() < way.path.duplicates else 1):
            if way.is_lost(at, rng):
                self.lost["loss"] += 1
                continue
            arrives = at + way.delay_s(rng)
            if way.path.keeps_order:
                arrives = way.last_at = max(arrives, way.last_at)
            found.append(arrives)
        return found

    def _way(self, source: Address, target: Address) -> _Way:
        way = self._ways.get((source, target))
        if way is None:
            path = self._paths.get(frozenset((source, target)), self._path) if self._paths else self._path
            way = self._ways[source, target] = _Way(path)
        return way

    def _is_cut(self, source: Address, target: Address) -> bool:
        if self.cut and frozenset((source, target)) in self.cut:
            return True
        if not self._parts or self._parts.get(source) == self._parts.get(target):
            return False
        return frozenset((source, target)) not in self._paths
