"""Nudges: when our live set has changed, a few neighbours hear our new summary at once."""

from __future__ import annotations

from collections import Counter, OrderedDict

from dispersy.constants import NUDGE_INTERVAL_S, NUDGED_MAX, NUDGES_MAX
from dispersy.protocol.address import Address
from dispersy.protocol.walk.candidate import NEVER, Candidates
from dispersy.protocol.walk.introducer import Introducer
from dispersy.protocol.walk.neighbours import Neighbours
from dispersy.protocol.walk.same_key import OwnNumbers
from dispersy.protocol.walk.walk_events import SendIntroduction
from dispersy.protocol.wire.token import TokensHeld

NUDGE_HELD_MAX_S = 5.0
"""For which a nudge waits at most for new messages to have spread by themselves."""
NUDGED_LATE_MAX = 1
"""Neighbours that are told when they have: nearly all hold the same, and steps tell the others."""


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
    ) -> None:
        self._nudged_max = nudged_max
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
        self._nudged_max = NUDGED_MAX
        self._events: list[SendIntroduction] = []

    def ask(self, now: float, *, not_before: float = NEVER) -> None:
        """There is something to tell: NUDGE_INTERVAL_S after the last ones, and, where more may follow, when
        that is over."""
        if self._asked_at is None:
            self._asked_at = now
        held = min(not_before, self._asked_at + NUDGE_HELD_MAX_S)
        self._nudged_max = NUDGED_MAX if held <= now else NUDGED_LATE_MAX
        self._due_at = max(now, self._sent_at + NUDGE_INTERVAL_S, held)
        self.handle_timer(now)

    def take(self, source: Address, number: int) -> bool:
        """Whether a response answers one of them, which it does once."""
        if self._numbers.get(source) != number:
            return False
        del self._numbers[source]
        return True

    def handle_timer(self, now: float) -> None:
        if self._due_at is None or now < self._due_at:
            return
        self._due_at = self._asked_at = None
        if self._neighbours.summary is None:
            return
        self._sent_at = now
        for address, token in self._nudged(now):
            number = self._own_numbers.new()
            self._add(address, number)
            request = self._introducer.request(address, token, number, now, asks_introduction=False)
            self._events.append(request)
            self._counts["nudges-sent"] += 1

    def next_deadline(self) -> float | None:
        return self._due_at

    def drain(self) -> list[SendIntroduction]:
        """What is to be sent."""
        events, self._events = self._events, []
        return events

    def _nudged(self, now: float) -> list[tuple[Address, bytes]]:
        """The freshest neighbours that have not said our summary themselves, with their tokens."""
        assert self._neighbours.summary is not None
        return [
            (candidate.address, token)
            for candidate in self._candidates.speaking(now)
            if (token := self._tokens.get(candidate.address)) is not None
            and not candidate.in_sync_with(self._neighbours.summary)
            and not candidate.is_metered
        ][: self._nudged_max]

    def _add(self, address: Address, number: int) -> None:
        self._numbers[address] = number
        self._numbers.move_to_end(address)
        if len(self._numbers) > NUDGES_MAX:
            self._numbers.popitem(last=False)
