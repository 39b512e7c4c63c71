"""The asking side of synchronisation: whom to pull from, and how far back.

A neighbour whose summary differs from ours is pulled from in stages, each of which reaches further back: the
tip, where nearly every difference is, then about as many of our newest messages as one filter describes, then
everything. After each stage, when all that came is in the store, summaries are compared again, and where they
are equal that is the end. A transfer that brought nothing makes the neighbour wait, longer each time: it has
nothing for us, or a filter's wrong positive, which a new salt finds.

One transfer runs at a time in a community, and neighbours take turns. What a neighbour claims costs it
nothing, so nothing that only it says gives it more time: an answer has a time of its own and a number of
datagrams, a turn ends while others wait unless the store is taking in what comes, and whose turn is next is
drawn by lot, mostly among those who brought something. A transfer goes on in its next turn where it stopped.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from random import Random

from dispersy.constants import (
    ANSWER_BUDGET_MAX,
    ANSWER_TIME_MAX_S,
    AUDIT_CHANCE,
    AUDIT_IDS_MAX,
    AUDIT_INTERVAL_S,
    BACK_OFF_MAX_S,
    IDLE_ANSWERS_MAX,
    LONE_TIMEOUTS_MAX,
    REPAIRS_MAX,
    REQUEST_TIMEOUTS_MAX,
    SETTLE_MAX_S,
    SETTLE_S,
    TIP_SIZE,
    TURN_MAX_S,
    TURN_MESSAGES_MIN,
    TURN_S,
)
from dispersy.protocol.address import Address
from dispersy.protocol.audit import Auditor
from dispersy.protocol.definition_request import DefinitionRequest
from dispersy.protocol.flow import Backlog
from dispersy.protocol.frames import Audit, AuditRequest, Busy, RequestMissing, SyncRequest
from dispersy.protocol.holdings import Holdings, newest_low
from dispersy.protocol.identifiers import ORDER_LOW, OrderKey
from dispersy.protocol.numbers import FrameType
from dispersy.protocol.pull import Pull
from dispersy.protocol.pull_sources import PullSources, Source
from dispersy.protocol.summary import Summary
from dispersy.protocol.transfer import Range, error_rate_for, filter_capacity

TIP, NEWEST, EVERYTHING = 1, 2, 3
"""The stages of a transfer."""


@dataclass(frozen=True, slots=True)
class Send:
    """A datagram of this one frame to a neighbour."""

    address: Address
    frame_type: FrameType
    body: bytes


class Puller:
    """The asking side of one community.

    holdings     as last committed; read during calls only
    audits       whether equal summaries are ever doubted
    budget_max   datagrams that one request asks for
    """

    def __init__(
        self,
        *,
        rng: Random,
        holdings: Holdings,
        now: float,  # noqa: ARG002 every machine is told when it begins
        audits: bool = True,
        audit_chance: float = AUDIT_CHANCE,
        audit_ids_max: int = AUDIT_IDS_MAX,
        audit_interval_s: float = AUDIT_INTERVAL_S,
        budget_max: int = ANSWER_BUDGET_MAX,
    ) -> None:
        self.counts: Counter[str] = Counter()
        """requests, filters, unfiltered, skipped, timeouts, repairs: since the start."""
        self._rng = rng
        self._budget_max = budget_max
        self._holdings = holdings
        self._auditor = Auditor(
            rng=rng,
            holdings=holdings,
            chance=audit_chance if audits else 0.0,
            ids_max=audit_ids_max,
            interval_s=audit_interval_s,
        )
        self._definition: DefinitionRequest | None = DefinitionRequest(rng=rng)
        self._sources = PullSources()
        self._repairs: list[tuple[Address, Range]] = []
        self._backlog = Backlog()
        self._pull: Pull | None = None
        self._parked: dict[Address, Pull] = {}
        self._made_room: Address | None = None
        # Kept, for the store must not be read while its role only asks how long it may sleep.
        self._begins_at: float | None = None
        self._events: list[Send] = []

    # What others sent.

    def receive_summary(self, source: Address, summary: Summary | None, now: float) -> None:
        """A neighbour's newest word; None: it summarises nothing, and so has nothing for us yet."""
        if self._definition is not None:
            self._definition.hear(source, knows=summary is not None, now=now)
        if summary is not None:
            self._sources.hear(source, summary, ours=self._holdings.summary(), now=now)
            if self._definition is None and summary.same_set(self._holdings.summary()):
                self.counts["skipped"] += 1
                self._auditor.consider(source, now)
        self._proceed(now)

    def receive_peer(self, source: Address, now: float) -> None:
        """A neighbour has been met of which no more is known."""
        self.receive_summary(source, None, now)

    def receive_envelope(
        self,
        source: Address,
        number: int,
        flags: int,
        low: bytes,
        high: bytes,
        summary: Summary | None,
        count: int,
        size_bytes: int,  # noqa: ARG002 budgets are in datagrams
        now: float,
    ) -> None:
        """A messages datagram has arrived; its `count` messages are on their way to the store."""
        if count:
            self._backlog.announce(count, now)
        pull = self._pull
        if pull is None or source != pull.address:
            return
        transfer = pull.transfer
        received = transfer.received
        over = transfer.receive(
            number=number, flags=flags, low=OrderKey(low), high=OrderKey(high), count=count
        )
        if transfer.received > received:
            pull.announced = self._backlog.announced
        if not number or number != transfer.number:
            return
        if transfer.datagrams == 1:
            pull.source.pace.measure(now - pull.asked_at)
        pull.due_at = min(pull.over_at, now + pull.source.pace.timeout_s())
        if over:
            if summary is not None:
                pull.source.summary = summary
                pull.source.heard_at = now
            self._end_answer(pull, now)
            self._proceed(now)

    def receive_audit(self, source: Address, audit: Audit, now: float) -> None:
        """A neighbour's count and sum of the part that we asked for."""
        differs = self._auditor.receive(source, audit, now)
        if differs is not None and len(self._repairs) < REPAIRS_MAX:
            self._repairs.append((source, differs))
        self._proceed(now)

    def receive_busy(self, source: Address, busy: Busy, now: float) -> None:
        """A neighbour has too much to do: leave it alone for as long as it says."""
        pull = self._pull
        if pull is None or source != pull.address or busy.number != pull.transfer.number:
            return
        pull.source.not_before = now + min(BACK_OFF_MAX_S, busy.wait_ms / 1000)
        self._pull = None
        self._proceed(now)

    # What the house says.

    def receive_committed(self, now: float) -> None:
        """Our store has changed, and `holdings` shows it."""
        if self._pull is not None and self._pull.settled_at is not None:
            self._pull.settled_at = now
        self._proceed(now)

    def set_processed(self, total: int, now: float) -> None:
        """Messages of those announced that were committed or dropped so far; may start again at zero."""
        self._backlog.process(total, now)
        self._proceed(now)

    def receive_loss(self, now: float) -> None:
        """What was on its way to our store is gone: ask again, and blame nobody who brought it."""
        self._pull = None
        self._backlog = Backlog()
        self._sources.forgive(now)
        self._proceed(now)

    def set_definition_known(self, now: float) -> None:
        """From now on messages can be taken: pull."""
        self._definition = None
        self._proceed(now)

    # Time.

    def handle_timer(self, now: float) -> None:
        self._backlog.forget_stalled(now)
        self._sources.expire(now)
        pull = self._pull
        if pull is not None and pull.transfer.is_under_way() and now >= pull.due_at:
            self._time_out(pull, now)
        self._proceed(now)

    def next_deadline(self) -> float | None:
        if self._definition is not None:
            return self._definition.next_deadline()
        deadlines = [self._auditor.next_deadline(), self._backlog.next_deadline()]
        pull = self._pull
        if pull is None:
            deadlines.append(self._begins_at)
        elif pull.transfer.is_under_way():
            deadlines.append(pull.due_at)
        else:
            deadlines += [pull.settled_at, pull.settle_by]
        return min((deadline for deadline in deadlines if deadline is not None), default=None)

    def drain(self) -> list[Send]:
        events, self._events = self._events, []
        return events

    # Whom to pull from.

    def _begin(self, now: float) -> Pull | None:
        ours = self._holdings.summary()
        if self._repairs:
            address, part = self._repairs.pop()
            source = self._sources.get(address)
            if source is not None:
                pull = Pull(address, source, ours, now)
                pull.repairs = True
                pull.transfer.add(part)
                self.counts["repairs"] += 1
                return pull
        chosen = self._sources.choose(ours, now, last=self._made_room, rng=self._rng)
        self._made_room = None
        source = None if chosen is None else self._sources.get(chosen)
        if chosen is None or source is None:
            self._begins_at = self._sources.begin_at(ours)
            return None
        source.began_at = now
        parked = self._parked.pop(chosen, None)
        if parked is not None and parked.source is source:
            parked.take_turn(ours, now)
            return parked
        pull = Pull(chosen, source, ours, now)
        self._reach_back(pull, ours)
        return pull

    def _others_wait(self, pull: Pull, ours: Summary, now: float) -> bool:
        return any(address != pull.address for address in self._sources.ready(ours, now))

    def _turn_is_over(self, pull: Pull, now: float) -> bool:
        """Whether others wait and have waited long enough; a turn that fills the store is a longer one."""
        if now < pull.turn_at + TURN_S:
            return False
        ours = self._holdings.summary()
        if not self._others_wait(pull, ours, now):
            return False
        if ours.count - pull.turn_count >= TURN_MESSAGES_MIN and now < pull.began_at + TURN_MAX_S:
            pull.turn_at = now
            pull.turn_count = ours.count
            return False
        return True

    def _end_turn(self, pull: Pull, now: float) -> None:
        """Others wait: keep what this transfer has still to do for its next turn."""
        ours = self._holdings.summary()
        if pull.gains(ours):
            pull.gained = True
            pull.source.bear_fruit()
        elif pull.transfer.received > pull.received or pull.source.pace.timeouts:
            pull.source.bear_none(ours, now)
        self._parked = {
            address: parked
            for address, parked in self._parked.items()
            if self._sources.get(address) is parked.source
        }
        if not pull.repairs:
            self._parked[pull.address] = pull
        self._made_room = pull.address
        self._pull = None

    # One transfer.

    def _proceed(self, now: float) -> None:
        if self._definition is not None:
            self._send(self._definition.step(now))
            return
        self._send(self._auditor.step(now))
        while True:
            if self._pull is None:
                self._pull = self._begin(now)
            pull = self._pull
            if pull is None or pull.transfer.is_under_way():
                return
            if self._backlog.is_full() and not self._waited_enough(pull, now):
                return
            if not pull.repairs and pull.source.summary.same_set(self._holdings.summary()):
                self._end_stage(pull, now)
                continue
            if pull.transfer.is_complete():
                if not self._is_settled(pull, now):
                    return
                self._end_stage(pull, now)
                continue
            if self._turn_is_over(pull, now):
                self._end_turn(pull, now)
                continue
            idles = pull.idle_answers >= IDLE_ANSWERS_MAX
            if (idles or pull.transfer.must_repair()) and not self._is_settled(pull, now):
                return
            if idles:
                pull.idle_answers = 0
                if self._brought_nothing(pull):
                    self._give_up(pull, now)
                    continue
            self._request(pull, now)
            return

    def _request(self, pull: Pull, now: float) -> None:
        request = pull.transfer.next_request(
            holdings=self._holdings,
            number=self._rng.randrange(1, 1 << 32),
            budget=min(self._budget_max, pull.source.pace.budget),
            error_rate=self._error_rate(pull.source),
            rng=self._rng,
        )
        pull.asked_at = now
        pull.due_at = now + pull.source.pace.timeout_s()
        pull.over_at = max(pull.due_at, now + ANSWER_TIME_MAX_S)
        pull.settled_at = pull.settle_by = None
        self.counts["requests"] += 1
        self.counts["filters" if request.hash_count else "unfiltered"] += 1
        self._send((pull.address, request))

    def _end_answer(self, pull: Pull, now: float) -> None:
        lost, progress, count = pull.transfer.end_answer()
        # Most sweeps of what both hold bring no message at all, and end at the end of their range.
        if count and not self._brought_nothing(pull):
            pull.idle_answers = 0
        elif count:
            pull.idle_answers += 1
        pull.source.pace.answered(datagrams=pull.transfer.datagrams, lost=lost)
        if not progress:
            self._give_up(pull, now)

    def _time_out(self, pull: Pull, now: float) -> None:
        self.counts["timeouts"] += 1
        if pull.transfer.datagrams:
            self._end_answer(pull, now)
            return
        pull.transfer.end_answer()
        pace = pull.source.pace
        pace.timed_out()
        others_wait = self._others_wait(pull, self._holdings.summary(), now)
        if pace.timeouts >= LONE_TIMEOUTS_MAX:
            # It is gone. Should it speak again, it is heard as if for the first time.
            self._sources.remove(pull.address)
            self._pull = None
        elif others_wait and pace.timeouts % REQUEST_TIMEOUTS_MAX == 0:
            self._give_up(pull, now)

    def _brought_nothing(self, pull: Pull) -> bool:
        """Whether our store is as it was when this was last asked."""
        before, pull.idle_with = pull.idle_with, self._holdings.summary()
        return before.same_set(pull.idle_with)

    def _waited_enough(self, pull: Pull, now: float) -> bool:
        """Whether we asked nothing for SETTLE_MAX_S: what others send must not hold us for ever."""
        if pull.settle_by is None:
            pull.settle_by = now + SETTLE_MAX_S
        return now >= pull.settle_by

    def _is_settled(self, pull: Pull, now: float) -> bool:
        """Whether what arrived for this transfer is in the store, or has had time enough to get there."""
        if self._waited_enough(pull, now):
            return True
        if not self._backlog.has_passed(pull.announced):
            pull.settled_at = None
            return False
        if pull.settled_at is None:
            changed = pull.transfer.received == 0 or not self._holdings.summary().same_set(pull.began_with)
            pull.settled_at = now if changed else now + SETTLE_S
        return now >= pull.settled_at

    def _end_stage(self, pull: Pull, now: float) -> None:
        ours = self._holdings.summary()
        pull.settled_at = pull.settle_by = None
        pull.gained = pull.gained or pull.gains(ours)
        if pull.repairs or pull.source.summary.same_set(ours):
            if pull.gained:
                pull.source.bear_fruit()
            self._pull = None
        elif pull.floor != ORDER_LOW and (pull.stage < NEWEST or now >= pull.source.everything_at):
            self._reach_back(pull, ours)
        else:
            self._end_differing(pull, ours, now)

    def _end_differing(self, pull: Pull, ours: Summary, now: float) -> None:
        """The summaries still differ, and this transfer has done what it may."""
        if pull.stage == EVERYTHING:
            pull.source.end_everything(now, fruit=not ours.same_set(pull.stage_with))
        if pull.gained:
            pull.source.fruitless = pull.source.broken = 0
            pull.source.fruitful = True
        elif pull.floor == ORDER_LOW:
            pull.source.end_fruitless(ours, now)
        else:
            pull.source.bear_none(ours, now)
        self._pull = None

    def _reach_back(self, pull: Pull, ours: Summary) -> None:
        """Add the next stage's range: what lies below everything that has been asked for so far."""
        low = ORDER_LOW
        if pull.stage < TIP:
            low = newest_low(self._holdings, TIP_SIZE)
        elif pull.stage < NEWEST:
            low = newest_low(self._holdings, filter_capacity(self._error_rate(pull.source)))
        pull.stage += 1
        pull.stage_with = ours
        if low < pull.floor:
            pull.transfer.add((low, pull.floor))
            pull.floor = low

    def _give_up(self, pull: Pull, now: float) -> None:
        ours = self._holdings.summary()
        if pull.gained or pull.gains(ours):
            pull.source.bear_fruit()
        pull.source.bear_none(ours, now)
        self._pull = None

    def _error_rate(self, source: Source) -> float:
        held = self._holdings.summary().count
        missing = source.summary.count - held
        # Where it holds no more than we do, nothing says how much of it we lack.
        return error_rate_for(held=held, missing=missing if missing > 0 else 1 + held // 4)

    def _send(self, asked: tuple[Address, SyncRequest | AuditRequest | RequestMissing] | None) -> None:
        if asked is not None:
            address, frame = asked
            self._events.append(Send(address, frame.type, frame.encode()))
