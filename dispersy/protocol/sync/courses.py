"""Which course carries out a means, and how far back it reaches."""

from __future__ import annotations

from dispersy.constants import PARTNERS_MISSING_MIN, TIP_SIZE
from dispersy.protocol.holdings import newest_low
from dispersy.protocol.identifiers import ORDER_LOW, OrderKey
from dispersy.protocol.sync.course import Asking, Course
from dispersy.protocol.sync.filtered_request import filter_capacity
from dispersy.protocol.sync.gaps import Range
from dispersy.protocol.sync.keyed_course import KeyedCourse
from dispersy.protocol.sync.means import BEHIND_MIN, Means
from dispersy.protocol.sync.outline import Outline
from dispersy.protocol.sync.pull import Pull
from dispersy.protocol.sync.pull_sources import Source
from dispersy.protocol.sync.range_course import RangeCourse, filter_error_rate, outline_of
from dispersy.protocol.sync.ranked_course import RankedCourse
from dispersy.protocol.sync.ranked_transfer import RankedTransfer
from dispersy.protocol.sync.symbols_course import SymbolsCourse
from dispersy.protocol.sync.transfer import Transfer
from dispersy.protocol.sync.tree_course import TreeCourse


def make_course(means: Means, asking: Asking, pull: Pull, *, is_alone: bool) -> Course | None:
    """The course of a means that is not REPAIR; None where all that it reaches has been asked for.

    is_alone   no other neighbour is known, to whom it would matter in which order messages come
    """
    if means is Means.SYMBOLS:
        return SymbolsCourse(asking, pull.source, lacking=_lacking(asking, pull))
    if means is Means.RANKED:
        return _make_ranked(asking, pull)
    if means is Means.TREE:
        return TreeCourse(asking, pull.source)
    if means is Means.GAPS:
        return _make_gaps(asking, pull, is_alone=is_alone)
    if means is Means.KEYED:
        missing = pull.source.summary.count - asking.holdings.summary().count
        # Two that look alike are estimated as four.
        return KeyedCourse(asking, pull.source, expected=max(pull.differing // 2, abs(missing)))
    low, high = _reach(means, asking, pull), pull.floor
    if low >= high:
        return None
    pull.floor = low
    ours = asking.holdings.summary()
    missing = _missing(asking, pull)
    outline = outline_of(ours=ours, theirs=pull.source.summary, missing=missing, is_tip=means is Means.TIP)
    # What lies among what we hold: at the tip it comes in order. More pieces are more filters.
    is_scattered = not is_alone and ours.count > 0 and missing >= PARTNERS_MISSING_MIN
    transfer = Transfer(
        outline,
        is_one_of_many=means is Means.EVERYTHING,
        is_scattered=is_scattered and means is Means.EVERYTHING,
    )
    transfer.add((low, high))
    return RangeCourse(asking, pull.source, means=means, transfer=transfer)


def make_repair(part: Range, asking: Asking, source: Source) -> Course:
    """The course of REPAIR: of how much is missing in its part, nothing is known."""
    transfer = Transfer(Outline())
    transfer.add(part)
    return RangeCourse(asking, source, means=Means.REPAIR, transfer=transfer)


def _make_gaps(asking: Asking, pull: Pull, *, is_alone: bool) -> Course:
    """The course of what was found or left; then it is asked for."""
    (outline, ranges), pull.gaps = pull.gaps, (Outline(), [])
    is_much = _missing(asking, pull) >= PARTNERS_MISSING_MIN
    transfer = Transfer(outline, is_scattered=is_much and not is_alone)
    for wanted in ranges:
        transfer.add(wanted)
    return RangeCourse(asking, pull.source, means=Means.GAPS, transfer=transfer)


def _make_ranked(asking: Asking, pull: Pull) -> Course:
    """The course of what comes next of the selections."""
    ours, theirs = asking.holdings.summary(), pull.source.summary
    missing = theirs.count - ours.count
    if pull.ranked_low is None:
        # Once: what the first of these courses brings is the newest that we hold.
        pull.ranked_low = newest_low(asking.holdings, TIP_SIZE)
        if missing > theirs.highest - ours.highest:
            # More than there are times above ours: some of it lies below, as where a pull broke off.
            pull.ranked_low = ORDER_LOW
    selection, *pull.selections = pull.selections
    transfer = RankedTransfer(
        selection,
        wanted=(pull.ranked_low, pull.floor),
        highest=theirs.highest,
        # Of the kinds before the last one, the sums of all say little.
        expected=None if pull.selections else missing,
    )
    return RankedCourse(asking, pull.source, transfer)


def _missing(asking: Asking, pull: Pull) -> int:
    """How many messages the source has and we lack, as far as known.

    Counts alone say nothing where both sides have what the other lacks, as after a partition; symbols that
    were too few have told then how much differs in all.
    """
    surplus = pull.source.summary.count - asking.holdings.summary().count
    estimated = (pull.differing + surplus) // 2
    return max(estimated, surplus) if estimated >= PARTNERS_MISSING_MIN else surplus


def _lacking(asking: Asking, pull: Pull) -> int | None:
    """How many messages symbols will tell that we lack, where that is known to be many.

    After a sweep through everything that is the wrong positives of its filters, and hardly anything else.
    """
    missing = pull.source.summary.count - asking.holdings.summary().count
    is_swept = pull.source.everything_at > pull.began_at
    return missing if is_swept and missing > BEHIND_MIN else None


def _reach(means: Means, asking: Asking, pull: Pull) -> OrderKey:
    """How far back this means reaches."""
    if means is Means.TIP:
        return newest_low(asking.holdings, TIP_SIZE) if pull.ranked_low is None else pull.ranked_low
    if means is Means.RECENT:
        return newest_low(asking.holdings, filter_capacity(filter_error_rate(asking, pull.source)))
    return ORDER_LOW
