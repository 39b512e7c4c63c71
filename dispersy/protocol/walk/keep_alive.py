"""Keeping neighbours known while steps are far apart: a ping that no key signs, answered by a pong.

Of two neighbours the one that pings first spares the other its own, for both have then heard each other. So
each tosses a coin at its ticks once a neighbour has been silent for KEEP_ALIVE_S, and pings for certain a
tick later. What a ping did not reach is sent an introduction-request: it may have started anew and not know
us, be of a version without pings, or be gone.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from random import Random

from dispersy.constants import (
    CANDIDATES_MAX,
    KEEP_ALIVE_S,
    KEPT_MAX,
    PING_RETRIES_MAX,
    PING_RETRY_S,
    PINGS_ANSWERED_PER_SECOND_MAX,
    TICK_S,
    WALKED_LIFETIME_S,
)
from dispersy.protocol.address import Address
from dispersy.protocol.flow.per_second import PerSecond
from dispersy.protocol.walk.candidate import NEVER, Candidate, Category
from dispersy.protocol.walk.neighbours import Neighbours
from dispersy.protocol.walk.same_key import OwnNumbers
from dispersy.protocol.walk.shared_pace import SharedPace
from dispersy.protocol.walk.walk_events import SendKeepAlive, WalkEvent
from dispersy.protocol.wire.frames import Ping, Pong
from dispersy.protocol.wire.token import TokensHeld


class SentPing:
    """A ping under way; retry_at is when it is repeated, or given up after so many retries."""

    __slots__ = ("number", "retries", "retry_at")

    def __init__(self, number: int, now: float) -> None:
        self.number = number
        self.retries = 0
        self.retry_at = now + PING_RETRY_S


class KeepAlive:
    """The pings of one community.

    to_walk  where pings do not help: to be sent an introduction-request; whoever takes them empties it
    """

    def __init__(
        self,
        *,
        neighbours: Neighbours,
        tokens: TokensHeld,
        numbers: OwnNumbers,
        pace: SharedPace,
        rng: Random,
        counts: Counter[str],
    ) -> None:
        self.to_walk: list[Address] = []
        self._neighbours = neighbours
        self._tokens = tokens
        self._numbers = numbers
        self._pace = pace
        self._rng = rng
        self._counts = counts
        self._until = NEVER
        self._sent: dict[Address, SentPing] = {}
        self._answered: PerSecond[Address] = PerSecond(
            limit=PINGS_ANSWERED_PER_SECOND_MAX, keys_max=CANDIDATES_MAX
        )
        self._events: list[WalkEvent] = []

    def receive_ping(self, source: Address, ping: Ping, now: float) -> None:
        """A ping has come whose token was valid: it counts from where a member has proven itself."""
        candidate, token = self._neighbours.at(source, now), self._tokens.get(source)
        ours = self._neighbours.summary
        if candidate is None or token is None or ours is None or not self._answered.admit(source, now):
            self._counts["pings-ignored"] += 1
            return
        self._neighbours.keep(candidate, Category.STUMBLED, ping.summary, now)
        self._sent.pop(source, None)
        self._neighbours.tell(candidate)
        pong = Pong(ping.number, ours)
        self._events.append(SendKeepAlive(source, token, pong.type, pong.encode()))

    def receive_pong(self, source: Address, pong: Pong, now: float) -> None:
        """A pong has come whose token was valid; unasked it is nothing."""
        sent, candidate = self._sent.get(source), self._neighbours.at(source, now)
        if sent is None or sent.number != pong.number or candidate is None:
            return
        del self._sent[source]
        self._counts["pings-answered"] += 1
        self._neighbours.keep(candidate, Category.WALKED, pong.summary, now)

    def receive_token(self, source: Address, now: float) -> None:
        """Another token than before has come: without a pong beside it, who is there has started again."""
        sent = self._sent.get(source)
        if sent is not None:
            sent.retries = PING_RETRIES_MAX
            sent.retry_at = now

    def handle_tick(self, verified: Sequence[Candidate], now: float) -> None:
        """Ask whoever was silent for long for a sign of life.

        verified  neighbours; KEPT_MAX of them are kept, those first that answered us, the longest known
                  before others, so that strangers do not take their places
        """
        if self._pace.keeps_by_pings:
            # A while longer than that: those who were silent for long are not all walked to at once.
            self._until = now + WALKED_LIFETIME_S
        if now >= self._until or self._neighbours.summary is None:
            return
        kept = sorted(verified, key=lambda each: (each.category(now) is not Category.WALKED, each.met_at))
        for candidate in [each for each in kept if not each.is_metered][:KEPT_MAX]:
            address = candidate.address
            if address in self._sent or not self._is_due(candidate, now):
                continue
            if candidate.answers_pings and self._tokens.get(address) is not None:
                sent = self._sent[address] = SentPing(self._numbers.new(), now)
                self._send(address, sent.number, now)
            else:
                self.to_walk.append(address)

    def handle_timer(self, now: float) -> None:
        """Repeat what was not answered, or give it up."""
        for address, sent in list(self._sent.items()):
            if now < sent.retry_at:
                continue
            candidate = self._neighbours.at(address, now)
            if candidate is None or sent.retries >= PING_RETRIES_MAX:
                del self._sent[address]
                self._counts["pings-timed-out"] += 1
                if candidate is not None:
                    candidate.answers_pings = False
                    self.to_walk.append(address)
                continue
            sent.retries += 1
            sent.retry_at = now + PING_RETRY_S * 2**sent.retries
            self._send(address, sent.number, now)

    def next_deadline(self) -> float | None:
        return min([sent.retry_at for sent in self._sent.values()]) if self._sent else None

    def drain(self) -> list[WalkEvent]:
        """What is to be sent."""
        events, self._events = self._events, []
        return events

    def _send(self, address: Address, number: int, now: float) -> None:
        token, ours = self._tokens.get(address), self._neighbours.summary
        if token is not None and ours is not None:
            self._neighbours.tell(self._neighbours.at(address, now))
            ping = Ping(number, ours)
            self._events.append(SendKeepAlive(address, token, ping.type, ping.encode()))
            self._counts["pings-sent"] += 1

    def _is_due(self, candidate: Candidate, now: float) -> bool:
        silent_s = now - candidate.proven_at
        return silent_s >= KEEP_ALIVE_S + TICK_S or (silent_s >= KEEP_ALIVE_S and self._rng.random() < 0.5)
