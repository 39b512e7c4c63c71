"""Large replies that their clients have not taken yet: what ZeroMQ holds of them in memory is bounded.

ZeroMQ bounds a client's queue in frames, and a frame may be a page of messages: a client that asks and never
reads would cost a gigabyte. So each large frame is sent with a tracker, which tells when ZeroMQ is done with
it. Small frames are bounded by their number.
"""

from __future__ import annotations

from collections import Counter, deque

from dispersy.bus.sockets import SentFrame
from dispersy.service.interface.holders import Holder, each_for_itself, program_of

LARGE_SIZE = 4_096
"""A frame below it is bounded by the queue's length: a tracker costs as much as sending it."""
UNREAD_PER_CLIENT_MAX = 2 << 20
"""Bytes: some pages asked for at once, before the first is read."""
UNREAD_MAX = 64 << 20
"""Of all clients together."""


class Unread:
    """Large frames under way, by client; forgets clients that have none."""

    def __init__(self, holder: Holder = each_for_itself) -> None:
        self._holder = holder
        self._frames: dict[bytes, deque[tuple[int, SentFrame]]] = {}
        self._sizes: Counter[bytes] = Counter()
        self.size = 0

    def __len__(self) -> int:
        """Clients with a large frame under way."""
        return len(self._frames)

    def has_room(self, client: bytes, size: int) -> bool:
        """Whether a large frame may be sent to this client; the only one of its holder always may."""
        holder = self._holder(client)
        if self._is_over(holder, size):
            # It may have been read meanwhile, by another of the holder's connections, too.
            for each in [each for each in self._frames if self._holder(each) == holder]:
                self._take_off(each)
            if self._is_over(holder, size):
                return False
        if self._is_full(client, size):
            self.take_off()
        return not self._is_full(client, size)

    def add(self, client: bytes, size: int, tracker: SentFrame) -> None:
        """It was sent."""
        self._frames.setdefault(client, deque()).append((size, tracker))
        self._sizes[self._holder(client)] += size
        self.size += size

    def _is_over(self, holder: bytes, size: int) -> bool:
        own = self._sizes.get(holder, 0)
        return own > 0 and own + size > UNREAD_PER_CLIENT_MAX

    def _is_full(self, client: bytes, size: int) -> bool:
        """A program takes no more of what there is for all than it leaves to others."""
        if 2 * self.size + size <= UNREAD_MAX:
            return False
        program = program_of(client)
        own = sum(sum(each for each, _ in self._frames[name]) for name in self._of(program))
        return self.size + own + size > UNREAD_MAX

    def _of(self, program: bytes) -> list[bytes]:
        return [client for client in self._frames if program_of(client) == program]

    def take_off(self) -> None:
        """Let go of what ZeroMQ is done with."""
        for client in list(self._frames):
            self._take_off(client)

    def _take_off(self, client: bytes) -> None:
        frames = self._frames.get(client)
        while frames and frames[0][1].done:
            size = frames.popleft()[0]
            self.size -= size
            self._sizes[self._holder(client)] -= size
        if frames is not None and not frames:
            del self._frames[client]
            if not self._sizes[self._holder(client)]:
                del self._sizes[self._holder(client)]
