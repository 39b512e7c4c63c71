"""The original's own way to synchronise, as a baseline: one filter, one neighbour, every five seconds.

Modelled from what its program says of itself: a filter of 1,270 bytes at 1 % error travels in every
introduction-request; it describes a range that is chosen by "largest" (the wider of two runs of messages
beside a random pivot, newer ones likelier) or by "modulo" (every n-th global time); the answer is at most
5 KiB of messages, one a packet, by rising global time. A filter that brought something is used again, up to a
hundred times, with what came added to it; after answers without messages, steps leave it out ever more often.
Nothing else is modelled: no signatures, and a neighbour at every step (original_walk.py has the walk). So it
costs the original less than in truth.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Iterable
from enum import Enum
from math import ceil, log
from random import Random

from dispersy.ext.bloom import BloomFilter
from dispersy.testing.links import Link
from simulation.links import Path, path_of
from simulation.pairs import corpus_of
from simulation.scenario import Curve, Outcome
from simulation.shared import Corpus

STEP_S = 5.0
FILTER_SIZE = 1_270
ERROR_RATE = 0.01
ANSWER_MAX = 5 * 1_024
REUSED_MAX = 100
SKIP_CURVE = (0.0, 0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)
"""Chance to leave the filter out after so many in a row that brought nothing."""
CAPACITY = int(FILTER_SIZE * 8 * log(2) ** 2 / -log(ERROR_RATE))
AHEAD_MAX = 10_000
"""A filter that reaches the newest message reaches so far beyond it."""
CHUNK = 2_048
STEPS_MAX = 200_000


class Strategy(Enum):
    """How the range that a filter describes is chosen."""

    LARGEST = "largest"
    MODULO = "modulo"


class _Claim:
    """A filter with its range of global times, or its share of them."""

    def __init__(self, low: int, high: int, modulo: int, offset: int, salt: int) -> None:
        self.low, self.high, self.modulo, self.offset = low, high, modulo, offset
        self.bloom = BloomFilter.from_size(size_bits=FILTER_SIZE * 8, error_rate=ERROR_RATE, salt=salt)
        self.times_used = 0
        self.received = 0


class Peer:
    """One node of the original's; messages are numbers of a corpus, whose global time is number + 1."""

    def __init__(self, corpus: Corpus, held: Iterable[int], strategy: Strategy, rng: Random) -> None:
        self.held = sorted(held)
        self._has = set(self.held)
        self._corpus = corpus
        self._strategy = strategy
        self._rng = rng
        self._cache: _Claim | None = None
        self._fruitless = 0

    def claim(self) -> _Claim | None:
        """What goes into this step's introduction-request."""
        cache = self._cache
        if cache is not None and cache.received > 0:
            self._fruitless = 0
            if cache.times_used < REUSED_MAX:
                cache.times_used += 1
                cache.received = 0
                return cache
        elif cache is not None and cache.times_used == 0:
            self._fruitless = min(self._fruitless + 1, len(SKIP_CURVE))
        if self._fruitless and self._rng.random() < SKIP_CURVE[self._fruitless - 1]:
            self._cache = None
            return None
        self._cache = self._by_modulo() if self._strategy is Strategy.MODULO else self._largest()
        return self._cache

    def answer(self, claim: _Claim) -> list[int]:
        """At most 5 KiB of what a claim's range has here and its filter lacks."""
        if claim.modulo > 1:
            inside = self._share(claim.modulo, claim.offset)
        else:
            inside = self.held[bisect_left(self.held, claim.low - 1) : bisect_left(self.held, claim.high)]
        found: list[int] = []
        left = ANSWER_MAX
        for start in range(0, len(inside), CHUNK):
            chunk = inside[start : start + CHUNK]
            ids = b"".join([self._corpus.keys[number][8:] for number in chunk])
            for number, lacks in zip(chunk, claim.bloom.missing_many(ids, 32), strict=True):
                size = len(self._corpus.messages[number])
                if lacks and size <= left:
                    left -= size
                    found.append(number)
                elif lacks:
                    return found
        return found

    def receive(self, claim: _Claim, number: int) -> None:
        """One message of an answer."""
        claim.received += 1
        claim.bloom.add_many(self._corpus.keys[number][8:], 32)
        if number not in self._has:
            self._has.add(number)
            insort(self.held, number)

    def _make(self, low: int, high: int, numbers: list[int], modulo: int = 1, offset: int = 0) -> _Claim:
        claim = _Claim(low, high, modulo, offset, self._rng.randrange(256))
        if numbers:
            claim.bloom.add_many(b"".join([self._corpus.keys[number][8:] for number in numbers]), 32)
        return claim

    @property
    def _newest(self) -> int:
        return max(1, self.held[-1] + 1 if self.held else 1)

    def _by_modulo(self) -> _Claim:
        high = self._newest + AHEAD_MAX
        modulo = ceil(len(self.held) / CAPACITY)
        if modulo <= 1:
            return self._make(1, high, self.held)
        offset = self._rng.randrange(modulo)
        return self._make(1, high, self._share(modulo, offset), modulo, offset)

    def _share(self, modulo: int, offset: int) -> list[int]:
        """Of what is held, those whose global time and offset are together a multiple of the modulo."""
        end = self.held[-1] + 1 if self.held else 0
        return [number for number in range(-(offset + 1) % modulo, end, modulo) if number in self._has]

    def _largest(self) -> _Claim:
        newest = self._newest
        pivot = newest - int(self._rng.expovariate(2.0 / newest))
        if pivot < 1:
            pivot = int(self._rng.random() * newest)
        if pivot <= 1 or len(self.held) < CAPACITY:
            return self._run(0, newest)
        at = bisect_left(self.held, pivot - 1)
        if at + CAPACITY >= len(self.held):
            return self._run(max(0, len(self.held) - CAPACITY), newest)
        right, left = self._run(at, newest), self._run(max(0, at - CAPACITY), newest)
        return left if left.high - left.low > right.high - right.low else right

    def _run(self, start: int, newest: int) -> _Claim:
        """A claim of CAPACITY messages from a place in the order on, open where there are no more."""
        numbers = self.held[start : start + CAPACITY]
        low = 1 if start == 0 else self.held[start - 1] + 2
        is_last = start + CAPACITY >= len(self.held)
        return self._make(low, newest + AHEAD_MAX if is_last else numbers[-1] + 1, numbers)


