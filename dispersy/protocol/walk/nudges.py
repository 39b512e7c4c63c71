"""Nudges: when our live set has changed, a few neighbours hear our new summary at once.

Most neighbours come to hold the same without a word, and each would take the other for one that differs until
the walk comes by, half a minute later. So when nothing has changed for a moment, those to whom we last said
something else hear it, one by one, and answer if they have become the same, too.
"""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Callable

from dispersy.constants import NUDGE_INTERVAL_S, NUDGED_MAX, NUDGES_MAX
from dispersy.protocol.address import Address
from dispersy.protocol.walk.candidate import NEVER, Candidate, Candidates
from dispersy.protocol.walk.introducer import Introducer
from dispersy.protocol.walk.neighbours import Neighbours
from dispersy.protocol.walk.same_key import OwnNumbers
from dispersy.protocol.walk.walk_events import SendIntroduction
from dispersy.protocol.wire.token import TokensHeld

NUDGE_HELD_MAX_S = 5.0
"""For which a nudge waits at most for new messages to have spread by themselves."""
NUDGED_LATE_MAX = 1
"""Neighbours that are told when they have: nearly all hold the same, and those hear it one by one."""
AFTERWARDS_S = 0.5
"""From the last nudge, or the last of these, until the next that was told otherwise hears what we hold."""
AFTERWARDS_MAX = 8
"""After one change: with what neighbours say themselves about all that a node has; steps tell the others."""


class Nudges:
    """When the next ones may leave, to whom, and which answers are still taken."""

    def __init__(
        self,
        *,
        neighbours: Neighbours,
        candidates: Candidates,
        tokens: TokensHeld,
        numbers: OwnNumbers,
        introducer: Introducer,
        counts: Counter[str],
        nudged_max: int = NUDGED_MAX,
        afterwards_max: int = AFTERWARDS_MAX,
    ) -> None:
        self._at_once_max = nudged_max
        self._neighbours = neighbours
        self._candidates = candidates
        self._tokens = tokens
        self._own_numbers = numbers
        self._introducer = introducer
        self._counts = counts
        self._numbers: OrderedDict[Address, int] = OrderedDict()
        self._sent_at = NEVER
        self._asked_at: float | None = None
        self._due_at: float | None = None
        self._nudged_max = nudged_max
        self._afterwards_max = afterwards_max
        self._afterwards_at: float | None = None
        self._afterwards_left = 0
        self._events: list[SendIntroduction] = []

    def ask(self, now: float, *, not_before: float = NEVER) -> None:
        """There is something to tell: NUDGE_INTERVAL_S after the last ones, and, where more may follow, when
        that is over."""
        if self._asked_at is None:
            self._asked_at = now
        held = min(not_before, self._asked_at + NUDGE_HELD_MAX_S)
        self._nudged_max = self._at_once_max if held <= now else NUDGED_LATE_MAX
        self._afterwards_at = None
        self._due_at = max(now, self._sent_at + NUDGE_INTERVAL_S, held)
        self.handle_timer(now)

    def take(self, source: Address, number: int) -> bool:
        """Whether a response answers one of them, which it does once."""
        if self._numbers.get(source) != number:
            return False
        del self._numbers[source]
        return True

    def handle_timer(self, now: float) -> None:
        summary = self._neighbours.summary
        if self._due_at is not None and now >= self._due_at:
            self._due_at = self._asked_at = None
            if summary is None:
                return
            self._sent_at = now
            differing = self._reachable(now, lambda each: not each.in_sync_with(summary))
            for candidate in differing[: self._nudged_max]:
                self._send(candidate, now)
            self._afterwards_left = self._afterwards_max
            self._afterwards_at = now + AFTERWARDS_S if self._afterwards_left else None
        elif self._afterwards_at is not None and now >= self._afterwards_at:
            self._afterwards_at = None
            self._tell_one(now)

    def next_deadline(self) -> float | None:
        return self._afterwards_at if self._due_at is None else self._due_at

    def drain(self) -> list[SendIntroduction]:
        """What is to be sent."""
        events, self._events = self._events, []
        return events

    def _tell_one(self, now: float) -> None:
        """Let the freshest of those that take us for different hear that we may hold the same."""
        summary = self._neighbours.summary
        if summary is None:
            return
        misled = self._reachable(now, lambda each: each.is_misled(summary))
        if misled:
            self._send(misled[0], now)
            self._afterwards_left -= 1
        if len(misled) > 1 and self._afterwards_left:
            self._afterwards_at = now + AFTERWARDS_S

    def _reachable(self, now: float, is_wanted: Callable[[Candidate], bool | None]) -> list[Candidate]:
        """These neighbours as far as they can be nudged, the freshest first."""
        return [
            candidate
            for candidate in self._candidates.speaking(now)
            if not (candidate.is_metered or candidate.is_tracker)
            and self._tokens.get(candidate.address) is not None
            and is_wanted(candidate)
        ]

    def _send(self, candidate: Candidate, now: float) -> None:
        address = candidate.address
        token = self._tokens.get(address)
        assert token is not None, "only who is reachable is nudged"
        number = self._own_numbers.new()
        self._add(address, number)
        request = self._introducer.request(address, token, number, now, asks_introduction=False)
        self._events.append(request)
        self._counts["nudges-sent"] += 1

    def _add(self, address: Address, number: int) -> None:
        self._numbers[address] = number
        self._numbers.move_to_end(address)
        if len(self._numbers) > NUDGES_MAX:
            self._numbers.popitem(last=False)
