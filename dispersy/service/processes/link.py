"""What supervisor and gateway tell each other: over a pair of sockets, for the supervisor has no ZeroMQ.

A frame is a MessagePack map. Neither waits for the other: what does not fit is dropped, and what is said next
says it again. The pair is made anew for each process that the gateway is in.
"""

from __future__ import annotations

import os
import socket
from typing import Any

import msgspec

from dispersy.service.gateway.control import Control
from dispersy.service.interface.node_state import NodeState
from dispersy.workers.loop import Loop

FRAME_SIZE_MAX = 1 << 16
"""Of what the supervisor says of its processes: some 150 bytes each, of at most 128."""


_state_decoder = msgspec.msgpack.Decoder(NodeState)


def open_link() -> tuple[int, int]:
    """Two descriptors: the supervisor's, and the gateway's."""
    pair = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    for each in pair:
        each.setblocking(False)
    # As plain numbers: in a copy of this process no object may close what has been given to another since.
    return pair[0].detach(), pair[1].detach()


def tell(link: int, said: NodeState | dict[str, Any]) -> None:
    """Send it, or drop it where the other one is gone or does not read."""
    try:
        os.write(link, msgspec.msgpack.encode(said))
    except (BlockingIOError, BrokenPipeError, ConnectionResetError):
        return


def receive_state(link: int) -> NodeState | None:
    """What the gateway said; None when its process has ended."""
    frame = _receive(link)
    return _state_decoder.decode(frame) if frame else None


def _receive(link: int) -> bytes:
    try:
        return os.read(link, FRAME_SIZE_MAX)
    except ConnectionResetError:
        return b""


class LinkRole:
    """Beside the gateway: it hears what the supervisor says, and tells how the node is until it is ready."""

    name = "link"

    def __init__(self, link: int, control: Control) -> None:
        self._link = link
        self._control = control
        self._told: NodeState | None = None

    def open(self, loop: Loop) -> None:
        """Hear at once what was said before."""
        self._loop = loop
        loop.watch(self._link, self._receive)
        loop.flush(self._tell)

    def close(self) -> None:
        os.close(self._link)

    def _receive(self) -> None:
        frame = _receive(self._link)
        if frame:
            self._control.receive_report(frame)
        else:
            self._loop.unwatch(self._link)

    def _tell(self) -> None:
        if self._told is not None and self._told.is_ready:
            return
        state = self._control.node_state()
        if state != self._told:
            self._told = state
            tell(self._link, state)
