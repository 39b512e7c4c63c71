"""The loop: nothing that is ready is left lying, timers come when due, and it ends when it is told to."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from time import monotonic, process_time

import pytest
import zmq

from dispersy.bus.sockets import bound, connected, receive_all, send_or_drop
from dispersy.stop_signals import STOP_SIGNALS
from dispersy.workers.loop import Loop

LIMIT_S = 60.0


class Scripted:
    """A role that does what the test says at its opening, and ends by itself when all else fails."""

    name = "scripted"

    def __init__(self, script: Callable[[Loop], None]) -> None:
        self._script = script
        self.closed = False

    def open(self, loop: Loop) -> None:
        limit = monotonic() + LIMIT_S

        def check_limit() -> None:
            assert monotonic() < limit, "nothing ended the loop"

        self._script(loop)
        loop.every(0.5, check_limit)

    def close(self) -> None:
        self.closed = True


@pytest.fixture(autouse=True)
def _signals() -> Iterator[None]:
    """The loop takes the signals; give them back."""
    kept = {number: signal.getsignal(number) for number in (*STOP_SIGNALS, signal.SIGPROF)}
    yield
    for number, handler in kept.items():
        signal.signal(number, handler)


def run(script: Callable[[Loop], None], loop: Loop | None = None) -> None:
    role = Scripted(script)
    (loop or Loop()).run(role)
    assert role.closed


def test_it_ends_by_a_signal() -> None:
    """Goal: SIGTERM ends it after the turn, and roles are closed."""

    def script(loop: Loop) -> None:
        loop.every(0.01, lambda: os.kill(os.getpid(), signal.SIGTERM))

    run(script)


def test_it_ends_with_the_supervisor() -> None:
    """Goal: when the pipe's other end closes, the process goes too."""
    read, write = os.pipe()
    run(lambda loop: loop.every(0.01, lambda: os.close(write)), Loop(read))
    os.close(read)


def test_who_cannot_send_is_called_when_the_peer_takes_more() -> None:
    """Goal: back-pressure without waiting: what a full peer refuses is offered again as soon as it reads."""
    sent: list[int] = []
    received: list[bytes] = []
    kept: list[zmq.Socket[bytes]] = []

    def script(loop: Loop) -> None:
        pull = bound(loop.context, zmq.PULL, "inproc://in", queued_max=1)
        push = connected(loop.context, zmq.PUSH, "inproc://in", queued_max=1)
        kept.extend([pull, push])

        def offer() -> None:
            while send_or_drop(push, [b"%d" % len(sent)]):
                sent.append(len(sent))

        def take() -> None:
            received.extend(part for (part,) in receive_all(pull, count_max=100))
            if len(received) >= 10:
                loop.stop()

        loop.watch(push, offer, zmq.POLLOUT)
        offer()
        assert 0 < len(sent) < 10
        loop.watch(pull, take)

    run(script)
    assert received[:10] == [b"%d" % number for number in range(10)]


def test_timers_and_deadlines_come_when_due() -> None:
    """Goal: a timer repeats, a deadline comes once its time is there, and neither comes early."""
    ticks: list[float] = []
    due: list[float] = []
    reached: list[float] = []

    def script(loop: Loop) -> None:
        began = monotonic()
        due.append(began + 0.05)

        def tick() -> None:
            ticks.append(monotonic() - began)
            if len(ticks) == 3 and reached:
                loop.stop()
            assert len(ticks) < 100

        def reach() -> None:
            reached.append(monotonic())
            assert reached[-1] >= due.pop()

        loop.every(0.02, tick)
        loop.deadline(lambda: due[0] if due else None, reach)
        loop.deadline(lambda: None, lambda: pytest.fail("a deadline that is none"))

    def stop_late(loop: Loop) -> None:
        script(loop)
        loop.flush(lambda: loop.stop() if len(ticks) >= 3 and reached else None)

    run(stop_late)
    assert len(reached) == 1
    assert all(tick >= 0.02 * (index + 1) - 0.001 for index, tick in enumerate(ticks))


def test_work_that_is_left_is_not_waited_for() -> None:
    """Goal: again() takes up the next turn at once."""
    turns: list[float] = []

    def script(loop: Loop) -> None:
        def step() -> None:
            turns.append(monotonic())
            if len(turns) == 200:
                loop.stop()
            loop.again()

        loop.flush(step)

    run(script)
    assert turns[-1] - turns[0] < LIMIT_S / 2


def test_no_wake_up_is_lost(tmp_path: Path) -> None:
    """Goal: more than one callback takes is taken in the next turns, without a further message."""
    count = 500
    received: list[bytes] = []
    kept: list[zmq.Socket[bytes]] = []

    def script(loop: Loop) -> None:
        endpoint = f"ipc://{tmp_path}/in"
        pull = bound(loop.context, zmq.PULL, endpoint, queued_max=1000)
        push = connected(loop.context, zmq.PUSH, endpoint, queued_max=1000)
        kept.append(push)
        for number in range(count):
            push.send(b"%d" % number)

        def take() -> None:
            received.extend(part for (part,) in receive_all(pull, count_max=7))
            if len(received) == count:
                loop.stop()

        loop.watch(pull, take)

    run(script)
    assert received == [b"%d" % number for number in range(count)]


def test_what_is_not_watched_does_not_call() -> None:
    """Goal: unwatch() holds from the same turn on, and watching again works."""
    read, write = os.pipe()
    calls: list[str] = []

    def script(loop: Loop) -> None:
        os.write(write, b"x")

        def called() -> None:
            calls.append("called")
            loop.unwatch(read)
            loop.unwatch(read)

        def later() -> None:
            if len(calls) == 2:
                loop.stop()
            elif len(calls) == 1:
                calls.append("later")
                loop.watch(read, lambda: loop.stop())

        loop.watch(read, called)
        loop.every(0.02, later)

    run(script)
    assert calls == ["called", "later"]
    os.close(read)
    os.close(write)


def test_processor_time_calls_back_and_idleness_does_not() -> None:
    """Goal: who is to look while the process is busy is called then, also in the middle of a long wait."""
    called: list[float] = []

    def script(loop: Loop) -> None:
        loop.after_processor_time(0.02, lambda: called.append(process_time()))

        def work() -> None:
            # As long as one turn: what is due shows after it, in a turn that nothing else wakes.
            until = process_time() + 0.03
            while process_time() < until:
                pass
            if len(called) >= 3:
                loop.stop()

        loop.every(0.3, work)

    run(script)
    # Had it been called in the waits, there would be one for each few of 300 ms.
    assert 3 <= len(called) <= 6
    assert called[-1] - called[0] >= 0.04
