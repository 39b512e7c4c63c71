"""The writer's tables beside dictionaries: whatever is done to both, both say the same."""

from __future__ import annotations

import random
import time
from array import array
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from dispersy.ext.table import ABSENT, Heads, Spans, Table
from dispersy.protocol.identifiers import lane_name
from dispersy.protocol.wire.records import MESSAGE
from tests.oracle.table import Heads as HeadsOracle
from tests.oracle.table import Spans as SpansOracle
from tests.oracle.table import Table as TableOracle

TWO_AUTHORS, NO_AUTHOR = 1, 2
# A few hundred keys, so that runs meet them again, and more than the smallest table holds, so that it grows.
keys = st.integers(0, 300).map(lambda number: random.Random(number).randbytes(16))
values = st.integers(0, ABSENT - 1)
# Two authors that speak often, so that heads meet what is newer, older and equal, and forty for growth.
authors = (st.integers(0, 1) | st.integers(0, 40)).map(lambda number: bytes([number]) * 32)
communities = st.sampled_from([1, 2**32 - 1])
flags = st.sampled_from([0, TWO_AUTHORS, NO_AUTHOR])
kinds = st.sampled_from([64, 255])
counters = st.integers(1, 12) | st.just(2**63 - 1)


def packed(numbers: list[int]) -> bytes:
    return array("Q", numbers).tobytes()


def unpacked(values: bytes) -> list[int]:
    return array("Q", values).tolist()


class TableBesideDictionary(RuleBasedStateMachine):
    """Every operation of Table, in any order, also across growth and into the holes that removals leave."""

    def __init__(self) -> None:
        super().__init__()
        self.table = Table(capacity=0)
        self.oracle = TableOracle()

    @rule(items=st.lists(st.tuples(keys, values), max_size=80))
    def insert(self, items: list[tuple[bytes, int]]) -> None:
        inserted = self.table.insert_many(
            b"".join(key for key, _ in items), packed([value for _, value in items])
        )
        assert list(inserted) == [self.oracle.insert(key, value) for key, value in items]

    @rule(wanted=st.lists(keys, max_size=80))
    def find(self, wanted: list[bytes]) -> None:
        found = unpacked(self.table.find_many(b"".join(wanted)))
        assert found == [self.oracle.values.get(key, ABSENT) for key in wanted]

    @rule(key=keys, value=values)
    def replace(self, key: bytes, value: int) -> None:
        self.table.replace(key, value)
        self.oracle.values[key] = value

    @rule(wanted=st.lists(keys, max_size=20))
    def remove(self, wanted: list[bytes]) -> None:
        for key in wanted:
            assert self.table.remove(key) == (self.oracle.values.pop(key, None) is not None)

    @rule()
    def clear(self) -> None:
        self.table.clear()
        self.oracle.values.clear()

    @invariant()
    def same_contents(self) -> None:
        assert len(self.table) == len(self.oracle.values)
        run_keys, run_values = self.table.sorted_items()
        split_keys = [run_keys[start : start + 16] for start in range(0, len(run_keys), 16)]
        assert list(zip(split_keys, unpacked(run_values), strict=True)) == self.oracle.sorted_items()


