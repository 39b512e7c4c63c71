"""How a node whose home was restored or copied learns what it has published: it asks every neighbour that it
meets for the newest messages of its own keys.

What a neighbour answers with is messages that we have signed: so nobody can make us skip sequences, and they
are verified and taken in as any others. Who knows nothing answers with no message.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from random import Random

from dispersy.constants import ANSWER_BUDGET_MAX, REQUEST_TIMEOUT_MAX_S, REQUEST_TIMEOUT_START_S
from dispersy.protocol.address import Address
from dispersy.protocol.hosts import leaves_for
from dispersy.protocol.identifiers import MemberId
from dispersy.protocol.ways import Way, number_for
from dispersy.protocol.wire.frames import MissingNewest, RequestMissing


class _Question:
    """One author's newest messages, of one neighbour."""

    __slots__ = ("attempts", "author", "due_at", "number")

    def __init__(self, author: MemberId, number: int, now: float) -> None:
        self.author = author
        self.number = number
        self.attempts = 0
        self.due_at = now


class NewestRequest:
    """One a community. Neighbours are noted all the time, and asked as long as authors are set."""

    def __init__(self, *, rng: Random) -> None:
        self._rng = rng
        self._authors: tuple[MemberId, ...] = ()
        self._peers: OrderedDict[Address, list[_Question]] = OrderedDict()

    def set_authors(self, authors: Sequence[MemberId], now: float) -> None:
        """Whose messages to ask for from now on; none: ask no more."""
        if tuple(authors) == self._authors:
            return
        self._authors = tuple(authors)
        for source in self._peers:
            self._peers[source] = self._questions(now)

    def hear(self, source: Address, now: float) -> None:
        """A neighbour has been met, or met again."""
        if source in self._peers:
            self._peers.move_to_end(source)
            return
        leaving = leaves_for(source, self._peers)
        if leaving is not None:
            del self._peers[leaving]
        self._peers[source] = self._questions(now)

    def receive_answer(self, source: Address, number: int) -> bool:
        """The last datagram of an answer has come; True when it answers all that this neighbour was asked."""
        questions = self._peers.get(source)
        if not questions:
            return False
        left = [question for question in questions if question.number != number]
        self._peers[source] = left
        return not left

    def step(self, now: float) -> list[tuple[Address, RequestMissing]]:
        """What to send now."""
        due: list[tuple[Address, RequestMissing]] = []
        if not self._authors:
            return due
        for source, questions in self._peers.items():
            for question in questions:
                if question.due_at > now:
                    continue
                # The datagram may be lost, and the neighbour busy: ever more slowly, but to the end.
                wait = REQUEST_TIMEOUT_START_S * 2.0 ** min(question.attempts, 8)
                question.attempts += 1
                question.due_at = now + min(REQUEST_TIMEOUT_MAX_S, wait)
                wanted = MissingNewest(question.author)
                due.append((source, RequestMissing(question.number, ANSWER_BUDGET_MAX, wanted)))
        return due

    def next_deadline(self) -> float | None:
        if not self._authors:
            return None
        due = (question.due_at for questions in self._peers.values() for question in questions)
        return min(due, default=None)

    def _questions(self, now: float) -> list[_Question]:
        return [_Question(author, number_for(Way.NAME, self._rng), now) for author in self._authors]
