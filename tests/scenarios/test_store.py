"""Scenarios, Store: a newer, older or foreign format stamp gives a clear error, and nothing changes."""

from __future__ import annotations

from pathlib import Path

import lmdb
import msgspec
import pytest

from dispersy.errors import StorageError
from dispersy.storage.layout import FORMAT_NAME, FORMAT_VERSION, OLDEST_VERSION
from dispersy.storage.lmdb_reader import LmdbReader
from dispersy.storage.lmdb_store import LmdbStore


def stamped(path: Path, stamp: object) -> bytes:
    """A store whose stamp is replaced; the file's bytes."""
    LmdbStore(path).close()
    environment = lmdb.open(str(path), max_dbs=8)
    meta = environment.open_db(b"meta", create=False)
    with environment.begin(write=True) as txn:
        txn.put(b"format", msgspec.msgpack.encode(stamp), db=meta)
    environment.close()
    return (path / "data.mdb").read_bytes()


@pytest.mark.parametrize(
    ("stamp", "said"),
    [
        ({"name": FORMAT_NAME, "version": FORMAT_VERSION + 1}, "newer Dispersy .* upgrade this one"),
        ({"name": FORMAT_NAME, "version": OLDEST_VERSION - 1}, "older Dispersy .* start with a new home"),
        ({"name": "library", "version": FORMAT_VERSION}, "'library', not a store of Dispersy"),
        ("no stamp at all", "not a store of Dispersy"),
    ],
    ids=["newer", "older", "foreign", "unstamped"],
)
def test_another_format_stamp_is_a_clear_error(tmp_path: Path, stamp: object, said: str) -> None:
    """Goal: writer and reader name the folder and what to do, and the file stays as it was."""
    path = tmp_path / "store"
    before = stamped(path, stamp)
    for opening in (LmdbStore, LmdbReader):
        with pytest.raises(StorageError, match=said) as refused:
            opening(path)
        assert str(path) in str(refused.value)
    assert (path / "data.mdb").read_bytes() == before


def test_the_right_stamp_is_opened(tmp_path: Path) -> None:
    """Goal: what refuses the others does not refuse ours."""
    stamped(tmp_path / "store", {"name": FORMAT_NAME, "version": FORMAT_VERSION, "created": 1})
    LmdbStore(tmp_path / "store").close()


def test_a_file_that_cannot_be_opened_is_named_once(tmp_path: Path) -> None:
    """Goal: what LMDB says begins with the path already."""
    (tmp_path / "data.mdb").mkdir(parents=True)
    with pytest.raises(StorageError) as refused:
        LmdbStore(tmp_path)
    assert str(refused.value).count(str(tmp_path)) == 1
