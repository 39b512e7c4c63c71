"""What came of large messages that were interrupted, kept until they are asked for again.

A link that is there for twenty seconds in ten minutes, or a source that leaves, hands over less than a
message: without this it would begin anew each time, and on a slow link never end. Fragments carry no proof of
their own, so whoever gives one wrong fragment would spoil what others give: a message that turns out wrong
with parts of several sources is fetched once more, each source's parts apart from then on.
"""

from __future__ import annotations

from collections import Counter, OrderedDict
from dataclasses import dataclass

from dispersy.constants import (
    ASSEMBLY_SIZE_PER_SOURCE_MAX,
    FRAGMENT_SIZE,
    LARGE_FAILED_MAX,
    REMAINS_SIZE_MAX,
)
from dispersy.protocol.address import Address
from dispersy.protocol.wire.large_frames import LargeName


@dataclass(frozen=True, slots=True)
class Remainder:
    """Parts of one message.

    parts   by index; givers: whoever gave any of them, the last one `source`, in whose share they count
    """

    source: Address
    givers: frozenset[Address]
    parts: dict[int, bytes]

    @property
    def size(self) -> int:
        """A bound of the bytes that it holds: the last fragment may be of one byte, and costs no less."""
        return len(self.parts) * FRAGMENT_SIZE


class Remains:
    """Of all communities of a process: size_max bytes, ASSEMBLY_SIZE_PER_SOURCE_MAX of one source; those kept
    longest give way."""

    def __init__(self, *, size_max: int = REMAINS_SIZE_MAX) -> None:
        self.size = 0
        self._size_max = size_max
        self._kept: OrderedDict[LargeName, Remainder] = OrderedDict()
        self._sizes: Counter[Address] = Counter()
        self._spoilt: OrderedDict[LargeName, None] = OrderedDict()

    def __contains__(self, name: object) -> bool:
        return name in self._kept

    def keep(self, name: LargeName, remainder: Remainder) -> None:
        """In place of what was kept of this message."""
        self.forget(name)
        source, size = remainder.source, remainder.size
        while self._sizes[source] + size > ASSEMBLY_SIZE_PER_SOURCE_MAX:
            self.forget(next(each for each, kept in self._kept.items() if kept.source == source))
        while self.size + size > self._size_max:
            self.forget(next(iter(self._kept)))
        self._kept[name] = remainder
        self._sizes[source] += size
        self.size += size

    def take(self, name: LargeName, source: Address) -> Remainder | None:
        """What is kept of a message that is to be asked of this source now."""
        kept = self._kept.get(name)
        if kept is not None and name in self._spoilt and kept.givers != {source}:
            kept = None
        self.forget(name)
        return kept

    def spoil(self, name: LargeName) -> None:
        """Put together of several sources' parts it was not what was named: never again."""
        self.forget(name)
        self._spoilt[name] = None
        if len(self._spoilt) > LARGE_FAILED_MAX:
            self._spoilt.popitem(last=False)

    def forget(self, name: LargeName) -> None:
        """It is here, or begun again."""
        kept = self._kept.pop(name, None)
        if kept is None:
            return
        self.size -= kept.size
        self._sizes[kept.source] -= kept.size
        if not self._sizes[kept.source]:
            del self._sizes[kept.source]

    def forget_given_by(self, source: Address) -> None:
        """It has sent something wrong."""
        for name in [name for name, kept in self._kept.items() if source in kept.givers]:
            self.forget(name)
