"""Goal: whatever becomes live or is so no longer, both stores' trees are those of a naive count and sum over
each node's stretch of global time, and a tree that is not of the set is made again."""

from __future__ import annotations

from collections.abc import Iterator
from hashlib import blake2b
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dispersy.errors import StorageError
from dispersy.protocol.identifiers import CommunityId, sum_key
from dispersy.protocol.sync.tree_answer import answer_tree
from dispersy.protocol.tree import BRANCHES, LEVELS, children_of, level_over, range_of
from dispersy.protocol.wire.frames import Busy, Tree, TreeRequest
from dispersy.protocol.wire.numbers import FrameType
from dispersy.protocol.wire.packing import decode_uvarint
from dispersy.storage.layout import COMMUNITY, META_TREE
from dispersy.storage.lmdb_store import LmdbReader, LmdbStore
from dispersy.storage.memory_store import MemoryStore
from dispersy.storage.store import Batch, CommunityRecord, StoreReader, StoreWriter
from simulation.holdings import COMMUNITY_ID as SIMULATED_ID
from simulation.holdings import StoreHoldings, history, make_holdings
from simulation.shared import Base, Corpus, SharedHoldings
from tests.oracle.store import Sample, block

NUMBER = 7
COMMUNITY_ID = CommunityId(b"c" * 32)
AUTHOR = b"a" * 32
RECORD = CommunityRecord(NUMBER, COMMUNITY_ID, "name", b"m" * 32)

times = st.one_of(
    st.integers(1, 600),
    st.integers(0, 40).map(lambda exponent: 1 << exponent),
    st.integers(1, (1 << 63) - 1),
    st.just((1 << 63) - 1),
)


def naive(live: list[tuple[int, bytes]], level: int, index: int) -> tuple[int, int]:
    """Of (global time, id) pairs."""
    width = 256 * 64**level
    inside = [each for time, each in live if index * width <= time < (index + 1) * width]
    key = sum_key(COMMUNITY_ID)
    parts = [int.from_bytes(blake2b(each, key=key, digest_size=16).digest()[:12], "big") for each in inside]
    return len(inside), sum(parts) % (1 << 96)


def check(stores: list[StoreReader], live: list[Sample]) -> None:
    held = [(sample.global_time, sample.message_id) for sample in live]
    for level in range(LEVELS):
        near = {time >> (8 + 6 * level) for time, _ in held} | {0, 1}
        indexes = sorted(near | {index + 1 for index in near})
        expected = [naive(held, level, index) for index in indexes]
        for store in stores:
            store.refresh()
            assert store.tree(NUMBER, level, indexes) == expected


def samples(chosen: list[int]) -> list[Sample]:
    return [Sample(AUTHOR, 64, sequence, time) for sequence, time in enumerate(chosen, start=1)]


@given(st.lists(times, min_size=1, max_size=12), st.data())
def test_trees_follow_every_commit(chosen: list[int], data: st.DataObject) -> None:
    everything = samples(chosen)
    with TemporaryDirectory() as folder:
        writers: list[StoreWriter] = [LmdbStore(folder), MemoryStore()]
        stores: list[StoreReader] = [*writers, LmdbReader(folder)]
        for writer in writers:
            writer.commit(Batch(communities=[RECORD]))
        asked_first = data.draw(st.booleans())
        if asked_first:
            check(stores, [])
        cut = data.draw(st.integers(0, len(everything)))
        live: set[int] = set()
        for part in (range(cut), range(cut, len(everything))):
            if not part:
                continue
            for writer in writers:
                writer.commit(Batch(blocks=[block(NUMBER, [everything[at] for at in part])]))
            live |= set(part)
            gone = data.draw(st.sets(st.sampled_from(sorted(live))))
            back = data.draw(st.sets(st.sampled_from(sorted(gone)))) if gone else set()
            for writer in writers:
                writer.commit(Batch(unlive=[at + 1 for at in sorted(gone)]))
                writer.commit(Batch(relive=[(at + 1, 0) for at in sorted(back)]))
            live -= gone - back
            check(stores, [everything[at] for at in sorted(live)])
        for store in (*stores[2:], *writers):
            store.close()


@pytest.fixture
def store(tmp_path: Path) -> Iterator[LmdbStore]:
    opened = LmdbStore(tmp_path)
    opened.commit(Batch(communities=[RECORD]))
    yield opened
    opened.close()


def tamper(store: LmdbStore) -> None:
    """As a store of before has it, which knows of no trees."""
    store.release()
    with store._environment.begin(write=True) as txn:
        assert txn.delete(META_TREE + COMMUNITY.pack(NUMBER), db=store._databases.meta)


