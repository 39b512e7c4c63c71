"""The kernel of the store's rows beside its plain twin, and what does not fit refused."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dispersy.ext import rows
from dispersy.protocol.intake.marks import ERASED, ON_REQUEST
from dispersy.protocol.wire.records import MESSAGE
from dispersy.storage.store import ON_REQUEST_PART
from tests.oracle import rows as oracle

steady = settings(deadline=None)
u64 = st.integers(0, 2**64 - 1)
times = st.one_of(st.integers(1, 3), u64)
marks = st.sampled_from([0, 1, ERASED, ON_REQUEST, ON_REQUEST | ERASED])
heads = {mark: bytes([mark]) * 12 for mark in (0, 1, ERASED, ON_REQUEST, ON_REQUEST | ERASED)}
# Few different bytes, so that keys share their beginnings with each other and with the bound.
few = st.sampled_from([b"\0", b"\1", b"\xff"])
keys = st.tuples(few, few, few).map(lambda parts: parts[0] * 4 + parts[1] * 24 + parts[2] * 16)
cursors = st.sampled_from([bytes(8), bytes(range(8)), b"\xff" * 8])


@st.composite
def blocks(draw: st.DrawFn) -> tuple[bytes, bytes, bytes]:
    """Records, arena and marks of messages with one author or two, which the arena has in any order."""
    messages = draw(st.lists(st.tuples(st.booleans(), st.binary(max_size=9)), max_size=9))
    arena, records = b"", []
    for is_pair, rest in messages:
        message = bytes([64, is_pair]) + bytes(range(64 if is_pair else 32)) + rest
        ids = bytes([draw(st.integers(0, 255))]) * 32
        place = (len(arena), len(message), draw(times), draw(u64))
        records.append(MESSAGE.pack(*place, 40, 64, is_pair, draw(st.integers(1, 255)), 1, 0, 3, ids, ids))
        arena += message
    drawn = draw(st.permutations(records))
    count = len(drawn)
    chosen = draw(st.lists(marks, min_size=count, max_size=count))
    return b"".join(drawn), arena, bytes(chosen)


@steady
@given(blocks(), st.integers(1, 2**63), st.integers(0, ON_REQUEST_PART - 1))
def test_the_rows_of_a_block_are_those_of_its_messages(
    block: tuple[bytes, bytes, bytes], first: int, community: int
) -> None:
    """Few times, so that the order is told by ids, too, and by what is on request before both."""
    made = rows.block_rows(*block, first, community, heads)
    assert made == oracle.block_rows(*block, first, community, heads)


@steady
@given(st.lists(st.tuples(keys, cursors), max_size=30), st.sampled_from([4, 12, 28, 44, 60]), st.data())
def test_a_scan_ends_at_its_bound(found: list[tuple[bytes, bytes]], size: int, data: st.DataObject) -> None:
    """Bounds are shorter than keys, longer, or as long and maybe one of them."""
    bounds = [key[:size].ljust(data.draw(st.sampled_from([0, size])), b"\0") for key, _ in found]
    bound = data.draw(st.sampled_from([*bounds, bytes(size), b"\xff" * size]))
    descends = data.draw(st.booleans())
    found.sort(reverse=descends)
    assert rows.scanned(found, bound, descends=descends) == oracle.scanned(found, bound, descends=descends)


@steady
@given(st.integers(0, 9).flatmap(lambda count: st.binary(min_size=40 * count, max_size=40 * count)))
def test_ids_are_the_ends_of_keys(packed: bytes) -> None:
    assert rows.ids_of(packed) == oracle.ids_of(packed)


@steady
@given(st.lists(st.binary(min_size=32, max_size=32), max_size=9))
def test_id_keys_are_the_beginnings_of_ids(ids: list[bytes]) -> None:
    records = b"".join(MESSAGE.pack(0, 34, 1, 1, 34, 64, 0, 1, 0, 0, 0, each, bytes(32)) for each in ids)
    assert rows.id_keys(records) == b"".join(each[:16] for each in ids)


@steady
@given(st.lists(blocks(), max_size=4))
def test_joined_batches_are_read_as_they_were(batches: list[tuple[bytes, bytes, bytes]]) -> None:
    records, arena = rows.joined([(packed, area) for packed, area, _ in batches])
    each = [(area, record) for packed, area, _ in batches for record in split(packed)]
    for (before, old), new in zip(each, split(records), strict=True):
        (at, size), (moved, same_size) = (MESSAGE.unpack(record)[:2] for record in (old, new))
        assert arena[moved : moved + same_size] == before[at : at + size]
        assert new[4:] == old[4:]


def split(records: bytes) -> list[bytes]:
    return [records[at : at + MESSAGE.size] for at in range(0, len(records), MESSAGE.size)]


@steady
@given(blocks(), st.sampled_from([bytes(range(32)), bytes(range(32, 64)), bytes(32)]))
def test_an_author_is_found_where_it_stands_first(block: tuple[bytes, bytes, bytes], author: bytes) -> None:
    records, arena, _ = block
    authors = [arena[MESSAGE.unpack(record)[0] + 2 :][:32] for record in split(records)]
    assert rows.has_author(records, arena, author) == (author in authors)


def test_what_does_not_fit_is_refused() -> None:
    """Nothing is read beside what was given, whatever a record says."""
    message = bytes(34)
    record = MESSAGE.pack(0, 34, 1, 1, 34, 64, 0, 1, 0, 0, 0, bytes(32), bytes(32))
    outside = MESSAGE.pack(1, 34, 1, 1, 34, 64, 0, 1, 0, 0, 0, bytes(32), bytes(32))
    short = MESSAGE.pack(0, 34, 1, 1, 34, 64, 1, 1, 0, 0, 0, bytes(32), bytes(32))
    empty = MESSAGE.pack(0, 34, 1, 1, 34, 64, 0, 0, 0, 0, 0, bytes(32), bytes(32))
    for records, reason in (
        (record[:-1], "not those of 1 marks"),
        (outside, "does not lie inside the arena"),
        (short, "without an author"),
        (empty, "without payloads"),
    ):
        with pytest.raises(ValueError, match=reason):
            rows.block_rows(records, message, b"\0", 1, 1, heads)
    for records, author, reason in (
        (record[:-1], bytes(32), "not whole"),
        (record, bytes(31), "must be 32"),
        (outside, bytes(32), "does not lie inside the arena"),
    ):
        with pytest.raises(ValueError, match=reason):
            rows.has_author(records, message, author)
    with pytest.raises(ValueError, match="not whole"):
        rows.joined([(record, message), (record[:-1], message)])
    with pytest.raises(KeyError):
        rows.block_rows(record, message, b"\2", 1, 1, heads)
    for row in ((bytes(43), bytes(8)), (bytes(44), bytes(9))):
        with pytest.raises(ValueError, match="row 0 is not"):
            rows.scanned([row], b"\xff" * 4)
    with pytest.raises(ValueError, match="not whole"):
        rows.ids_of(bytes(41))
    with pytest.raises(ValueError, match="not whole"):
        rows.id_keys(bytes(95))


def test_the_kernel_is_compiled_with_the_numbers_of_the_store() -> None:
    names = {"ERASED": ERASED, "ON_REQUEST": ON_REQUEST, "ON_REQUEST_PART": ON_REQUEST_PART}
    assert names == rows.CONSTANTS
