"""Goal: a queue of our own making lets fewer fragments be on their way, and a way's own delays do not."""

from __future__ import annotations

from random import Random

from dispersy.constants import FRAGMENT_WINDOW_MIN, FRAGMENT_WINDOW_START
from dispersy.protocol.large_messages.fragment_pace import FragmentPace

LEAST_S = 0.05


def hear(pace: FragmentPace, now: float, round_trip_s: float) -> None:
    """A request of one fragment was answered."""
    pace.measure(round_trip_s, now)
    pace.arrived()


def test_a_queue_ends_the_start_at_once_and_goes_on_to_shrink_the_window() -> None:
    pace = FragmentPace()
    for step in range(30):
        hear(pace, step / 10, LEAST_S)
    grown = pace.window
    hear(pace, 3.0, LEAST_S + 0.3)
    assert grown == FRAGMENT_WINDOW_START + 30
    assert pace.window < grown
    for step in range(31, 200):
        hear(pace, step / 10, LEAST_S + 0.3)
    assert pace.window < FRAGMENT_WINDOW_MIN + 3


def test_delays_that_differ_from_one_to_the_next_are_no_queue() -> None:
    """Up to 150 ms each way at random: the window does not fall to a tenth of what a steady way gets."""
    rng = Random(1)
    jittery, steady = FragmentPace(), FragmentPace()
    for pace in (jittery, steady):
        for step in range(30):
            hear(pace, step / 10, LEAST_S)
        hear(pace, 3.0, LEAST_S + 0.3)
    for step in range(31, 500):
        hear(jittery, step / 10, LEAST_S + 0.15 * (rng.random() + rng.random()))
        hear(steady, step / 10, LEAST_S)
    assert jittery.window > 0.4 * steady.window


def test_a_queue_below_delays_that_differ_is_seen() -> None:
    rng = Random(2)
    pace = FragmentPace()
    for step in range(300):
        hear(pace, step / 10, LEAST_S + 0.15 * rng.random())
    before = pace.window
    for step in range(300, 330):
        hear(pace, step / 10, LEAST_S + 0.5 + 0.15 * rng.random())
    assert pace.window < before / 2
