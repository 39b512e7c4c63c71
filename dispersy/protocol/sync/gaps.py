"""Ranges of order keys, and what of them is left where parts are covered."""

from __future__ import annotations

from collections.abc import Iterable

from dispersy.protocol.identifiers import OrderKey

Range = tuple[OrderKey, OrderKey]
"""Half open."""


def gaps_between(low: OrderKey, high: OrderKey, covered: Iterable[Range]) -> list[Range]:
    """The parts of [low, high) that no covered interval touches, ascending."""
    gaps: list[Range] = []
    for start, end in sorted(covered):
        if start >= high:
            break
        if start > low:
            gaps.append((low, start))
        low = max(low, end)
    if low < high:
        gaps.append((low, high))
    return gaps


def gaps_left(gaps: Iterable[Range], covered: Range) -> list[Range]:
    """The gaps without what one interval covers."""
    return [left for low, high in gaps for left in gaps_between(low, high, (covered,))]


def fewer(ranges: Iterable[Range], most: int) -> list[Range]:
    """The same or more, in at most so many ranges: neighbours together, with what lies between them."""
    found = sorted(ranges)
    while len(found) > most:
        pairs = [found[at : at + 2] for at in range(0, len(found), 2)]
        found = [(pair[0][0], pair[-1][1]) for pair in pairs]
    return found
