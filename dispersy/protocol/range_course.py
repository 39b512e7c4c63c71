"""Ranges, with a filter of what is held in each: the means that needs no luck and no estimate.

One request at a time; the next one leaves when the last datagram of an answer is here.
"""

from __future__ import annotations

from collections.abc import Sequence

from dispersy.constants import ANSWER_TIME_MAX_S, IDLE_ANSWERS_MAX
from dispersy.protocol.course import Arrival, Asking, Heard, Reply
from dispersy.protocol.frames import SyncRequest
from dispersy.protocol.means import Means
from dispersy.protocol.pull_sources import Source
from dispersy.protocol.transfer import Range, Transfer, error_rate_for


class RangeCourse:
    """Gets what a source has and we lack in `wanted`; implements Course."""

    def __init__(self, asking: Asking, source: Source, *, means: Means, wanted: Range) -> None:
        self.means = means
        self.estimate: int | None = None
        self.has_failed = self.has_everything = False
        self._asking = asking
        self._source = source
        self._transfer = Transfer()
        self._transfer.add(wanted)
        self._asked_at = 0.0
        self._due_at = 0.0
        self._over_at = 0.0
        # Our summary when answers were last known to bring something, and those since that were not.
        self._idle_with = asking.holdings.summary()
        self._idle_answers = 0

    @property
    def received(self) -> int:
        return self._transfer.received

    def begin(self, now: float) -> None:
        """Nothing to do: what was not answered is still to be asked."""

    def step(self, now: float) -> Sequence[SyncRequest]:
        if self._transfer.is_under_way() or self._transfer.is_complete():
            return []
        if self._idle_answers >= IDLE_ANSWERS_MAX:
            self._idle_answers = 0
            if self._brought_nothing():
                self.has_failed = True
                return []
        asking, pace = self._asking, self._source.pace
        request = self._transfer.next_request(
            holdings=asking.holdings,
            number=asking.rng.randrange(1, 1 << 32),
            budget=min(asking.budget_max, pace.budget),
            error_rate=filter_error_rate(asking, self._source),
            rng=asking.rng,
        )
        self._asked_at = now
        self._due_at = now + pace.timeout_s()
        self._over_at = max(self._due_at, now + ANSWER_TIME_MAX_S)
        asking.counts["requests"] += 1
        asking.counts["filters" if request.hash_count else "unfiltered"] += 1
        return [request]

    def receive_messages(self, arrival: Arrival, now: float) -> Heard:
        transfer = self._transfer
        received = transfer.received
        over = transfer.receive(
            number=arrival.number,
            flags=arrival.flags,
            low=arrival.low,
            high=arrival.high,
            count=arrival.count,
        )
        if not arrival.number or arrival.number != transfer.number:
            return Heard.PART if transfer.received > received else Heard.FOREIGN
        pace = self._source.pace
        if transfer.datagrams == 1:
            pace.measure(now - self._asked_at)
        self._due_at = min(self._over_at, now + pace.timeout_s())
        if over:
            self._end_answer()
        return Heard.END if over else Heard.PART

    def receive_reply(self, reply: Reply, now: float) -> Heard:  # noqa: ARG002 messages alone answer it
        return Heard.FOREIGN

    def handle_timer(self, now: float) -> bool:
        if not self._transfer.is_under_way() or now < self._due_at:
            return False
        self._asking.counts["timeouts"] += 1
        if self._transfer.datagrams:
            self._end_answer()
            return False
        self._transfer.end_answer()
        self._source.pace.timed_out()
        return True

    def next_deadline(self) -> float | None:
        return self._due_at if self._transfer.is_under_way() else None

    def asked(self, number: int) -> bool:
        return self.is_under_way() and number == self._transfer.number

    def is_under_way(self) -> bool:
        return self._transfer.is_under_way()

    def waits_for_store(self) -> bool:
        return self._transfer.must_repair() or self._idle_answers >= IDLE_ANSWERS_MAX

    def is_over(self) -> bool:
        return self._transfer.is_complete()

    def _end_answer(self) -> None:
        lost, progress, count = self._transfer.end_answer()
        # Most sweeps of what both hold bring no message at all, and end at the end of their range.
        if count and not self._brought_nothing():
            self._idle_answers = 0
        elif count:
            self._idle_answers += 1
        self._source.pace.answered(datagrams=self._transfer.datagrams, lost=lost)
        self.has_failed = not progress

    def _brought_nothing(self) -> bool:
        """Whether our store is as it was when this was last asked."""
        before, self._idle_with = self._idle_with, self._asking.holdings.summary()
        return before.same_set(self._idle_with)


def filter_error_rate(asking: Asking, source: Source) -> float:
    """What a filter towards this source may get wrong."""
    held = asking.holdings.summary().count
    missing = source.summary.count - held
    # Where it holds no more than we do, nothing says how much of it we lack.
    return error_rate_for(held=held, missing=missing if missing > 0 else 1 + held // 4)
