"""Large messages being put together: what has come of each, and the room that all of them together may
take."""

from __future__ import annotations

from collections import Counter

from dispersy.constants import ASSEMBLIES_SIZE_MAX, ASSEMBLY_EVICTED_S, ASSEMBLY_SIZE_PER_SOURCE_MAX
from dispersy.errors import WireError
from dispersy.protocol.address import Address
from dispersy.protocol.identifiers import CommunityId
from dispersy.protocol.large_messages.remains import Remainder, Remains
from dispersy.protocol.wire.large_frames import Fragment, LargeName, all_fragments
from dispersy.protocol.wire.message import read_message


class Assembly:
    """One message, as far as its fragments have come: from the one source that they are asked of, and from
    those that it was asked of before.

    missing   bits of the fragments that are not here, and asked: those of them that are on their way
    givers    all of these sources
    """

    def __init__(self, name: LargeName, source: Address, now: float) -> None:
        self.name = name
        self.source = source
        self.began_at = now
        self.missing = all_fragments(name.size)
        self.asked = 0
        self.givers = frozenset((source,))
        self.is_evicted = False
        # What arrives takes memory, not what is claimed.
        self._parts: dict[int, bytes] = {}

    @property
    def unasked(self) -> int:
        """Bits of the fragments that are to be asked for."""
        return self.missing & ~self.asked

    @property
    def is_untouched(self) -> bool:
        """Whether nothing of it has come, nor is on its way."""
        return not self._parts and not self.asked and not self.is_evicted

    def take(self, fragment: Fragment) -> None:
        """A fragment that was asked for."""
        bit = 1 << fragment.index
        if self.missing & bit:
            self._parts[fragment.index] = fragment.data
        self.missing &= ~bit
        self.asked &= ~bit

    def inherit(self, remainder: Remainder) -> None:
        """Take over what came of it before."""
        self._parts = remainder.parts
        self.givers |= remainder.givers
        for index in remainder.parts:
            self.missing &= ~(1 << index)

    def remainder(self) -> Remainder | None:
        """What is worth keeping of it when it ends; None: nothing has come, or all."""
        return Remainder(self.source, self.givers, self._parts) if self._parts and self.missing else None

    def whole(self, community_id: CommunityId) -> bytes | None:
        """The message, when all of it is here; None unless it is the one that was named. Its signatures are
        the verifier's to check."""
        assert not self.missing
        message = b"".join(self._parts[index] for index in sorted(self._parts))
        try:
            view = read_message(community_id, message)
        except WireError:
            return None
        is_named = (view.global_time, view.id) == (self.name.global_time, self.name.message_id)
        return message if is_named else None

    def evict(self) -> None:
        """Let go of what has come: others need the room."""
        self.is_evicted = True
        self._parts = {}


class AssemblyRoom:
    """The memory for what is not whole yet, shared by all communities of a process.

    A source has ASSEMBLY_SIZE_PER_SOURCE_MAX of it, in whatever communities. Where all of it is taken the one
    that was begun first makes room, once it has had a while: who sends slowly, or half, must not keep others
    out. What is whole and on its way to the store counts apart: when it is as much, nothing is begun.

    size     of what is not whole yet; size_whole: of what is
    remains  of what was interrupted
    """

    def __init__(self, *, size_max: int = ASSEMBLIES_SIZE_MAX) -> None:
        self.size = self.size_whole = 0
        self.remains = Remains()
        self._size_max = size_max
        # In the order in which they were begun.
        self._assemblies: dict[Assembly, None] = {}
        self._sizes: Counter[Address] = Counter()

    def admit(self, assembly: Assembly, now: float) -> bool:
        """Whether it may be begun; then release() it in the end."""
        size = assembly.name.size
        is_too_much = self._sizes[assembly.source] + size > ASSEMBLY_SIZE_PER_SOURCE_MAX
        if is_too_much or self.size_whole >= self._size_max:
            return False
        while self.size + size > self._size_max:
            oldest = next(iter(self._assemblies))
            if now < oldest.began_at + ASSEMBLY_EVICTED_S:
                return False
            self.release(oldest)
            oldest.evict()
        remainder = self.remains.take(assembly.name, assembly.source)
        if remainder is not None:
            assembly.inherit(remainder)
        self._assemblies[assembly] = None
        self._sizes[assembly.source] += size
        self.size += size
        return True

    def release(self, assembly: Assembly) -> None:
        """It is over; one that was evicted has been released."""
        if assembly not in self._assemblies:
            return
        remainder = assembly.remainder()
        if remainder is not None:
            self.remains.keep(assembly.name, remainder)
        del self._assemblies[assembly]
        self.size -= assembly.name.size
        self._sizes[assembly.source] -= assembly.name.size
        if not self._sizes[assembly.source]:
            del self._sizes[assembly.source]

    def keep(self, size: int) -> None:
        """A whole message of so many bytes is on its way to the store."""
        self.size_whole += size

    def let_go(self, size: int) -> None:
        """It is no longer."""
        self.size_whole -= size
