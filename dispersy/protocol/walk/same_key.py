"""Two nodes with one member key: how they are brought together, and how a node knows itself again.

Such nodes publish as one member, and so prove each other's misbehaviour; their owners must hear of it. Each
sees that an introduction-request is signed with its own key. It must not take itself for another node,
though: what it sent to an address of its own, or what somebody sends back to it, is signed with its key, too.
So the number of a request tells its sender, and nobody else, who made it.
"""

from __future__ import annotations

from collections import OrderedDict
from hashlib import blake2b
from random import Random

from dispersy.constants import TWIN_TOLD_S, TWINS_MAX
from dispersy.protocol.address import Address
from dispersy.protocol.identifiers import MemberId
from dispersy.protocol.walk.candidate import Candidate, Candidates

_HALF_SIZE = 2


class OwnNumbers:
    """Numbers of requests: 16 random bits and 16 that follow from them under a key of this walker.

    Another node's number looks like ours once in 65,536 requests; ours always do, however late they return.
    """

    def __init__(self, rng: Random) -> None:
        self._rng = rng
        self._key = rng.randbytes(16)

    def new(self) -> int:
        """A number that is not 0, which means unasked."""
        half = self._rng.randrange(1, 1 << 16).to_bytes(_HALF_SIZE, "big")
        return int.from_bytes(half + self._check(half), "big")

    def __contains__(self, number: int) -> bool:
        data = number.to_bytes(2 * _HALF_SIZE, "big")
        return data[_HALF_SIZE:] == self._check(data[:_HALF_SIZE])

    def _check(self, half: bytes) -> bytes:
        return blake2b(half, key=self._key, digest_size=_HALF_SIZE).digest()


class Twins:
    """Members that proved themselves here and at another address: when each was last told of the other."""

    def __init__(self, candidates: Candidates) -> None:
        self._candidates = candidates
        self._told: OrderedDict[MemberId, float] = OrderedDict()

    def twin_of(self, member: MemberId, source: Address, now: float) -> Candidate | None:
        """Where else this member was lately, when it is time to tell it; one that only moved is told once."""
        while self._told and now >= next(iter(self._told.values())) + TWIN_TOLD_S:
            self._told.popitem(last=False)
        twin = self._candidates.verified_elsewhere(member, source, now)
        if twin is not None and twin.other_family == source:
            return None  # It has both IPv4 and IPv6, and was told.
        if twin is None or member in self._told or len(self._told) >= TWINS_MAX:
            return None
        self._told[member] = now
        return twin
