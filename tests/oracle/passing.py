"""What passes a node and is kept by nobody (distribution direct and relay), as it is written.

It is judged once, when it comes, by what is held then. Each sequence of an author is taken once, and none far
below the highest.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from dispersy.protocol.identifiers import MemberId
from tests.oracle.state import DataMessage
from tests.oracle.timeline import Oracle

WINDOW = 64


class Passed:
    """What one node has taken since it was started.

    member  its key: what names another recipient is not for it
    taken   in the order in which it was told
    """

    def __init__(self, member: MemberId) -> None:
        self.member = member
        self.taken: list[DataMessage] = []

    def take(self, messages: Iterable[DataMessage], oracle: Oracle) -> None:
        """By what the oracle makes of all that is held, this round's control messages too."""
        if oracle.hard is None:
            self.taken += self._taken(messages, oracle)

    def _taken(self, messages: Iterable[DataMessage], oracle: Oracle) -> Iterator[DataMessage]:
        fresh: list[DataMessage] = []
        for message in messages:
            rules = oracle.rules.get(message.kind)
            if (
                message.recipient in (None, self.member)
                and rules is not None
                and message.hops <= rules.hops
                and self._is_fresh(message, [*self.taken, *fresh])
                and oracle.may_be_said(message, oracle.settings)
            ):
                fresh.append(message)
        yield from fresh

    @staticmethod
    def _is_fresh(message: DataMessage, taken: Iterable[DataMessage]) -> bool:
        if not message.authors:
            return all(message.id != other.id for other in taken)
        lane = [other.sequence for other in taken if other.lane == message.lane]
        highest = max(lane, default=0)
        return message.sequence > highest - WINDOW and message.sequence not in lane
