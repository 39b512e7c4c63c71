"""The audit: what makes sure that equal summaries mean equal sets in the end.

The key of the summary's sum is public, so anybody can make sets of messages whose count and sum are equal.
An audit therefore compares count and sum of each part of the live set under a key that the asker draws at
that moment, and nobody can have aimed at. A part that differs is pulled as any difference is, although the
summaries are equal. Forged sums so delay convergence; they never stop it.
"""

from __future__ import annotations

from collections import OrderedDict
from random import Random

from dispersy.constants import AUDIT_TIMEOUT_S, AUDITED_MAX
from dispersy.protocol.address import Address
from dispersy.protocol.holdings import Holdings, key_behind, sum_range
from dispersy.protocol.identifiers import ORDER_LOW, ORDER_TOP, OrderKey
from dispersy.protocol.sync.gaps import Range
from dispersy.protocol.ways import Way, number_for
from dispersy.protocol.wire.frames import Audit, AuditRequest
from dispersy.protocol.wire.summary import Summary


class _Course:
    """An audit of one neighbour: first the parts are cut, one a step, then compared in random order."""

    def __init__(self, source: Address, summary: Summary, key: bytes) -> None:
        self.source = source
        self.summary = summary
        self.key = key
        self.cut_to: OrderKey | None = ORDER_LOW
        self.parts: list[Range] = []
        self.asked: Range | None = None
        self.number = 0
        self.expected = (0, 0)


class Auditor:
    """Audits one neighbour at a time, one part at a time.

    chance      of an audit when a neighbour's summary equals ours
    ids_max     ids a part, at most what an answer may scan
    interval_s  between two audits of one neighbour
    """

    def __init__(
        self, *, rng: Random, holdings: Holdings, chance: float, ids_max: int, interval_s: float
    ) -> None:
        self._rng = rng
        self._holdings = holdings
        self._chance = chance
        self._ids_max = ids_max
        self._interval_s = interval_s
        self._course: _Course | None = None
        self._audited: OrderedDict[Address, float] = OrderedDict()
        self._due_at: float | None = None

    def consider(self, source: Address, now: float) -> None:
        """A neighbour's summary equals ours: perhaps begin an audit of it."""
        last = self._audited.get(source)
        if self._course is not None or (last is not None and now < last + self._interval_s):
            return
        if self._rng.random() >= self._chance:
            return
        self._audited[source] = now
        self._audited.move_to_end(source)
        if len(self._audited) > AUDITED_MAX:
            self._audited.popitem(last=False)
        self._course = _Course(source, self._holdings.summary(), self._rng.randbytes(16))
        self._due_at = now

    def step(self, now: float) -> tuple[Address, AuditRequest] | None:
        """Do the next piece of work if it is due; what is to be sent, if anything."""
        course = self._course
        if course is None or self._due_at is None or now < self._due_at:
            return None
        # Sets that have moved on differ for honest reasons; an answer that does not come ends the audit too.
        if course.asked is not None or not self._holdings.summary().same_set(course.summary):
            self._end()
            return None
        if course.cut_to is not None:
            self._cut(course)
            return None
        if not course.parts:
            self._end()
            return None
        course.asked = course.parts.pop()
        low, high = course.asked
        count, total, _ = sum_range(self._holdings, low, high, key=course.key, limit=self._ids_max)
        course.expected = (count, total)
        course.number = number_for(Way.RANGES, self._rng)
        self._due_at = now + AUDIT_TIMEOUT_S
        return course.source, AuditRequest(course.number, course.key, low, high)

    def receive(self, source: Address, audit: Audit, now: float) -> Range | None:
        """An answer has come; the part that differs, to be pulled from its source."""
        course = self._course
        if course is None or course.asked is None or (source, audit.number) != (course.source, course.number):
            return None
        asked, course.asked = course.asked, None
        self._due_at = now
        if (audit.count, audit.sum) == course.expected or not self._holdings.summary().same_set(
            course.summary
        ):
            return None
        return asked

    def next_deadline(self) -> float | None:
        return self._due_at

    def _cut(self, course: _Course) -> None:
        low = course.cut_to
        assert low is not None
        high = key_behind(self._holdings, low, self._ids_max)
        if high is None:
            course.parts.append((low, ORDER_TOP))
            course.cut_to = None
            # In random order, so that nobody can put a difference where audits end last.
            self._rng.shuffle(course.parts)
            return
        course.parts.append((low, high))
        course.cut_to = high

    def _end(self) -> None:
        self._course = None
        self._due_at = None
