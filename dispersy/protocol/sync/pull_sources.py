"""Whom a community may pull from: its neighbours' newest summaries, and how long each has to wait."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from operator import itemgetter
from random import Random

from dispersy.constants import (
    ASKED_FIRST_S,
    BACK_OFF_MAX_S,
    BACK_OFF_START_S,
    BEHIND_S,
    FRUITFUL_SHARE,
    HELD_BACK_MAX_S,
    PULL_SOURCE_LIFETIME_S,
    PULL_SOURCES_MAX,
    PULL_SOURCES_PER_HOST_MAX,
    SYMBOL_BURST_MAX,
    TRANSFER_INTERVAL_S,
)
from dispersy.protocol.address import Address
from dispersy.protocol.flow.flow_control import FlowControl
from dispersy.protocol.hosts import host_of
from dispersy.protocol.pruning import is_later
from dispersy.protocol.sync.reputation import Reputations
from dispersy.protocol.wire.summary import Summary

FRUITLESS_MAX = 3
"""Transfers without fruit after which equal conditions are taken to give none again, for BACK_OFF_MAX_S."""


class Source:
    """A neighbour that may be pulled from.

    summary      its newest word
    matched      the last word of it that said the very set that we held then
    not_before   when the next transfer may begin, and everything_at when one may reach back to the beginning
    fruitless    transfers in a row that brought nothing; fruitless_all: those that reached back all the way
    broken       transfers in a row that brought nothing although it said it had more than we
    fruitful     the store took something from a transfer of it, and its word was not broken often since
    held_until   before, it does itself what a transfer from it would do; held_since: when that began
    draws_until  before, it is getting from us what it lacks, by answers to what it asks
    symbols_at   when symbols may be tried again, and undescribed: times in a row that they were no use
    selects      it has answered for certain kinds
    selections_at  when certain kinds may be asked for again: it may not know how to answer that
    silent_at    when a question to it was last left without an answer
    burst_max    datagrams that it is asked for at once, where symbols have told what is missing
    seen         (its summary, ours) when the last fruitless one ended
    behind_since since when its horizon has been said to be earlier than ours; None: it is not
    """

    __slots__ = (
        "began_at",
        "behind_since",
        "broken",
        "burst_max",
        "draws_until",
        "everything_at",
        "flow",
        "fruitful",
        "fruitless",
        "fruitless_all",
        "heard_at",
        "held_since",
        "held_until",
        "matched",
        "not_before",
        "seen",
        "selections_at",
        "selects",
        "silent_at",
        "summary",
        "symbols_at",
        "undescribed",
    )

    def __init__(self, summary: Summary, now: float) -> None:
        self.summary = summary
        self.matched: Summary | None = None
        self.heard_at = now
        self.behind_since: float | None = None
        self.flow = FlowControl()
        self.burst_max = SYMBOL_BURST_MAX
        self.fruitful = self.selects = False
        self.silent_at = self.draws_until = float("-inf")
        self.forgive(now)

    def forgive(self, now: float) -> None:
        """Let the next transfer begin at once, as if none had failed."""
        self.began_at = now - TRANSFER_INTERVAL_S
        self.not_before = self.everything_at = self.symbols_at = self.selections_at = self.held_until = now
        self.held_since = now - 2 * HELD_BACK_MAX_S
        self.fruitless = self.fruitless_all = self.broken = self.undescribed = 0
        self.seen: tuple[Summary, Summary] | None = None

    @property
    def is_silent(self) -> bool:
        """Whether it left a question unanswered and was not heard since: others come first."""
        return self.silent_at >= self.heard_at and self.flow.round_trips.timeouts > 0

    def begins_at(self, ours: Summary) -> float | None:
        """When a transfer from here may begin; None: it has nothing for us as far as we know."""
        if self.summary.same_set(ours):
            self.matched = self.summary
        if self.summary.count == 0 or self.matched is self.summary:
            # What came here since, pushed or announced, is no sign that it has more than we.
            return None
        if self.seen is not None and self.seen[0].same_set(self.summary) and self.seen[1].same_set(ours):
            return self.began_at + BACK_OFF_MAX_S
        begins_at = max(self.not_before, self.held_until, self.began_at + TRANSFER_INTERVAL_S)
        if self.behind_since is not None and is_later(ours.horizon, self.summary.horizon):
            # Most of what it has and we lack left as too old here. It asks us first, and then knows better.
            begins_at = max(begins_at, self.behind_since + BEHIND_S)
        return begins_at

    def bear_fruit(self) -> None:
        """The store has taken something that came from here."""
        self.fruitless = self.fruitless_all = self.broken = 0
        self.fruitful = True

    def bear_none(self, ours: Summary, now: float) -> None:
        """A transfer brought nothing: the next one waits, longer each time."""
        self.fruitless += 1
        if self.summary.count > ours.count:
            self.broken += 1
            self.fruitful = self.fruitful and self.broken < FRUITLESS_MAX
        self.not_before = now + back_off_s(self.fruitless)

    def end_everything(self, now: float, *, fruit: bool) -> None:
        """A transfer has reached back all the way, and the summaries still differ.

        Neighbours that gain from others meanwhile always differ, and going through all that we hold is dear.
        """
        self.fruitless_all = 0 if fruit else self.fruitless_all + 1
        self.everything_at = now + back_off_s(self.fruitless_all)

    def end_symbols(self, now: float, *, useful: bool) -> None:
        """Symbols have told what differs, or not: then they are not tried again soon."""
        self.undescribed = 0 if useful else self.undescribed + 1
        self.symbols_at = now if useful else now + back_off_s(self.undescribed)

    def hold_back(self, now: float) -> None:
        """Leave it to this source to ask first, for a moment."""
        if now >= self.held_since + 2 * HELD_BACK_MAX_S:
            self.held_since = now
        until = min(now + ASKED_FIRST_S, self.held_since + HELD_BACK_MAX_S)
        self.held_until = max(self.held_until, until)

    def end_fruitless(self, ours: Summary, now: float) -> None:
        """Everything was asked for and nothing came; at first that may be a wrong positive."""
        if self.fruitless >= FRUITLESS_MAX:
            self.seen = (self.summary, ours)
        self.bear_none(ours, now)


class PullSources:
    """At most PULL_SOURCES_MAX sources by address, PULL_SOURCES_PER_HOST_MAX of one host.

    Of those that brought nothing the one heard longest ago makes room; those that did stay, for anybody can
    claim to have something.
    """

    def __init__(
        self,
        *,
        towards: Callable[[Address, Summary], Summary] = lambda _source, ours: ours,
        expects: Callable[[], bool] = lambda: False,
    ) -> None:
        """
        towards  our summary as it is compared with that of one of them
        expects  whether that may differ from ours for any of them
        """
        self._towards = towards
        self._expects = expects
        self._sources: dict[Address, Source] = {}
        self._lapses_at = float("-inf")
        # With which summary of ours nobody may be pulled from, and until when (None: for ever): asked far
        # more often than it changes. None: something has changed since.
        self._idle: tuple[Summary, float | None] | None = None
        # In the order in which they fell silent.
        self._silent: dict[Address, None] = {}
        self.reputations = Reputations()

    def __len__(self) -> int:
        return len(self._sources)

    def get(self, address: Address) -> Source | None:
        """The source at this address, for somebody who may change it."""
        self._idle = None
        return self._sources.get(address)

    def _is_idle(self, ours: Summary, now: float) -> bool:
        """Whether it is known without a look that nobody may be pulled from now."""
        if self._idle is None:
            return False
        towards, until = self._idle
        return (until is None or now < until) and towards == ours

    def charge(self, address: Address, size: int, now: float) -> None:
        """So many bytes were sent to pull from there."""
        self._idle = None
        self.reputations.charge(address, size, now)

    def share(self, came: Counter[Address], gain: int, *, pulled: Address) -> None:
        """The store has so many messages more: shared between those who brought any since the last time.

        pulled   whose pull it is, which is judged when it ends
        """
        left, total = gain, came.total()
        for address, count in sorted(came.items(), key=itemgetter(1)):
            # What is over is for whoever brought most, who is last.
            share = left if count == total else gain * count // came.total()
            left, total = left - share, total - count
            self.credit(address, share)
            source = self.get(address)
            if share and source is not None and address != pulled:
                source.bear_fruit()

    def fall_silent(self, address: Address, now: float) -> None:
        """It has left a question unanswered."""
        source = self.get(address)
        if source is not None:
            source.silent_at = now
            self._silent[address] = None

    def drain_silent(self) -> list[Address]:
        """Those that did since this was last asked."""
        if not self._silent:
            return []
        silent, self._silent = list(self._silent), {}
        return silent

    def credit(self, address: Address, count: int) -> None:
        """The store has taken in so many messages while we pulled from there."""
        self._idle = None
        self.reputations.credit(address, count)

    def look_again(self) -> None:
        """What is expected of sources decides, too, and changes without a word to us."""
        self._idle = None

    def hear(
        self, address: Address, summary: Summary, *, ours: Summary, now: float, waits: bool = False
    ) -> None:
        """Take a neighbour's newest word; waits: it is the one that asks first."""
        self._idle = None
        source = self._sources.get(address)
        if source is None:
            if not self._make_room(address):
                return
            source = self._sources[address] = Source(summary, now)
        if waits:
            source.hold_back(now)
        if not is_later(ours.horizon, summary.horizon):
            source.behind_since = None
        elif source.behind_since is None:
            source.behind_since = now
        source.heard_at = now
        grew = not source.summary.same_set(summary) and summary.count > ours.count
        if grew and source.broken < FRUITLESS_MAX:
            # If that is true it need not wait for having had nothing before; but there is a limit to how
            # often a neighbour may say so, and to how often without keeping its word.
            source.not_before = min(source.not_before, max(now, source.began_at + BACK_OFF_START_S))
        source.summary = summary

    def forgive(self, now: float) -> None:
        """All of them: what they brought was lost here."""
        self._idle = None
        for source in self._sources.values():
            source.forgive(now)

    def hold(self, address: Address, until: float) -> None:
        """Let no transfer from there begin before."""
        source = self.get(address)
        if source is not None:
            source.held_until = until

    def draw(self, address: Address, until: float) -> None:
        """It has asked us for what it lacks; this changes nothing of when it is asked itself."""
        source = self._sources.get(address)
        if source is not None:
            source.draws_until = until

    def keep_word(self, addresses: Iterable[Address], now: float) -> None:
        """What these had named has come: they need not wait as if they had had nothing."""
        for address in addresses:
            source = self.get(address)
            if source is not None:
                source.forgive(now)
                source.bear_fruit()

    def remove(self, address: Address) -> None:
        self._idle = None
        self._sources.pop(address, None)

    def choose(self, ours: Summary, now: float, *, last: Address | None, rng: Random) -> Address | None:
        """Whose turn it is now: mostly one of those that brought something lately, by lot.

        What they claim to have decides nothing, for it costs nothing to claim.

        last    who had to make room, and has a turn only if nobody else may
        """
        if self._is_idle(ours, now):
            return None
        moments = self._moments(ours)
        ready = [address for address, begins_at in moments if now >= begins_at]
        if not ready:
            self._idle = ours, min([begins_at for _, begins_at in moments], default=None)
            return None
        ready = [each for each in ready if not self._sources[each].is_silent] or ready
        ready = [each for each in ready if each != last] or ready
        fruitful = [address for address in ready if self._sources[address].fruitful]
        if fruitful and rng.random() < FRUITFUL_SHARE:
            ready = fruitful
        return rng.choice(ready)

    def ready(self, ours: Summary, now: float) -> list[Address]:
        """Who may be pulled from now, and has not fallen silent."""
        moments = self._moments(ours)
        return [address for address, at in moments if now >= at and not self._sources[address].is_silent]

    def begin_at(self, ours: Summary) -> float | None:
        """When the next transfer may begin, from whomever."""
        if self._idle is not None and self._idle[0] == ours:
            return self._idle[1]
        return min([begins_at for _, begins_at in self._moments(ours)], default=None)

    def _moments(self, ours: Summary) -> list[tuple[Address, float]]:
        """When a transfer may begin from each that may have something for us."""
        moments = []
        expects = self._expects()
        for address, source in self._sources.items():
            if source.matched is source.summary and not expects:
                # Nearly all of them, and this is asked after every commit: see Source.begins_at().
                continue
            towards = self._towards(address, ours)
            begins_at = source.begins_at(towards)
            if towards is not ours:
                # Equal only with what is on its way, which may not come.
                source.matched = None
            if begins_at is not None:
                moments.append((address, max(begins_at, self.reputations.begins_at(address))))
        return moments

    def expire(self, now: float) -> None:
        if now < self._lapses_at:
            return
        lapsed = [
            address
            for address, source in self._sources.items()
            if now >= source.heard_at + PULL_SOURCE_LIFETIME_S
        ]
        for address in lapsed:
            self.remove(address)
        heard_at = min((source.heard_at for source in self._sources.values()), default=now)
        self._lapses_at = heard_at + PULL_SOURCE_LIFETIME_S

    def _make_room(self, address: Address) -> bool:
        """For a new one; False: there is none."""
        host = host_of(address)
        rivals = [known for known in self._sources if host is not None and host_of(known) == host]
        if len(rivals) < PULL_SOURCES_PER_HOST_MAX:
            if len(self._sources) < PULL_SOURCES_MAX:
                return True
            rivals = list(self._sources)
        rivals = [known for known in rivals if not self._sources[known].fruitful]
        if not rivals:
            return False
        del self._sources[min(rivals, key=lambda known: self._sources[known].heard_at)]
        return True


def back_off_s(times: int) -> float:
    """How long to wait after so many failures in a row; doubles with each."""
    return float(min(BACK_OFF_MAX_S, BACK_OFF_START_S * 2.0 ** min(times, 16)))
