"""The means of synchronisation, and which of them a pull uses next.

The choice is one pure function of what both sides hold and of what this pull has tried, so that it can be
read in one place, tested row by row, and named to whoever asks how a message came here.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from dispersy.constants import SYMBOL_DIFFERENCES_MAX, SYMBOL_SET_MIN, TREE_SET_MIN
from dispersy.protocol.wire.summary import Summary

BEHIND_MIN = 45
"""Messages: as many as one datagram of symbols tells."""
PATIENCE_MAX = 3
"""Pulls put off, each time for longer: some seconds in all."""


class Means(StrEnum):
    """One way of getting what a neighbour has and we lack."""

    RANKED = "ranked"
    """What the definition puts before the rest, where much is missing: once for each selection."""
    SYMBOLS = "symbols"
    """Coded symbols of the whole set: few differences, wherever they lie."""
    TIP = "tip"
    """What lies above our newest messages, and what is missing among these: nearly every difference."""
    TREE = "tree"
    """Counts and sums over global time: brings nothing, and finds where the sets differ."""
    GAPS = "gaps"
    """What the tree has found, and what keyed symbols have left."""
    KEYED = "keyed"
    """Symbols of ranges, each under a fresh key: for ids that were made to look alike."""
    RECENT = "recent"
    """As far back as one filter describes."""
    EVERYTHING = "everything"
    """All the rest, by filters over ranges."""
    REPAIR = "repair"
    """The range in which an audit found a difference; not chosen here, for equal summaries hide it."""


@dataclass(frozen=True, slots=True)
class History:
    """What a pull has done so far.

    tried         means it has used, in order
    is_at_bottom  all that there is has been asked for
    may_sweep     going through everything is not too soon after the last time
    ranks         something comes before the rest and has not been asked for
    may_describe  symbols are not too soon after they were no use the last time
    gaps          a tree has found where, or keyed symbols have left something, and it was not asked for
    is_defeated   something differs that symbols of the whole set do not tell
    fruitless     pulls from this neighbour in a row that brought nothing
    """

    tried: tuple[Means, ...] = ()
    is_at_bottom: bool = False
    may_sweep: bool = True
    ranks: bool = False
    may_describe: bool = True
    gaps: bool = False
    is_defeated: bool = False
    fruitless: int = 0


def choose_means(*, ours: Summary, theirs: Summary, history: History) -> Means | None:
    """The next means of a pull; None: the sets are equal, or it has done what it may."""
    if ours.same_set(theirs) or history.is_at_bottom:
        return None
    if _comes_first(ours, theirs, history):
        return None
    if history.ranks and theirs.count - ours.count > BEHIND_MIN:
        # Fewer are here at once, whatever their order.
        return Means.RANKED
    if _suits_symbols(ours, theirs, history):
        return Means.SYMBOLS
    if Means.TIP not in history.tried:
        return Means.TIP
    if _suits_tree(ours, theirs, history):
        return Means.TREE
    if history.gaps:
        return Means.GAPS
    if history.is_defeated and not {Means.KEYED, Means.GAPS} & {*history.tried}:
        return Means.KEYED
    if Means.RECENT not in history.tried:
        return Means.RECENT
    if history.may_sweep and Means.EVERYTHING not in history.tried:
        return Means.EVERYTHING
    return None


def _comes_first(ours: Summary, theirs: Summary, history: History) -> bool:
    """Whether it seems to be the neighbour that lacks much: then it asks, and we look later.

    Both describing all they hold would cost twice, and what it takes in changes what we would describe.
    """
    return (
        not history.tried
        and ours.count - theirs.count > BEHIND_MIN
        and ours.highest >= theirs.highest
        and history.fruitless < PATIENCE_MAX
    )


def _suits_symbols(ours: Summary, theirs: Summary, history: History) -> bool:
    """Whether what differs may well be few messages among many, and not simply the newest."""
    return (
        history.may_describe
        and Means.SYMBOLS not in history.tried
        and ours.count >= SYMBOL_SET_MIN
        and abs(ours.count - theirs.count) <= SYMBOL_DIFFERENCES_MAX
        # Else one has pruned what the other will.
        and ours.horizon == theirs.horizon
        # Where one side has a newer one than the other, most likely so it has those around it.
        and (theirs.highest == ours.highest or Means.TIP in history.tried)
    )


def _suits_tree(ours: Summary, theirs: Summary, history: History) -> bool:
    """Whether to look where in time the sets differ: worth it where to describe all would be dear."""
    return (
        Means.TREE not in history.tried
        and min(ours.count, theirs.count) >= TREE_SET_MIN
        # Else whatever one has pruned differs.
        and ours.horizon == theirs.horizon
    )


def asks_first(ours: Summary, theirs: Summary) -> bool:
    """Of two that have heard each other's summaries, whether it is we who ask at once.

    What differs is found out for both by one of them; whoever lacks more has it soonest by asking.
    """
    surplus = ours.count - theirs.count
    if ours.count < SYMBOL_SET_MIN or theirs.count < SYMBOL_SET_MIN or abs(surplus) > SYMBOL_DIFFERENCES_MAX:
        return True
    if surplus == 0:
        return ours.sum < theirs.sum
    return surplus < 0
