"""The orders `find` and `missing`: by id, by slot, by range, the newest, and proofs, in both stores."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from dispersy.constants import SEQUENCE_MAX
from dispersy.errors import UsageError
from dispersy.protocol.identifiers import MemberId, MessageId
from dispersy.protocol.wire.frames import (
    MissingLast,
    MissingMessages,
    MissingProof,
    MissingSequences,
    RequestMissing,
    Wanted,
)
from dispersy.storage.lmdb_store import LmdbStore
from dispersy.storage.memory_store import MemoryStore
from dispersy.storage.store import Batch, CommunityRecord, StoreWriter
from dispersy.workers.keeping.finding import (
    FIND_IDS_MAX,
    LOOKS_MAX,
    PER_DATAGRAM_MAX,
    Proof,
    find_ids,
    find_missing,
    find_newest,
    find_slot,
)
from tests.oracle.store import Sample, block

ALICE, BOB = bytes([1]) * 32, bytes([2]) * 32


@pytest.fixture(params=["lmdb", "memory"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[StoreWriter]:
    made: StoreWriter = LmdbStore(tmp_path / "store") if request.param == "lmdb" else MemoryStore()
    made.commit(
        Batch(communities=[CommunityRecord(number, bytes([number]) * 32, "", BOB) for number in (1, 2)])
    )
    yield made
    made.close()


def add(store: StoreWriter, community: int, samples: Sequence[Sample]) -> list[int]:
    """Commit as an intake would; the cursors."""
    packed = block(community, samples)
    store.heads.advance_many(packed.records, packed.arena, community, b"\1" * len(samples))
    first, _ = store.commit(Batch(blocks=[packed]))
    return [first + sum(sample.payload_count for sample in samples[:at]) for at in range(len(samples))]


def test_ids_are_found_in_their_community_alone(store: StoreWriter) -> None:
    """Goal: one answer an id, in their order; of another community, or unknown: none."""
    first = [Sample(ALICE, 64, time, time, payload_count=2) for time in range(1, 4)]
    other = Sample(ALICE, 64, 9, 9)
    cursors = add(store, 1, first)
    add(store, 2, [other])
    ids = [first[2].message_id, bytes(32), other.message_id, first[0].message_id]
    assert find_ids(store, 1, ids) == [cursors[2], None, None, cursors[0]]
    assert find_ids(store, 1, []) == []


def test_what_is_no_list_of_ids_is_refused(store: StoreWriter) -> None:
    """Goal: too many at once, or a piece of an id, are told by name."""
    for ids, code in (([bytes(32)] * (FIND_IDS_MAX + 1), "count"), ([bytes(31)], "malformed")):
        with pytest.raises(UsageError) as caught:
            find_ids(store, 1, ids)
        assert caught.value.code == code


def test_a_slot_gives_both_that_prove_misbehaviour(store: StoreWriter) -> None:
    """Goal: none, one, or the two lowest ids of a slot."""
    twins = [Sample(ALICE, 64, 5, 5, salt=salt) for salt in (0, 1)]
    lone = Sample(BOB, 64, 6, 5)
    cursors = dict(zip(twins, add(store, 1, twins), strict=True))
    (cursor,) = add(store, 1, [lone])
    lower_first = sorted(twins, key=lambda sample: sample.message_id)
    assert find_slot(store, 1, ALICE, 64, 5) == [cursors[sample] for sample in lower_first]
    assert find_slot(store, 1, BOB, 64, 5) == [cursor]
    assert find_slot(store, 1, BOB, 65, 5) == find_slot(store, 2, BOB, 64, 5) == []


def test_the_newest_of_an_author_in_each_kind(store: StoreWriter) -> None:
    """Goal: who lost its own memory finds where its lanes end."""
    cursors = add(store, 1, [Sample(ALICE, 64, time, time) for time in (1, 2, 7)])
    (other,) = add(store, 1, [Sample(ALICE, 200, 8, 1)])
    add(store, 1, [Sample(BOB, 64, 9, 9)])
    assert find_newest(store, 1, ALICE) == [cursors[2], other]
    assert find_newest(store, 2, ALICE) == []


def test_a_head_of_which_nothing_lives_gives_the_one_before(store: StoreWriter) -> None:
    """Goal: what is no longer live is not the newest, also while its lane is held back by it."""
    cursors = add(store, 1, [Sample(ALICE, 64, time, time) for time in (1, 2, 7)])
    store.commit(Batch(unlive=[cursors[2]]))
    assert find_newest(store, 1, ALICE) == [cursors[1]]


def nothing(_: bytes) -> list[bytes]:
    return []


def found(store: StoreWriter, wanted: Wanted, *, budget: int = 64, proof: Proof = nothing) -> list[int]:
    return find_missing(store, 1, RequestMissing(7, budget, wanted), proof=proof)


def test_of_a_range_what_exists_is_found(store: StoreWriter) -> None:
    """Goal: ascending, out of range nothing, and of a slot both that prove misbehaviour."""
    sequences = (3, 4, 9, 9, 12)
    samples = [Sample(ALICE, 64, time, sequence) for time, sequence in enumerate(sequences, 1)]
    cursors = add(store, 1, samples)
    add(store, 1, [Sample(ALICE, 65, 20, 5), Sample(BOB, 64, 21, 5)])
    add(store, 2, [Sample(ALICE, 64, 22, 5)])
    assert found(store, MissingSequences(MemberId(ALICE), 64, 1, SEQUENCE_MAX))[:2] == cursors[:2]
    assert sorted(found(store, MissingSequences(MemberId(ALICE), 64, 1, SEQUENCE_MAX))) == cursors
    assert found(store, MissingSequences(MemberId(ALICE), 64, 4, 8)) == [cursors[1]]
    assert found(store, MissingSequences(MemberId(ALICE), 64, 5, 8)) == []
    assert found(store, MissingSequences(MemberId(ALICE), 64, 13, SEQUENCE_MAX)) == []


def test_the_last_of_a_kind_are_found(store: StoreWriter) -> None:
    """Goal: the newest first, of one author or of any."""
    alice = add(store, 1, [Sample(ALICE, 64, time, time) for time in range(1, 6)])
    (bob,) = add(store, 1, [Sample(BOB, 64, 7, 1)])
    add(store, 1, [Sample(BOB, 65, 8, 1)])
    assert found(store, MissingLast(64, 2, MemberId(ALICE))) == [alice[4], alice[3]]
    assert found(store, MissingLast(64, 2)) == [bob, alice[4]]
    assert found(store, MissingLast(66, 2)) == found(store, MissingLast(66, 2, MemberId(ALICE))) == []


def test_a_proof_is_found_once_for_all_that_it_permits(store: StoreWriter) -> None:
    """Goal: what permits stands before what it permits, and what is not live here is left out."""
    chain = [Sample(ALICE, 64, time, time) for time in range(1, 4)]
    cursors = add(store, 1, chain)
    first, second = MessageId(bytes([8]) * 32), MessageId(bytes([9]) * 32)
    proofs = {
        first: [chain[0].message_id, chain[1].message_id],
        second: [chain[0].message_id, bytes(32), chain[2].message_id],
    }
    assert found(store, MissingProof((second, first)), proof=proofs.__getitem__) == [
        cursors[0],
        cursors[2],
        cursors[1],
    ]


def test_messages_are_found_by_id(store: StoreWriter) -> None:
    """Goal: those that are live here, in the order asked for."""
    samples = [Sample(ALICE, 64, time, time) for time in range(1, 4)]
    cursors = add(store, 1, samples)
    ids = [MessageId(sample.message_id) for sample in reversed(samples)]
    assert found(store, MissingMessages((*ids, MessageId(bytes(32))))) == cursors[::-1]


def test_a_request_for_everything_is_bounded(store: StoreWriter, monkeypatch: pytest.MonkeyPatch) -> None:
    """Goal: forty bytes that ask for 2^63 sequences find what a budget carries, and a few hundred at most."""
    add(store, 1, [Sample(ALICE, 64, time, time) for time in range(1, 2 * LOOKS_MAX)])
    looks: list[int] = []
    neighbours = store.neighbours

    def counting(community: int, name: bytes, kind: int, sequence: int) -> object:
        looks.append(sequence)
        return neighbours(community, name, kind, sequence)

    monkeypatch.setattr(store, "neighbours", counting)
    everything = MissingSequences(MemberId(ALICE), 64, 1, SEQUENCE_MAX)
    assert len(found(store, everything, budget=255)) == LOOKS_MAX
    assert len(found(store, everything, budget=1)) == PER_DATAGRAM_MAX
    assert len(found(store, MissingLast(64, 255, MemberId(ALICE)), budget=1)) == PER_DATAGRAM_MAX
    assert len(looks) == LOOKS_MAX + 2 * PER_DATAGRAM_MAX
