"""Whom a community may pull from: its neighbours' newest summaries, and how long each has to wait."""

from __future__ import annotations

from dispersy.constants import (
    BACK_OFF_MAX_S,
    BACK_OFF_START_S,
    PULL_SOURCE_LIFETIME_S,
    PULL_SOURCES_MAX,
    TRANSFER_INTERVAL_S,
)
from dispersy.protocol.address import Address
from dispersy.protocol.flow import Pace
from dispersy.protocol.summary import Summary

FRUITLESS_MAX = 3
"""Transfers without fruit after which equal conditions are taken to give none again, for BACK_OFF_MAX_S."""


class Source:
    """A neighbour that may be pulled from.

    summary      its newest word
    not_before   when the next transfer may begin, and everything_at when one may reach back to the beginning
    fruitless    transfers in a row that brought nothing; fruitless_all: those that reached back all the way
    seen         (its summary, ours) when the last fruitless one ended
    """

    __slots__ = (
        "began_at",
        "everything_at",
        "fruitless",
        "fruitless_all",
        "heard_at",
        "not_before",
        "pace",
        "seen",
        "summary",
    )

    def __init__(self, summary: Summary, now: float) -> None:
        self.summary = summary
        self.heard_at = now
        self.pace = Pace()
        self.began_at = now - TRANSFER_INTERVAL_S
        self.not_before = now
        self.everything_at = now
        self.fruitless = 0
        self.fruitless_all = 0
        self.seen: tuple[Summary, Summary] | None = None

    def begins_at(self, ours: Summary) -> float | None:
        """When a transfer from here may begin; None: it has nothing for us as far as we know."""
        if self.summary.count == 0 or self.summary.same_set(ours):
            return None
        if self.seen is not None and self.seen[0].same_set(self.summary) and self.seen[1].same_set(ours):
            return self.began_at + BACK_OFF_MAX_S
        return max(self.not_before, self.began_at + TRANSFER_INTERVAL_S)

    def bear_fruit(self) -> None:
        self.fruitless = self.fruitless_all = 0

    def bear_none(self, now: float) -> None:
        """A transfer brought nothing: the next one waits, longer each time."""
        self.fruitless += 1
        self.not_before = now + back_off_s(self.fruitless)

    def end_everything(self, now: float, *, fruit: bool) -> None:
        """A transfer has reached back all the way, and the summaries still differ.

        Neighbours that gain from others meanwhile always differ, and going through all that we hold is dear.
        """
        self.fruitless_all = 0 if fruit else self.fruitless_all + 1
        self.everything_at = now + back_off_s(self.fruitless_all)

    def end_fruitless(self, ours: Summary, now: float) -> None:
        """Everything was asked for and nothing came; at first that may be a wrong positive."""
        if self.fruitless >= FRUITLESS_MAX:
            self.seen = (self.summary, ours)
        self.bear_none(now)


class PullSources:
    """At most PULL_SOURCES_MAX sources by address; the one heard longest ago leaves first."""

    def __init__(self) -> None:
        self._sources: dict[Address, Source] = {}

    def get(self, address: Address) -> Source | None:
        return self._sources.get(address)

    def hear(self, address: Address, summary: Summary, *, ours: Summary, now: float) -> None:
        """Take a neighbour's newest word."""
        source = self._sources.get(address)
        if source is None:
            if len(self._sources) >= PULL_SOURCES_MAX:
                del self._sources[min(self._sources, key=lambda known: self._sources[known].heard_at)]
            self._sources[address] = Source(summary, now)
            return
        source.heard_at = now
        if not source.summary.same_set(summary) and summary.count > ours.count:
            # It surely has something for us, so it need not wait for having had nothing before; but there is
            # a limit to how often a neighbour may say so.
            source.not_before = min(source.not_before, max(now, source.began_at + BACK_OFF_START_S))
        source.summary = summary

    def remove(self, address: Address) -> None:
        self._sources.pop(address, None)

    def ready(self, ours: Summary, now: float) -> list[tuple[int, float, Address, Source]]:
        """Who may be pulled from now: (messages it has, when it was heard, address, source)."""
        return [
            (source.summary.count, source.heard_at, address, source)
            for address, source in self._sources.items()
            if (begins_at := source.begins_at(ours)) is not None and now >= begins_at
        ]

    def begin_at(self, ours: Summary) -> float | None:
        """When the next transfer may begin, from whomever."""
        moments = (source.begins_at(ours) for source in self._sources.values())
        return min((moment for moment in moments if moment is not None), default=None)

    def expire(self, now: float) -> None:
        lapsed = [
            address
            for address, source in self._sources.items()
            if now >= source.heard_at + PULL_SOURCE_LIFETIME_S
        ]
        for address in lapsed:
            del self._sources[address]


def back_off_s(times: int) -> float:
    """How long to wait after so many failures in a row; doubles with each."""
    return float(min(BACK_OFF_MAX_S, BACK_OFF_START_S * 2.0 ** min(times, 16)))
