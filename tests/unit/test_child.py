"""Goal: a process that hangs is found out and replaced, one that was frozen with all others is not, and what
is said of each is what people want to know."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from itertools import count
from time import monotonic

import pytest

from dispersy.service.processes.child import (
    BACK_OFF_FIRST_S,
    BACK_OFF_MAX_S,
    DUMP_S,
    START_LOOKS_MAX,
    STEADY_S,
    Child,
    describe_end,
)
from dispersy.service.processes.silence import Activity, Silence, activity_of
from dispersy.workers.loop import Loop
from dispersy.workers.pulse import Pulse, PulseBoard

LIMIT_S = 60
WAITS = [sys.executable, "-P", "-c", "import signal; signal.pause()"]
ENDS = [sys.executable, "-P", "-c", ""]
SILENT_MAX = 3


@pytest.fixture
def board() -> PulseBoard:
    return PulseBoard()


def asleep(pid: int) -> Activity:
    """What is said of a process that has no use for a processor."""
    return Activity(wants_processor=False, processor_s=pid)


@pytest.fixture
def child(board: PulseBoard) -> Child:
    """Of processes that sleep: in truth they have to start first, and that may last on a busy machine."""
    return Child("worker-0", 1, SILENT_MAX, board=board, silence=Silence(asleep))


def pulse_of(board: PulseBoard, slot: int = 1) -> Pulse:
    """As the process holds it."""
    return Pulse(os.dup(board.descriptor), slot)


def running(command: Sequence[str]) -> Callable[[], subprocess.Popen[bytes]]:
    """What starts a process for a child."""
    return lambda: subprocess.Popen(command, stdin=subprocess.DEVNULL)


def process_of(child: Child) -> subprocess.Popen[bytes]:
    assert isinstance(child.process, subprocess.Popen)
    return child.process


def await_end(child: Child, now: float) -> None:
    """Until the process has ended, and the child has noticed."""
    process_of(child).wait(LIMIT_S)
    assert child.take_end(now)


def test_a_loop_shows_its_pulse(board: PulseBoard) -> None:
    """Goal: every turn counts, and turns come without anything to do."""
    loop = Loop(beat=pulse_of(board).beat)
    turns: list[bool] = []

    class Watcher:
        name = "watcher"

        def open(self, loop: Loop) -> None:
            loop.every(0.01, self.look)

        def look(self) -> None:
            turns.append(board.has_changed(1))
            if len(turns) == 5:
                loop.stop()

        def close(self) -> None:
            pass

    loop.run(Watcher())
    assert turns[1:] == [True] * 4
    assert board.has_begun(1)
    assert not board.has_begun(0)


def test_silence_is_counted_in_looks(child: Child, board: PulseBoard) -> None:
    """A machine that slept for an hour has been looked at once more, not 3,600 times."""
    child.start(running(WAITS), now=0.0)
    pulse = pulse_of(board)
    try:
        pulse.beat()
        assert not any(child.look(3600.0 * turn) for turn in range(SILENT_MAX))
        pulse.beat()
        assert not any(child.look(3600.0 * turn) for turn in range(SILENT_MAX, 2 * SILENT_MAX))
        assert child.look(3600.0 * 2 * SILENT_MAX)
    finally:
        process_of(child).kill()
        process_of(child).wait(LIMIT_S)


@pytest.mark.parametrize(("share", "looks"), [(0.0, None), (0.25, 13), (1.0, 4)])
def test_a_process_that_gets_no_processor_is_not_hung(
    child: Child, board: PulseBoard, share: float, looks: int | None
) -> None:
    """Goal: a machine that is busy for minutes kills nobody; who computes for ever is found by what it used.

    looks   of which the last finds it, the first of them telling only what was used before; None: never
    """
    seen = count()
    child.silence = Silence(lambda _: Activity(wants_processor=True, processor_s=share * next(seen)))
    child.start(running(WAITS), now=0.0)
    try:
        pulse_of(board).beat()
        assert not child.look(0.0)
        found = [child.look(float(second)) for second in range(1, 100)]
        assert (found.index(True) + 1 if True in found else None) == looks
    finally:
        process_of(child).kill()
        process_of(child).wait(LIMIT_S)


def test_what_a_process_does_is_read_from_the_kernel(child: Child) -> None:
    """Who computes wants a processor and uses it, who waits does not; of who has ended it says nothing."""
    computes = [sys.executable, "-P", "-c", "while True: pass"]
    child.start(running(computes), now=0.0)
    limit = monotonic() + LIMIT_S
    try:
        # It waits for a disk while it starts, and that may last on a busy machine.
        while (seen := activity_of(process_of(child).pid)) is None or not (
            seen.wants_processor and seen.processor_s >= 0.2
        ):
            assert monotonic() < limit
    finally:
        process_of(child).kill()
    await_end(child, 0.0)
    child.start(running(WAITS), now=0.0)
    pid = process_of(child).pid
    try:
        while (seen := activity_of(pid)) is None or seen.wants_processor:
            assert monotonic() < limit
    finally:
        process_of(child).kill()
    await_end(child, 0.0)
    assert activity_of(pid) is None


def test_a_silent_process_is_killed_and_started_again(child: Child, board: PulseBoard) -> None:
    """After silent_max looks, first with SIGABRT, so that it says where it is, then for good."""
    child.start(running(WAITS), now=100.0)
    try:
        pulse_of(board).beat()
        assert child.is_well
        found = [child.look(100.0 + second) for second in range(SILENT_MAX + 2)]
        assert found == [False] * SILENT_MAX + [True, False]
        assert not child.is_well
        assert child.state(103.0) == "hung for 3 s, is being killed"
        await_end(child, 103.5)
        assert child.state(103.5) == "hung for 3 s and was killed, starts again in 0.1 s"
    finally:
        if child.process is not None:
            process_of(child).kill()
            process_of(child).wait(LIMIT_S)


def test_a_stopped_process_cannot_say_where_it_is_and_is_killed_all_the_same(
    child: Child, board: PulseBoard
) -> None:
    """SIGABRT waits for a stopped process; SIGKILL does not."""
    child.start(running(WAITS), now=0.0)
    process = process_of(child)
    try:
        process.send_signal(signal.SIGSTOP)
        pulse_of(board).beat()
        for second in range(SILENT_MAX + 1):
            child.look(float(second))
        child.kill_when_due(SILENT_MAX + DUMP_S - 0.1)
        assert process.poll() is None
        child.kill_when_due(SILENT_MAX + DUMP_S)
        await_end(child, 5.0)
        assert process.returncode == -signal.SIGKILL
    finally:
        process.kill()
        process.wait(LIMIT_S)


def test_a_process_that_opens_its_roles_is_given_more_time(child: Child) -> None:
    """The index of a large store takes longer than any turn."""
    child.start(running(WAITS), now=0.0)
    try:
        assert child.state(1.0) == "starting"
        found = [child.look(float(second)) for second in range(START_LOOKS_MAX)]
        assert found == [False] * (START_LOOKS_MAX - 1) + [True]
    finally:
        process_of(child).kill()
        process_of(child).wait(LIMIT_S)


def test_restarts_back_off(child: Child, board: PulseBoard) -> None:
    """From 0.1 s, doubling to 5 s; at once again after a while of work."""
    waited = []
    now = 0.0
    for _ in range(8):
        child.start(running(ENDS), now=now)
        await_end(child, now)
        waited.append(round(child.start_due - now, 3))
    assert waited == [BACK_OFF_FIRST_S, 0.2, 0.4, 0.8, 1.6, 3.2, BACK_OFF_MAX_S, BACK_OFF_MAX_S]
    child.start(running(ENDS), now=now)
    pulse_of(board).beat()
    await_end(child, now + STEADY_S)
    assert child.start_due == pytest.approx(now + STEADY_S + BACK_OFF_FIRST_S)
    assert child.restarts == 8


def test_a_process_that_the_system_does_not_give_is_asked_for_again(child: Child) -> None:
    """Goal: where memory is short the supervisor goes on, with the pauses that it makes for what dies."""

    def refused() -> subprocess.Popen[bytes]:
        raise OSError(errno.ENOMEM, "no memory")

    waited = []
    for _ in range(2):
        child.start(refused, now=0.0)
        assert child.process is None
        waited.append(child.start_due)
    assert waited == [BACK_OFF_FIRST_S, 2 * BACK_OFF_FIRST_S]
    assert child.state(0.0) == "could not be started: Cannot allocate memory, starts again in 0.2 s"
    child.start(running(ENDS), now=0.0)
    await_end(child, 0.0)
    assert child.restarts == 2


def test_words(child: Child, board: PulseBoard) -> None:
    """What became of it, and when, from its start to long after a crash."""
    assert child.state(0.0) == "not started"
    child.start(running(ENDS), now=0.0)
    await_end(child, 0.0)
    assert child.state(0.04) == "ended with status 0, starts again in 0.1 s"
    child.start(running(WAITS), now=1.0)
    try:
        assert not child.is_well
        assert child.state(1.0) == "starting again, ended with status 0"
        pulse_of(board).beat()
        assert child.is_well
        assert child.state(4.0) == "running, ended with status 0 3 s ago and was started again"
        assert child.state(90.0) == "running"
    finally:
        process_of(child).kill()
        process_of(child).wait(LIMIT_S)


def test_the_signals_that_stop_a_node_wait_for_a_processs_handlers(child: Child) -> None:
    """Goal: SIGTERM while Python is still starting ends the process in order."""
    script = "import signal, sys; sys.exit(signal.SIGTERM in signal.pthread_sigmask(0, ()))"
    child.start(running([sys.executable, "-P", "-c", script]), now=0.0)
    assert process_of(child).wait(LIMIT_S) == 1
    assert not signal.pthread_sigmask(signal.SIG_BLOCK, ())


def test_an_end_in_words() -> None:
    """Numbers of signals mean nothing to people."""
    assert describe_end(3) == "ended with status 3"
    assert describe_end(-9) == "was ended by SIGKILL"
    assert describe_end(-250) == "was ended by signal 250"


def test_pulses_fit(board: PulseBoard) -> None:
    """The count wraps around without becoming the zero that stands for no turn."""
    pulse = pulse_of(board)
    pulse._count = 0xFFFFFFFF - 1
    pulse.beat()
    pulse.beat()
    assert board.has_begun(1)