def play_original(
    count: int,
    *,
    one: Iterable[int],
    other: Iterable[int],
    seed: int,
    strategy: Strategy,
    link: Link | None = None,
    limit_s: float = STEP_S * STEPS_MAX,
    ends_equal: bool = True,
) -> Outcome:
    """Two of its nodes that know each other, until they hold the same (ends_equal) or the time is over."""
    corpus, _ = corpus_of(count)
    rng = Random(f"original {seed}")
    path = path_of(link or Link())
    peers = [Peer(corpus, held, strategy, Random(rng.random())) for held in (one, other)]
    union = len(set(peers[0].held) | set(peers[1].held))
    answer_max = min(ANSWER_MAX, path.rate * STEP_S or ANSWER_MAX)
    described = carried = steps = 0
    now = 0.0
    growth: Curve = []
    while now < limit_s and not (ends_equal and all(len(peer.held) == union for peer in peers)):
        asker, answerer = peers[1 - steps % 2], peers[steps % 2]
        steps += 1
        now = steps * STEP_S / 2
        claim = asker.claim()
        if claim is None:
            continue
        described += FILTER_SIZE
        if _is_lost(now, path, rng):
            continue
        left = answer_max
        for number in answerer.answer(claim):
            left -= len(corpus.messages[number])
            carried += len(corpus.messages[number])
            if left >= 0 and not _is_lost(now, path, rng):
                asker.receive(claim, number)
        growth.append((now, float(min(len(peer.held) for peer in peers))))
    measures = {
        "equal": float(all(len(peer.held) == union for peer in peers)),
        "virtual time": now,
        "description": float(described),
        "messages, own bytes": float(carried),
    }
    return Outcome(measures, {"messages held": growth[:: max(1, len(growth) // 2_000)]})


def _is_lost(now: float, link: Path, rng: Random) -> bool:
    if link.pause_s and (now - link.pause_at_s) % link.pause_every_s < link.pause_s:
        return True
    return rng.random() < link.loss + link.burst_loss
