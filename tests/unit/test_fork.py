"""Goal: a copy of a process lives its own life to its own end, and the supervisor hears how it was; the ends
of its link to the gateway hear each other, and neither waits for the other."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import Any

from dispersy.service.interface.node_state import NodeState
from dispersy.service.processes.link import FRAME_SIZE_MAX, open_link, receive_state, tell

LIMIT_S = 30
# Copied is a program of one thread, as the supervisor is one, and not whatever runs these tests.
PREAMBLE = """
import json, os, signal, sys
from dispersy.service.processes.fork import copy_of_this

def end_of(copy):
    while copy.poll() is None:
        signal.sigwait({signal.SIGCHLD})
    return copy.returncode

signal.signal(signal.SIGCHLD, lambda *_: None)
signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGCHLD})
"""


def told_by(program: str) -> tuple[Any, str]:
    """What a program that copies itself prints, once, as JSON; and what stands on stderr."""
    ended = subprocess.run(
        [sys.executable, "-P", "-c", PREAMBLE + program],
        input="nothing for the copy",
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
        check=True,
    )
    return json.loads(ended.stdout), ended.stderr


def test_a_copy_ends_with_its_own_status_and_never_comes_back() -> None:
    """What follows in the program is not the copy's, which sees what was there before, and reads nothing."""
    told, _ = told_by(
        "seen = ['before']\n"
        "copy = copy_of_this(lambda: 7 if seen == ['before'] and not sys.stdin.read() else 8)\n"
        "seen.append('after')\n"
        "print(json.dumps([end_of(copy), copy.poll(), copy.pid != os.getpid()]))\n"
    )
    assert told == [7, 7, True]


def test_a_copy_has_none_of_our_handlers() -> None:
    """A signal that ends its children is not ours, and the descriptor that wakes us is not written to."""
    told, _ = told_by(
        "read, write = os.pipe2(os.O_NONBLOCK)\n"
        "signal.set_wakeup_fd(write)\n"
        "def look():\n"
        "    handler, woken = signal.getsignal(signal.SIGCHLD), signal.set_wakeup_fd(-1)\n"
        "    return int((handler, woken) != (signal.SIG_DFL, -1))\n"
        "print(json.dumps(end_of(copy_of_this(look))))\n"
    )
    assert told == 0


def test_a_fault_in_a_copy_is_told_and_is_its_end() -> None:
    """It must not go on as a second supervisor."""
    told, said = told_by("print(json.dumps(end_of(copy_of_this(lambda: 1 // 0))))\n")
    assert told == 1
    assert "ZeroDivisionError" in said


def test_a_copy_that_is_killed_is_told_of_by_its_signal() -> None:
    """A signal for one that has ended already goes to nobody."""
    told, _ = told_by(
        "copy = copy_of_this(lambda: signal.sigwait({signal.SIGUSR1}))\n"
        "copy.send_signal(signal.SIGKILL)\n"
        "ended = end_of(copy)\n"
        "copy.send_signal(signal.SIGKILL)\n"
        "print(json.dumps(ended))\n"
    )
    assert told == -9


def test_a_link_carries_what_both_say_until_one_ends() -> None:
    """Whole frames; what nobody reads any more is dropped, and so is what comes too fast."""
    ours, theirs = open_link()
    try:
        states = [NodeState("starting: waiting for worker-1", ""), NodeState("ready, listening on x", "x")]
        for state in states:
            tell(theirs, state)
        assert [receive_state(ours), receive_state(ours)] == states
        assert [state.is_ready for state in states] == [False, True]
        for _ in range(10_000):
            tell(ours, {"role": "supervisor", "text": "x" * 1_000})
        assert len(os.read(theirs, FRAME_SIZE_MAX)) > 1_000
    finally:
        os.close(theirs)
    assert receive_state(ours) is None
    tell(ours, {"role": "supervisor"})
    os.close(ours)
