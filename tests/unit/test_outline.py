"""Where ranges are cut: about where they are thought to bring what one request asks for."""

from __future__ import annotations

from dispersy.protocol.holdings import first_key_of
from dispersy.protocol.identifiers import ORDER_LOW, ORDER_TOP
from dispersy.protocol.sync.outline import Outline


def test_ranges_are_cut_by_what_is_expected() -> None:
    """Over several parts and what lies between them; the last cut reaches the end."""
    outline = Outline([(0, 100, 50), (1_000, 1_100, 200)])
    assert outline.cut(ORDER_LOW, ORDER_TOP, 25) == first_key_of(51)
    assert outline.cut(first_key_of(51), ORDER_TOP, 125) == first_key_of(1_051)
    assert outline.cut(first_key_of(1_051), ORDER_TOP, 500) == ORDER_TOP
    assert outline.cut(ORDER_LOW, first_key_of(10), 500) == first_key_of(10)
    assert outline.expected(first_key_of(50), first_key_of(1_050)) == 125


def test_nobody_knows_what_lies_outside() -> None:
    """No cut where nothing is known; and always one behind where it began."""
    assert Outline().cut(ORDER_LOW, ORDER_TOP, 100) is None
    outline = Outline([(10, 20, 1 << 31)])
    assert outline.cut(first_key_of(20), ORDER_TOP, 100) is None
    assert outline.cut(first_key_of(12), ORDER_TOP, 1) == first_key_of(13)


def test_what_is_found_corrects_what_was_said() -> None:
    """A neighbour that claims a thousand times too much makes requests small for a while, not for ever."""
    outline = Outline([(0, 1_000, 1_000_000)])
    low = ORDER_LOW
    requests = 0
    while low < first_key_of(1_000):
        high = outline.cut(low, ORDER_TOP, 50)
        assert high is not None
        assert high > low
        requests += 1
        outline.learn(low, high, 1)
        low = high
    assert requests < 100
