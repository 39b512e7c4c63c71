"""Several neighbours at once: who takes part in what one pull asks for.

Where much is missing, one neighbour's uplink is what a pull waits for. So others that say they have about as
much get a course of their own over the same transfer: each draws the next range from what is left, none is
under way twice, and what one leaves unanswered is what any may be asked for next. They are drawn by lot. One
that is busy, silent, or brings nothing leaves, and waits as it would after a pull of its own; what it had not
(and the pull's own source has) shows in the summaries afterwards, and is pulled then.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from random import Random

from dispersy.constants import BACK_OFF_MAX_S, PARTNERS_MAX, PARTNERS_MISSING_MIN
from dispersy.protocol.address import Address
from dispersy.protocol.sync.course import Arrival, Asking, Course, Heard, Question
from dispersy.protocol.sync.means import Means
from dispersy.protocol.sync.pull import Pull
from dispersy.protocol.sync.pull_sources import PullSources, Source
from dispersy.protocol.sync.range_course import RangeCourse
from dispersy.protocol.wire.summary import Summary

LOOK_EVERY_S = 0.1
"""Until it is looked again whether somebody may take part: a course makes a step for every datagram."""


class Partners:
    """The other neighbours of the one pull that runs.

    asking_of   what courses with a source work with
    """

    def __init__(self, *, sources: PullSources, asking_of: Callable[[Address], Asking], rng: Random) -> None:
        self._sources = sources
        self._asking_of = asking_of
        self._rng = rng
        self._of: Course | None = None
        self._looks_at = 0.0
        self._courses: dict[Address, tuple[Source, RangeCourse]] = {}

    def invite(self, pull: Pull, ours: Summary, now: float) -> None:
        """Let neighbours take part that may be asked now, as long as there is much to ask for."""
        course = pull.course
        if course is not self._of:
            self.dismiss()
            self._of, self._looks_at = course, now
        missing = pull.source.summary.count - ours.count
        room = PARTNERS_MAX - len(self._courses)
        if now < self._looks_at or room <= 0 or not isinstance(course, RangeCourse):
            return
        self._looks_at = now + LOOK_EVERY_S
        if course.left() < PARTNERS_MISSING_MIN:
            return
        fit = []
        for address in self._sources.ready(ours, now):
            source = self._sources.get(address)
            if address == pull.address or address in self._courses or source is None:
                continue
            if course.means is Means.RANKED and now < source.selections_at:
                continue
            if 2 * (source.summary.count - ours.count) >= missing:
                fit.append((address, source))
        for address, source in self._rng.sample(fit, min(room, len(fit))):
            self._courses[address] = source, course.shared_with(self._asking_of(address), source)
            source.began_at = now

    def dismiss(self) -> None:
        """The pull has ended, or its turn, or its course: what they were asked for is to be asked again."""
        for _, course in self._courses.values():
            course.leave()
        self._courses.clear()
        self._of = None

    def is_one(self, address: Address) -> bool:
        """Whether this neighbour takes part."""
        return address in self._courses

    def step(self, now: float) -> Iterator[tuple[Address, Question]]:
        """What to ask whom now."""
        for address, (_, course) in list(self._courses.items()):
            for question in course.step(now):
                yield address, question
            if course.has_failed:
                self._leave(address, now)

    def receive_messages(self, source: Address, arrival: Arrival, now: float) -> Heard:
        """A messages datagram of one of them has come."""
        known, course = self._courses[source]
        heard = course.receive_messages(arrival, now)
        if heard is Heard.END and arrival.summary is not None:
            known.summary, known.heard_at = arrival.summary, now
        if course.has_failed:
            self._leave(source, now)
        return heard

    def receive_busy(self, source: Address, number: int, wait_s: float, now: float) -> None:
        """One of them has too much to do."""
        known, course = self._courses[source]
        if course.asked(number) and not course.receive_busy(number, wait_s, now):
            known.not_before = now + min(BACK_OFF_MAX_S, wait_s)
            course.leave()
            del self._courses[source]

    def handle_timer(self, now: float) -> None:
        """Whoever has not answered at all leaves at once: others have what it has."""
        for address, (_, course) in list(self._courses.items()):
            if course.handle_timer(now):
                self._sources.fall_silent(address, now)
                self._leave(address, now)
            elif course.has_failed:
                self._leave(address, now)

    def next_deadline(self) -> float | None:
        """When handle_timer() has something to do."""
        moments = (course.next_deadline() for _, course in self._courses.values())
        return min((moment for moment in moments if moment is not None), default=None)

    def next_step(self) -> float | None:
        """When step() may have something to ask though nothing arrives."""
        moments = (course.next_step() for _, course in self._courses.values())
        return min((moment for moment in moments if moment is not None), default=None)

    def _leave(self, address: Address, now: float) -> None:
        source, course = self._courses.pop(address)
        course.leave()
        source.bear_none(source.summary, now)
