"""Ranges of sequences: (low, high) pairs, both inclusive. Work grows with the ranges, never with what is in
them: a peer names any bounds for nothing."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

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


def divided(ranges: Iterable[Range], by: Sequence[Range]) -> tuple[list[Range], list[Range]]:
    """What of some ranges is in others, and what is in none of them. All ascend and do not overlap."""
    inside: list[Range] = []
    outside: list[Range] = []
    index = 0
    for low, high in ranges:
        while index < len(by) and by[index][0] <= high:
            first, last = max(low, by[index][0]), min(high, by[index][1])
            if first <= last:
                if low < first:
                    outside.append((low, first - 1))
                inside.append((first, last))
                low = last + 1
            if by[index][1] > high:
                break  # it may reach into the next, too
            index += 1
        if low <= high:
            outside.append((low, high))
    return inside, outside
