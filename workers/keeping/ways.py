"""By which means the newest messages came, in the writer's memory: somebody may wonder at one."""

from __future__ import annotations

from dispersy.protocol.ways import Way
from dispersy.protocol.wire.records import id_keys

WAYS_MAX = 32_768
"""Messages of a generation, and two are kept: 1.1 MB. In the store each would cost a byte for ever."""
KEY_SIZE = 16
"""Of an id, as much as tells it from others."""


class Ways:
    """The last WAYS_MAX messages that came, at least, whatever became of them; those before are forgotten.

    Every message is noted and few are asked for, so a generation is two plain rows of bytes: noting appends,
    and a question searches.
    """

    def __init__(self) -> None:
        self._older, self._newer = _Generation(), _Generation()

    def note(self, records: bytes, way: Way) -> None:
        """These message_records came by this way; the first way of a message counts."""
        self._newer.note(id_keys(records), way)
        if len(self._newer.ways) >= WAYS_MAX:
            self._newer, self._older = _Generation(), self._newer

    def name(self, message_id: bytes) -> str:
        """The way of a message; empty: it has not come, or so long ago that it is not known any more."""
        for generation in (self._older, self._newer):
            way = generation.way(message_id[:KEY_SIZE])
            if way is not None:
                return way.label
        return ""


class _Generation:
    """Keys, and beside them the ways, a byte each."""

    def __init__(self) -> None:
        self._keys = bytearray()
        self.ways = bytearray()

    def note(self, keys: bytes, way: Way) -> None:
        self._keys += keys
        self.ways += bytes([way]) * (len(keys) // KEY_SIZE)

    def way(self, key: bytes) -> Way | None:
        at = self._keys.find(key)
        while at % KEY_SIZE and at >= 0:
            at = self._keys.find(key, at + 1)
        return None if at < 0 else Way(self.ways[at // KEY_SIZE])
