"""Large replies that their clients have not taken yet: what ZeroMQ holds of them in memory is bounded.

ZeroMQ bounds a client's queue in frames, and a frame may be a page of messages: a client that asks and never
reads would cost a gigabyte. So each large frame is sent with a tracker, which tells when ZeroMQ is done with
it. Small frames are bounded by their number.
"""

from __future__ import annotations

from collections import deque
from typing import Protocol

LARGE_SIZE = 4_096
"""A frame below it is bounded by the queue's length: a tracker costs as much as sending it."""
UNREAD_PER_CLIENT_MAX = 2 << 20
"""Bytes: some pages asked for at once, before the first is read."""
UNREAD_MAX = 64 << 20
"""Of all clients together."""


class Tracker(Protocol):
    """zmq.MessageTracker."""

    @property
    def done(self) -> bool: ...


class Unread:
    """Large frames under way, by client; forgets clients that have none."""

    def __init__(self) -> None:
        self._frames: dict[bytes, deque[tuple[int, Tracker]]] = {}
        self.size = 0

    def __len__(self) -> int:
        """Clients with a large frame under way."""
        return len(self._frames)

    def has_room(self, client: bytes, size: int) -> bool:
        """Whether a large frame may be sent to this client; the only one of a client always may."""
        self._take_off(client)
        own = sum(each for each, _ in self._frames.get(client, ()))
        if own and own + size > UNREAD_PER_CLIENT_MAX:
            return False
        if self.size + size > UNREAD_MAX:
            self.take_off()
        return self.size + size <= UNREAD_MAX

    def add(self, client: bytes, size: int, tracker: Tracker) -> None:
        """It was sent."""
        self._frames.setdefault(client, deque()).append((size, tracker))
        self.size += size

    def take_off(self) -> None:
        """Let go of what ZeroMQ is done with."""
        for client in list(self._frames):
            self._take_off(client)

    def _take_off(self, client: bytes) -> None:
        frames = self._frames.get(client)
        while frames and frames[0][1].done:
            self.size -= frames.popleft()[0]
        if frames is not None and not frames:
            del self._frames[client]
