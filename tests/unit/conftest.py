"""What modules of this room share: the gateway of the gateway's tests, and either store, opened again."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from dispersy.storage.lmdb_store import LmdbStore
from dispersy.storage.memory_store import MemoryStore
from dispersy.storage.store import StoreWriter
from tests.unit.gateway_house import House


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    """A module may have another house of its own."""
    made = House(tmp_path)
    yield made
    made.close()


@pytest.fixture(params=["lmdb", "memory"])
def opened(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Callable[[], StoreWriter]]:
    """Opens the store, and opens it again; closed behind each test."""
    stores: list[StoreWriter] = []

    def open_store() -> StoreWriter:
        if request.param == "lmdb":
            for store in stores:
                store.close()
            stores[:] = [LmdbStore(tmp_path / "store", run_records=4)]
        elif stores:
            stores[0].reload()
        else:
            stores.append(MemoryStore())
        return stores[0]

    yield open_store
    for store in stores:
        store.close()
