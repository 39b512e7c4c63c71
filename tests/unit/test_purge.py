"""Goal: a purge removes all of one community and nothing of another, in portions that survive a restart."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, cast

import lmdb
import pytest

from dispersy.protocol.identifiers import ORDER_LOW, ORDER_TOP
from dispersy.storage.environment import Databases
from dispersy.storage.layout import COMMUNITY, HEAD_KEY
from dispersy.storage.purge import purge_portion
from dispersy.storage.store import (
    Batch,
    CommunityRecord,
    EntryType,
    EventEntry,
    LogEntry,
    SignedRecord,
    StoreWriter,
)
from tests.oracle.store import Sample, block

GONE, KEPT = 1, 2
AUTHOR = b"a" * 32
Open = Callable[[], StoreWriter]


def fill(store: StoreWriter) -> None:
    """Cursors 1 to 12: rows of both communities, one message that is live no more, and an event about it."""
    records = [
        CommunityRecord(number, bytes([number]) * 32, f"{number}", b"m" * 32) for number in (GONE, KEPT)
    ]
    gone = [Sample(AUTHOR, 64, time, time, payload_count=2) for time in (1, 2, 3)]
    kept = [Sample(AUTHOR, 64, time, time) for time in (4, 5)]
    groups = [(GONE, gone[:2]), (KEPT, kept[:1]), (GONE, gone[2:]), (KEPT, kept[1:])]
    batch = Batch(communities=records, blocks=[block(number, group) for number, group in groups])
    for messages in batch.blocks:
        ones = b"\1" * len(messages.marks)
        store.heads.advance_many(messages.records, messages.arena, messages.community, ones)
    batch.events = [EventEntry(EntryType.DENIED, GONE, gone[1].message_id, 3, "order")]
    batch.unlive = [3]
    store.commit(batch)


def shape(entries: list[LogEntry]) -> list[tuple[str, int, int, int]]:
    return [(entry.type.name, entry.community, entry.message_cursor, entry.cursor) for entry in entries]


@pytest.mark.parametrize("entries_max", [1, 2, 3, 100])
@pytest.mark.parametrize("restarted", [False, True])
def test_all_of_one_community_is_gone(opened: Open, entries_max: int, restarted: bool) -> None:
    """Whatever the portions, the same markers are left, and the other community is as it was."""
    store = opened()
    fill(store)
    before, last = store.state(KEPT), store.last_cursor()
    portions = 0
    while GONE in [record.number for record in store.communities()]:
        store.commit(Batch(purges=[(GONE, entries_max)]))
        portions += 1
        assert portions < 20
        assert store.heads.get(GONE, AUTHOR, 64) is None
        # No event outlives its message: who reads the log looks the message up.
        assert all(
            store.messages([entry.message_cursor])
            for entry in store.log(1, 100)
            if entry.type == EntryType.DENIED
        )
        if restarted:
            store = opened()
            assert store.heads.get(GONE, AUTHOR, 64) is None
    assert portions == 6 // entries_max + 1
    assert shape(store.log(1, 100)) == [
        ("REMOVED", GONE, 1, 4),
        ("MESSAGE", KEPT, 5, 5),
        ("REMOVED", GONE, 6, 7),
        ("MESSAGE", KEPT, 8, 8),
        ("REMOVED", GONE, 9, 9),
    ]
    assert store.state(KEPT) == before
    assert store.scan(GONE, ORDER_LOW, ORDER_TOP, 10) == (b"", b"", True)
    assert (store.state(GONE).clock, store.state(GONE).summary.count, store.purges()) == (0, 0, {})
    assert store.heads.get(KEPT, AUTHOR, 64) == (5, 5, False)
    assert (store.last_cursor(), store.highest_number()) == (last, KEPT)
    store = opened()
    assert store.heads.get(GONE, AUTHOR, 64) is None
    assert store.heads.get(KEPT, AUTHOR, 64) == (5, 5, False)


def test_what_is_left_is_counted_as_it_shrinks(opened: Open) -> None:
    """While a purge goes on the state tells what is still there."""
    store = opened()
    fill(store)
    counts = []
    while GONE in [record.number for record in store.communities()]:
        counts.append(store.state(GONE).summary.count)
        store.commit(Batch(purges=[(GONE, 1)]))
        store = opened()
    assert counts == [2, 2, 2, 1, 1, 1, 0]


class _Counting:
    """A transaction or cursor that notes every key which iternext() gives."""

    def __init__(self, inner: Any, keys: list[bytes]) -> None:
        self._inner = inner
        self._keys = keys

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    def cursor(self, db: object) -> _Counting:
        return _Counting(self._inner.cursor(db), self._keys)

    def iternext(self, **options: bool) -> Iterator[bytes]:
        for key in self._inner.iternext(**options):
            self._keys.append(key)
            yield key


def test_a_purge_looks_at_the_heads_of_its_own_community_alone(tmp_path: Path) -> None:
    """And at the one behind them, which tells that they end: it holds up the writer meanwhile."""
    others, own = 1_000, 3
    environment = lmdb.open(str(tmp_path), max_dbs=len(Databases._fields))
    databases = Databases(*(environment.open_db(name.encode()) for name in Databases._fields))
    seen: list[bytes] = []
    with environment.begin(write=True) as txn:
        for community, count in ((GONE, own), (KEPT, others)):
            for number in range(count):
                key = COMMUNITY.pack(community) + number.to_bytes(HEAD_KEY.size - COMMUNITY.size)
                txn.put(key, b"head", db=databases.heads)
        counting = cast("lmdb.Transaction[bytes]", _Counting(txn, seen))
        portion = purge_portion(counting, databases, community=GONE, end=1, entries_max=100)
        assert portion.is_last
        assert txn.stat(databases.heads)["entries"] == others
    environment.close()
    assert len(seen) == own + 1


def test_what_is_known_of_messages_and_lanes_goes_with_them(opened: Open) -> None:
    """What is undone one by one, and what was signed as second author: durable, and gone with the rest."""
    store = opened()
    fill(store)
    signed = [SignedRecord(number, AUTHOR, 64, 5) for number in (GONE, KEPT)]
    store.commit(Batch(undone=[(1, (0, 1)), (5, (0,)), (8, (1,))], signed=signed))
    store.commit(Batch(undone=[(8, ())]))
    store = opened()
    assert store.undone(range(1, 13)) == {1: (0, 1), 5: (0,)}
    assert sorted(store.signed(), key=lambda each: each.community) == signed
    for _ in range(2):
        store.commit(Batch(purges=[(GONE, 100)]))
        if not store.purges():
            break
    store.commit(Batch(unlive=[5]))
    assert store.undone(range(1, 13)) == {5: (0,)}
    store.commit(Batch(removed=[5], signed=[SignedRecord(KEPT, AUTHOR, 64, 0)]))
    store = opened()
    assert (store.undone(range(1, 13)), store.signed()) == ({}, [])