def test_a_store_of_before_is_brought_up_to_date(store: LmdbStore, tmp_path: Path) -> None:
    """Goal: a tree of another set is never served; the next start makes it, or the next commit."""
    live = samples([1, 255, 256, 70_000, 1 << 40])
    store.commit(Batch(blocks=[block(NUMBER, live[:3])]))
    reader = LmdbReader(tmp_path)
    tamper(store)
    reader.refresh()
    assert reader.tree(NUMBER, 0, [0]) is None
    store.reload()
    check([store, reader], live[:3])
    tamper(store)
    store.commit(Batch(blocks=[block(NUMBER, live[3:])]))
    check([store, reader], live)
    reader.close()


def test_a_failed_commit_leaves_it(store: LmdbStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """Goal: a tree is of the transaction: what did not happen is not in it."""
    live = samples([1, 2, 3])
    store.commit(Batch(blocks=[block(NUMBER, live[:2])]))

    def fail(*_arguments: object, **_options: object) -> None:
        raise OSError("no disk")

    monkeypatch.setattr(store._stored_heads, "write", fail)
    with pytest.raises(StorageError, match="no disk"):
        store.commit(Batch(blocks=[block(NUMBER, live[2:])]))
    store.reload()
    check([store], live[:2])


def test_a_purge_leaves_nothing_of_it(store: LmdbStore) -> None:
    """Goal: what a removed community leaves in the store is no tree."""
    store.commit(Batch(blocks=[block(NUMBER, samples([1, 300, 1 << 50]))]))
    for _ in range(3):
        if store.communities():
            store.commit(Batch(purges=[(NUMBER, 2)]))
    assert not store.communities()
    store.release()
    with store._environment.begin() as txn:
        names = txn.cursor(store._databases.meta).iternext(values=False)
        assert not [name for name in names if name.startswith(META_TREE)]


def test_a_simulated_node_has_the_tree_of_its_set() -> None:
    """Goal: a base that is shared, less some and with others, has the tree that a store of the same has."""
    messages = history(2_000)
    corpus = Corpus()
    numbers = corpus.numbers(messages)
    shared = SharedHoldings(corpus, Base(corpus, numbers[:1_500]), lacking=numbers[100:900:7])
    for _ in range(2):
        # The second time it is kept up, not made.
        shared.take(numbers[1_200:1_700])
        plain = make_holdings()
        plain.add([corpus.messages[number] for number in numbers if shared.holds(number)])
        for level in range(3):
            assert shared.tree(level, range(12)) == plain.tree(level, range(12))
        numbers = numbers[:1_200] + numbers[1_700:] + numbers[1_200:1_700]


def answered(request: TreeRequest, holdings: StoreHoldings) -> list[Tree]:
    found = []
    for each in answer_tree(request, holdings):
        size, start = decode_uvarint(each, 1)
        assert each[0] == FrameType.TREE
        assert len(each) == start + size <= 1_182
        found.append(Tree.decode(each[start:]))
    return found


def test_an_answer_adds_up_from_the_root_to_the_leaves() -> None:
    """Goal: the children of every node add up to it, and the root's to the summary."""
    holdings = make_holdings()
    holdings.add(history(3_000))
    summary = holdings.summary()
    nodes = {0: (summary.count, summary.sum)}
    for level in range(LEVELS, 0, -1):
        below: dict[int, tuple[int, int]] = {}
        asked = sorted(nodes)
        trees = answered(TreeRequest(9, level, tuple(asked)), holdings)
        assert [(tree.number, tree.level, tree.index) for tree in trees] == [(9, level, at) for at in asked]
        for tree in trees:
            children = zip(children_of(tree.index), tree.children, strict=True)
            filled = {at: child for at, child in children if child[0]}
            assert sum(count for count, _ in filled.values()) == nodes[tree.index][0]
            assert sum(total for _, total in filled.values()) % (1 << 96) == nodes[tree.index][1]
            below |= filled
        nodes = below
    assert len(nodes) == (summary.highest >> 8) + 1
    low, high = range_of(0, 3)
    assert nodes[3][0] == len(holdings.scan(low, high, 1_000)[0]) // 40
    assert level_over(summary.highest) == 1
    assert holdings.community_id() == SIMULATED_ID


def test_the_longest_answer_fits_its_datagram() -> None:
    children = tuple(((1 << 32) - 1, (1 << 96) - 1) for _ in range(BRANCHES))
    assert len(Tree(1, 1, Random(1).randrange(1 << 48), children).encode()) + 3 <= 1_182


def test_a_store_without_its_tree_says_so() -> None:
    class Without(StoreHoldings):
        def tree(self, level: int, indexes: object) -> None:  # type: ignore[override]  # noqa: ARG002
            return None

    frames = answer_tree(TreeRequest(5, 1, (0, 1)), Without(make_holdings().store))
    assert [each[0] for each in frames] == [FrameType.BUSY]
    assert Busy.decode(frames[0][2:]).number == 5
