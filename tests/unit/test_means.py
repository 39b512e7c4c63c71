"""Which means a pull uses next, row by row."""

from __future__ import annotations

import pytest

from dispersy.protocol.sync.means import History, Means, asks_first, choose_means
from dispersy.protocol.wire.summary import Summary

OURS = Summary(highest=100, count=100, sum=5)
THEIRS = Summary(highest=120, count=120, sum=9)


@pytest.mark.parametrize(
    ("theirs", "history", "expected"),
    [
        (OURS, History(), None),
        (THEIRS, History(), Means.TIP),
        (THEIRS, History(tried=(Means.TIP,)), Means.RECENT),
        (THEIRS, History(tried=(Means.TIP, Means.RECENT)), Means.EVERYTHING),
        (THEIRS, History(tried=(Means.TIP, Means.RECENT), may_sweep=False), None),
        (THEIRS, History(tried=(Means.TIP,), is_at_bottom=True), None),
        (THEIRS, History(tried=(Means.TIP, Means.RECENT, Means.EVERYTHING)), None),
    ],
)
def test_the_next_means(theirs: Summary, history: History, expected: Means | None) -> None:
    """Ever further back, until sets are equal or nothing is left to try."""
    assert choose_means(ours=OURS, theirs=theirs, history=history) is expected


MANY = Summary(highest=5_000, count=5_000, sum=5)


@pytest.mark.parametrize(
    ("count", "highest", "history", "expected"),
    [
        (5_000, 5_000, History(), Means.SYMBOLS),
        (4_990, 4_900, History(), Means.TIP),
        (4_990, 4_900, History(tried=(Means.TIP,)), Means.SYMBOLS),
        (4_000, 4_900, History(), None),
        (4_000, 5_000, History(), None),
        (4_000, 5_000, History(fruitless=3), Means.SYMBOLS),
        (4_000, 5_100, History(), Means.TIP),
        (6_400, 5_000, History(), Means.SYMBOLS),
        (6_401, 5_000, History(), Means.TIP),
        (5_010, 5_001, History(), Means.TIP),
        (5_010, 5_001, History(tried=(Means.TIP,)), Means.SYMBOLS),
        (5_000, 5_000, History(may_describe=False), Means.TIP),
        (5_000, 5_000, History(tried=(Means.SYMBOLS,)), Means.TIP),
        (5_000, 5_000, History(tried=(Means.SYMBOLS, Means.TIP)), Means.RECENT),
    ],
)
def test_symbols_come_first_where_little_may_differ(
    count: int, highest: int, history: History, expected: Means | None
) -> None:
    """Among many messages, unless the newest are missing or much more is; once a pull.

    A neighbour that lacks much, and as it seems nothing that we have not, is left to ask first.
    """
    theirs = Summary(highest=highest, count=count, sum=9)
    assert choose_means(ours=MANY, theirs=theirs, history=history) is expected


LARGE = Summary(highest=90_000, count=90_000, sum=5)


@pytest.mark.parametrize(
    ("theirs", "history", "expected"),
    [
        (Summary(highest=95_000, count=95_000, sum=9), History(), Means.TIP),
        (Summary(highest=95_000, count=95_000, sum=9), History(tried=(Means.TIP,)), Means.TREE),
        (Summary(highest=95_000, count=95_000, sum=9), History(tried=(Means.TIP, Means.TREE)), Means.RECENT),
        (
            Summary(highest=95_000, count=95_000, sum=9),
            History(tried=(Means.TIP, Means.TREE), gaps=True),
            Means.GAPS,
        ),
        (
            Summary(highest=95_000, count=95_000, sum=9),
            History(tried=(Means.TIP, Means.TREE, Means.GAPS)),
            Means.RECENT,
        ),
        (
            Summary(highest=95_000, count=95_000, sum=9),
            History(tried=(Means.TIP, Means.TREE), is_defeated=True),
            Means.KEYED,
        ),
        (
            Summary(highest=95_000, count=95_000, sum=9),
            History(tried=(Means.TIP, Means.TREE, Means.GAPS), is_defeated=True),
            Means.RECENT,
        ),
        (
            Summary(highest=95_000, count=95_000, sum=9),
            History(tried=(Means.TIP, Means.TREE, Means.KEYED), is_defeated=True, gaps=True),
            Means.GAPS,
        ),
        (
            Summary(highest=95_000, count=95_000, sum=9),
            History(tried=(Means.TIP, Means.TREE, Means.KEYED, Means.GAPS), is_defeated=True),
            Means.RECENT,
        ),
        (Summary(highest=95_000, count=8_000, sum=9), History(tried=(Means.TIP,)), Means.RECENT),
        (Summary(highest=95_000, count=95_000, horizon=1, sum=9), History(tried=(Means.TIP,)), Means.RECENT),
    ],
)
def test_a_tree_is_looked_into_where_both_hold_much(
    theirs: Summary, history: History, expected: Means | None
) -> None:
    """Below the newest, and then what it found is asked for."""
    assert choose_means(ours=LARGE, theirs=theirs, history=history) is expected


def test_symbols_are_of_sets_with_one_horizon() -> None:
    """What one has pruned and the other not yet is no difference to repair."""
    theirs = Summary(highest=5_000, count=5_000, horizon=1, sum=9)
    assert choose_means(ours=MANY, theirs=theirs, history=History()) is Means.TIP


@pytest.mark.parametrize(
    ("ours", "theirs", "expected"),
    [
        ((5_000, 1), (5_001, 2), True),
        ((5_000, 1), (6_400, 2), True),
        ((5_000, 1), (5_000, 2), True),
    ],
)
def test_one_of_two_asks_first(ours: tuple[int, int], theirs: tuple[int, int], expected: bool) -> None:
    """Whoever lacks more; both see it alike."""
    here, there = (Summary(count=count, sum=total) for count, total in (ours, theirs))
    assert asks_first(here, there) is expected
    assert asks_first(there, here) is not expected


@pytest.mark.parametrize("theirs", [Summary(count=999), Summary(count=9_000), Summary(count=0)])
def test_without_symbols_both_ask(theirs: Summary) -> None:
    """Small sets, and those that differ in more than symbols tell, as ever."""
    assert asks_first(Summary(count=5_000), theirs)
    assert asks_first(theirs, Summary(count=5_000))
