"""Goal: a schedule says what a look at every machine would say, and looks only at those that were touched."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from dispersy.workers.schedule import STALE_SHARE, Schedule

numbers = st.integers(0, 5)
moments = st.none() | st.integers(0, 20).map(float)


@given(st.lists(st.tuples(numbers, moments) | st.integers(0, 20), max_size=60))
def test_it_says_what_a_look_at_all_would(steps: list[tuple[int, float | None] | int]) -> None:
    deadlines: dict[int, float | None] = {}
    schedule = Schedule(deadlines.get)
    for step in steps:
        if isinstance(step, tuple):
            number, moment = step
            deadlines[number] = moment
            schedule.touch(number)
        else:
            late = {number for number, at in deadlines.items() if at is not None and at <= step}
            assert set(schedule.due(float(step))) == late
            for number in late:
                deadlines[number] = None
        assert schedule.next_deadline() == min(
            (moment for moment in deadlines.values() if moment is not None), default=None
        )


def test_only_those_that_were_touched_are_asked() -> None:
    """However many there are, and however often the loop asks."""
    asked: list[int] = []

    def next_deadline(number: int) -> float:
        asked.append(number)
        return float(number)

    schedule = Schedule(next_deadline)
    for number in range(100):
        schedule.touch(number)
    assert schedule.next_deadline() == 0.0
    asked.clear()
    for _ in range(10):
        schedule.next_deadline()
    assert asked == []
    schedule.touch(7)
    schedule.next_deadline()
    assert asked == [7]


def test_deadlines_that_move_leave_nothing_behind() -> None:
    """The heap is as large as there are machines, and no larger for how often they were put off."""
    deadlines = {1: 0.0, 2: 5.0}
    schedule = Schedule(deadlines.get)
    for moment in range(1_000):
        deadlines[1] = float(moment)
        schedule.touch(1)
        schedule.touch(2)
        schedule.next_deadline()
    assert len(schedule._heap) <= STALE_SHARE * 3
