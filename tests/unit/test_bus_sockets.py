"""Goal: a role that was started again is found in far less time than it was away, however long that was."""

from __future__ import annotations

from pathlib import Path

import zmq
from zmq.utils.monitor import recv_monitor_message

from dispersy.bus.sockets import connected
from tests.sockets import bounded_context

ATTEMPTS = 12
"""Were the pauses to double on, the last would be of twenty seconds."""
PAUSE_MAX_MS = 100


def test_whoever_is_away_is_asked_for_ten_times_a_second(tmp_path: Path) -> None:
    """ZeroMQ tells of each attempt that failed, and how many milliseconds later it makes the next."""
    pauses: list[int] = []
    with (
        bounded_context() as context,
        connected(context, zmq.DEALER, f"ipc://{tmp_path}/nobody", queued_max=1) as socket,
        socket.get_monitor_socket(zmq.EVENT_CONNECT_RETRIED) as monitor,
    ):
        while len(pauses) < ATTEMPTS:
            pauses.append(int(recv_monitor_message(monitor)["value"]))
        socket.disable_monitor()
    assert max(pauses) <= PAUSE_MAX_MS, pauses
    # At once where it is only a moment, and not as often where it is longer.
    assert pauses[0] < pauses[-1], pauses
