"""ZeroMQ sockets with the options that every role needs: bounded, no lingering, gone peers noticed."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from typing import Protocol

import zmq

from dispersy.bus.settings import NO_GROUP

BATCHES_QUEUED_MAX = 64
"""High-water mark of a hot socket: batches of up to some 60 KB, so at most a few MB a connection."""
NOTES_QUEUED_MAX = 1_000
RECONNECT_FIRST_MS, RECONNECT_MAX_MS = 10, 50
"""Between attempts to connect. On one machine an attempt costs microseconds, and a process that was started
again is there in a tenth of a second: with longer pauses it would not be found for longer than it was away.
"""

_AT_ONCE, _AT_ONCE_WITH_MORE = int(zmq.NOBLOCK), int(zmq.NOBLOCK | zmq.SNDMORE)
_EVENTS, _READABLE = int(zmq.EVENTS), int(zmq.POLLIN)
"""As numbers: a calculation with flags of an enumeration takes longer than to send a part."""


class SentFrame(Protocol):
    """A zmq.MessageTracker: whether ZeroMQ has let go of the memory of a frame that was sent."""

    @property
    def done(self) -> bool: ...


def bound(
    context: zmq.Context[zmq.Socket[bytes]],
    kind: int,
    endpoint: str,
    *,
    queued_max: int,
    received_max: int | None = None,
    size_max: int = -1,
    prepare: Callable[[zmq.Socket[bytes]], object] | None = None,
) -> zmq.Socket[bytes]:
    """A socket that waits at `endpoint` for those that connect.

    queued_max      frames that wait for each peer
    received_max    frames of each peer that wait here, None: as many; then the peer has to wait
    size_max        bytes of a frame, -1: any; whoever sends a longer one is disconnected
    prepare         what must be done to it before anybody can connect
    """
    socket = _socket(context, kind, queued_max=queued_max)
    if received_max is not None:
        socket.setsockopt(zmq.RCVHWM, received_max)
    # Before bind(): afterwards it would bind nobody.
    socket.setsockopt(zmq.MAXMSGSIZE, size_max)
    if kind == zmq.ROUTER:
        # Without it a message to a peer that is gone disappears without a word; with hand-over a restarted
        # peer takes its name back from the connection that has not been noticed to be dead.
        socket.setsockopt(zmq.ROUTER_MANDATORY, 1)
        socket.setsockopt(zmq.ROUTER_HANDOVER, 1)
    if kind == zmq.XPUB:
        # Whoever subscribes is heard of, also when somebody else had before.
        socket.setsockopt(zmq.XPUB_VERBOSE, 1)
    if prepare is not None:
        prepare(socket)
    socket.bind(endpoint)
    return socket


def connected(
    context: zmq.Context[zmq.Socket[bytes]],
    kind: int,
    endpoint: str,
    *,
    queued_max: int,
    identity: bytes = b"",
    topics: Sequence[bytes] = (),
) -> zmq.Socket[bytes]:
    """A socket that connects to `endpoint` as soon as somebody is bound there, and again after every
    break.

    topics    what a SUB socket takes: first parts, or how they begin
    """
    socket = _socket(context, kind, queued_max=queued_max)
    if identity:
        socket.setsockopt(zmq.IDENTITY, identity)
    if kind == zmq.SUB:
        for topic in topics:
            socket.setsockopt(zmq.SUBSCRIBE, topic)
    else:
        # Nothing is queued towards a peer that is not there: it would be lost with the connection.
        socket.setsockopt(zmq.IMMEDIATE, 1)
    socket.setsockopt(zmq.RECONNECT_IVL, RECONNECT_FIRST_MS)
    socket.setsockopt(zmq.RECONNECT_IVL_MAX, RECONNECT_MAX_MS)
    socket.connect(endpoint)
    return socket


def _socket(context: zmq.Context[zmq.Socket[bytes]], kind: int, *, queued_max: int) -> zmq.Socket[bytes]:
    socket = context.socket(kind)
    socket.setsockopt(zmq.LINGER, 0)
    socket.setsockopt(zmq.SNDHWM, queued_max)
    socket.setsockopt(zmq.RCVHWM, queued_max)
    return socket


def open_to_group(endpoint: str, group: int) -> None:
    """Let the members of a group connect to a bound ipc:// socket, and nobody else.

    group   its id; NO_GROUP: the socket stays as the process's umask has made it
    """
    if group == NO_GROUP:
        return
    path = endpoint.removeprefix("ipc://")
    os.chown(path, -1, group)
    os.chmod(path, 0o660)


def send_or_drop(socket: zmq.Socket[bytes], parts: list[bytes]) -> bool:
    """Send without waiting; False when the peer is gone or full, and then nothing was sent."""
    *others, last = parts
    try:
        for part in others:
            socket.send(part, _AT_ONCE_WITH_MORE)
        socket.send(last, _AT_ONCE)
    except zmq.Again:
        return False
    except zmq.ZMQError as error:
        if error.errno == zmq.EHOSTUNREACH:
            return False
        raise
    return True


def receive_all(socket: zmq.Socket[bytes], *, count_max: int) -> list[list[bytes]]:
    """Up to `count_max` waiting multipart messages, at once."""
    received: list[list[bytes]] = []
    # To ask first costs a third of the exception that ends nearly every portion.
    while len(received) < count_max and int(socket.getsockopt(_EVENTS)) & _READABLE:
        frame = socket.recv(_AT_ONCE, copy=False)
        parts = [frame.bytes]
        # A frame knows whether another one follows; pyzmq's own multipart call asks the socket.
        while frame.more:
            frame = socket.recv(_AT_ONCE, copy=False)
            parts.append(frame.bytes)
        received.append(parts)
    return received
