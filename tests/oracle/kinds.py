"""The kinds that the community of a history has, and what newer definitions make of them."""

from __future__ import annotations

import random
from dataclasses import replace

from tests.oracle.state import KindRules

PASSING_SHARE = 0.35
"""Of histories that have a kind whose messages nobody keeps."""
RANKED_SHARE = 0.4
"""Of histories whose kinds have priorities and orders, or are delivered in sequence."""
ON_REQUEST_SHARE = 0.25
"""Of histories that have kinds whose messages are offered to nobody."""


class KindMaking:
    """One a history.

    rng    for what all histories have; ages for pruning; ranks, requests, sizes for what came later still
    """

    def __init__(
        self,
        rng: random.Random,
        ages: random.Random,
        ranks: random.Random,
        requests: random.Random,
        sizes: random.Random,
        *,
        is_crowded: bool,
        has_pruning: bool,
        has_long: bool,
    ) -> None:
        self._rng = rng
        self._ages = ages
        self._ranks = ranks
        self._requests = requests
        self._sizes = sizes
        self._has_on_request = requests.random() < ON_REQUEST_SHARE
        self._is_crowded = is_crowded
        self._has_pruning = has_pruning
        self._has_long = has_long
        self._is_ranked = ranks.random() < RANKED_SHARE

    def kinds(self) -> dict[int, KindRules]:
        kinds = {64 + index: self._some() for index in range(self._rng.choice((1, 1, 2)))}
        if self._ranks.random() < PASSING_SHARE:
            kinds[64 + len(kinds)] = self._passing()
        return kinds

    def changed(self, before: KindRules) -> KindRules:
        """Other limits, and what is frozen; the resolution that it states changes nothing. Who signs it and
        whether it is kept stay: whoever publishes a definition is held to that."""
        fresh = self._some()
        is_frozen = self._rng.random() < 0.3
        if before.spread != "kept":
            return replace(before, is_frozen=is_frozen, hops=before.hops and self._ranks.randint(1, 3))
        # The first definition admits none that are long.
        admits_long = self._has_long and self._sizes.random() < 0.7
        return replace(fresh, is_frozen=is_frozen, author_count=before.author_count, admits_long=admits_long)

    def _some(self) -> KindRules:
        rules = self._some_limits()
        if self._has_pruning and self._ages.random() >= 0.2:
            inactive = self._ages.choice((4, 8, 20, 40))
            rules = replace(rules, inactive=inactive, prune=inactive + self._ages.choice((1, 8, 40)))
        rules = self._ranked(rules) if self._is_ranked else rules
        # A newer definition may say otherwise of a kind: the oldest decides.
        if self._has_on_request and not rules.in_sequence and self._requests.random() < 0.6:
            return replace(rules, priority=self._requests.choice((0, 31)), order="ascending")
        return rules

    def _some_limits(self) -> KindRules:
        rng = self._rng
        if self._is_crowded:
            newest, rate = rng.choice((0, 1, 2)), rng.choice((0, 1, 2, 3))
            return KindRules(rng.choice(("public", "linear")), newest=newest, rate=rate)
        return KindRules(
            resolution=rng.choice(("public", "linear", "linear", "dynamic", "dynamic")),
            initial=rng.choice(("public", "linear")),
            newest=rng.choice((0, 0, 0, 1, 2)),
            rate=rng.choice((0, 0, 0, 0, 1, 3)),
            author_count=rng.choice((1, 1, 1, 2)),
        )

    def _ranked(self, rules: KindRules) -> KindRules:
        may_wait = not (rules.newest or rules.rate or rules.inactive)
        if may_wait and self._ranks.random() < 0.5:
            return replace(rules, in_sequence=True, priority=self._ranks.choice((32, 128, 255)))
        order = self._ranks.choice(("ascending", "descending", "random"))
        return replace(rules, order=order, priority=self._ranks.choice((32, 128, 255)))

    def _passing(self) -> KindRules:
        ranks = self._ranks
        spread = ranks.choice(("direct", "relay"))
        author_count = ranks.choice((0, 1, 1, 1))
        return KindRules(
            resolution=ranks.choice(("public", "linear", "linear", "dynamic")) if author_count else "public",
            initial=ranks.choice(("public", "linear")),
            author_count=author_count,
            spread=spread,
            hops=ranks.randint(1, 3) if spread == "relay" else 0,
        )
