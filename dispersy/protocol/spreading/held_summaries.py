"""Summaries of neighbours, kept back while new messages spread: most of what differs is on its way.

Where messages are new all the time, two nodes never hold the same, and each pull would bring what comes by
itself a moment later. So synchronisation hears of a small difference when it is quiet again, or now and then.
"""

from __future__ import annotations

from typing import NamedTuple

from dispersy.protocol.address import Address
from dispersy.protocol.wire.summary import Summary

HELD_MAX_S = 1.0
LOADED_HELD_MAX_S = 5.0
"""What spreading has missed is looked for so often in any case; under load one neighbour is asked for it."""
LOADED_RATE_MIN = 20.0
IN_FLIGHT_MIN = 4
IN_FLIGHT_S = 2.0
"""How many messages two sets may differ by and be held to be the same soon: those of so many seconds."""
HELD_SOURCES_MAX = 64
NEWS_S = 0.5
"""For so long what a neighbour has and is newer than all here is thought to be on its way: a pull would bring
it twice."""


class _Held(NamedTuple):
    """A neighbour's word: the newest, and until when what is news in it has time to come by itself."""

    theirs: Summary
    news_until: float


class HeldSummaries:
    """Of one community's neighbours, the last of each."""

    def __init__(self) -> None:
        self._held: dict[Address, _Held] = {}
        self._since = 0.0
        self._quiet_at = 0.0
        self._is_loaded = False

    def hold(
        self,
        source: Address,
        theirs: Summary,
        ours: Summary,
        now: float,
        *,
        quiet_at: float,
        rate: float,
    ) -> bool:
        """Keep this one back; False: synchronisation shall hear it now.

        quiet_at  until when new messages are spreading
        rate      how many a second
        """
        in_flight = IN_FLIGHT_MIN + IN_FLIGHT_S * rate
        # Nothing of it has come yet, but what is new there most likely spreads.
        is_news = ours.count > 0 and theirs.highest > ours.highest
        news_until = now + NEWS_S if is_news else 0.0
        is_quiet = now >= max(quiet_at, news_until)
        if is_quiet or theirs.same_set(ours) or abs(theirs.count - ours.count) > in_flight:
            self._held.pop(source, None)
            return False
        if not self._held:
            self._since = now
        elif source not in self._held and len(self._held) >= HELD_SOURCES_MAX:
            del self._held[next(iter(self._held))]
        self._held.pop(source, None)
        self._held[source] = _Held(theirs, news_until)
        self._quiet_at = quiet_at
        self._is_loaded = rate > LOADED_RATE_MIN
        return True

    def spread(self, quiet_at: float) -> None:
        """More new messages have come."""
        self._quiet_at = quiet_at

    def next_deadline(self) -> float | None:
        if not self._held:
            return None
        news_until = min(each.news_until for each in self._held.values())
        return min(max(self._quiet_at, news_until), self._ends_at())

    def due(self, now: float) -> list[tuple[Address, Summary]]:
        """(neighbour, summary) of those that are heard now: who has waited when it is quiet, all after a
        while, or under load the last one."""
        deadline = self.next_deadline()
        if deadline is None or now < deadline:
            return []
        is_over = now >= self._ends_at()
        held = [(source, each) for source, each in self._held.items() if is_over or now >= each.news_until]
        for source, _ in held:
            del self._held[source]
        heard = [(source, each.theirs) for source, each in held]
        return heard[-1:] if self._is_loaded and now < self._quiet_at else heard

    def _ends_at(self) -> float:
        return self._since + (LOADED_HELD_MAX_S if self._is_loaded else HELD_MAX_S)
