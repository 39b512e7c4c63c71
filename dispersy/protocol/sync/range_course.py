"""Ranges, with a filter of what is held in each: the means that needs no luck and no estimate.

As many requests are under way as flow control allows.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence

from dispersy.constants import ANSWER_BUDGET_MAX, IDLE_ANSWERS_MAX
from dispersy.protocol.sync.course import Arrival, Asking, Heard, Reply
from dispersy.protocol.sync.filtered_request import error_rate_for
from dispersy.protocol.sync.gaps import Range
from dispersy.protocol.sync.means import Means
from dispersy.protocol.sync.outline import Outline
from dispersy.protocol.sync.pull_sources import Source
from dispersy.protocol.sync.transfer import (
    EMPTY_ANSWERS_MAX,
    FILTER_SLACK,
    Answered,
    Coverage,
    Transfer,
)
from dispersy.protocol.ways import Way, number_for
from dispersy.protocol.wire.frames import SyncRequest
from dispersy.protocol.wire.summary import Summary

FILTER_ROOM = ANSWER_BUDGET_MAX - FILTER_SLACK
"""Datagrams: what a request with a filter is to bring at least, on a path that takes three times as much."""
FILTERS_TOGETHER = 3
"""Requests that fit one datagram where half is held; a path that takes many is asked so many at once."""
VAIN_EXPECTED = 64
"""Messages thought to be in a range of which one who takes part says that there are none."""
LATE_MAX = 256
"""Requests given up of which it is remembered when they were asked."""


class RangeCourse:
    """Gets what a source has and we lack in the ranges of `transfer`; implements Course.

    is_partner   the transfer is another source's, and this one merely takes part in it
    """

    def __init__(
        self, asking: Asking, source: Source, *, means: Means, transfer: Transfer, is_partner: bool = False
    ) -> None:
        self.means = means
        self.has_failed = self.has_everything = False
        self.received = 0
        self._is_partner = is_partner
        self._asking = asking
        self._source = source
        self._flow = source.flow
        self._flow.forget()
        self._transfer = transfer
        # As it was at the beginning: what is asked for later is still as full of gaps as it was then.
        self._error_rate = filter_error_rate(asking, source)
        # What is asked for next is partly held, as of the last step: the store is not read in between.
        self._is_held = False
        self._given_up: OrderedDict[int, float] = OrderedDict()
        # Our summary when answers were last known to bring something, and those since that were not.
        self._idle_with = asking.holdings.summary()
        self._idle_answers = 0
        # In a row: without a message and without an end, and without a message; what a partner said so of.
        self._empty_answers = self._nothing_found = 0
        self._emptied: list[Range] = []

    def begin_again(self) -> None:
        """What was not answered is still to be asked, and flow control may have forgotten that it was."""
        for number in list(self._transfer.under_way()):
            self._transfer.close(number)
        self._flow.forget()

    def step(self, now: float) -> Sequence[SyncRequest]:
        asking, flow, transfer = self._asking, self._flow, self._transfer
        if self._idle_answers >= IDLE_ANSWERS_MAX:
            self._idle_answers = 0
            if self._brought_nothing():
                self.has_failed = True
                return []
        found: list[SyncRequest] = []
        # The store is read only where anything may be asked at all: this is called with each datagram.
        while transfer.has_more() and flow.room(now):
            # Those that share a datagram are asked together, or none of them.
            is_first = len(found) % FILTERS_TOGETHER == 0
            if is_first and not self._house_takes_more():
                break
            self._is_held = transfer.begins_held(asking.holdings)
            singly = self._goes_singly()
            least = self._least() if is_first else FILTER_ROOM * self._is_held
            room = flow.room(now, singly=singly, least=least)
            if not room:
                break
            request, datagrams = transfer.next_request(
                holdings=asking.holdings,
                number=number_for(Way.RANGES, asking.rng, transfer.under_way()),
                budget=flow.budget if flow.has_heard else room,
                room=min(room, asking.budget_max),
                budget_max=asking.budget_max,
                error_rate=self._error_rate,
                rng=asking.rng,
                is_single=singly and flow.has_heard,
            )
            flow.ask(request.number, datagrams, now)
            asking.counts["requests"] += 1
            asking.counts["filters" if request.hash_count else "unfiltered"] += 1
            found.append(request)
        return found

    def receive_messages(self, arrival: Arrival, now: float) -> Heard:
        number = arrival.number
        if not self._flow.has_asked(number) and number not in self._given_up:
            return Heard.FOREIGN
        coverage = self._transfer.receive(
            number=number,
            flags=arrival.flags,
            low=arrival.low,
            high=arrival.high,
            count=arrival.count,
        )
        if coverage is Coverage.FOREIGN:
            return Heard.FOREIGN
        self.received += arrival.count
        if coverage is Coverage.LATE:
            self._flow.arrive_late(now, self._given_up.get(number, now))
            return Heard.PART
        self._flow.arrive(number, now)
        if coverage is Coverage.WHOLE or (self._transfer.has_ended(number) and self._is_alone(number)):
            # Nothing asked later will tell that what is missing of a single answer is lost.
            self._close(number)
        for overdue in self._flow.overdue(now):
            self._close(overdue)
        return Heard.END if coverage is Coverage.WHOLE else Heard.PART

    def receive_reply(self, reply: Reply, now: float) -> Heard:  # noqa: ARG002 messages alone answer it
        return Heard.FOREIGN

    def receive_busy(self, number: int, wait_s: float, now: float) -> bool:
        # As long as it answers others of ours, this one was merely one too many.
        if not self._flow.is_under_way_beside(number):
            return False
        self._transfer.close(number)
        self._flow.refused(number, wait_s, now)
        return True

    def handle_timer(self, now: float) -> bool:
        overdue = self._flow.overdue(now)
        if not overdue:
            return False
        is_silent = self._flow.is_silence(now) and not all(map(self._flow.has_arrived, overdue))
        # Before they are closed: what a silence swallows is no loss.
        counts = is_silent and self._flow.fall_silent(now)
        for number in overdue:
            self._close(number)
        self._asking.counts["timeouts"] += 1
        return counts

    def next_deadline(self) -> float | None:
        return self._flow.next_overdue()

    def next_step(self) -> float | None:
        # As step() does: only where there is room for anything at all is it looked closer.
        if not self._transfer.has_more() or self._flow.next_room() is None or not self._house_takes_more():
            return None
        return self._flow.next_room(singly=self._goes_singly(), least=self._least())

    def asked(self, number: int) -> bool:
        return self._flow.has_asked(number)

    def is_under_way(self) -> bool:
        return self._flow.is_under_way()

    def waits_for_store(self) -> bool:
        return self._idle_answers >= IDLE_ANSWERS_MAX

    def is_over(self) -> bool:
        return self._transfer.is_complete()

    def left(self) -> float:
        """How many messages are thought to be still to be asked for; 0.0 where nobody knows."""
        return self._transfer.left()

    def shared_with(self, asking: Asking, source: Source) -> RangeCourse:
        """A course of another source that draws from what this one has still to ask."""
        return RangeCourse(asking, source, means=self.means, transfer=self._transfer, is_partner=True)

    def leave(self) -> None:
        """Take no further part: what is under way is to be asked of others."""
        for number in self._flow.requests():
            self._transfer.close(number)
        self._flow.forget()

    def _house_takes_more(self) -> bool:
        """Whether what is asked for now will find room on its way to the store: beyond what the path holds,
        what is under way is as good as here. Else, where a path is fast, a store that was busy for a moment
        is sent all that the path takes, several times what it can."""
        flow = self._flow
        if not flow.is_under_way():
            return True
        room = self._asking.backlog.room() / self._transfer.per_datagram
        return flow.in_flight() + flow.budget <= flow.on_path() + room

    def _goes_singly(self) -> bool:
        """Whether one request is to be under way. Those with filters reach no further than one describes, so
        several are."""
        return self._flow.goes_singly and not self._is_held

    def _least(self) -> int:
        """Datagrams that there is to be room for before anything is asked."""
        return FILTER_ROOM * FILTERS_TOGETHER if self._is_held else 0

    def _is_alone(self, number: int) -> bool:
        return self._goes_singly() and not self._flow.is_under_way_beside(number)

    def _close(self, number: int) -> None:
        answered = self._transfer.close(number, learns=not self._is_partner)
        self._given_up[number] = self._flow.close(number, lost=answered.lost, is_cut=answered.is_cut)
        if len(self._given_up) > LATE_MAX:
            self._given_up.popitem(last=False)
        # Most sweeps of what both hold bring no message at all, and end at the end of their range.
        if answered.count and not self._brought_nothing():
            self._idle_answers = 0
        elif answered.count:
            self._idle_answers += 1
        self.has_failed = self.has_failed or not answered.progress
        if answered.has_come:
            self._look_for_vain_answers(answered)

    def _look_for_vain_answers(self, answered: Answered) -> None:
        """Each source is judged by what it answers itself: who lies must not end what another brings."""
        self._empty_answers = 0 if answered.count or answered.has_ended else self._empty_answers + 1
        if self._empty_answers >= self._transfer.empty_answers_max:
            self.has_failed = True
        if answered.count:
            self._emptied.clear()
        else:
            self._emptied.append(answered.covered)
        if not answered.is_again:
            self._nothing_found = 0 if answered.count else self._nothing_found + 1
        is_vain = self._nothing_found >= EMPTY_ANSWERS_MAX
        if self._is_partner and self._emptied:
            is_vain = is_vain or self._transfer.expected(self._emptied[-1]) >= VAIN_EXPECTED
        if not is_vain:
            del self._emptied[:-EMPTY_ANSWERS_MAX]
        elif self._is_partner:
            # It said that it had about as much. Others are asked for what it may have kept back.
            for part in self._emptied:
                self._transfer.add(part)
            self._emptied.clear()
            self.has_failed = True
        else:
            self._transfer.doubt()

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


def outline_of(*, ours: Summary, theirs: Summary, missing: int, is_tip: bool) -> Outline:
    """What is known without a look: so many are missing, above all that we hold or else spread over it."""
    if is_tip:
        missing = theirs.count - ours.count
    low, high = (ours.highest + 1, theirs.highest + 1) if is_tip else (0, ours.highest + 1)
    return Outline([(low, high, missing)] if missing > 0 and low < high else [])
