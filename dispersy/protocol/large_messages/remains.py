"""What came of large messages that were interrupted, kept until they are asked for again.

A link that is there for twenty seconds in ten minutes, or a source that leaves, hands over less than a
message: without this it would begin anew each time, and on a slow link never end. What each source gave is
kept apart, and put together when the message is asked for again, of whomever. But fragments carry no proof of
their own: where a message that was put together turns out wrong nobody knows who lied. Then it is separated:
from then on each source is asked for all that it has not given itself.
"""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Iterable
from itertools import takewhile

from dispersy.constants import (
    ASSEMBLY_SIZE_PER_SOURCE_MAX,
    FRAGMENT_SIZE,
    REMAINS_SIZE_MAX,
    REMAINS_TIME_MAX_S,
    SEPARATED_MAX,
    SEPARATED_PER_HOST_MAX,
)
from dispersy.protocol.address import Address
from dispersy.protocol.hosts import host_of
from dispersy.protocol.identifiers import CommunityId
from dispersy.protocol.wire.large_frames import LargeName

MessageKey = tuple[CommunityId, LargeName]
Parts = dict[int, bytes]
"""Fragments by index."""


def size_of(parts: Parts) -> int:
    """A bound of the bytes that they take: the last one may have one byte, and costs no less."""
    return len(parts) * FRAGMENT_SIZE


class Remains:
    """Of all communities of a process: REMAINS_SIZE_MAX bytes, ASSEMBLY_SIZE_PER_SOURCE_MAX of one host, for
    REMAINS_TIME_MAX_S; those kept longest give way."""

    def __init__(self) -> None:
        self.size = 0
        # (message, who gave them) -> since when, and the parts.
        self._kept: OrderedDict[tuple[MessageKey, Address], tuple[float, Parts]] = OrderedDict()
        self._givers: dict[MessageKey, dict[Address, None]] = {}
        self._shares: Counter[bytes] = Counter()
        # Whose share it is in, so that nobody can have it forgotten of what others gave.
        self._separated: OrderedDict[MessageKey, bytes] = OrderedDict()
        self._separations: Counter[bytes] = Counter()

    def __len__(self) -> int:
        return len(self._givers)

    def is_begun(self, key: MessageKey, source: Address) -> bool:
        """Whether something of a message is here if it is asked of this source."""
        givers = self._givers.get(key, ())
        return source in givers if key in self._separated else bool(givers)

    def keep(self, key: MessageKey, source: Address, parts: Parts, now: float) -> None:
        """What this source gave of a message, with what was kept of it."""
        parts = {**self._kept.get((key, source), (now, {}))[1], **parts}
        self._drop(key, source)
        share, size = _share_of(source), size_of(parts)
        while self._shares[share] + size > ASSEMBLY_SIZE_PER_SOURCE_MAX:
            self._drop(*next(each for each in self._kept if _share_of(each[1]) == share))
        while self.size + size > REMAINS_SIZE_MAX:
            self._drop(*next(iter(self._kept)))
        self._kept[key, source] = now, parts
        self._givers.setdefault(key, {})[source] = None
        self._shares[share] += size
        self.size += size

    def given(self, key: MessageKey, source: Address) -> dict[Address, Parts]:
        """What may be put together with what this source will give, by who gave it, this source first."""
        givers = sorted(self._givers.get(key, ()), key=lambda giver: giver != source)
        if key in self._separated:
            givers = [giver for giver in givers if giver == source]
        return {giver: self._kept[key, giver][1] for giver in givers}

    def take(self, key: MessageKey, givers: Iterable[Address]) -> None:
        """What these gave of it is put together elsewhere, and kept here no longer."""
        for giver in givers:
            self._drop(key, giver)

    def separate(self, key: MessageKey, source: Address) -> None:
        """Put together of several sources' parts, this one's the last, it was not what was named."""
        if key in self._separated:
            return
        share = _share_of(source)
        if self._separations[share] >= SEPARATED_PER_HOST_MAX:
            self._join(next(each for each, of in self._separated.items() if of == share))
        elif len(self._separated) >= SEPARATED_MAX:
            self._join(next(iter(self._separated)))
        self._separated[key] = share
        self._separations[share] += 1

    def forget(self, key: MessageKey) -> None:
        """It is here."""
        for giver in list(self._givers.get(key, ())):
            self._drop(key, giver)

    def forget_given_by(self, source: Address) -> None:
        """It has sent something wrong."""
        for key in [key for key, giver in self._kept if giver == source]:
            self._drop(key, source)

    def forget_community(self, community_id: CommunityId) -> None:
        """It is not served any longer."""
        for key in [key for key in self._givers if key[0] == community_id]:
            self.forget(key)

    def expire(self, now: float) -> None:
        """Forget what nobody has asked for again."""
        old = takewhile(lambda item: now >= item[1][0] + REMAINS_TIME_MAX_S, self._kept.items())
        for each, _ in list(old):
            self._drop(*each)

    def _join(self, key: MessageKey) -> None:
        share = self._separated.pop(key)
        self._separations[share] -= 1
        if not self._separations[share]:
            del self._separations[share]

    def _drop(self, key: MessageKey, source: Address) -> None:
        _, parts = self._kept.pop((key, source), (0.0, None))
        if parts is None:
            return
        share = _share_of(source)
        self.size -= size_of(parts)
        self._shares[share] -= size_of(parts)
        if not self._shares[share]:
            del self._shares[share]
        del self._givers[key][source]
        if not self._givers[key]:
            del self._givers[key]


def _share_of(source: Address) -> bytes:
    return host_of(source) or source
