"""The first symbols of a community's live set in the LMDB store, written with the commit that changes it.

All symbols of a set take 26 KB, far more than a commit of a few messages. So what a small commit changes is
kept beside them as a list, and the symbols are written anew when that list is long.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import lmdb

from dispersy.constants import SYMBOL_CHANGES_MAX, SYMBOLS_KEPT
from dispersy.ext import sketch
from dispersy.protocol.holdings import KEY_SIZE, ids_of, packed_keys_of
from dispersy.protocol.identifiers import CommunityId, symbols_key
from dispersy.protocol.wire.summary import Summary
from dispersy.storage.description import COUNT_AND_SUM, Description, count_and_sum
from dispersy.storage.layout import (
    COMMUNITY,
    KEY_ID_OFFSET,
    META_SYMBOLS,
    META_SYMBOLS_CHANGED,
)
from dispersy.storage.set_change import SetChange
from dispersy.storage.store import ITEM_SIZE, CommunityRecord, CommunityState

ID_SIZE = 32
_HEAD_SIZE = COUNT_AND_SUM.size
_CHANGE_SIZE = 1 + ITEM_SIZE
_ADDED, _REMOVED = b"+", b"-"
_ITEM_END = KEY_ID_OFFSET + ITEM_SIZE


def read_symbols(
    txn: lmdb.Transaction[bytes], meta: Any, record: CommunityRecord, summary: Summary
) -> bytes | None:
    """All symbols of the set that `summary` tells of; None where those that are kept are not of it."""
    base, changes = _kept(txn, meta, record.number)
    if _described(base, changes) != count_and_sum(summary):
        return None
    symbols = _symbols_in(base)
    _apply(symbols, changes[_HEAD_SIZE:], _key(record))
    return bytes(symbols)


class StoredSymbols(Description):
    """The symbols of every community: those at the last writing, and the list of what has changed since."""

    def rebuild(self, txn: lmdb.Transaction[bytes], states: Mapping[int, CommunityState]) -> None:
        for community, state in states.items():
            symbols = _symbols_in(b"")
            for portion in self._portions(txn, community):
                sketch.add_many(symbols, ids_of(b"".join(portion)), ID_SIZE, self._keys[community])
            self._write_all(txn, community, symbols, state.summary)

    def forget(self, txn: lmdb.Transaction[bytes], community: int) -> None:
        for name in (META_SYMBOLS, META_SYMBOLS_CHANGED):
            txn.delete(name + COMMUNITY.pack(community), db=self._meta)

    @staticmethod
    def _key_of(record: CommunityRecord) -> bytes:
        return _key(record)

    def _is_of(self, txn: lmdb.Transaction[bytes], community: int, summary: Summary) -> bool:
        return _described(*_kept(txn, self._meta, community)) == count_and_sum(summary)

    def _follow(
        self, txn: lmdb.Transaction[bytes], community: int, change: SetChange, summary: Summary
    ) -> None:
        base, listed = _kept(txn, self._meta, community)
        count = (len(change.added) + len(change.removed)) // KEY_SIZE
        if len(listed) + _CHANGE_SIZE * count <= _HEAD_SIZE + _CHANGE_SIZE * SYMBOL_CHANGES_MAX:
            fresh = [_ADDED + each[KEY_ID_OFFSET:_ITEM_END] for each in packed_keys_of(change.added)]
            fresh += [_REMOVED + each[KEY_ID_OFFSET:_ITEM_END] for each in packed_keys_of(change.removed)]
            value = count_and_sum(summary) + listed[_HEAD_SIZE:] + b"".join(fresh)
            txn.put(META_SYMBOLS_CHANGED + COMMUNITY.pack(community), value, db=self._meta)
            return
        symbols = _symbols_in(base)
        key = self._keys[community]
        _apply(symbols, listed[_HEAD_SIZE:], key)
        sketch.add_many(symbols, ids_of(change.added), ID_SIZE, key)
        sketch.remove_many(symbols, ids_of(change.removed), ID_SIZE, key)
        self._write_all(txn, community, symbols, summary)

    def _write_all(
        self, txn: lmdb.Transaction[bytes], community: int, symbols: bytearray, summary: Summary
    ) -> None:
        number = COMMUNITY.pack(community)
        txn.put(META_SYMBOLS + number, count_and_sum(summary) + bytes(symbols), db=self._meta)
        txn.delete(META_SYMBOLS_CHANGED + number, db=self._meta)


def _key(record: CommunityRecord) -> bytes:
    return symbols_key(CommunityId(record.community_id))


def _kept(txn: lmdb.Transaction[bytes], meta: Any, community: int) -> tuple[bytes, bytes]:
    number = COMMUNITY.pack(community)
    base = txn.get(META_SYMBOLS + number, b"", db=meta)
    return base, txn.get(META_SYMBOLS_CHANGED + number, b"", db=meta)


def _described(base: bytes, changes: bytes) -> bytes:
    """Head of the set that base and changes together describe; nothing kept: that of the empty one."""
    return (changes or base)[:_HEAD_SIZE] or count_and_sum(Summary())


def _symbols_in(base: bytes) -> bytearray:
    return bytearray(base[_HEAD_SIZE:] or bytes(SYMBOLS_KEPT * sketch.SYMBOL_SIZE))


def _apply(symbols: bytearray, changes: bytes, key: bytes) -> None:
    for at in range(0, len(changes), _CHANGE_SIZE):
        item = changes[at + 1 : at + _CHANGE_SIZE]
        change = sketch.add_many if changes[at : at + 1] == _ADDED else sketch.remove_many
        change(symbols, item, ITEM_SIZE, key)
