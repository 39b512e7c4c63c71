"""By which means the newest messages came, in the writer's memory: somebody may wonder at one."""

from __future__ import annotations

from array import array

from dispersy.ext.table import ABSENT, Table
from dispersy.protocol.ways import Way
from dispersy.protocol.wire.records import MESSAGE, id_keys

WAYS_MAX = 32_768
"""Messages of a generation, and two are kept: some 3 MB. In the store each would cost a byte for ever."""


class Ways:
    """The last WAYS_MAX messages that came, at least, whatever became of them; those before are forgotten."""

    def __init__(self) -> None:
        self._newer, self._older = Table(), Table()

    def note(self, records: bytes, way: Way) -> None:
        """These message_records came by this way; the first way of a message counts."""
        if not records:
            return
        ways = array("Q", [way]) * (len(records) // MESSAGE.size)
        self._newer.insert_many(id_keys(records), ways.tobytes())
        if len(self._newer) >= WAYS_MAX:
            self._newer, self._older = Table(), self._newer

    def name(self, message_id: bytes) -> str:
        """The way of a message; empty: it has not come, or so long ago that it is not known any more."""
        for table in (self._older, self._newer):
            (way,) = array("Q", table.find_many(message_id[:16]))
            if way != ABSENT:
                return Way(way).label
        return ""
