"""The asking side of synchronisation: whom to pull from, and by which means.

A neighbour whose summary differs from ours is pulled from by one course (course.py) after another; which
means comes next stands in means.py. After each, when all that came is in the store, summaries are compared
again, and where they are equal that is the end. A pull that brought nothing makes the neighbour wait, longer
each time (reputation.py): it has nothing for us, or a filter's wrong positive, which a new salt finds.

One pull runs at a time in a community, and neighbours take turns; where much is missing others take part
in it (partners.py). What a neighbour claims costs it nothing, so nothing that only it says gives it more
time: an answer has a time of its own and a number of datagrams, a turn ends while others wait unless the
store is taking in what comes, and at once if a question is not answered; whose turn is next is drawn by
lot, mostly among those who brought something. A pull goes on in its next turn where it stopped.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from random import Random

from dispersy.constants import (
    ANSWER_BUDGET_MAX,
    AUDIT_CHANCE,
    AUDIT_IDS_MAX,
    AUDIT_INTERVAL_S,
    BACK_OFF_MAX_S,
    DRAWS_S,
    LONE_TIMEOUTS_MAX,
    REPAIRS_MAX,
    REQUEST_TIMEOUTS_MAX,
    SHARED_EXCHANGE_S,
    TURN_S,
)
from dispersy.protocol.address import Address
from dispersy.protocol.flow.backlog import Backlog
from dispersy.protocol.holdings import ItemHoldings
from dispersy.protocol.identifiers import OrderKey
from dispersy.protocol.large_messages.fragments import Fragments
from dispersy.protocol.sync.audit import Auditor
from dispersy.protocol.sync.course import Arrival, Asking, Course, Heard, Question, Reply
from dispersy.protocol.sync.courses import make_course, make_repair
from dispersy.protocol.sync.definition_request import DefinitionRequest
from dispersy.protocol.sync.expected_holdings import ExpectedHoldings
from dispersy.protocol.sync.gaps import Range
from dispersy.protocol.sync.means import Means, asks_first, choose_means
from dispersy.protocol.sync.partners import Partners
from dispersy.protocol.sync.pull import Pull
from dispersy.protocol.sync.pull_sources import PullSources
from dispersy.protocol.sync.questions import Send
from dispersy.protocol.sync.symbols_course import SymbolsCourse
from dispersy.protocol.wire.frames import Audit, Busy
from dispersy.protocol.wire.selection import Selection
from dispersy.protocol.wire.summary import Summary


class Puller:
    """The asking side of one community.

    holdings     as last committed; read during calls only
    fragments    what of large messages is being fetched: towards whoever named it, it counts as held
    audits       whether equal summaries are ever doubted
    budget_max   datagrams that one request asks for
    """

    def __init__(
        self,
        *,
        rng: Random,
        holdings: ItemHoldings,
        fragments: Fragments | None = None,
        now: float,  # noqa: ARG002 every machine is told when it begins
        audits: bool = True,
        audit_chance: float = AUDIT_CHANCE,
        audit_ids_max: int = AUDIT_IDS_MAX,
        audit_interval_s: float = AUDIT_INTERVAL_S,
        budget_max: int = ANSWER_BUDGET_MAX,
    ) -> None:
        self.counts: Counter[str] = Counter()
        """Since the start: skipped, repairs, what courses count, and by-MEANS, the courses of each means."""
        self._rng = rng
        self._holdings = holdings
        self._fragments = fragments
        self._backlog = Backlog()
        self._asking = Asking(rng, holdings, self._backlog, self.counts, budget_max)
        self._auditor = Auditor(
            rng=rng,
            holdings=holdings,
            chance=audit_chance if audits else 0.0,
            ids_max=audit_ids_max,
            interval_s=audit_interval_s,
        )
        self._definition: DefinitionRequest | None = DefinitionRequest(rng=rng)
        self._selections: Sequence[Selection] = ()
        self._sources = PullSources(towards=self._towards, expects=self._expects)
        self._partners = Partners(sources=self._sources, asking_of=self._asking_of, rng=rng)
        self._repairs: list[tuple[Address, Range]] = []
        self._pull: Pull | None = None
        self._parked: dict[Address, Pull] = {}
        self._made_room: Address | None = None
        self._begins_at: float | None = None  # Kept: to ask how long one may sleep must not read the store.
        self._events: list[Send] = []
        # Messages since the last commit, by who brought them.
        self._came: Counter[Address] = Counter()

    # What others sent.

    def receive_summary(self, source: Address, summary: Summary | None, now: float) -> None:
        """A neighbour's newest word; None: it summarises nothing, and so has nothing for us yet."""
        if self._definition is not None:
            self._definition.hear(source, knows=summary is not None, now=now)
        if summary is not None:
            ours = self._towards(source, self._holdings.summary())
            self._sources.hear(source, summary, ours=ours, now=now, waits=not asks_first(ours, summary))
            if self._definition is None and summary.same_set(ours):
                self.counts["skipped"] += 1
                self._auditor.consider(source, now)
        self.proceed(now)

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
        """A messages datagram has arrived; its `count` messages are on their way to the store.

        What is to be asked next is decided by proceed(), once for all datagrams that have come together.
        """
        if count:
            self._backlog.announce(count, now)
        pull = self._pull
        is_partner = self._partners.is_one(source)
        if pull is None or pull.course is None or not (is_partner or source == pull.address):
            return
        arrival = Arrival(number, flags, OrderKey(low), OrderKey(high), count, summary)
        if is_partner:
            heard = self._partners.receive_messages(source, arrival, now)
        else:
            heard = pull.course.receive_messages(arrival, now)
        if count and heard is not Heard.FOREIGN:
            pull.announced = self._backlog.announced
            pull.helped += count if is_partner else 0
            self._came[source] += count
        if heard is Heard.END and summary is not None and not is_partner:
            pull.source.summary, pull.source.heard_at = summary, now
        if heard is not Heard.FOREIGN:
            self.counts[f"came-by-{pull.course.means}"] += count

    def receive_reply(self, source: Address, reply: Reply, now: float) -> None:
        """Another frame has come that answers what a course has asked."""
        pull = self._pull
        if pull is None or pull.course is None or source != pull.address:
            return
        if pull.course.receive_reply(reply, now) is not Heard.FOREIGN:
            self.proceed(now)

    def share(self, source: Address, now: float) -> None:
        """A neighbour is finding out what differs: it sends what we lack, so we need not ask it now."""
        if self._pull is None or self._pull.address != source:
            self._sources.hold(source, now + SHARED_EXCHANGE_S)

    def draw(self, source: Address, now: float) -> None:
        """A neighbour asks us for what it lacks: send it little unasked."""
        self._sources.draw(source, now + DRAWS_S)

    def pulls_from(self, source: Address) -> bool:
        """Whether we are getting something from this neighbour."""
        return self._partners.is_one(source) or (self._pull is not None and self._pull.address == source)

    def described_to(self, source: Address) -> bytes | None:
        """The symbols that we have asked this neighbour with, if they are not answered yet."""
        pull = self._pull
        course = None if pull is None or pull.address != source else pull.course
        return course.described() if isinstance(course, SymbolsCourse) else None

    def receive_audit(self, source: Address, audit: Audit, now: float) -> None:
        """A neighbour's count and sum of the part that we asked for."""
        differs = self._auditor.receive(source, audit, now)
        if differs is not None and len(self._repairs) < REPAIRS_MAX:
            self._repairs.append((source, differs))
        self.proceed(now)

    def receive_busy(self, source: Address, busy: Busy, now: float) -> None:
        """A neighbour has too much to do: leave it alone for as long as it says."""
        pull = self._pull
        if self._partners.is_one(source):
            self._partners.receive_busy(source, busy.number, busy.wait_ms / 1000, now)
        if pull is None or source != pull.address or not (pull.course and pull.course.asked(busy.number)):
            return
        if not pull.course.receive_busy(busy.number, busy.wait_ms / 1000, now):
            pull.source.not_before = now + min(BACK_OFF_MAX_S, busy.wait_ms / 1000)
            self._leave_pull()
        self.proceed(now)

    # What the house says.

    def receive_committed(self, now: float) -> None:
        """Our store has changed, and `holdings` shows it."""
        if self._fragments is not None:
            self._sources.keep_word(self._fragments.drain_given(), now)
        pull = self._pull
        if pull is not None:
            came, self._came = self._came, Counter()
            self._sources.share(came, pull.take_gain(self._holdings.summary()), pulled=pull.address)
            pull.settled_at = None if pull.settled_at is None else now
        self.proceed(now)

    def set_processed(self, total: int, now: float) -> None:
        """Messages of those announced that were committed or dropped so far; may start again at zero."""
        self._backlog.process(total, now)
        self.proceed(now)

    def receive_loss(self, now: float) -> None:
        """What was on its way to our store is gone: ask again, and blame nobody who brought it."""
        self._leave_pull()
        self._backlog.forget()
        self._sources.forgive(now)
        self.proceed(now)

    def set_definition_known(self, now: float, selections: Sequence[Selection] = ()) -> None:
        """From now on messages can be taken: pull, and these before the rest."""
        self._definition, self._selections = None, selections
        self.proceed(now)

    # Time.

    def handle_timer(self, now: float) -> None:
        self._backlog.forget_stalled(now)
        self._sources.expire(now)
        pull = self._pull
        if pull is not None and pull.course is not None and pull.course.handle_timer(now):
            self._bear_silence(pull, now)
        self._partners.handle_timer(now)
        self.proceed(now)

    def next_deadline(self) -> float | None:
        if self._definition is not None:
            return self._definition.next_deadline()
        deadlines = [self._auditor.next_deadline(), self._backlog.next_deadline()]
        pull = self._pull
        if pull is None:
            deadlines.append(self._begins_at)
        elif pull.course is not None:
            deadlines += [pull.course.next_deadline(), self._partners.next_deadline()]
            if pull.is_held:
                deadlines += [pull.settled_at, pull.settle_by]
            else:
                deadlines += [pull.course.next_step(), self._partners.next_step()]
        return min([deadline for deadline in deadlines if deadline is not None], default=None)

    def drain(self) -> list[Send]:
        events, self._events = self._events, []
        return events

    def drain_silent(self) -> list[Address]:
        """Neighbours that have left a question unanswered: they may be gone."""
        return self._sources.drain_silent()

    # Whom to pull from.

    def _begin(self, now: float) -> Pull | None:
        ours = self._holdings.summary()
        if self._repairs:
            address, part = self._repairs.pop()
            source = self._sources.get(address)
            if source is not None:
                pull = Pull(address, source, ours, now)
                self._take(pull, make_repair(part, self._asking_of(address), source), ours)
                self.counts["repairs"] += 1
                return pull
        chosen = self._sources.choose(ours, now, last=self._made_room, rng=self._rng)
        self._made_room = None
        source = None if chosen is None else self._sources.get(chosen)
        if chosen is None or source is None:
            self._begins_at = self._sources.begin_at(ours)
            if self._expects():
                self._sources.look_again()
            return None
        source.began_at = now
        parked = self._parked.pop(chosen, None)
        if parked is not None and parked.source is source:
            parked.take_turn(ours, now)
            return parked
        return Pull(chosen, source, ours, now, selections=self._selections)

    def _others_wait(self, pull: Pull, ours: Summary, now: float) -> bool:
        waiting = (each for each in self._sources.ready(ours, now) if not self._partners.is_one(each))
        return any(address != pull.address for address in waiting)

    def _turn_is_over(self, pull: Pull, now: float) -> bool:
        is_silent = pull.source.is_silent
        if now < pull.turn_at + TURN_S and not is_silent:
            return False
        ours = self._holdings.summary()
        return self._others_wait(pull, ours, now) and (is_silent or pull.turn_is_over(ours, now))

    def _end_turn(self, pull: Pull, now: float) -> None:
        """Others wait: keep what this transfer has still to do for its next turn."""
        ours = self._holdings.summary()
        if pull.gains(ours):
            pull.gained = True
            pull.source.bear_fruit()
        elif pull.brought() or pull.source.flow.round_trips.timeouts:
            pull.source.bear_none(ours, now)
        self._parked = {at: each for at, each in self._parked.items() if self._sources.get(at) is each.source}
        if Means.REPAIR not in pull.tried:
            self._parked[pull.address] = pull
        self._made_room = pull.address
        self._leave_pull()

    # One pull.

    def proceed(self, now: float) -> None:
        """Ask what there is to ask now; all else that is told to this machine does so by itself."""
        if self._definition is not None:
            self._send(self._definition.step(now))
            return
        self._send(self._auditor.step(now))
        while True:
            if self._pull is None:
                self._pull = self._begin(now)
            pull = self._pull
            if pull is None:
                return
            if pull.course is None:
                self._take_next(pull, now)
            elif pull.course.has_failed:
                self._give_up(pull, now)
            elif not self._go_on(pull, pull.course, now):
                return

    def _go_on(self, pull: Pull, course: Course, now: float) -> bool:
        """Let a course do what it may now; False: it waits."""
        pull.is_held = True
        towards = self._towards(pull.address, self._holdings.summary())
        if course.means is not Means.REPAIR and pull.source.summary.same_set(towards):
            self._end_course(pull, now)
            return True
        if course.is_over():
            if not self._is_settled(pull, now):
                return False
            self._end_course(pull, now)
            return True
        if self._turn_is_over(pull, now):
            if course.is_under_way() and not pull.source.is_silent:
                pull.settled_at = pull.settle_by = None  # It is the answer that is waited for.
                return False
            self._end_turn(pull, now)
            return True
        if self._backlog.is_full() and not pull.waited_enough(now):
            return False
        if course.waits_for_store() and not self._is_settled(pull, now):
            return False
        pull.is_held = False
        questions = course.step(now)
        self._partners.invite(pull, self._holdings.summary(), now)
        for address, question in (*((pull.address, each) for each in questions), *self._partners.step(now)):
            self._send((address, question))
            # Whoever is asked pays for it, whosever pull it is.
            self._sources.charge(address, len(self._events[-1].body), now)
        if course.has_failed or course.is_over():
            return True
        if questions:
            pull.settled_at = pull.settle_by = None
        return bool(questions) and not course.is_under_way()

    def _asking_of(self, source: Address) -> Asking:
        """What courses with this source work with."""
        if self._fragments is None:
            return self._asking
        return replace(self._asking, holdings=ExpectedHoldings(self._holdings, self._fragments, source))

    def _towards(self, source: Address, ours: Summary) -> Summary:
        """Our summary as it is compared with this neighbour's."""
        return ours if self._fragments is None else self._fragments.towards(source, ours)

    def _expects(self) -> bool:
        return self._fragments is not None and self._fragments.expects()

    def _take(self, pull: Pull, course: Course, ours: Summary) -> None:
        pull.take(course, ours)
        self.counts[f"by-{course.means}"] += 1

    def _take_next(self, pull: Pull, now: float) -> None:
        """Begin the course of the means that comes next, or end the pull."""
        ours = self._holdings.summary()
        towards = self._towards(pull.address, ours)
        means = choose_means(ours=towards, theirs=pull.source.summary, history=pull.history(now))
        if means is None:
            pull.end(towards, now)
            self._leave_pull()
            return
        asking = self._asking_of(pull.address)
        course = make_course(means, asking, pull, is_alone=len(self._sources) == 1)
        if course is None:
            pull.tried.append(means)
        else:
            self._take(pull, course, ours)

    def _bear_silence(self, pull: Pull, now: float) -> None:
        """A question has had no answer at all."""
        timeouts = pull.source.flow.round_trips.timeouts
        self._sources.fall_silent(pull.address, now)
        if timeouts >= LONE_TIMEOUTS_MAX:
            # It is gone. Should it speak again, it is heard as if for the first time.
            self._sources.remove(pull.address)
            self._leave_pull()
        elif timeouts % REQUEST_TIMEOUTS_MAX == 0 and self._others_wait(pull, self._holdings.summary(), now):
            self._give_up(pull, now)

    def _is_settled(self, pull: Pull, now: float) -> bool:
        """Whether what arrived for this transfer is in the store, or has had time enough to get there."""
        ours, has_passed = self._holdings.summary(), self._backlog.has_passed(pull.announced)
        return pull.is_settled(ours, now, has_passed=has_passed)

    def _end_course(self, pull: Pull, now: float) -> None:
        """Sets are equal, or a course has got what it could: another one comes next."""
        ours = self._holdings.summary()
        self._partners.dismiss()
        if pull.end_course(ours, self._towards(pull.address, ours), now):
            self._leave_pull()

    def _leave_pull(self) -> None:
        self._partners.dismiss()
        self._pull = None

    def _give_up(self, pull: Pull, now: float) -> None:
        ours = self._holdings.summary()
        if pull.gained or pull.gains(ours):
            pull.source.bear_fruit()
        pull.source.bear_none(ours, now)
        self._leave_pull()

    def _send(self, asked: tuple[Address, Question] | None) -> None:
        if asked is not None:
            address, frame = asked
            self._events.append(Send(address, frame.type, frame.encode()))
