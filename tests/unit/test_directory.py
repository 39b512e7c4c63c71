"""Goal: what the gateway knows of communities goes when they do: a node may join and purge for ever."""

from __future__ import annotations

from dispersy.bus.settings import RoleSettings
from dispersy.protocol.definitions.definition import default_definition, encode_definition
from dispersy.service.interface.directory import Directory
from dispersy.service.operations.overview import Overview
from dispersy.service.operations.status import Reports
from dispersy.storage.memory_store import MemoryStore
from dispersy.storage.store import Batch
from tests.unit.gateway_house import CHAT, NEWS, record_of

ROUNDS = 20
ENTRIES_MAX = 100


def join(store: MemoryStore, number: int, community_id: bytes, name: str) -> None:
    record, blocks = record_of(number, community_id, name, encode_definition(default_definition(name)))
    store.commit(Batch(communities=[record], blocks=blocks))


def test_what_was_purged_is_forgotten() -> None:
    """Each time it is joined again it has another number; what is still there stays known."""
    store, directory = MemoryStore(), Directory()
    overview = Overview(RoleSettings("", "", "", 1), Reports(), directory, now=lambda: 0.0)
    join(store, 1, NEWS, "news")
    for number in range(2, ROUNDS):
        join(store, number, CHAT, "chat")
        directory.update(store)
        assert [entry["name"] for entry in overview.communities(store)] == ["news", "chat"]
        assert directory.kind_name(number, 64) == "text"
        store.commit(Batch(purges=[(number, ENTRIES_MAX)]))
        directory.update(store)
    assert directory.numbers() == {1}
    assert directory.kind_name(1, 64) == "text"
    assert [directory.kind_name(number, 64) for number in range(2, ROUNDS)] == [""] * (ROUNDS - 2)
    assert directory._definitions.keys() == {1}
    assert overview._governing_known.keys() == {1, ROUNDS - 1}
