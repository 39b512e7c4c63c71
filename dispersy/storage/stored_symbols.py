"""The first symbols of a community's live set in the LMDB store, written with the commit that changes it.

All symbols of a set take 26 KB, far more than a commit of a few messages. So what a small commit changes is
kept beside them as a list, and the symbols are written anew when that list is long. Both carry the count and
the sum of the set that they describe: what does not fit the community's state is never served, and is made
again from the order.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from itertools import islice, takewhile
from struct import Struct
from typing import Any

import lmdb

from dispersy.constants import SYMBOL_CHANGES_MAX, SYMBOLS_KEPT
from dispersy.ext import sketch
from dispersy.protocol.holdings import ids_of
from dispersy.protocol.identifiers import CommunityId, symbols_key
from dispersy.protocol.wire.summary import Summary
from dispersy.storage.environment import Databases
from dispersy.storage.layout import (
    COMMUNITY,
    KEY_ID_OFFSET,
    META_SYMBOLS,
    META_SYMBOLS_CHANGED,
    ORDER_ID_OFFSET,
)
from dispersy.storage.set_change import SetChange
from dispersy.storage.store import ITEM_SIZE, CommunityRecord, CommunityState

ID_SIZE = 32
_HEAD = Struct(">Q12s")
"""count and sum of the set"""
_CHANGE_SIZE = 1 + ITEM_SIZE
_ADDED, _REMOVED = b"+", b"-"
_ITEM_END = KEY_ID_OFFSET + ITEM_SIZE
_PORTION = 16_384


def read_symbols(
    txn: lmdb.Transaction[bytes], meta: Any, record: CommunityRecord, summary: Summary
) -> bytes | None:
    """All symbols of the set that `summary` tells of; None where those that are kept are not of it."""
    base, changes = _kept(txn, meta, record.number)
    if _described(base, changes) != _head_of(summary):
        return None
    symbols = _symbols_in(base)
    _apply(symbols, changes[_HEAD.size :], _key(record))
    return bytes(symbols)


class StoredSymbols:
    """What the writer keeps of each community, in the transactions of its commits."""

    def __init__(self, databases: Databases) -> None:
        self._meta = databases.meta
        self._order = databases.order
        self._keys: dict[int, bytes] = {}

    def open(self, records: Iterable[CommunityRecord]) -> None:
        """Learn which communities there are."""
        self._keys = {record.number: _key(record) for record in records}

    def add(self, record: CommunityRecord) -> None:
        """A community that there is from now on."""
        self._keys[record.number] = _key(record)

    def wrong(self, txn: lmdb.Transaction[bytes], states: Mapping[int, CommunityState]) -> list[int]:
        """Communities whose symbols are not those of their sets: a store of before had none."""
        return [
            number
            for number, state in states.items()
            if _described(*_kept(txn, self._meta, number)) != _head_of(state.summary)
        ]

    def write(
        self,
        txn: lmdb.Transaction[bytes],
        changes: Mapping[int, SetChange],
        *,
        before: Mapping[int, CommunityState],
        after: Mapping[int, CommunityState],
    ) -> None:
        """Let symbols follow what a commit has changed, once the order has; make wrong ones anew."""
        for community, change in changes.items():
            state = after.get(community)
            if state is None:
                continue  # Its last portion has been removed.
            base, listed = _kept(txn, self._meta, community)
            known = before.get(community, CommunityState())
            if _described(base, listed) != _head_of(known.summary):
                self.rebuild(txn, {community: state})
                continue
            count = len(change.added) + len(change.removed)
            if len(listed) + _CHANGE_SIZE * count <= _HEAD.size + _CHANGE_SIZE * SYMBOL_CHANGES_MAX:
                fresh = [_ADDED + each[KEY_ID_OFFSET:_ITEM_END] for each in change.added]
                fresh += [_REMOVED + each[KEY_ID_OFFSET:_ITEM_END] for each in change.removed]
                value = _head_of(state.summary) + listed[_HEAD.size :] + b"".join(fresh)
                txn.put(META_SYMBOLS_CHANGED + COMMUNITY.pack(community), value, db=self._meta)
                continue
            symbols = _symbols_in(base)
            key = self._keys[community]
            _apply(symbols, listed[_HEAD.size :], key)
            sketch.add_many(symbols, ids_of(b"".join(change.added)), ID_SIZE, key)
            sketch.remove_many(symbols, ids_of(b"".join(change.removed)), ID_SIZE, key)
            self._write_all(txn, community, symbols, state.summary)

    def rebuild(self, txn: lmdb.Transaction[bytes], states: Mapping[int, CommunityState]) -> None:
        """Make the symbols of what is in these communities' order."""
        for community, state in states.items():
            symbols = bytearray(SYMBOLS_KEPT * sketch.SYMBOL_SIZE)
            for ids in self._ids(txn, COMMUNITY.pack(community)):
                sketch.add_many(symbols, ids, ID_SIZE, self._keys[community])
            self._write_all(txn, community, symbols, state.summary)

    def _ids(self, txn: lmdb.Transaction[bytes], prefix: bytes) -> Iterator[bytes]:
        """Packed ids of a community's order, portion by portion."""
        cursor = txn.cursor(self._order)
        if not cursor.set_range(prefix):
            return
        rows = takewhile(lambda row: row.startswith(prefix), cursor.iternext(values=False))
        while portion := b"".join([row[ORDER_ID_OFFSET:] for row in islice(rows, _PORTION)]):
            yield portion

    def forget(self, txn: lmdb.Transaction[bytes], community: int) -> None:
        """Remove what is kept of a community."""
        for name in (META_SYMBOLS, META_SYMBOLS_CHANGED):
            txn.delete(name + COMMUNITY.pack(community), db=self._meta)

    def _write_all(
        self, txn: lmdb.Transaction[bytes], community: int, symbols: bytearray, summary: Summary
    ) -> None:
        number = COMMUNITY.pack(community)
        txn.put(META_SYMBOLS + number, _head_of(summary) + bytes(symbols), db=self._meta)
        txn.delete(META_SYMBOLS_CHANGED + number, db=self._meta)


def _key(record: CommunityRecord) -> bytes:
    return symbols_key(CommunityId(record.community_id))


def _kept(txn: lmdb.Transaction[bytes], meta: Any, community: int) -> tuple[bytes, bytes]:
    number = COMMUNITY.pack(community)
    base = txn.get(META_SYMBOLS + number, b"", db=meta)
    return base, txn.get(META_SYMBOLS_CHANGED + number, b"", db=meta)


def _described(base: bytes, changes: bytes) -> bytes:
    """Head of the set that base and changes together describe; nothing kept: that of the empty one."""
    return (changes or base)[: _HEAD.size] or _head_of(Summary())


def _head_of(summary: Summary) -> bytes:
    return _HEAD.pack(summary.count, summary.sum.to_bytes(12, "big"))


def _symbols_in(base: bytes) -> bytearray:
    return bytearray(base[_HEAD.size :] or bytes(SYMBOLS_KEPT * sketch.SYMBOL_SIZE))


def _apply(symbols: bytearray, changes: bytes, key: bytes) -> None:
    for at in range(0, len(changes), _CHANGE_SIZE):
        item = changes[at + 1 : at + _CHANGE_SIZE]
        change = sketch.add_many if changes[at : at + 1] == _ADDED else sketch.remove_many
        change(symbols, item, ITEM_SIZE, key)
