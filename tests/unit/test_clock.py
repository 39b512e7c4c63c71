"""The clock: whom it follows does not depend on the order of arrival, and nobody carries it away."""

from __future__ import annotations

import random

from hypothesis import given
from hypothesis import strategies as st

from dispersy.protocol.intake.clock import follow

AHEAD = 10


def arrive(times: list[int], rng: random.Random) -> int:
    """The clock after all arrived in random batches."""
    clock, live = 0, []
    times = times.copy()
    rng.shuffle(times)
    while times:
        size = rng.randrange(1, 4)
        batch, times = times[:size], times[size:]
        live += batch
        now_live = list(live)

        def highest_within(low: int, high: int, among: list[int] = now_live) -> int | None:
            return max((time for time in among if low < time <= high), default=None)

        clock = follow(clock, batch, highest=max(live), highest_within=highest_within, ahead_max=AHEAD)
    return clock


@given(
    times=st.lists(st.integers(1, 80), min_size=1, max_size=15),
    seeds=st.lists(st.integers(0, 999), min_size=2),
)
def test_any_order_ends_at_the_same_clock(times: list[int], seeds: list[int]) -> None:
    """Goal: the clock is where no live message lies within reach above it."""
    expected = 0
    while reach := [time for time in times if expected < time <= expected + AHEAD]:
        expected = max(reach)
    assert {arrive(times, random.Random(seed)) for seed in seeds} == {expected}


def test_nobody_lifts_the_clock_beyond_the_limit() -> None:
    """Goal: a message far ahead is no reason to follow it."""

    def nothing(low: int, high: int) -> None:
        assert low < high

    assert follow(5, [5 + 11], highest=16, highest_within=nothing, ahead_max=10) == 5
    assert follow(5, [5 + 10], highest=15, highest_within=nothing, ahead_max=10) == 15
    assert follow(5, [2**63 - 1], highest=2**63 - 1, highest_within=nothing) == 5


def test_the_store_is_asked_only_when_something_may_lie_above() -> None:
    """Goal: in the usual case, everything in reach, the order index is not read."""

    def never(low: int, high: int) -> None:
        raise AssertionError((low, high))

    assert follow(7, [9, 8, 3], highest=9, highest_within=never) == 9
    assert follow(7, [], highest=7, highest_within=never) == 7
