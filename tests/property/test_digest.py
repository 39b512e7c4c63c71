"""The digest kernel beside its plain twin, and the arguments that it refuses before it reads."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from dispersy.ext import digest
from dispersy.protocol.wire.records import MESSAGE, STRIPPED
from tests.oracle import digest as oracle

HEADER_SIZE_MAX = 165
identifiers = st.binary(min_size=32, max_size=32)


@st.composite
def messages(draw: st.DrawFn) -> tuple[bytes, int, int]:
    """(bytes, header size, signature count); what the bytes mean is of no concern to a digest."""
    header = draw(
        st.binary(max_size=HEADER_SIZE_MAX) | st.binary(min_size=HEADER_SIZE_MAX, max_size=HEADER_SIZE_MAX)
    )
    payload_part = draw(st.binary(min_size=1, max_size=200))
    signature_count = draw(st.integers(0, 2))
    return header + payload_part + bytes(64 * signature_count), len(header), signature_count


def record(offset: int, length: int, header_size: int, signature_count: int, state: int = 0) -> bytes:
    return MESSAGE.pack(
        offset, length, 7, 8, header_size, 64, 1, 1, signature_count, state, 6, b"i" * 32, b"d" * 32
    )


@settings(deadline=None)
@given(batch=st.lists(messages(), max_size=10), community_id=identifiers, gap=st.binary(max_size=5))
def test_identify_many(batch: list[tuple[bytes, int, int]], community_id: bytes, gap: bytes) -> None:
    """Goal: id and digest are the oracle's, and nothing else of a record changes."""
    records, arena = bytearray(), gap
    for message, header_size, signature_count in batch:
        records += record(len(arena), len(message), header_size, signature_count)
        arena += message + gap
    before = [MESSAGE.unpack_from(records, start) for start in range(0, len(records), MESSAGE.size)]
    digest.identify_many(records, arena, community_id)
    for index, (message, header_size, signature_count) in enumerate(batch):
        fields = MESSAGE.unpack_from(records, index * MESSAGE.size)
        assert fields[-2:] == oracle.identify(message, header_size, signature_count, community_id)
        assert fields[:-2] == before[index][:-2]


@settings(deadline=None)
@given(ids=st.lists(identifiers, max_size=20), key=st.binary(min_size=16, max_size=16))
@example(ids=[bytes([number]) * 32 for number in range(200)], key=bytes(16))
def test_sum_many(ids: list[bytes], key: bytes) -> None:
    """Goal: the oracle's sum modulo 2^96, carries included (200 terms overflow surely), and 0 for no ids."""
    assert digest.sum_many(b"".join(ids), key) == oracle.sum_ids(ids, key)


@settings(deadline=None)
@given(
    keys=st.lists(st.tuples(st.sampled_from([0, 1, 255, 256, 2**62, 2**63 + 1]), identifiers), max_size=20),
    key=st.binary(min_size=16, max_size=16),
    bits=st.sampled_from([0, 8, 63]),
)
def test_sum_stretches(keys: list[tuple[int, bytes]], key: bytes, bits: int) -> None:
    """Goal: one sum for each row of keys in one stretch of time, whether keys rise or not."""
    packed = b"".join(time.to_bytes(8, "big") + message_id for time, message_id in keys)
    assert digest.sum_stretches(packed, key, bits) == oracle.sum_stretches(keys, key, bits)


@settings(deadline=None)
@given(
    addresses=st.lists(st.binary(min_size=18, max_size=18), max_size=20),
    tag=st.binary(min_size=8, max_size=8),
    epoch=st.integers(0, 2**64 - 1),
    secret=st.binary(min_size=16, max_size=16),
)
def test_tokens_many(addresses: list[bytes], tag: bytes, epoch: int, secret: bytes) -> None:
    """Goal: the oracle's tokens, in the order of the addresses."""
    expected = b"".join(oracle.token(address, tag, epoch, secret) for address in addresses)
    assert digest.tokens_many(b"".join(addresses), tag, epoch, secret) == expected


ARENA_SIZE = 300


@pytest.mark.parametrize(
    ("offset", "length", "header_size", "signature_count", "fits"),
    [
        (0, 300, 165, 2, True),
        (299, 1, 0, 0, True),
        (0, 301, 100, 1, False),  # ends behind the arena
        (300, 1, 0, 0, False),  # begins behind it
        (2**32 - 1, 2**32 - 1, 100, 1, False),  # a sum that wraps in 32 bits
        (0, 300, 166, 1, False),  # no header is as long
        (0, 300, 2**16 - 1, 0, False),
        (0, 300, 100, 3, False),
        (0, 300, 100, 255, False),
        (0, 229, 100, 2, True),
        (0, 228, 100, 2, False),  # no room for the payload count
        (0, 100, 100, 0, False),
        (0, 0, 0, 0, False),
    ],
)
def test_records_that_do_not_fit_are_refused(
    offset: int, length: int, header_size: int, signature_count: int, fits: bool
) -> None:
    """Goal: no record makes the kernel read outside the arena; a batch with a bad one stays as it was."""
    records = bytearray(record(0, 200, 10, 1) + record(offset, length, header_size, signature_count))
    before = bytes(records)
    if fits:
        digest.identify_many(records, bytes(ARENA_SIZE), bytes(32))
        assert records != before
    else:
        with pytest.raises(ValueError, match="record 1 does not fit"):
            digest.identify_many(records, bytes(ARENA_SIZE), bytes(32))
        assert records == before


@pytest.mark.parametrize("size", [9, 10, 41, 43, 10 + 32 + 64])
def test_a_stripped_record_without_its_digest_is_refused(size: int) -> None:
    """Goal: the digest is read only where it is: right between header and signatures."""
    records = bytearray(record(0, size, 10, 0, STRIPPED))
    with pytest.raises(ValueError, match="record 0 does not fit"):
        digest.identify_many(records, bytes(ARENA_SIZE), bytes(32))
    fitting = bytearray(record(0, 42, 10, 0, STRIPPED))
    digest.identify_many(fitting, bytes(10) + b"d" * 32, bytes(32))
    assert MESSAGE.unpack(fitting)[-1] == b"d" * 32


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda: digest.identify_many(bytearray(95), b"", bytes(32)), "whole 96-byte"),
        (lambda: digest.identify_many(bytearray(), b"", bytes(31)), "must be 32"),
        (lambda: digest.identify_many(bytearray(record(0, 1, 0, 0)), b"", bytes(32)), "arena of 0 bytes"),
        (lambda: digest.sum_many(bytes(33), bytes(16)), "whole 32-byte"),
        (lambda: digest.sum_many(b"", bytes(15)), "must be 16"),
        (lambda: digest.sum_stretches(bytes(39), bytes(16), 8), "whole 40-byte"),
        (lambda: digest.sum_stretches(b"", bytes(17), 8), "must be 16"),
        (lambda: digest.sum_stretches(b"", bytes(16), 64), "must be 0 to 63"),
        (lambda: digest.tokens_many(bytes(17), bytes(8), 0, bytes(16)), "whole 18-byte"),
        (lambda: digest.tokens_many(b"", bytes(9), 0, bytes(16)), "must be 8"),
        (lambda: digest.tokens_many(b"", bytes(8), 0, bytes(17)), "must be 16"),
    ],
)
def test_arguments_that_do_not_fit_are_named(call: Callable[[], object], said: str) -> None:
    """Goal: a caller's fault is a ValueError that says what would be right."""
    with pytest.raises(ValueError, match=said):
        call()
