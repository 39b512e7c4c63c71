"""Goal: a sleep of the machine is seen when it is over, whichever clock shows it; nothing else is one."""

from __future__ import annotations

import pytest

from dispersy.workers import loop as loops
from dispersy.workers.loop import SLEPT_MIN_S, Clocks, Loop


def test_a_suspended_machine_and_a_stopped_process_have_slept() -> None:
    """A suspended machine's monotonic clock stands still; that of a stopped process goes on."""
    clocks = Clocks()
    assert clocks.slept_s(5.0, 1_000.0) == 0.0
    assert clocks.slept_s(6.0, 1_001.0) == 0.0
    assert clocks.slept_s(6.5, 83_800.0) == pytest.approx(82_799.0)
    assert clocks.slept_s(7.5, 83_801.0) == 0.0
    assert clocks.slept_s(7.5 + SLEPT_MIN_S, 83_801.0 + SLEPT_MIN_S) == pytest.approx(SLEPT_MIN_S)
    assert clocks.slept_s(8.4 + SLEPT_MIN_S, 83_802.0 + SLEPT_MIN_S) == 0.0
    # A busy turn is no sleep.
    assert clocks.slept_s(8.4 + 2 * SLEPT_MIN_S - 1, 83_802.0 + 2 * SLEPT_MIN_S - 1) == 0.0


def test_a_loop_tells_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """The machine's own clock is turned by hand."""
    ahead_s = 0.0
    monkeypatch.setattr(loops, "clock_gettime", lambda _: loops.monotonic() + ahead_s)
    loop, told = Loop(), []
    turns = 0

    def turn() -> None:
        nonlocal turns, ahead_s
        turns += 1
        ahead_s = 3_600.0 * (turns >= 3)
        loop.again()
        if turns == 6:
            loop.stop()

    loop.slept(told.append)
    loop.flush(turn)
    loop.run()
    assert [round(seconds) for seconds in told] == [3_600]
