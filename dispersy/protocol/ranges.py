"""Ranges of sequences: (low, high) pairs, both inclusive. Work grows with the ranges, never with what is in
them: a peer names any bounds for nothing."""

from __future__ import annotations

from collections.abc import Iterable

Range = tuple[int, int]


def merged(ranges: Iterable[Range]) -> list[Range]:
    """The same numbers in ascending ranges that neither overlap nor touch."""
    joined: list[Range] = []
    for low, high in sorted(ranges):
        if joined and low <= joined[-1][1] + 1:
            joined[-1] = (joined[-1][0], max(joined[-1][1], high))
        else:
            joined.append((low, high))
    return joined


def without(wanted: Range, taken: Iterable[Range]) -> list[Range]:
    """What of a range is in none of the others, ascending."""
    low, high = wanted
    left: list[Range] = []
    for taken_low, taken_high in merged(taken):
        if taken_high < low or taken_low > high:
            continue
        if low < taken_low:
            left.append((low, taken_low - 1))
        low = taken_high + 1
    return [*left, (low, high)] if low <= high else left
