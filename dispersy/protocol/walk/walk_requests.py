"""Walks under way: when an introduction-request is repeated, when it is given up, and what comes of it."""

from __future__ import annotations

from collections import Counter

from dispersy.constants import (
    CHALLENGE_S,
    WALK_FAILURES_MAX,
    WALK_REQUEST_LIFETIME_S,
    WALK_RETRIES_MAX,
    WALK_RETRY_S,
)
from dispersy.protocol.address import Address
from dispersy.protocol.walk.bootstrap import Bootstrap
from dispersy.protocol.walk.candidate import Candidate, Candidates
from dispersy.protocol.walk.introducer import Introducer
from dispersy.protocol.walk.same_key import OwnNumbers
from dispersy.protocol.walk.steps import Steps
from dispersy.protocol.walk.turnover import Turnover
from dispersy.protocol.walk.walk_events import SendToken, WalkEvent
from dispersy.protocol.wire.frames import NO_TOKEN
from dispersy.protocol.wire.token import TokensHeld

SOON_S = 0.1
"""After which a request is repeated where something has changed, unless its answer is here by then."""


class WalkRequest:
    """An introduction-request to one address.

    number        what its response must echo
    sent_under    the token it was sent under, None while it waits for one
    retries       how often it was repeated
    is_challenge  whether who leaves it unanswered is gone, however lately it was heard before
    """

    __slots__ = (
        "began_at",
        "expires_at",
        "is_challenge",
        "number",
        "retries",
        "retry_at",
        "sent_at",
        "sent_under",
    )

    def __init__(self, *, number: int, now: float) -> None:
        self.number = number
        self.began_at = now
        self.is_challenge = False
        self.expires_at = now + WALK_REQUEST_LIFETIME_S
        self.retries = 0
        self.retry_at = now + WALK_RETRY_S
        self.sent_at = now
        self.sent_under: bytes | None = None


class WalkRequests:
    """Those of one community, one an address.

    turnover  what their answers say of neighbours
    """

    def __init__(
        self,
        *,
        candidates: Candidates,
        tokens: TokensHeld,
        numbers: OwnNumbers,
        introducer: Introducer,
        bootstrap: Bootstrap,
        steps: Steps,
        turnover: Turnover,
        counts: Counter[str],
    ) -> None:
        self._candidates = candidates
        self._tokens = tokens
        self._numbers = numbers
        self._introducer = introducer
        self._bootstrap = bootstrap
        self._steps = steps
        self.turnover = turnover
        self._counts = counts
        self._requests: dict[Address, WalkRequest] = {}
        self._events: list[WalkEvent] = []

    def __len__(self) -> int:
        return len(self._requests)

    def __contains__(self, address: object) -> bool:
        return address in self._requests

    def walk_to(self, address: Address, now: float) -> None:
        """Send a request there, or the one under way once more."""
        candidate = self._candidates.get(address)
        category = None if candidate is None else candidate.category(now)
        unknown = "bootstrap" if address in self._bootstrap else "former"
        self._counts[f"walk-{unknown if category is None else category.value}"] += 1
        self._bootstrap.ask(address, now)
        if candidate is not None:
            candidate.asked_at = now
        request = self._requests.get(address)
        if request is None:
            request = self._requests[address] = WalkRequest(number=self._numbers.new(), now=now)
        else:
            request.retries += 1
        self._attempt(address, request, now)

    def challenge(self, candidate: Candidate, now: float) -> None:
        """See whether a member is still where we know it; if not, it may move."""
        if candidate.address not in self._requests:
            if now < candidate.signed_at + CHALLENGE_S:
                return
            self.walk_to(candidate.address, now)
        self._requests[candidate.address].is_challenge = True

    def receive_stranger(self, source: Address, now: float) -> None:
        """A token frame has come from there that proves nothing."""
        request = self._requests.get(source)
        if request is not None and request.sent_under is None:
            # Perhaps the puncture that we were promised: the way is open now, so ask again for their token.
            request.retry_at = min(request.retry_at, now + SOON_S)

    def receive_token(self, source: Address, token: bytes, now: float) -> None:
        """The token that is good there."""
        request = self._requests.get(source)
        if request is None:
            return
        if request.sent_under is None:
            self._attempt(source, request, now)
        elif request.sent_under != token:
            # It may have started again since and not have known our request's token.
            request.retry_at = min(request.retry_at, now + SOON_S)

    def take(self, source: Address, number: int, now: float) -> WalkRequest | None:
        """The request that a response answers, over now; None: it answers none."""
        request = self._requests.get(source)
        if request is None or request.number != number or request.sent_under is None:
            return None
        candidate = self._candidates.get(source)
        if candidate is not None and candidate.is_verified(now):
            if candidate.is_silent:
                self.turnover.take_back(now)
            self.turnover.answer(now)
        return self._requests.pop(source)

    def handle_timer(self, now: float) -> None:
        """Repeat what was not answered, or give it up; and ask who was lost whether it is there again."""
        for address in self._candidates.former.take(now):
            if address not in self._requests:
                self.walk_to(address, now)
        for address, request in list(self._requests.items()):
            if now >= request.expires_at:
                del self._requests[address]
                self._counts["walk-timed-out"] += 1
                self._fail(address, request, now)
            elif now >= request.retry_at:
                request.retries += 1
                wait = WALK_RETRY_S * 2**request.retries
                request.retry_at = now + wait if request.retries < WALK_RETRIES_MAX else request.expires_at
                self._attempt(address, request, now)
                if request.retries == 1:
                    self._doubt(address, request, now)

    def next_deadline(self) -> float | None:
        deadline = self._candidates.former.next_deadline()
        for request in self._requests.values():
            due_at = min(request.retry_at, request.expires_at)
            if deadline is None or due_at < deadline:
                deadline = due_at
        return deadline

    def drain(self) -> list[WalkEvent]:
        """What is to be sent."""
        events, self._events = self._events, []
        return events

    def _attempt(self, address: Address, request: WalkRequest, now: float) -> None:
        token = self._tokens.get(address)
        if token is None:
            self._events.append(SendToken(address, NO_TOKEN))
            return
        request.sent_under = token
        request.sent_at = now
        sent = self._introducer.request(address, token, request.number, now, asks_introduction=True)
        self._events.append(sent)

    def _doubt(self, address: Address, request: WalkRequest, now: float) -> None:
        """It has not answered for a while: until it is heard again others are better asked and named."""
        heard_at = self._candidates.heard_at()
        self.turnover.isolation.leave_unanswered(request.began_at, now, heard_at=heard_at)
        candidate = self._candidates.get(address)
        if candidate is None or not candidate.is_verified(now) or candidate.proven_at >= request.began_at:
            return
        candidate.is_silent = True
        self.turnover.fall_silent(now)
        if self.turnover.is_high(now):
            self._steps.hasten(now + SOON_S)

    def _fail(self, address: Address, request: WalkRequest, now: float) -> None:
        candidate = self._candidates.get(address)
        if candidate is None:
            return
        candidate.failures += 1
        self.turnover.hunger.hope(now)
        if request.is_challenge and candidate.signed_at < request.began_at:
            # Its member is known to be elsewhere.
            self._candidates.remove(address)
        elif candidate.failures >= WALK_FAILURES_MAX or not candidate.is_verified(now):
            self._candidates.lose(candidate, now)
        self._steps.hasten(now + SOON_S)
