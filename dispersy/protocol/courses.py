"""Which course carries out a means, and how far back it reaches."""

from __future__ import annotations

from dispersy.constants import TIP_SIZE
from dispersy.protocol.course import Asking, Course
from dispersy.protocol.holdings import newest_low
from dispersy.protocol.identifiers import ORDER_LOW, OrderKey
from dispersy.protocol.means import Means
from dispersy.protocol.pull import Pull
from dispersy.protocol.range_course import RangeCourse, filter_error_rate
from dispersy.protocol.symbols_course import SymbolsCourse
from dispersy.protocol.transfer import filter_capacity


def make_course(means: Means, asking: Asking, pull: Pull) -> Course | None:
    """The course of a means that is not REPAIR; None where all that it reaches has been asked for."""
    if means is Means.SYMBOLS:
        return SymbolsCourse(asking, pull.source)
    low, high = _reach(means, asking, pull), pull.floor
    if low >= high:
        return None
    pull.floor = low
    return RangeCourse(asking, pull.source, means=means, wanted=(low, high))


def _reach(means: Means, asking: Asking, pull: Pull) -> OrderKey:
    """How far back this means reaches."""
    if means is Means.TIP:
        return newest_low(asking.holdings, TIP_SIZE)
    if means is Means.RECENT:
        return newest_low(asking.holdings, filter_capacity(filter_error_rate(asking, pull.source)))
    return ORDER_LOW
