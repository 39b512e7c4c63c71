"""How a newcomer gets its community's definition: by asking whoever it meets, until one of them gives it."""

from __future__ import annotations

from collections import OrderedDict
from random import Random

from dispersy.constants import REQUEST_TIMEOUT_MAX_S, REQUEST_TIMEOUT_START_S
from dispersy.protocol.address import Address
from dispersy.protocol.hosts import leaves_for
from dispersy.protocol.ways import Way, number_for
from dispersy.protocol.wire.frames import MissingLast, RequestMissing
from dispersy.protocol.wire.numbers import ControlKind

SPREAD_MIN = 0.5
"""Of the time until it is asked for again, the part after which that may be."""


class DefinitionRequest:
    """Asks one neighbour at a time, those with a summary first: they know the definition."""

    def __init__(self, *, rng: Random) -> None:
        self._rng = rng
        self._peers: OrderedDict[Address, bool] = OrderedDict()
        self._asked: Address | None = None
        self._attempts = 0
        self._due_at: float | None = None

    def hear(self, source: Address, *, knows: bool, now: float) -> None:
        """A neighbour has been met; knows: its summary shows that it has the definition."""
        known = self._peers.get(source)
        if known is None:
            self._make_room(source)
        self._peers[source] = knows or bool(known)
        if known is None:
            self._peers.move_to_end(source, last=False)
        better = knows and not known and not (self._asked is not None and self._peers.get(self._asked))
        if self._due_at is None or better:
            self._due_at = now

    def step(self, now: float) -> tuple[Address, RequestMissing] | None:
        """Whom to ask now, if it is time."""
        if self._due_at is None or now < self._due_at or not self._peers:
            return None
        source = next((peer for peer, knows in self._peers.items() if knows), next(iter(self._peers)))
        self._peers.move_to_end(source)
        self._asked = source
        # Each neighbour once at the shortest wait: the datagram may be lost, the neighbour may know no more
        # than we.
        rounds = self._attempts // len(self._peers)
        self._attempts += 1
        wait_s = min(REQUEST_TIMEOUT_MAX_S, REQUEST_TIMEOUT_START_S * 2.0 ** min(rounds, 8))
        # By lot: a neighbour looks at few a second of one address, and who joins fifty communities at once
        # would ask for what it did not get at the same moments again.
        self._due_at = now + wait_s * (SPREAD_MIN + (1 - SPREAD_MIN) * self._rng.random())
        number = number_for(Way.NAME, self._rng)
        return source, RequestMissing(number, 1, MissingLast(ControlKind.DEFINITION, 1))

    def _make_room(self, source: Address) -> None:
        """Whoever was asked last leaves, of its own host where that is a crowd already."""
        leaving = leaves_for(source, list(reversed(self._peers)))
        if leaving is not None:
            del self._peers[leaving]

    def next_deadline(self) -> float | None:
        return self._due_at
