"""The original's walk, as far as it decides whom a filter goes to: in how many steps a message is everywhere.

Each peer takes a step every five seconds, at its own moment of them: half go to who answered before, a
quarter to who asked, a quarter to who was introduced, the one heard longest ago first and nobody twice in
27.5 s. Whoever is asked answers with what the asker lacks (one message here), and introduces somebody whom it
has heard itself. A tracker that holds nothing is asked while nobody else is known. Loss, NATs and signatures
are left out.
"""

from __future__ import annotations

from random import Random

from simulation.scenario import Curve

STEP_S = 5.0
REVISIT_S = 27.5
LIFETIMES_S = {"walked": 57.5, "stumbled": 57.5, "introduced": 27.5}
WALKED_SHARE, STUMBLED_SHARE = 0.4975, 0.24825
PUBLISHED_STEPS = 19
"""For one message to reach 1,000 peers: Zeilemaker et al., SAC 2014."""
PUSHED_TO = 10
"""Peers that the author's program sends a new message to at once."""


class Peer:
    """Whom one peer knows, how and since when, and whether it has the message."""

    __slots__ = ("asked_at", "has", "heard", "turn")

    def __init__(self) -> None:
        self.heard: dict[str, dict[int, float]] = {name: {} for name in LIFETIMES_S}
        self.asked_at: dict[int, float] = {}
        self.has = False
        self.turn = 0

    def choose(self, now: float, rng: Random) -> int | None:
        """Whom to walk to; None: the tracker."""
        drawn = rng.random()
        first = "walked" if drawn < WALKED_SHARE else "stumbled"
        first = first if drawn < WALKED_SHARE + STUMBLED_SHARE else "introduced"
        for name in (first, *(other for other in LIFETIMES_S if other != first)):
            known = self.heard[name]
            fresh = [each for each, at in known.items() if now < at + LIFETIMES_S[name]]
            ready = [each for each in fresh if now >= self.asked_at.get(each, -REVISIT_S) + REVISIT_S]
            if ready:
                return min(ready, key=known.__getitem__)
        return None

    def introduce(self, asker: int, now: float) -> int | None:
        """Those that it has heard itself, in turn."""
        known = [
            each
            for name in ("walked", "stumbled")
            for each, at in self.heard[name].items()
            if each != asker and now < at + LIFETIMES_S[name]
        ]
        if not known:
            return None
        self.turn += 1
        return known[self.turn % len(known)]


def walk_until_everybody(
    nodes: int, *, seed: int, met_s: float = 60.0, pushes: bool = False, limit_s: float = 600.0
) -> Curve:
    """(seconds, peers that have it) of one message, by one of them.

    met_s   how long they have walked before it is made; 0: all begin when it is made
    pushes  its author sends it to PUSHED_TO whom it knows
    """
    rng = Random(f"original walk {seed}")
    peers = [Peer() for _ in range(nodes)]
    moments = sorted((rng.random() * STEP_S, number) for number in range(nodes))
    visitors: list[int] = []
    curve: Curve = []
    step = 0
    while not curve or (curve[-1][1] < nodes and curve[-1][0] < limit_s):
        if step * STEP_S >= met_s and not curve:
            author = rng.randrange(nodes)
            peers[author].has = True
            known = sorted({each for by in peers[author].heard.values() for each in by})
            for number in rng.sample(known, min(PUSHED_TO, len(known))) if pushes else ():
                peers[number].has = True
            curve.append((0.0, float(sum(peer.has for peer in peers))))
        for moment, number in moments:
            _step(peers, number, step * STEP_S + moment, rng, visitors)
        step += 1
        if curve:
            curve.append((step * STEP_S - met_s, float(sum(peer.has for peer in peers))))
    return curve


def _step(peers: list[Peer], number: int, now: float, rng: Random, visitors: list[int]) -> None:
    peer = peers[number]
    asked = peer.choose(now, rng)
    if asked is None:
        introduced = rng.choice(visitors[-30:]) if visitors else None
        visitors.append(number)
    else:
        other = peers[asked]
        peer.asked_at[asked] = now
        peer.heard["walked"][asked] = now
        introduced = other.introduce(number, now)
        other.heard["stumbled"][number] = now
        peer.has = peer.has or other.has
    if introduced is not None and introduced != number:
        peer.heard["introduced"][introduced] = now
