"""Isolation: walk after walk is left unanswered, and nobody else was heard meanwhile. All may be gone.

Where neighbours stay for seconds, a node may come to know but such as have left, and names of such: each step
to one of these costs five seconds, and that nobody answers there says little, for a NAT may be in the way.
But where nobody at all is heard, the bootstrap is asked, whoever it names is walked to at once, and of the
neighbours only those count that have been heard since.
"""

from __future__ import annotations

from dispersy.constants import STEP_INTERVAL_S
from dispersy.protocol.walk.candidate import NEVER

UNANSWERED_MAX = 2
"""Walks in a row left unanswered; one alone is often a datagram lost, or a NAT in the way."""
UNHEARD_S = STEP_INTERVAL_S
"""And so long nobody must have been heard: early steps follow each other faster than a phone roams."""


class Isolation:
    """Of one community.

    heard_since   when the silence began, if there ever was one: who was heard before may be gone
    is_news       whether anybody was heard between it and the silence before
    """

    def __init__(self) -> None:
        self.heard_since = NEVER
        self.is_news = False
        self._unanswered = 0
        self._since = NEVER
        self._is_due = False

    def leave_unanswered(self, began_at: float, now: float, *, heard_at: float) -> None:
        """A walk that began then has not been answered for a while.

        heard_at   when anybody was heard last
        """
        if not self._unanswered or heard_at >= self._since:
            self._unanswered, self._since = 0, began_at
        self._unanswered += 1
        if self._unanswered < UNANSWERED_MAX or now < self._since + UNHEARD_S:
            return
        self.is_news = heard_at >= self.heard_since
        self.heard_since = self._since
        self._unanswered = 0
        self._is_due = True

    def begin_again(self) -> None:
        """The machine has slept: what was not answered then says nothing."""
        self._unanswered = 0

    def take(self) -> bool:
        """Whether all that are known may be gone, once for each time that it turned out."""
        is_due, self._is_due = self._is_due, False
        return is_due
