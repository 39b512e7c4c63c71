"""Goal: the baseline is the original's strategy as published and as its program says, no caricature of it."""

from __future__ import annotations

from statistics import median

import pytest

from simulation.original import CAPACITY, FILTER_SIZE, STEP_S, Strategy, play_original
from simulation.original_walk import PUBLISHED_STEPS, walk_until_everybody


def test_one_message_takes_the_published_steps() -> None:
    """1,000 peers that begin together: 19 steps were published, and seeds lie around it."""
    steps = [walk_until_everybody(1_000, seed=seed, met_s=0.0)[-1][0] / STEP_S for seed in range(1, 4)]
    assert 0.8 * PUBLISHED_STEPS <= median(steps) <= 1.2 * PUBLISHED_STEPS, steps


@pytest.mark.parametrize("strategy", Strategy)
def test_two_of_its_nodes_become_equal(strategy: Strategy) -> None:
    """Also where each lacks some and one filter does not describe all that is held."""
    count = 3 * CAPACITY
    outcome = play_original(
        count,
        one=(number for number in range(count) if number % 100),
        other=(number for number in range(count) if number % 100 != 1),
        seed=1,
        strategy=strategy,
    )
    assert outcome.measures["equal"] == 1
    assert outcome.measures["description"] > 3 * FILTER_SIZE


def test_answers_are_bounded() -> None:
    """A newcomer gets at most 5 KiB a step, so 2,000 messages of some 200 bytes take 80 of its steps."""
    outcome = play_original(2_000, one=range(2_000), other=(), seed=1, strategy=Strategy.LARGEST)
    assert outcome.measures["equal"] == 1
    assert outcome.measures["virtual time"] >= 75 * STEP_S


def test_equal_nodes_leave_the_filter_out_ever_more_often() -> None:
    """An hour would be 720 filters each; the skip curve spares most of them."""
    outcome = play_original(
        500,
        one=range(500),
        other=range(500),
        seed=1,
        strategy=Strategy.LARGEST,
        limit_s=3_600.0,
        ends_equal=False,
    )
    assert 0.05 < outcome.measures["description"] / (2 * 720 * FILTER_SIZE) < 0.3
