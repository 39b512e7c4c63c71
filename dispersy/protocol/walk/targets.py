"""Whom a walk goes to: with each step, and again in between where few are known."""

from __future__ import annotations

from random import Random

from dispersy.constants import SETTLED_NEIGHBOURS, STEP_INTERVAL_S, WALK_REQUESTS_MAX
from dispersy.protocol.address import Address
from dispersy.protocol.walk.bootstrap import Bootstrap
from dispersy.protocol.walk.candidate import NEVER, Candidate, Candidates
from dispersy.protocol.walk.hunger import HUNGRY_REVISIT_S
from dispersy.protocol.walk.seeking import SEEKING_INTERVAL_S, Seeking
from dispersy.protocol.walk.shared_pace import SharedPace
from dispersy.protocol.walk.turnover import (
    HEARD_ENOUGH,
    HEARD_WITHIN_S,
    HURRIED_REVISIT_S,
)
from dispersy.protocol.walk.walk_requests import WalkRequests

DISCOVERED_AT_ONCE_MAX = 8
"""Walks under way up to which whoever is found in our own network is walked to at once."""


class Targets:
    """Of one community."""

    def __init__(
        self,
        candidates: Candidates,
        bootstrap: Bootstrap,
        requests: WalkRequests,
        pace: SharedPace,
        rng: Random,
    ) -> None:
        self._candidates = candidates
        self._bootstrap = bootstrap
        self._requests = requests
        self._turnover = requests.turnover
        self._hunger = self._turnover.hunger
        self._pace = pace
        self._rng = rng
        self._seeking = Seeking()

    def for_step(self, now: float, *, lonely: int | None) -> Address | None:
        """Whom a step goes to; None: nobody.

        lonely   how many steps there were in a row with nobody known; None: somebody is
        """
        if len(self._requests) >= WALK_REQUESTS_MAX:
            return None
        if lonely is not None:
            return self._choose_lonely(now, lonely)
        target = self._choose(now)
        if target is None and self.is_hurried(now):
            speaking = self._candidates.speaking(now)
            target = self._asked_longest_ago(speaking, before=now - HURRIED_REVISIT_S, bootstrap=True)
        return target

    def take_again(self, now: float) -> list[Address]:
        """Who is asked now beside steps, though that was done lately."""
        first = self._bootstrap.take_again(now)
        found = [first if self._is_new(now) else None]
        if self._turnover.isolation.take() and not self._pace.is_metered:
            found.append(self._left(now))
            if self._turnover.isolation.is_news:
                self._hunger.lose(now)
        heard = self._heard(now) if self._hunger.is_due(now) else []
        if self._hunger.take(now, neighbours=len(heard)) and not self._pace.is_metered:
            before = now - HUNGRY_REVISIT_S
            unheard = [each for each in self._candidates.speaking(now) if each not in heard]
            found.append(self._asked_longest_ago(heard, before=before, bootstrap=True))
            # Where our own line was down they are still there.
            found.append(self._asked_longest_ago(unheard, before=before, bootstrap=False))
        if self._seeking.is_due(now):
            found.append(self._sought(now))
        room = WALK_REQUESTS_MAX - len(self._requests)
        fresh = [each for each in dict.fromkeys(found) if each is not None and each not in self._requests]
        return fresh[: max(0, room)]

    def name(self, now: float) -> bool:
        """Somebody has been named; whether to walk there at once, for nobody is met."""
        if not self._seeks(now):
            return False
        self._seeking.name(now)
        return len(self._requests) < WALK_REQUESTS_MAX

    def is_isolated(self, now: float) -> bool:
        """Whether no member has been heard since all fell silent, so that whoever is named is walked to."""
        if self._turnover.isolation.heard_since == NEVER or len(self._requests) >= WALK_REQUESTS_MAX:
            return False
        return not self._pace.is_metered and all(each.summary is None for each in self._heard(now))

    def may_be(self, address: Address, now: float) -> bool:
        """Whether somebody who is on the way to us is asked by us, too: where few are known already."""
        if self._pace.is_metered or address in self._requests or len(self._requests) >= WALK_REQUESTS_MAX:
            return False
        known = self._candidates.verified(now)
        return len(known) < SETTLED_NEIGHBOURS and all(each.address != address for each in known)

    def may_be_gone(self, address: Address, now: float) -> bool:
        """Whether a neighbour that does not answer other questions is asked now: if it is gone that is soon
        known, and not only when a step comes by, which may be half a minute later."""
        candidate = self._candidates.get(address)
        if candidate is None or not candidate.is_verified(now) or candidate.is_silent:
            return False
        if candidate.is_metered or self._pace.is_metered or address in self._requests:
            return False
        return now >= candidate.asked_at + STEP_INTERVAL_S and len(self._requests) < WALK_REQUESTS_MAX

    def next_deadline(self) -> float | None:
        """When take_again() may name somebody."""
        moments = (
            self._bootstrap.next_deadline(),
            self._hunger.next_deadline(),
            self._seeking.next_deadline(),
        )
        return min((moment for moment in moments if moment is not None), default=None)

    def is_hurried(self, now: float) -> bool:
        """Whether neighbours go so fast, and so few are left, that others are looked for soon."""
        if self._pace.is_metered or not self._turnover.is_high(now):
            return False
        heard = sum(now < each.proven_at + HEARD_WITHIN_S for each in self._candidates)
        return heard < HEARD_ENOUGH

    def _heard(self, now: float) -> list[Candidate]:
        """The neighbours that speak, less those not heard since all fell silent, if they ever did."""
        since = self._turnover.isolation.heard_since
        return [each for each in self._candidates.speaking(now) if each.proven_at >= since]

    def _left(self, now: float) -> Address | None:
        """Who may be there yet where perhaps nobody is: the bootstrap, or else the neighbour heard last."""
        verified = [each.address for each in self._candidates.verified(now) if not each.is_metered]
        # Where none is left steps ask the bootstrap in any case.
        left = [self._bootstrap.first(), *verified] if verified else []
        return next((each for each in left if each is not None and each not in self._requests), None)

    def _is_new(self, now: float) -> bool:
        """Whether so few are known that the bootstrap may know others; where it is alone it does not."""
        return 1 < len(self._candidates.verified(now)) < SETTLED_NEIGHBOURS and not self._pace.is_metered

    def _seeks(self, now: float) -> bool:
        """Whether no neighbour says what it holds: so it is where the bootstrap alone answers, a tracker."""
        if not self._bootstrap or self._pace.is_metered:
            return False
        return all(each.summary is None or not each.is_verified(now) for each in self._candidates)

    def _sought(self, now: float) -> Address | None:
        """Who is asked for another one."""
        if self._seeking.is_in_vain(now) or not self._seeks(now):
            self._seeking.end()
            return None
        self._seeking.ask(now)
        is_full = len(self._requests) >= WALK_REQUESTS_MAX
        speaking = self._candidates.speaking(now)
        before = now - SEEKING_INTERVAL_S
        return None if is_full else self._asked_longest_ago(speaking, before=before, bootstrap=True)

    def _choose(self, now: float) -> Address | None:
        bootstrap = self._bootstrap.next(self._candidates, now)
        candidate = self._candidates.choose(
            rng=self._rng,
            now=now,
            bootstrap=bootstrap is not None,
            freshest=self._turnover.is_high(now),
        )
        return bootstrap if candidate is None else candidate.address

    def _choose_lonely(self, now: float, lonely: int) -> Address | None:
        """Nobody answers: those we heard of and the bootstrap in turn, however lately it was asked."""
        candidate = self._candidates.choose(rng=self._rng, now=now, bootstrap=False)
        if candidate is not None and (not self._bootstrap or lonely % 2):
            return candidate.address
        return self._bootstrap.first()

    def _asked_longest_ago(
        self, neighbours: list[Candidate], *, before: float, bootstrap: bool
    ) -> Address | None:
        """Of these neighbours, and the bootstrap, unless it was asked since then.

        Who did not answer the last time is left to steps: asked so often it would soon be given up.
        """
        known = {
            each.address: each.asked_at
            for each in neighbours
            if not each.is_metered and not each.failures and each.address not in self._requests
        }
        first = self._bootstrap.first() if bootstrap else None
        if first is not None and first not in self._requests:
            known[first] = self._bootstrap.asked_at(first)
        address = min(known, key=known.__getitem__, default=None)
        return address if address is not None and known[address] <= before else None