class HeadsBesideDictionary(RuleBasedStateMachine):
    """Every operation of Heads, in any order, also across growth."""

    def __init__(self) -> None:
        super().__init__()
        self.heads = Heads(capacity=0)
        self.was_put = False
        self.oracle = HeadsOracle()

    @rule(
        community=communities,
        messages=st.lists(
            st.tuples(authors, kinds, counters, counters, flags, st.booleans()),
            max_size=80,
        ),
    )
    def advance(self, community: int, messages: list[tuple[bytes, int, int, int, int, bool]]) -> None:
        records, arena, expected = b"", b"", []
        for author, kind, sequence, global_time, flags, is_wanted in messages:
            message = bytes([kind, flags]) + author + b"second" * 6
            records += MESSAGE.pack(
                len(arena),
                len(message),
                global_time,
                sequence,
                34,
                kind,
                flags,
                1,
                1,
                0,
                0,
                bytes(32),
                bytes(32),
            )
            arena += message
            concerns_us = is_wanted and flags != NO_AUTHOR
            expected.append(
                concerns_us
                and self.oracle.advance((community, lane_name(message), kind), sequence, global_time)
            )
        wanted = bytes(message[-1] for message in messages)
        assert list(self.heads.advance_many(records, arena, community, wanted)) == expected

    @rule(
        community=communities,
        author=authors,
        kind=kinds,
        sequence=counters,
        global_time=counters,
        irregular=st.booleans(),
    )
    def put(
        self, community: int, author: bytes, kind: int, sequence: int, global_time: int, irregular: bool
    ) -> None:
        self.heads.put(community, author, kind, sequence, global_time, irregular)
        self.oracle.put((community, author, kind), (sequence, global_time, irregular))
        self.was_put = True

    @rule(community=communities, author=authors, kind=kinds)
    def get(self, community: int, author: bytes, kind: int) -> None:
        assert self.heads.get(community, author, kind) == self.oracle.heads.get((community, author, kind))

    @rule(community=communities)
    def forget(self, community: int) -> None:
        self.heads.forget(community)
        self.oracle.forget(community)

    @rule()
    def clear(self) -> None:
        self.heads.clear()
        self.was_put = False
        self.oracle.heads.clear()
        self.oracle.changes.clear()

    @rule()
    def changed(self) -> None:
        assert self.heads.changed() == self.oracle.changed()
        self.was_put = False

    @rule(community=communities, kind=kinds)
    def lanes(self, community: int, kind: int) -> None:
        assert self.heads.lanes(community, kind) == self.oracle.lanes(community, kind)

    @invariant()
    def same_length(self) -> None:
        assert len(self.heads) == len(self.oracle.heads)
        assert self.heads.was_put == self.was_put


class SpansBesideDictionary(RuleBasedStateMachine):
    """Every operation of Spans, in any order, also across growth and into the holes that removals leave."""

    def __init__(self) -> None:
        super().__init__()
        self.spans = Spans(capacity=0)
        self.oracle = SpansOracle()

    @rule(members=st.lists(authors, max_size=20), kind=kinds, since=st.none() | st.just(0) | counters)
    def set(self, members: list[bytes], kind: int, since: int | None) -> None:
        for member in members:
            self.spans.set(member, kind, since)
            self.oracle.since[member, kind] = since

    @rule(members=st.lists(authors, max_size=20), kind=kinds)
    def remove(self, members: list[bytes], kind: int) -> None:
        for member in members:
            was_there = (member, kind) in self.oracle.since
            self.oracle.since.pop((member, kind), None)
            assert self.spans.remove(member, kind) == was_there

    @rule(
        messages=st.lists(st.tuples(authors, kinds, counters, flags), max_size=80),
        modes=st.lists(st.integers(0, 3), min_size=2, max_size=2),
    )
    def judge(self, messages: list[tuple[bytes, int, int, int]], modes: list[int]) -> None:
        records, arena, expected = b"", b"", []
        mode_of = dict(zip((64, 255), modes, strict=True))
        for author, kind, global_time, flags in messages:
            message = bytes([kind, flags]) + author + b"second" * 6
            records += MESSAGE.pack(
                len(arena), len(message), global_time, 1, 34, kind, flags, 1, 1, 0, 0, bytes(32), bytes(32)
            )
            arena += message
            named = [author] if not flags else [] if flags == NO_AUTHOR else [author, b"second"]
            expected.append(self.oracle.judge(mode_of[kind], named, kind, global_time))
        all_modes = bytes(mode_of.get(kind, 2) for kind in range(256))
        assert list(self.spans.judge_many(records, arena, all_modes)) == expected

    @invariant()
    def same_length(self) -> None:
        assert len(self.spans) == len(self.oracle.since)


TestTable = TableBesideDictionary.TestCase
TestTable.settings = settings(deadline=None, max_examples=60, stateful_step_count=30)
TestHeads = HeadsBesideDictionary.TestCase
TestHeads.settings = settings(deadline=None, max_examples=60, stateful_step_count=30)

