"""What sums up a community's live set, is kept beside it, and follows it commit by commit.

It carries the count and the sum of the set that it describes. One that is not of the community's state is
never served: the next commit makes it again from the order, and so does a start, for a store of before has
none.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping
from itertools import islice, takewhile
from struct import Struct

import lmdb

from dispersy.protocol.wire.summary import Summary
from dispersy.storage.environment import Databases
from dispersy.storage.layout import COMMUNITY
from dispersy.storage.set_change import SetChange
from dispersy.storage.store import CommunityRecord, CommunityState

COUNT_AND_SUM = Struct(">Q12s")
_PORTION = 16_384
"""Keys of the order that are held at once while a description is made again: 1.5 MB."""


class Description(ABC):
    """One kind of description, of all communities, in the transactions of the writer's commits."""

    def __init__(self, databases: Databases) -> None:
        self._meta = databases.meta
        self._order = databases.order
        self._keys: dict[int, bytes] = {}

    def open(self, records: Iterable[CommunityRecord]) -> None:
        """Learn which communities there are."""
        self._keys = {record.number: self._key_of(record) for record in records}

    def add(self, record: CommunityRecord) -> None:
        """A community that there is from now on."""
        self._keys[record.number] = self._key_of(record)

    def wrong(self, txn: lmdb.Transaction[bytes], states: Mapping[int, CommunityState]) -> list[int]:
        """Numbers of the communities whose description is not that of their set."""
        return [number for number, state in states.items() if not self._is_of(txn, number, state.summary)]

    def write(
        self,
        txn: lmdb.Transaction[bytes],
        changes: Mapping[int, SetChange],
        *,
        before: Mapping[int, CommunityState],
        after: Mapping[int, CommunityState],
    ) -> None:
        """Follow what a commit has changed, once the order has; make anew what was not of the set before."""
        for community, change in changes.items():
            state = after.get(community)
            if state is None:
                continue  # Its last portion has been removed.
            if self._is_of(txn, community, before.get(community, CommunityState()).summary):
                self._follow(txn, community, change, state.summary)
            else:
                self.rebuild(txn, {community: state})

    @abstractmethod
    def rebuild(self, txn: lmdb.Transaction[bytes], states: Mapping[int, CommunityState]) -> None:
        """Describe what is in these communities' order."""

    @abstractmethod
    def forget(self, txn: lmdb.Transaction[bytes], community: int) -> None:
        """Remove what is kept of a community."""

    @staticmethod
    @abstractmethod
    def _key_of(record: CommunityRecord) -> bytes:
        """The key under which a community's ids are summed up."""

    @abstractmethod
    def _is_of(self, txn: lmdb.Transaction[bytes], community: int, summary: Summary) -> bool:
        """Whether what is kept describes this set; where nothing is, that is the empty one."""

    @abstractmethod
    def _follow(
        self, txn: lmdb.Transaction[bytes], community: int, change: SetChange, summary: Summary
    ) -> None:
        """Apply a change, after which the set is that of `summary`."""

    def _portions(self, txn: lmdb.Transaction[bytes], community: int) -> Iterator[list[bytes]]:
        """Packed keys, 40 bytes each (protocol.holdings), of a community's order, portion by portion."""
        prefix = COMMUNITY.pack(community)
        cursor = txn.cursor(self._order)
        if not cursor.set_range(prefix):
            return
        rows = takewhile(lambda row: row.startswith(prefix), cursor.iternext(values=False))
        while portion := [row[COMMUNITY.size :] for row in islice(rows, _PORTION)]:
            yield portion


def count_and_sum(summary: Summary) -> bytes:
    """What a description carries of the set that it describes."""
    return COUNT_AND_SUM.pack(summary.count, summary.sum.to_bytes(12, "big"))
