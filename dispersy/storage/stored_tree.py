"""The tree of (count, sum) over global time (protocol.tree) in the LMDB store, written with each commit.

A node's key ends with the last global time that it covers and then its level, so the nodes above the newest
leaf stand right behind it: a commit at the end of the order, which nearly all are, writes neighbours. The
tree carries the count and the sum of the set that it describes: one that is not of the community's state is
never served, and made again from the order.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice, takewhile
from struct import Struct
from typing import Any

import lmdb

from dispersy.protocol.identifiers import CommunityId, sum_key
from dispersy.protocol.tree import (
    NOTHING,
    NodeSum,
    added,
    bits_of,
    every_level,
    leaf_sums,
    negative,
)
from dispersy.protocol.wire.summary import Summary
from dispersy.storage.environment import Databases
from dispersy.storage.layout import COMMUNITY, META_TREE
from dispersy.storage.set_change import SetChange
from dispersy.storage.store import CommunityRecord, CommunityState

_SUM = Struct(">Q12s")
"""count and sum, of a node and of the whole set"""
_PLACE = Struct(">QB")
"""the last global time that a node covers, its level"""
_PORTION = 16_384


def read_tree(
    txn: lmdb.Transaction[bytes],
    meta: Any,
    community: int,
    summary: Summary,
    level: int,
    indexes: Sequence[int],
) -> list[NodeSum] | None:
    """Nodes of the set that `summary` tells of; None where the tree that is kept is not of it."""
    head = META_TREE + COMMUNITY.pack(community)
    if txn.get(head, _head_of(Summary()), db=meta) != _head_of(summary):
        return None
    get = txn.cursor(meta).get
    return [_decoded(get(head + _place(level, index))) for index in indexes]


class StoredTrees:
    """What the writer keeps of each community, in the transactions of its commits."""

    def __init__(self, databases: Databases) -> None:
        self._meta = databases.meta
        self._order = databases.order
        self._keys: dict[int, bytes] = {}

    def open(self, records: Iterable[CommunityRecord]) -> None:
        """Learn which communities there are."""
        self._keys = {}
        for record in records:
            self.add(record)

    def add(self, record: CommunityRecord) -> None:
        """A community that there is from now on."""
        self._keys[record.number] = sum_key(CommunityId(record.community_id))

    def wrong(self, txn: lmdb.Transaction[bytes], states: Mapping[int, CommunityState]) -> list[int]:
        """Communities whose trees are not those of their sets: a store of before had none."""
        return [number for number, state in states.items() if not self._is_of(txn, number, state.summary)]

    def write(
        self,
        txn: lmdb.Transaction[bytes],
        changes: Mapping[int, SetChange],
        *,
        before: Mapping[int, CommunityState],
        after: Mapping[int, CommunityState],
    ) -> None:
        """Let trees follow what a commit has changed, once the order has; make wrong ones anew."""
        for community, change in changes.items():
            state = after.get(community)
            if state is None:
                continue  # Its last portion has been removed.
            if not self._is_of(txn, community, before.get(community, CommunityState()).summary):
                self.rebuild(txn, {community: state})
                continue
            key = self._keys[community]
            leaves = leaf_sums(change.added, key)
            for leaf, gone in leaf_sums(change.removed, key).items():
                leaves[leaf] = added(leaves.get(leaf, NOTHING), negative(gone))
            self._add(txn, community, leaves, state.summary)

    def rebuild(self, txn: lmdb.Transaction[bytes], states: Mapping[int, CommunityState]) -> None:
        """Make the trees of what is in these communities' order."""
        for community, state in states.items():
            self.forget(txn, community)
            leaves: dict[int, NodeSum] = {}
            for portion in self._portions(txn, COMMUNITY.pack(community)):
                for leaf, change in leaf_sums(portion, self._keys[community]).items():
                    leaves[leaf] = added(leaves.get(leaf, NOTHING), change)
            self._add(txn, community, leaves, state.summary)

    def forget(self, txn: lmdb.Transaction[bytes], community: int) -> None:
        """Remove what is kept of a community."""
        prefix = META_TREE + COMMUNITY.pack(community)
        cursor = txn.cursor(self._meta)
        if cursor.set_range(prefix):
            own = takewhile(lambda key: key.startswith(prefix), cursor.iternext(values=False))
            for key in list(own):
                txn.delete(key, db=self._meta)

    def _is_of(self, txn: lmdb.Transaction[bytes], community: int, summary: Summary) -> bool:
        head = META_TREE + COMMUNITY.pack(community)
        return txn.get(head, _head_of(Summary()), db=self._meta) == _head_of(summary)

    def _add(
        self,
        txn: lmdb.Transaction[bytes],
        community: int,
        leaves: Mapping[int, NodeSum],
        summary: Summary,
    ) -> None:
        head = META_TREE + COMMUNITY.pack(community)
        nodes = txn.cursor(self._meta)
        for level, changes in enumerate(every_level(leaves)):
            for index, change in changes.items():
                place = head + _place(level, index)
                count, total = added(_decoded(nodes.get(place)), change)
                if count:
                    nodes.put(place, _SUM.pack(count, total.to_bytes(12, "big")))
                elif nodes.set_key(place):
                    nodes.delete()
        txn.put(head, _head_of(summary), db=self._meta)

    def _portions(self, txn: lmdb.Transaction[bytes], prefix: bytes) -> Iterator[list[bytes]]:
        """Packed keys of a community's order, portion by portion."""
        cursor = txn.cursor(self._order)
        if not cursor.set_range(prefix):
            return
        rows = takewhile(lambda row: row.startswith(prefix), cursor.iternext(values=False))
        while portion := [row[COMMUNITY.size :] for row in islice(rows, _PORTION)]:
            yield portion


def _place(level: int, index: int) -> bytes:
    """Behind the head of its tree."""
    return _PLACE.pack(((index + 1) << bits_of(level)) - 1, level)


def _decoded(value: bytes | None) -> NodeSum:
    if value is None:
        return NOTHING
    count, total = _SUM.unpack(value)
    return count, int.from_bytes(total, "big")


def _head_of(summary: Summary) -> bytes:
    return _SUM.pack(summary.count, summary.sum.to_bytes(12, "big"))
