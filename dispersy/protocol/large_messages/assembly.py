"""Large messages being put together: what has come of each, and the room that all of them together may
take."""

from __future__ import annotations

from collections import Counter

from dispersy.constants import ASSEMBLIES_SIZE_MAX, ASSEMBLY_EVICTED_S, ASSEMBLY_SIZE_PER_SOURCE_MAX
from dispersy.errors import WireError
from dispersy.protocol.address import Address
from dispersy.protocol.identifiers import CommunityId
from dispersy.protocol.large_messages.remains import MessageKey, Parts, Remains
from dispersy.protocol.wire.large_frames import Fragment, LargeName, all_fragments
from dispersy.protocol.wire.message import read_message


class Assembly:
    """One message, as far as its fragments have come: from the one source that they are asked of, and from
    those that it was asked of before.

    missing   bits of the fragments that are not here, and asked: those of them that are on their way
    is_mixed  whether others than its source have given some of it
    """

    def __init__(self, community_id: CommunityId, name: LargeName, source: Address, now: float) -> None:
        self.community_id = community_id
        self.name = name
        self.source = source
        self.began_at = now
        self.missing = all_fragments(name.size)
        self.asked = 0
        self.is_evicted = self.is_mixed = False
        # What arrives takes memory, not what is claimed; by who gave it.
        self._parts: dict[Address, Parts] = {}

    @property
    def key(self) -> MessageKey:
        """What it is kept by."""
        return self.community_id, self.name

    @property
    def unasked(self) -> int:
        """Bits of the fragments that are to be asked for."""
        return self.missing & ~self.asked

    @property
    def is_untouched(self) -> bool:
        """Whether its source has given nothing of it, and nothing is on its way."""
        return self.source not in self._parts and not self.asked and not self.is_evicted

    def take(self, fragment: Fragment) -> None:
        """A fragment that was asked for."""
        bit = 1 << fragment.index
        if self.missing & bit:
            self._parts.setdefault(self.source, {})[fragment.index] = fragment.data
        self.missing &= ~bit
        self.asked &= ~bit

    def inherit(self, given: dict[Address, Parts]) -> list[Address]:
        """What came of it before, by who gave it; returns those whose parts are taken over: all of which no
        part is here yet."""
        taken = []
        for giver, parts in given.items():
            bits = sum(1 << index for index in parts)
            left = self.missing & ~bits
            # All together were not what was named, or it would be whole: something is always asked for.
            if left and bits & ~self.missing == 0:
                self._parts[giver] = dict(parts)
                self.missing = left
                self.is_mixed |= giver != self.source
                taken.append(giver)
        return taken

    def given(self) -> dict[Address, Parts]:
        """What has come, by who gave it."""
        return self._parts

    def whole(self) -> bytes | None:
        """The message, when all of it is here; None unless it is the one that was named. Its signatures are
        the verifier's to check."""
        assert not self.missing
        parts = {index: data for given in self._parts.values() for index, data in given.items()}
        message = b"".join(parts[index] for index in sorted(parts))
        try:
            view = read_message(self.community_id, message)
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
        self.remains.expire(now)
        given = self.remains.given(assembly.key, assembly.source)
        self.remains.take(assembly.key, assembly.inherit(given))
        self._assemblies[assembly] = None
        self._sizes[assembly.source] += size
        self.size += size
        return True

    def release(self, assembly: Assembly) -> None:
        """It is over, and what came of it is kept unless that is all; one that was evicted is released."""
        if assembly not in self._assemblies:
            return
        if assembly.missing:
            self._keep_remains(assembly)
        del self._assemblies[assembly]
        self.size -= assembly.name.size
        self._sizes[assembly.source] -= assembly.name.size
        if not self._sizes[assembly.source]:
            del self._sizes[assembly.source]

    def separate(self, assembly: Assembly) -> None:
        """It is not what was named, and nobody knows who lied: each keeps what it gave and gives the rest."""
        self.remains.separate(assembly.key, assembly.source)
        self._keep_remains(assembly)

    def _keep_remains(self, assembly: Assembly) -> None:
        """Keep what each source has given of it."""
        for giver, parts in assembly.given().items():
            self.remains.keep(assembly.key, giver, parts, assembly.began_at)

    def keep(self, size: int) -> None:
        """A whole message of so many bytes is on its way to the store."""
        self.size_whole += size

    def let_go(self, size: int) -> None:
        """It is no longer."""
        self.size_whole -= size
