"""The upload budget: what a node that may send only so many bytes a second sends first, and what it leaves.

A token bucket over all that leaves by UDP, headers of IP and UDP included: in any time T no more than rate
x T and one burst. What has to wait stands in one of three rows. First go those without which nothing works,
and which are few: the walk, tokens, pings, our own requests. Then news of a moment ago, then answers, which
are most bytes. No row starves: while several wait, each has a share (start-time fair queueing; a row that
was empty begins where the others are), so a datagram of a row that is seldom used leaves at once, and a
flood in one row leaves the others theirs. Among answers every host has the same share in the same way: a
greedy neighbour waits for itself.

Rows are bounded by the time that their bytes would take. What finds its row full is dropped and counted; of
answers that is the newest of the host that has most. Before it comes to that, `keeps_waiting()` says that
another request of a host would only wait, and it is told so.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Hashable
from dataclasses import dataclass, field
from enum import IntEnum

from dispersy.constants import DATAGRAM_SIZE_MAX, UPLOAD_RATE_MIN
from dispersy.protocol.address import Address, is_ipv4
from dispersy.protocol.hosts import host_of
from dispersy.protocol.wire.numbers import FrameType

HEADERS_SIZE_IPV4, HEADERS_SIZE_IPV6 = 28, 48
"""Of IP and UDP."""
BURST_S = 0.25
BURST_MIN = 4 * (DATAGRAM_SIZE_MAX + HEADERS_SIZE_IPV6)
"""What may leave at once after a silence: so many seconds' worth, never less than a few datagrams."""
KEEPS_WAITING_S = 1.0
"""A request is refused when its answer would not begin within this: then others are asked."""
ROW_SIZE_MIN = 32 << 10
"""Bytes that a row holds in any case: a small answer, whatever the rate."""
PAID_MAX = 1_024
"""Hosts of which it is remembered that they had their share a moment ago."""
DATAGRAM_OFFSET = 18
"""Of the first frame in a datagram."""


class Row(IntEnum):
    """What a datagram is to those that wait; the lower one first."""

    FIRST = 0
    NEWS = 1
    ANSWERS = 2

    @property
    def label(self) -> str:
        """Its name in counters."""
        return self.name.lower()


_SHARES = {Row.FIRST: 4, Row.NEWS: 2, Row.ANSWERS: 1}
_ROW_S = {Row.FIRST: 2.0, Row.NEWS: 4.0, Row.ANSWERS: 4.0}
"""Seconds' worth of bytes that a row holds: later the walk has asked again, and an answer is given up."""
_NEWS = frozenset({FrameType.PUSH, FrameType.HAVE, FrameType.RELAY})
_ANSWERS = frozenset(
    {
        FrameType.MESSAGES,
        FrameType.STRIPPED,
        FrameType.LARGE,
        FrameType.SYMBOLS,
        FrameType.TREE,
        FrameType.AUDIT,
        FrameType.FRAGMENT,
    }
)

Sent = tuple[bytes, bytes]
"""18-byte address, datagram."""


def row_of(datagram: bytes) -> Row:
    """Where a datagram stands, by its first frame."""
    first = datagram[DATAGRAM_OFFSET] if len(datagram) > DATAGRAM_OFFSET else 0
    return Row.ANSWERS if first in _ANSWERS else Row.NEWS if first in _NEWS else Row.FIRST


def size_on_wire(address: bytes, datagram: bytes) -> int:
    """Bytes of a datagram with its headers."""
    return len(datagram) + (HEADERS_SIZE_IPV4 if is_ipv4(Address(address)) else HEADERS_SIZE_IPV6)


@dataclass(slots=True)
class _Line:
    """Datagrams that leave in order, and from where in the fair queue's time the next one counts."""

    items: deque[tuple[Sent, int]] = field(default_factory=deque)
    size: int = 0
    start: float = 0.0


