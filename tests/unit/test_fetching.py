"""Goal: what an application waits for is asked of every neighbour once, and it hears what came of it: as soon
as it is here, as soon as nobody is left to ask, and in any case by its limit."""

from __future__ import annotations

from collections import Counter
from random import Random

import pytest

from dispersy.constants import NAMED_EMPTY_SETTLE_S, NAMED_SETTLE_S, WANTED_MAX
from dispersy.errors import UsageError
from dispersy.protocol.address import make_address
from dispersy.protocol.identifiers import MessageId
from dispersy.protocol.sync.named_requests import NamedRequests
from dispersy.protocol.wants import Wants
from dispersy.protocol.wire.missing import MissingLast, MissingMessages, encode_wanted
from dispersy.storage.memory_store import MemoryStore
from dispersy.storage.store import Batch, CommunityRecord
from dispersy.workers.authoring.fetching import Fetching
from dispersy.workers.keeping.communities import Communities
from tests.oracle.store import Sample, block

SAMPLE = Sample(b"a" * 32, 65, 1, 1)
NEIGHBOURS = [make_address(f"203.0.113.{number}", 1) for number in (1, 2, 3)]


def one(message_id: bytes) -> bytes:
    return encode_wanted(MissingMessages((MessageId(message_id),)))


@pytest.fixture
def house() -> tuple[MemoryStore, Fetching]:
    store = MemoryStore()
    store.commit(Batch(communities=[CommunityRecord(1, b"c" * 32, "one", b"m" * 32)]))
    communities = Communities(store, Counter())
    communities.read_store()
    return store, Fetching(store, communities)


def test_every_neighbour_is_asked_and_then_it_is_told() -> None:
    named = NamedRequests(rng=Random(1), source_key=b"key")
    for each in NEIGHBOURS:
        named.hear(each, 0.0)
    wanted = one(SAMPLE.message_id)
    named.set_wants(Wants(fetches=[wanted]), 0.0)
    now, asked = 0.0, []
    for _ in NEIGHBOURS:
        ((source, request),) = named.step(now)
        assert encode_wanted(request.wanted) == wanted
        assert named.drain_exhausted() == []
        asked.append(source)
        named.receive_answer(source, request.number, now)
        now += NAMED_EMPTY_SETTLE_S
    assert sorted(asked) == sorted(NEIGHBOURS)
    assert named.step(now) == []
    assert named.drain_exhausted() == [(wanted, 3)]
    # Nobody waits any more: it is forgotten.
    named.set_wants(Wants(), now)
    assert named.next_deadline() is None


def test_what_an_answer_brought_has_its_time_to_be_stored() -> None:
    named = NamedRequests(rng=Random(1), source_key=b"key")
    named.hear(NEIGHBOURS[0], 0.0)
    named.set_wants(Wants(fetches=[encode_wanted(MissingLast(65, 9))]), 0.0)
    ((source, request),) = named.step(0.0)
    assert named.receive_messages(source, request.number)
    named.receive_answer(source, request.number, 0.0)
    named.step(NAMED_EMPTY_SETTLE_S)
    assert named.drain_exhausted() == []
    named.step(NAMED_SETTLE_S)
    assert [count for _, count in named.drain_exhausted()] == [1]


def test_it_ends_when_it_is_here(house: tuple[MemoryStore, Fetching]) -> None:
    store, fetching = house
    wanted = one(SAMPLE.message_id)
    assert [fetching.begin(ticket, 1, wanted, limit_s=9) for ticket in ("a", "b")] == [None, None]
    assert fetching.wanted(1) == [wanted], "asked for once, whoever waits"
    store.commit(Batch(blocks=[block(1, [SAMPLE])]))
    fetching.committed([1])
    assert fetching.drain_outcomes() == [("a", {"cursors": [1]}), ("b", {"cursors": [1]})]
    assert fetching.wanted(1) == []
    assert fetching.begin("c", 1, wanted, limit_s=9) == {"cursors": [1]}


def test_it_ends_when_nobody_is_left_or_it_takes_too_long(house: tuple[MemoryStore, Fetching]) -> None:
    _, fetching = house
    fetching.begin("early", 1, one(bytes(32)), limit_s=1)
    fetching.begin("late", 1, one(bytes(32)), limit_s=5)
    for now in (10.0, 10.9):
        fetching.handle_timer(now)
        assert fetching.drain_outcomes() == []
    fetching.handle_timer(11.0)
    ((ticket, error),) = fetching.drain_outcomes()
    assert isinstance(error, UsageError)
    assert (ticket, error.code) == ("early", "fetch-unanswered")
    fetching.exhaust(1, one(bytes(32)), 3)
    ((ticket, error),) = fetching.drain_outcomes()
    assert isinstance(error, UsageError)
    assert (ticket, error.code, fetching.wanted(1)) == ("late", "message-unknown", [])
    assert "any of 3 neighbours" in str(error)


def test_so_many_are_fetched_at_once_and_no_more(house: tuple[MemoryStore, Fetching]) -> None:
    _, fetching = house
    for number in range(WANTED_MAX):
        fetching.begin(number, 1, one(number.to_bytes(32, "big")), limit_s=9)
    with pytest.raises(UsageError) as refused:
        fetching.begin("more", 1, one(b"\xff" * 32), limit_s=9)
    assert refused.value.code == "busy"
    assert fetching.begin("again", 1, one(bytes(32)), limit_s=9) is None
