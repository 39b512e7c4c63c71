"""Goal: what is on request is stored, found by name and read as anything else, and part of nothing that tells
neighbours what is held: in both stores, also after a restart."""

from __future__ import annotations

from array import array
from collections.abc import Callable

from dispersy.protocol.identifiers import ORDER_LOW, ORDER_TOP
from dispersy.protocol.intake.marks import DENIED, ON_REQUEST
from dispersy.storage.memory_store import MemoryStore
from dispersy.storage.store import Batch, CommunityRecord, StoreWriter, on_request
from tests.oracle.store import Sample, block

AUTHOR = b"a" * 32
OFFERED = [Sample(AUTHOR, 64, time, time) for time in (1, 3)]
REQUESTED = [Sample(AUTHOR, 65, time, number) for number, time in enumerate((2, 4, 9), start=1)]
CURSORS = {"offered": [1, 2], "requested": [3, 4, 5]}
Open = Callable[[], StoreWriter]


def fill(store: StoreWriter) -> None:
    store.commit(Batch(communities=[CommunityRecord(1, b"c" * 32, "one", b"m" * 32)]))
    store.commit(
        Batch(blocks=[block(1, OFFERED), block(1, REQUESTED, marks=bytes([ON_REQUEST]) * len(REQUESTED))])
    )


def told(store: StoreWriter) -> tuple[object, ...]:
    """All that is compared with neighbours, or searched for what they lack."""
    items = b"".join(sample.message_id[:8] for sample in (*OFFERED, *REQUESTED))
    return (
        store.state(1).summary,
        store.symbols(1, 0, 40),
        store.tree(1, 9, [0, 1]),
        sorted(store.find_items(1, items)),
        store.scan(1, ORDER_LOW, ORDER_TOP, 100),
    )


def requested(store: StoreWriter) -> list[int]:
    """Cursors of what is on request, in order."""
    _, cursors, is_whole = store.scan(on_request(1), ORDER_LOW, ORDER_TOP, 100)
    assert is_whole
    found = array("Q", cursors).tolist()
    assert store.state(1).on_request == len(found)
    return found


def test_it_is_held_and_told_to_nobody(opened: Open) -> None:
    store = opened()
    fill(store)
    alone = MemoryStore()
    alone.commit(Batch(communities=store.communities()))
    alone.commit(Batch(blocks=[block(1, OFFERED)]))
    for is_again in (False, True):
        again = opened() if is_again else store
        assert told(again) == told(alone)
        assert requested(again) == CURSORS["requested"]
        everything = [*OFFERED, *REQUESTED]
        assert again.held(1, block(1, everything).records) == b"\1" * len(everything)
        assert [again.find(1, each.global_time, each.message_id) for each in everything] == [1, 2, 3, 4, 5]
        assert again.find_ids(b"".join(each.message_id for each in everything)) == [1, 2, 3, 4, 5]
        assert [slot.cursor for slot in again.lane(1, AUTHOR, 65)] == CURSORS["requested"]
        assert [slot.cursor for slot in again.slot(1, AUTHOR, 65, 2)] == [4]
        assert [entry.marks for entry in again.log(1, 100)] == [0] * 5
        keys, cursors, _ = again.scan_back(on_request(1), ORDER_LOW, ORDER_TOP, 1)
        assert (keys[8:], array("Q", cursors).tolist()) == (REQUESTED[2].message_id, [5])


def test_it_ends_and_lives_again_where_it_was(opened: Open) -> None:
    store = opened()
    fill(store)
    before = told(store)
    store.commit(Batch(unlive=[3], inactive=[4]))
    assert (requested(store), told(store)) == ([5], before)
    assert store.retired(1, 65, 100, 10) == ([3, 4], True)
    store = opened()
    assert store.entries([3])[0].marks == DENIED
    store.commit(Batch(relive=[(3, 0)], removed=[4]))
    assert (requested(store), told(store)) == ([3, 5], before)
    assert store.find_ids(REQUESTED[1].message_id, inactive=True) == [None]


def test_a_kind_changes_its_part(opened: Open) -> None:
    """An older definition may come later: then what is held moves, also what is not live."""
    store = opened()
    fill(store)
    before = told(store)
    store.commit(Batch(unlive=[4]))
    store.commit(Batch(moved=[(3, False), (4, False), (5, False), (1, False)]))
    assert requested(store) == []
    assert store.state(1).summary.count == 4
    store.commit(Batch(relive=[(4, 0)]))
    assert store.scan(1, ORDER_LOW, ORDER_TOP, 100)[1] == array("Q", [1, 3, 2, 4, 5]).tobytes()
    store.commit(Batch(moved=[(cursor, True) for cursor in CURSORS["requested"]]))
    store = opened()
    assert (requested(store), told(store)) == (CURSORS["requested"], before)
    assert store.held(1, block(1, REQUESTED).records) == b"\1\1\1"


def test_a_purge_takes_it_along(opened: Open) -> None:
    store = opened()
    fill(store)
    store.commit(Batch(purges=[(1, 2)]))
    assert (requested(store), store.state(1).summary.count) == ([3], 2)
    store.commit(Batch(purges=[(1, 10)]))
    assert store.communities() == []
    assert store.scan(on_request(1), ORDER_LOW, ORDER_TOP, 100) == (b"", b"", True)
    assert store.held(1, block(1, REQUESTED).records) == b"\0\0\0"
