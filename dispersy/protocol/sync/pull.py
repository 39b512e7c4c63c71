"""One pull: one course after another with one source, over as many turns as it takes."""

from __future__ import annotations

from collections.abc import Sequence

from dispersy.constants import SETTLE_MAX_S, SETTLE_S, TURN_MAX_S, TURN_MESSAGES_MIN
from dispersy.protocol.address import Address
from dispersy.protocol.identifiers import ORDER_LOW, ORDER_TOP, OrderKey
from dispersy.protocol.sync.course import Course
from dispersy.protocol.sync.gaps import Range
from dispersy.protocol.sync.keyed_course import KeyedCourse
from dispersy.protocol.sync.means import History, Means
from dispersy.protocol.sync.outline import Outline
from dispersy.protocol.sync.pull_sources import Source
from dispersy.protocol.sync.symbols_course import SymbolsCourse
from dispersy.protocol.sync.tree_course import TreeCourse
from dispersy.protocol.wire.selection import Selection
from dispersy.protocol.wire.summary import Summary


class Pull:
    """A source, the course under way, and how far back those before it have come.

    course        the one under way; each pull begins with one
    tried         means so far, that of `course` among them
    floor         everything from here upwards has been asked for
    gaps          where a tree has found that the sets differ, and how many are missing there, or what
                  keyed symbols have left: until it is asked for
    is_defeated   something differs that symbols of the whole set do not tell; differing: how much, they say
    selections    what comes before the rest and has not been asked for; ranked_low: how far back it is
    gained        the store took something from an earlier turn of it
    began_with    our summary when this turn began
    course_with   our summary when this course began
    announced     the backlog's count when the last of its messages came
    helped        messages that others brought, who took part in it
    is_held       the course may not ask now: for the store, or because its turn is over
    settled_at    when what arrived counts as stored; settle_by: at the latest
    """

    def __init__(
        self,
        address: Address,
        source: Source,
        ours: Summary,
        now: float,
        *,
        selections: Sequence[Selection] = (),
    ) -> None:
        self.address = address
        self.source = source
        self.course: Course | None = None
        self.tried: list[Means] = []
        self.floor = ORDER_TOP
        self.selections = list(selections)
        self.ranked_low: OrderKey | None = None
        self.gaps: tuple[Outline, list[Range]] = Outline(), []
        self.is_defeated = False
        self.differing = 0
        self.gained = False
        self.began_at = self.turn_at = now
        self.began_with = self.course_with = ours
        self.turn_count = self._counted = ours.count
        self.announced = self.helped = 0
        self.is_held = False
        self.settled_at: float | None = None
        self.settle_by: float | None = None
        # Messages of the courses before this one, and of all when this turn began.
        self._received = 0
        self._received_before = self._came = 0

    def take_turn(self, ours: Summary, now: float) -> None:
        """Go on where the last turn stopped."""
        self.began_at = self.turn_at = now
        self.began_with = ours
        self.turn_count = self._counted = ours.count
        self._received_before = self.received()
        self.settled_at = self.settle_by = None
        if self.course is not None:
            self.course.begin_again()

    def take(self, course: Course, ours: Summary) -> None:
        """Begin this course."""
        self._received = self.received()
        self.course = course
        self.course_with = ours
        self.tried.append(course.means)

    def end_course(self, ours: Summary, towards: Summary, now: float) -> bool:
        """Sets are equal, or the course has got what it could; False: the next one is still to be chosen.

        towards   our summary as it is compared with the source's
        """
        course = self.course
        assert course is not None
        self.settled_at = self.settle_by = None
        self.gained = self.gained or self.gains(ours)
        if isinstance(course, SymbolsCourse):
            self.source.end_symbols(now, useful=course.has_everything)
            self.is_defeated, self.differing = course.is_defeated, course.estimate or 0
        if course.means is Means.REPAIR or self.source.summary.same_set(towards):
            if self.gained:
                self.source.bear_fruit()
            return True
        if isinstance(course, TreeCourse | KeyedCourse):
            self.gaps = course.gaps()
        if course.has_everything:
            self.floor = ORDER_LOW
            self.source.seen = self.source.summary, towards
        if course.means is Means.EVERYTHING:
            self.source.end_everything(now, fruit=not ours.same_set(self.course_with))
        self._received = self.received()
        self.course = None
        return False

    def history(self, now: float) -> History:
        """What the choice of the next means depends on."""
        return History(
            tried=tuple(self.tried),
            is_at_bottom=self.floor == ORDER_LOW,
            may_sweep=now >= self.source.everything_at,
            ranks=bool(self.selections) and now >= self.source.selections_at,
            may_describe=now >= self.source.symbols_at,
            gaps=bool(self.gaps[1]),
            is_defeated=self.is_defeated,
            fruitless=self.source.fruitless,
        )

    def received(self) -> int:
        """Messages of its own source so far."""
        return self._received + (0 if self.course is None else self.course.received)

    def brought(self) -> bool:
        """Whether anything has come since this turn began."""
        return self.received() > self._received_before

    def gains(self, ours: Summary) -> bool:
        """Whether the store took anything since this turn began, and something came that it may have been."""
        return self.brought() and not ours.same_set(self.began_with)

    def waited_enough(self, now: float) -> bool:
        """Whether nothing was asked for SETTLE_MAX_S: what others send must not hold us for ever."""
        if self.settle_by is None:
            self.settle_by = now + SETTLE_MAX_S
        return now >= self.settle_by

    def is_settled(self, ours: Summary, now: float, *, has_passed: bool) -> bool:
        """Whether what arrived for it is in the store, or has had time enough to get there.

        has_passed   the backlog is through with it
        """
        if self.waited_enough(now):
            return True
        if not has_passed:
            self.settled_at = None
            return False
        if self.settled_at is None:
            came = self.received() + self.helped
            changed = not came or not ours.same_set(self.began_with)
            self.settled_at = now if changed else now + SETTLE_S
        return now >= self.settled_at

    def turn_is_over(self, ours: Summary, now: float) -> bool:
        """Whether others that wait have waited long enough; a turn that fills the store is a longer one."""
        if ours.count - self.turn_count >= TURN_MESSAGES_MIN and now < self.began_at + TURN_MAX_S:
            self.turn_at = now
            self.turn_count = ours.count
            return False
        return True

    def take_gain(self, ours: Summary) -> int:
        """Messages that the store has more than when this was last asked, as far as so many have come."""
        count, self._counted = ours.count - self._counted, ours.count
        before, self._came = self._came, self.received() + self.helped
        return min(count, self._came - before)

    def end(self, ours: Summary, now: float) -> None:
        """The summaries still differ, and it has done what it may."""
        if self.gained:
            self.source.fruitless = self.source.broken = 0
            self.source.fruitful = True
        elif self.floor == ORDER_LOW:
            self.source.end_fruitless(ours, now)
        else:
            self.source.bear_none(ours, now)
