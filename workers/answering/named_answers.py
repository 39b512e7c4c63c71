"""Answering neighbours that ask for messages by name.

Where messages are kept by id, by lane and by what they permit only the writer knows, from memory: so it is
asked. Forty bytes cost it some 256 looks into a table and a few seeks, and bring tens of datagrams: so one
request is looked up at a time, and after it is a rest; so few wait of one address and of one host; and so
many datagrams a second go to one address and to all, shared between hosts. Who is refused hears nothing, and
asks the next.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from dispersy.constants import (
    MISSING_DATAGRAMS_IN_ALL_MAX,
    MISSING_DATAGRAMS_MAX,
    MISSING_IN_ALL_MAX,
    MISSING_PER_SECOND_MAX,
    MISSING_SOURCES_MAX,
)
from dispersy.protocol.address import Address
from dispersy.protocol.hosts import host_of
from dispersy.protocol.shares import Shares
from dispersy.protocol.sync.answer import Answered, answer_missing, named_frames
from dispersy.protocol.wire.frames import MissingLast, RequestMissing
from dispersy.protocol.wire.numbers import ControlKind

LOOK_UPS_MAX = 32
LOOK_UPS_PER_HOST_MAX = 16
LOOK_UPS_PER_SOURCE_MAX = 4
"""Requests that wait, in all, of one host and of one address; each thing once an address."""
REST = 9.0
"""Times what a look-up took, until the next: they have a tenth of the writer's time at most."""
FIND_LIMIT_S = 2.0
"""After this the order is taken for lost, as with a writer that was killed."""

Find = Callable[[int, int, bytes], bool]
"""Orders a look-up: number of the order, community, the request as it was sent; False when the writer takes
nothing now."""


@dataclass(frozen=True, slots=True)
class Asked:
    """One request."""

    community: int
    source: Address
    request: RequestMissing


class NamedAnswers:
    """One a responder, which reads the messages and sends the answers."""

    def __init__(self, find: Find) -> None:
        self._find = find
        self._rate = Shares(
            in_all=MISSING_IN_ALL_MAX, per_address=MISSING_PER_SECOND_MAX, sources_max=MISSING_SOURCES_MAX
        )
        self._datagrams = Shares(
            in_all=MISSING_DATAGRAMS_IN_ALL_MAX,
            per_address=MISSING_DATAGRAMS_MAX,
            sources_max=MISSING_SOURCES_MAX,
        )
        self._waiting: deque[Asked] = deque()
        self._order = 0
        self._looked_up: Asked | None = None
        self._began = 0.0
        self._due_at = 0.0

    def admits(self, source: Address, now: float) -> bool:
        """Whether one more request of this address is looked at in this second."""
        return self._rate.admit(source, now)

    def receive(self, asked: Asked, definition: bytes, now: float) -> list[bytes] | None:
        """Take a request: the frames that answer it at once, if any, one datagram's each; None: refused.

        definition   the community's, as it is held
        """
        wanted = asked.request.wanted
        if isinstance(wanted, MissingLast) and wanted.kind == ControlKind.DEFINITION:
            return self._within_limits(asked.source, answer_missing(asked.request, definition), now)
        of_source = [each for each in self._waiting if each.source == asked.source]
        host = host_of(asked.source)
        of_host = [each for each in self._waiting if host is not None and host_of(each.source) == host]
        if (
            len(self._waiting) >= LOOK_UPS_MAX
            or len(of_host) >= LOOK_UPS_PER_HOST_MAX
            or len(of_source) >= LOOK_UPS_PER_SOURCE_MAX
            or any((each.community, each.request.wanted) == (asked.community, wanted) for each in of_source)
        ):
            return None
        self._waiting.append(asked)
        return []

    def next_deadline(self) -> float | None:
        if self._looked_up is not None:
            return self._began + FIND_LIMIT_S
        return self._due_at if self._waiting else None

    def handle_timer(self, now: float) -> None:
        """Ask the writer for the next, if it is time."""
        if self._looked_up is not None and now >= self._began + FIND_LIMIT_S:
            self._looked_up = None
        if self._looked_up is not None or not self._waiting or now < self._due_at:
            return
        asked = self._waiting.popleft()
        self._order += 1
        self._began = now
        self._due_at = now + FIND_LIMIT_S
        if self._find(self._order, asked.community, asked.request.encode()):
            self._looked_up = asked

    def found(self, order: int, now: float) -> Asked | None:
        """The writer has answered; what its answer belongs to, None when that was given up."""
        asked = self._looked_up
        if asked is None or order != self._order:
            return None
        self._looked_up = None
        self._due_at = now + REST * (now - self._began)
        return asked

    def answer(self, asked: Asked, messages: Sequence[Answered], now: float) -> list[bytes]:
        """The frames that answer with these messages, as far as the limits reach."""
        return self._within_limits(asked.source, named_frames(asked.request, messages), now)

    def _within_limits(self, source: Address, frames: list[bytes], now: float) -> list[bytes]:
        """All of them or none: the last one says that it is the last."""
        return frames if self._datagrams.admit(source, now, count=len(frames)) else []