class _FairQueue:
    """Lines by name, of which the one that has had least of its share is next."""

    def __init__(self) -> None:
        self.lines: dict[Hashable, _Line] = {}
        self.size = 0
        self._now = 0.0
        self._paid: dict[Hashable, float] = {}
        """Where lines that are gone would go on: who comes one by one gets no more than who comes at once."""

    def add(self, name: Hashable, sent: Sent, size: int) -> None:
        line = self.lines.get(name)
        if line is None:
            line = self.lines[name] = _Line(start=max(self._now, self._paid.pop(name, 0.0)))
        line.items.append((sent, size))
        line.size += size
        self.size += size

    def take(self) -> tuple[Sent, int]:
        """The next datagram, its line paying for it."""
        name = min(self.lines, key=lambda each: self.lines[each].start)
        line = self.lines[name]
        sent, size = line.items.popleft()
        self._now = line.start
        line.start += size
        self._shrink(name, size)
        return sent, size

    def drop(self) -> None:
        """Throw away the newest of the longest line."""
        name = max(self.lines, key=lambda each: self.lines[each].size)
        _, size = self.lines[name].items.pop()
        self._shrink(name, size)

    def _shrink(self, name: Hashable, size: int) -> None:
        line = self.lines[name]
        line.size -= size
        self.size -= size
        if line.items:
            return
        del self.lines[name]
        if line.start > self._now:
            self._paid[name] = line.start
        if len(self._paid) > PAID_MAX:
            self._paid = {name: start for name, start in self._paid.items() if start > self._now}
            if len(self._paid) > PAID_MAX:
                del self._paid[next(iter(self._paid))]


class Upload:
    """The budget of one node, and what waits for it.

    rate     bytes a second, at least UPLOAD_RATE_MIN
    counts   sent, waited and dropped datagrams, and bytes sent, by row: "upload-bytes-answers"
    """

    def __init__(self, rate: float, *, now: float) -> None:
        assert rate >= UPLOAD_RATE_MIN
        self.rate = rate
        self.counts: Counter[str] = Counter()
        self._burst = max(rate * BURST_S, BURST_MIN)
        self._allowed = self._burst
        self._at = now
        self._rows = {row: _FairQueue() for row in Row}
        self._starts = dict.fromkeys(Row, 0.0)
        self._now = 0.0

    @property
    def waiting(self) -> int:
        """Bytes in all rows."""
        return sum(queue.size for queue in self._rows.values())

    def add(self, address: bytes, datagram: bytes) -> None:
        """A datagram is to leave, when its time has come."""
        row = row_of(datagram)
        size = size_on_wire(address, datagram)
        queue = self._rows[row]
        if not queue.size:
            self._starts[row] = max(self._starts[row], self._now)
        # Answers of one host are one line, whatever its port; of the other rows all is one.
        queue.add(_name(address) if row == Row.ANSWERS else None, (address, datagram), size)
        while queue.size > max(self.rate * _ROW_S[row], ROW_SIZE_MIN):
            queue.drop()
            self.counts[f"upload-dropped-{row.label}"] += 1

    def take(self, now: float) -> list[Sent]:
        """What may leave now, in order."""
        self._fill(now)
        taken: list[Sent] = []
        while self._allowed > 0 and (waiting := [row for row in Row if self._rows[row].size]):
            row = min(waiting, key=lambda each: (self._starts[each], each))
            sent, size = self._rows[row].take()
            self._now = self._starts[row]
            self._starts[row] += size / _SHARES[row]
            # One datagram may overdraw what is left, and the next waits the longer.
            self._allowed -= size
            self.counts[f"upload-bytes-{row.label}"] += size
            taken.append(sent)
        for row, queue in self._rows.items():
            if queue.size:
                self.counts[f"upload-waits-{row.label}"] += 1
        return taken

    def next_deadline(self) -> float | None:
        """When the next datagram may leave; None: none waits."""
        if not self.waiting:
            return None
        return self._at + max(0.0, -self._allowed / self.rate) + 1e-3

    def keeps_waiting(self, address: bytes) -> bool:
        """Whether an answer to this address would only wait."""
        queue = self._rows[Row.ANSWERS]
        line = queue.lines.get(_name(address))
        own = 0 if line is None else line.size
        before = min(queue.size, own * len(queue.lines))
        return before > self.rate * KEEPS_WAITING_S

    def _fill(self, now: float) -> None:
        # A machine that has slept has no more than a burst, however long that was.
        self._allowed = min(self._burst, self._allowed + max(0.0, now - self._at) * self.rate)
        self._at = now


def _name(address: bytes) -> Hashable:
    """What shares one line: a host, on loopback, where all are one host, an address."""
    return host_of(Address(address)) or address
