"""Goal: what the store keeps of symbols is that of the very set that its summary tells of, or made anew."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from dispersy.constants import SYMBOL_CHANGES_MAX, SYMBOLS_KEPT
from dispersy.errors import StorageError
from dispersy.ext import sketch
from dispersy.protocol.identifiers import CommunityId, symbols_key
from dispersy.storage.layout import COMMUNITY, META_SYMBOLS, META_SYMBOLS_CHANGED
from dispersy.storage.lmdb_store import LmdbReader, LmdbStore
from dispersy.storage.store import Batch, CommunityRecord, StoreReader
from tests.oracle.store import Sample, block

NUMBER = 7
COMMUNITY_ID = CommunityId(b"c" * 32)
AUTHOR = b"a" * 32


@pytest.fixture
def store(tmp_path: Path) -> Iterator[LmdbStore]:
    opened = LmdbStore(tmp_path, run_records=1_000)
    opened.commit(Batch(communities=[CommunityRecord(NUMBER, COMMUNITY_ID, "name", b"m" * 32)]))
    yield opened
    opened.close()


def samples(first: int, count: int) -> list[Sample]:
    return [Sample(AUTHOR, 64, number, number) for number in range(first, first + count)]


def of(live: list[Sample]) -> bytes:
    ids = b"".join(each.message_id for each in live)
    return sketch.symbols_of(ids, 32, symbols_key(COMMUNITY_ID), first=0, count=SYMBOLS_KEPT)


def symbols(reader: StoreReader) -> bytes | None:
    reader.refresh()
    return reader.symbols(NUMBER, 0, SYMBOLS_KEPT)


def tamper(store: LmdbStore, name: bytes) -> None:
    """As a store of before has it, which knows of no symbols."""
    store.release()
    with store._environment.begin(write=True) as txn:
        assert txn.delete(name + COMMUNITY.pack(NUMBER), db=store._databases.meta)


@pytest.mark.parametrize("size", [1, 90, SYMBOL_CHANGES_MAX, SYMBOL_CHANGES_MAX + 1, 700])
def test_commits_of_any_size_are_followed(store: LmdbStore, tmp_path: Path, size: int) -> None:
    """Goal: listed or written out, what a reader gets is what was committed, also what is live no longer."""
    reader = LmdbReader(tmp_path)
    live: list[Sample] = []
    for _ in range(3):
        fresh = samples(1 + len(live), size)
        store.commit(Batch(blocks=[block(NUMBER, fresh)]))
        live += fresh
        assert symbols(reader) == of(live)
    store.commit(Batch(unlive=[1]))
    assert symbols(reader) == of(live[1:])
    store.commit(Batch(relive=[(1, 0)], unlive=list(range(2, len(live) + 1))))
    assert symbols(reader) == of(live[:1])
    reader.close()


def test_a_store_of_before_is_brought_up_to_date(store: LmdbStore, tmp_path: Path) -> None:
    """Goal: where there are none the next start makes them, and until then readers are told that."""
    live = samples(1, 3 * SYMBOL_CHANGES_MAX)
    store.commit(Batch(blocks=[block(NUMBER, live)]))
    tamper(store, META_SYMBOLS)
    reader = LmdbReader(tmp_path)
    assert symbols(reader) is None
    store.reload()
    assert symbols(reader) == of(live)
    reader.close()


def test_wrong_ones_are_made_anew_with_the_next_commit(store: LmdbStore) -> None:
    """Goal: symbols of another set than the summary's are never served, and mended as soon as one writes."""
    live = samples(1, 5)
    store.commit(Batch(blocks=[block(NUMBER, live)]))
    tamper(store, META_SYMBOLS_CHANGED)
    assert symbols(store) is None
    fresh = samples(6, 2)
    store.commit(Batch(blocks=[block(NUMBER, fresh)]))
    assert symbols(store) == of(live + fresh)


def test_a_failed_commit_leaves_them(store: LmdbStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """Goal: symbols are of the transaction: what did not happen is not in them."""
    live = samples(1, 5)
    store.commit(Batch(blocks=[block(NUMBER, live)]))

    def fail(*_arguments: object, **_options: object) -> None:
        raise OSError("no disk")

    monkeypatch.setattr(store._stored_heads, "write", fail)
    with pytest.raises(StorageError, match="no disk"):
        store.commit(Batch(blocks=[block(NUMBER, samples(6, 500))]))
    store.reload()
    assert symbols(store) == of(live)


def test_items_are_found_before_and_behind_a_run(store: LmdbStore, tmp_path: Path) -> None:
    """Goal: any reader finds what is live by its first bytes, wherever the index has it by then."""
    reader = LmdbReader(tmp_path)
    live = samples(1, 2_500)
    for first in range(0, 2_500, 500):
        store.commit(Batch(blocks=[block(NUMBER, live[first : first + 500])]))
        reader.refresh()
        chosen = live[: first + 500 : 37]
        items = b"".join(each.message_id[:8] for each in chosen)
        found = reader.find_items(NUMBER, items + b"nothing.")
        assert [entry.message_id for entry in reader.entries(found)] == [each.message_id for each in chosen]
        assert reader.find_items(NUMBER + 1, items) == []
    store.commit(Batch(unlive=[1]))
    reader.refresh()
    assert reader.find_items(NUMBER, live[0].message_id[:8]) == []
    reader.close()
