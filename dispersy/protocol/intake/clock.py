"""A community's Lamport clock: which messages may lift it, whatever order they arrive in.

Any global time below 2^63 is accepted in a message; what is limited is whom our clock follows: a message
lifts it by at most `ahead_max`. The clock ends where no live message lies within reach above it, and that
depends on the set of messages alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from dispersy.constants import CLOCK_AHEAD_MAX, CLOCK_AHEAD_MIN
from dispersy.protocol.pruning import Pruning


def ahead_max(kinds: Iterable[Pruning]) -> int:
    """How far ahead of our clock a message may lift it where these kinds are pruned: a hundredth of the least
    threshold, so that one message makes nobody forget much."""
    least = min((pruning.inactive_after for pruning in kinds), default=CLOCK_AHEAD_MAX * 100)
    return max(CLOCK_AHEAD_MIN, min(CLOCK_AHEAD_MAX, least // 100))


def follow(
    clock: int,
    global_times: Iterable[int],
    *,
    highest: int,
    highest_within: Callable[[int, int], int | None],
    ahead_max: int = CLOCK_AHEAD_MAX,
) -> int:
    """The clock after a batch.

    clock           before the batch
    global_times    of the batch's messages, in any order
    highest         highest live global time of all, the batch included
    highest_within  (low, high) -> highest live global time with low < time <= high, None if there is none;
                    asked only where something stored may lie above the clock
    """
    for global_time in sorted(global_times):
        if global_time > clock + ahead_max:
            break
        clock = max(clock, global_time)
    while highest > clock:
        reached = highest_within(clock, clock + ahead_max)
        if reached is None:
            break
        clock = reached
    return clock
