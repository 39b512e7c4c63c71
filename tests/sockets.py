"""ZeroMQ sockets of tests: none waits without a limit, or what fails takes as long as all tests may."""

from __future__ import annotations

import zmq

WAIT_MAX_S = 60
"""Ten times what anything here takes, and less than the limit of a test."""


def bounded_context() -> zmq.Context[zmq.Socket[bytes]]:
    """A context whose sockets give up on a send or receive after WAIT_MAX_S, and keep nothing when closed.

    raises  zmq.Again, later, where a socket has waited for so long
    """
    context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
    context.setsockopt(zmq.SNDTIMEO, WAIT_MAX_S * 1000)
    context.setsockopt(zmq.RCVTIMEO, WAIT_MAX_S * 1000)
    context.setsockopt(zmq.LINGER, 0)
    return context