TestSpans = SpansBesideDictionary.TestCase
TestSpans.settings = settings(deadline=None, max_examples=60, stateful_step_count=30)


@settings(deadline=None, max_examples=20)
@given(seed=st.integers(0, 2**32))
def test_a_crowded_table_finds_all_that_was_not_removed(seed: int) -> None:
    """Goal: at full load, where keys stand far from home, closing holes loses and duplicates nothing."""
    rng = random.Random(seed)
    count = 1433  # all that 2,048 slots hold
    table = Table(capacity=count)
    size_before = table.size_bytes
    numbered = {rng.randbytes(16): number for number in range(count)}
    table.insert_many(b"".join(numbered), packed(list(numbered.values())))
    assert table.size_bytes == size_before
    for key in rng.sample(sorted(numbered), count // 2):
        assert table.remove(key)
        del numbered[key]
    assert unpacked(table.find_many(b"".join(numbered))) == list(numbered.values())
    assert len(table) == len(numbered)


def test_capacity_is_held_without_growing() -> None:
    """Goal: who sizes a table beforehand pays for no growth, and one key more doubles it."""
    for capacity in (0, 1, 11, 12, 1000, 2867, 2868):
        table = Table(capacity=capacity)
        size_bytes = table.size_bytes
        for number in range(capacity):
            table.insert_many(number.to_bytes(16, "big"), packed([number]))
        assert table.size_bytes == size_bytes
    for number in range(2868, 5735):
        table.replace(number.to_bytes(16, "big"), number)
    assert table.size_bytes == 2 * size_bytes


def test_keys_aimed_at_one_place_spread() -> None:
    """Goal: keys with equal ends, as an attacker would grind them, cost about what random ones do.

    Where a key's own bits choose its slot they meet in one, and the time grows with the square.
    """
    count = 50_000
    numbers = packed(list(range(count)))

    def seconds(keys: bytes) -> float:
        table = Table(capacity=count)
        start = time.perf_counter()
        assert table.insert_many(keys, numbers) == b"\1" * count
        return time.perf_counter() - start

    low_ends = b"".join(number.to_bytes(8, "big") + bytes(8) for number in range(count))
    high_ends = b"".join(bytes(8) + number.to_bytes(8, "little") for number in range(count))
    spread = random.Random(1).randbytes(count * 16)
    limit = 30 * min(seconds(spread) for _ in range(3))
    assert min(seconds(low_ends) for _ in range(3)) < limit
    assert min(seconds(high_ends) for _ in range(3)) < limit


@pytest.mark.parametrize(
    ("sequence", "global_time", "irregular", "in_order"),
    [
        (6, 51, False, True),
        (9, 99, False, True),
        (6, 50, False, False),
        (5, 51, False, False),
        (5, 50, False, False),
        (4, 60, False, False),
        (6, 49, False, False),
        (6, 51, True, False),
    ],
)
def test_in_order_is_later_in_both(sequence: int, global_time: int, irregular: bool, in_order: bool) -> None:
    """Goal: behind sequence 5 and time 50 only what is above both passes, and nothing when irregular."""
    heads, author = Heads(), b"a" * 32
    heads.put(1, author, 64, 5, 50, irregular)
    heads.changed()
    record = MESSAGE.pack(0, 34, global_time, sequence, 34, 64, 0, 1, 1, 0, 0, bytes(32), bytes(32))
    assert heads.advance_many(record, b"\x40\0" + author, 1, b"\1") == bytes([in_order])
    expected = (sequence, global_time, False) if in_order else (5, 50, irregular)
    assert heads.get(1, author, 64) == expected
    assert heads.changed() == ([(1, author, 64, *expected)] if in_order else [])
    assert heads.advance_many(record, b"\x40\0" + author, 2, b"\1") == b"\1", "another community's first"


def test_empty_inputs() -> None:
    """Goal: nothing in, nothing out, at every entrance."""
    table, heads = Table(), Heads()
    assert table.sorted_items() == (b"", b"")
    assert table.insert_many(b"", b"") == table.find_many(b"") == heads.advance_many(b"", b"", 1, b"") == b""
    assert heads.changed() == []
    assert Spans().judge_many(b"", b"", bytes(256)) == b""


RECORD = MESSAGE.pack(0, 34, 1, 1, 34, 64, 0, 1, 1, 0, 0, bytes(32), bytes(32))
ENDS_OUTSIDE = MESSAGE.pack(1, 34, 1, 1, 34, 64, 0, 1, 1, 0, 0, bytes(32), bytes(32))
FAR_OUTSIDE = MESSAGE.pack(2**32 - 1, 2**32 - 1, 1, 1, 34, 64, 0, 1, 1, 0, 0, bytes(32), bytes(32))
PAIR_TOO_SHORT = MESSAGE.pack(0, 65, 1, 1, 65, 64, TWO_AUTHORS, 1, 2, 0, 0, bytes(32), bytes(32))
TOO_SHORT = MESSAGE.pack(0, 33, 1, 1, 33, 64, 0, 1, 1, 0, 0, bytes(32), bytes(32))


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda: Table(capacity=-1), "must not be negative"),
        (lambda: Heads(capacity=-1), "must not be negative"),
        (lambda: Table().insert_many(bytes(17), bytes(8)), "16-byte keys"),
        (lambda: Table().insert_many(bytes(16), bytes(7)), "must be 8 for each of 1 keys"),
        (lambda: Table().insert_many(bytes(16), b"\xff" * 8), "ABSENT"),
        (lambda: Table().find_many(bytes(15)), "16-byte keys"),
        (lambda: Table().replace(bytes(16), ABSENT), "ABSENT"),
        (lambda: Table().replace(b"", 1), "must be 16"),
        (lambda: Table().remove(bytes(17)), "must be 16"),
        (lambda: Heads().get(1, bytes(31), 1), "must be 32"),
        (lambda: Heads().put(1, bytes(33), 1, 1, 1, False), "must be 32"),
        (lambda: Spans(capacity=-1), "must not be negative"),
        (lambda: Spans().set(bytes(31), 64, 1), "must be 32"),
        (lambda: Spans().set(bytes(32), 64, 2**64 - 1), "no global time"),
        (lambda: Spans().remove(bytes(33), 64), "must be 32"),
        (lambda: Spans().judge_many(bytes(95), b"", bytes(256)), "96-byte"),
        (lambda: Spans().judge_many(RECORD, bytes(34), bytes(255)), "256 kinds"),
        (lambda: Spans().judge_many(ENDS_OUTSIDE, bytes(34), bytes(256)), "inside the arena"),
        (lambda: Spans().judge_many(TOO_SHORT, bytes(34), bytes(256)), "hold its authors"),
        (lambda: Heads().advance_many(bytes(95), b"", 1, b"\1"), "96-byte"),
        (lambda: Heads().advance_many(RECORD, bytes(34), 1, b""), "one for each of 1 records"),
        (lambda: Heads().advance_many(ENDS_OUTSIDE, bytes(34), 1, b"\1"), "inside the arena"),
        (lambda: Heads().advance_many(FAR_OUTSIDE, bytes(34), 1, b"\1"), "inside the arena"),
        (lambda: Heads().advance_many(TOO_SHORT, bytes(34), 1, b"\1"), "hold its authors"),
        (lambda: Heads().advance_many(PAIR_TOO_SHORT, bytes(66), 1, b"\1"), "hold its authors"),
    ],
)
def test_arguments_that_do_not_fit_are_named(call: Callable[[], object], said: str) -> None:
    """Goal: a caller's fault is a ValueError that says what would be right, before anything is read."""
    with pytest.raises(ValueError, match=said):
        call()


def test_a_batch_with_a_bad_record_changes_nothing() -> None:
    """Goal: records are checked before the first head moves."""
    heads = Heads()
    with pytest.raises(ValueError, match="record 1"):
        heads.advance_many(RECORD + ENDS_OUTSIDE, bytes(34), 1, b"\1\1")
    assert len(heads) == 0
    assert heads.changed() == []
