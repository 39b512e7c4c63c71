"""Pulses: how a supervisor notices that a process lives but does nothing.

Each process counts the turns of its loop in a slot of a memory file that it got from the supervisor. A turn
comes at least once a second; the supervisor looks as often. Silence is counted in looks and not in time: when
the machine slept, or everything was stopped for a while, then nobody looked either.
"""

from __future__ import annotations

import mmap
import os
from struct import Struct

_COUNT = Struct("=I")
PULSES_MAX = 128
"""Slots of a board: more than a node with the most workers has processes."""


class PulseBoard:
    """The memory file, and what was seen in it."""

    def __init__(self) -> None:
        self.descriptor = os.memfd_create("dispersy-pulses", os.MFD_CLOEXEC)
        os.ftruncate(self.descriptor, PULSES_MAX * _COUNT.size)
        self._memory = mmap.mmap(self.descriptor, PULSES_MAX * _COUNT.size)
        self._seen: dict[int, int] = {}

    def clear(self, slot: int) -> None:
        """A process is about to start in this slot."""
        _COUNT.pack_into(self._memory, slot * _COUNT.size, 0)
        self._seen.pop(slot, None)

    def has_changed(self, slot: int) -> bool:
        """Whether there was a turn since this was last asked, or since the process was started."""
        count: int = _COUNT.unpack_from(self._memory, slot * _COUNT.size)[0]
        before, self._seen[slot] = self._seen.get(slot, 0), count
        return count != before

    def has_begun(self, slot: int) -> bool:
        """Whether the process has had its first turn, so that all of its roles are open."""
        return bool(_COUNT.unpack_from(self._memory, slot * _COUNT.size)[0])


class Pulse:
    """One process's slot.

    descriptor    of the board, inherited; it is closed here
    """

    def __init__(self, descriptor: int, slot: int) -> None:
        self._memory = mmap.mmap(descriptor, PULSES_MAX * _COUNT.size)
        os.close(descriptor)
        self._offset = slot * _COUNT.size
        self._count = 0

    def beat(self) -> None:
        """Call once a turn."""
        # 0 says that there was no turn yet.
        self._count = self._count % 0xFFFFFFFF + 1
        _COUNT.pack_into(self._memory, self._offset, self._count)
