"""The answering side of large messages: the fragments that one request names, read when their turn comes.

As with every answer nothing is kept between requests. A request of 40 bytes brings 64 KiB at most, and only
to an address that has proven itself; an answer goes out a few datagrams at a time, in turn with others.
"""

from __future__ import annotations

from collections import deque

from dispersy.constants import FRAGMENT_SIZE
from dispersy.protocol.holdings import MessageHoldings
from dispersy.protocol.wire.frames import Fragment, FragmentRequest, frame
from dispersy.protocol.wire.large_frames import fragment_count
from dispersy.protocol.wire.stripped import Stripped


class FragmentAnswer:
    """The answer to one fragment-request; finished when frames() has given all."""

    examined = 1

    def __init__(self, request: FragmentRequest, holdings: MessageHoldings) -> None:
        self.finished = False
        self._request = request
        self._holdings = holdings
        self._message: bytes | None = None
        self._indices: deque[int] = deque()

    def frames(self, datagrams: int) -> list[bytes]:
        """The frames of up to so many datagrams more."""
        if self._message is None:
            self._message = self._read()
            if not self._message:
                self.finished = True
                return [self._frame(Fragment(self._request.number, 0, 0, b""))]
            fragments = range(fragment_count(len(self._message)))
            self._indices.extend(index for index in fragments if self._request.fragments >> index & 1)
        found: list[bytes] = []
        while self._indices and len(found) < datagrams:
            index = self._indices.popleft()
            data = self._message[index * FRAGMENT_SIZE : (index + 1) * FRAGMENT_SIZE]
            found.append(self._frame(Fragment(self._request.number, len(self._message), index, data)))
        self.finished = not self._indices
        return found

    def _read(self) -> bytes:
        """The message; empty where it is not here, or not in one piece: then nobody shall wait for it."""
        _, cursors = self._holdings.named(self._request.key)
        if not cursors:
            return b""
        (message,) = self._holdings.messages(memoryview(cursors).cast("Q").tolist())
        return b"" if isinstance(message, Stripped) else message

    def _frame(self, fragment: Fragment) -> bytes:
        return frame(fragment.type, fragment.encode())
