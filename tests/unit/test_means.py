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
