"""Answering neighbours that ask for an author's newest messages, as a node asks for its own whose home was
restored.

Only the writer has the index by author in memory, so it is asked where they are kept. Forty bytes cost it
some 256 looks into a table and a few seeks: one request at a time, and after it a rest.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from dispersy.protocol.address import Address
from dispersy.protocol.frames import MissingNewest, RequestMissing

NEWEST_WAITING_MAX = 16
"""Requests that wait, one an address and author."""
REST = 9.0
"""Times what a look-up took, until the next: they have a tenth of the writer's time at most."""
FIND_LIMIT_S = 2.0
"""After this the order is taken for lost, as with a writer that was killed."""

Find = Callable[[int, int, bytes], bool]
"""Orders a look-up: number of the order, community, author; False when the writer takes nothing now."""


@dataclass(frozen=True, slots=True)
class Asked:
    """One request."""

    community: int
    source: Address
    request: RequestMissing
    author: bytes


class NewestAnswers:
    """One a responder, which sends the answers: to what found() returns, the messages at the cursors."""

    def __init__(self, find: Find) -> None:
        self._find = find
        self._waiting: deque[Asked] = deque()
        self._order = 0
        self._looked_up: Asked | None = None
        self._began = 0.0
        self._due_at = 0.0

    def receive(self, community: int, source: Address, request: RequestMissing) -> bool:
        """Take a request; False when it has to be refused."""
        assert isinstance(request.wanted, MissingNewest)
        asked = Asked(community, source, request, request.wanted.author)
        same = (community, source, asked.author)
        if len(self._waiting) >= NEWEST_WAITING_MAX or any(
            (each.community, each.source, each.author) == same for each in self._waiting
        ):
            return False
        self._waiting.append(asked)
        return True

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
        if self._find(self._order, asked.community, asked.author):
            self._looked_up = asked

    def found(self, order: int, now: float) -> Asked | None:
        """The writer has answered; what its answer belongs to, None when that was given up."""
        asked = self._looked_up
        if asked is None or order != self._order:
            return None
        self._looked_up = None
        self._due_at = now + REST * (now - self._began)
        return asked
