"""The tree of (count, sum) over global time (protocol.tree) in the LMDB store, written with each commit.

A node's key ends with the last global time that it covers and then its level, so the nodes above the newest
leaf stand right behind it: a commit at the end of the order, which nearly all are, writes neighbours.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import takewhile
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
)
from dispersy.protocol.wire.summary import Summary
from dispersy.storage.description import COUNT_AND_SUM, Description, count_and_sum
from dispersy.storage.layout import COMMUNITY, META_TREE
from dispersy.storage.set_change import SetChange
from dispersy.storage.store import CommunityRecord, CommunityState

_PLACE = Struct(">QB")
"""the last global time that a node covers, its level"""


def read_tree(
    txn: lmdb.Transaction[bytes],
    meta: Any,
    community: int,
    summary: Summary,
    level: int,
    indexes: Sequence[int],
) -> list[NodeSum] | None:
    """Nodes of the set that `summary` tells of; None where the tree that is kept is not of it."""
    if not _describes(txn, meta, community, summary):
        return None
    head = META_TREE + COMMUNITY.pack(community)
    get = txn.cursor(meta).get
    return [_decoded(get(head + _place(level, index))) for index in indexes]


class StoredTrees(Description):
    """The tree of every community."""

    def rebuild(self, txn: lmdb.Transaction[bytes], states: Mapping[int, CommunityState]) -> None:
        for community, state in states.items():
            self.forget(txn, community)
            leaves: dict[int, NodeSum] = {}
            for portion in self._portions(txn, community):
                for leaf, change in leaf_sums(b"".join(portion), self._keys[community]).items():
                    leaves[leaf] = added(leaves.get(leaf, NOTHING), change)
            self._add(txn, community, leaves, state.summary)

    def forget(self, txn: lmdb.Transaction[bytes], community: int) -> None:
        prefix = META_TREE + COMMUNITY.pack(community)
        cursor = txn.cursor(self._meta)
        if cursor.set_range(prefix):
            own = takewhile(lambda key: key.startswith(prefix), cursor.iternext(values=False))
            for key in list(own):
                txn.delete(key, db=self._meta)

    @staticmethod
    def _key_of(record: CommunityRecord) -> bytes:
        return sum_key(CommunityId(record.community_id))

    def _is_of(self, txn: lmdb.Transaction[bytes], community: int, summary: Summary) -> bool:
        return _describes(txn, self._meta, community, summary)

    def _follow(
        self, txn: lmdb.Transaction[bytes], community: int, change: SetChange, summary: Summary
    ) -> None:
        self._add(txn, community, change.leaves, summary)

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
                    nodes.put(place, COUNT_AND_SUM.pack(count, total.to_bytes(12, "big")))
                elif nodes.set_key(place):
                    nodes.delete()
        txn.put(head, count_and_sum(summary), db=self._meta)


def _describes(txn: lmdb.Transaction[bytes], meta: Any, community: int, summary: Summary) -> bool:
    head = META_TREE + COMMUNITY.pack(community)
    return txn.get(head, count_and_sum(Summary()), db=meta) == count_and_sum(summary)


def _place(level: int, index: int) -> bytes:
    """Behind the head of its tree."""
    return _PLACE.pack(((index + 1) << bits_of(level)) - 1, level)


def _decoded(value: bytes | None) -> NodeSum:
    if value is None:
        return NOTHING
    count, total = COUNT_AND_SUM.unpack(value)
    return count, int.from_bytes(total, "big")
