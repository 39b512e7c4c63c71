"""Which means a pull uses next, row by row."""

from __future__ import annotations

import pytest

from dispersy.protocol.means import History, Means, choose_means
from dispersy.protocol.summary import Summary

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
        (4_990, 4_900, History(), Means.SYMBOLS),
        (4_000, 4_900, History(), None),
        (4_000, 4_900, History(fruitless=3), Means.SYMBOLS),
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
