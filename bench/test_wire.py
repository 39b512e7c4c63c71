"""Single calls of the wire kernel, for comparing two builds: python -m pytest bench/test_wire.py"""

from __future__ import annotations

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from dispersy.constants import FRAMES_SIZE_MAX
from dispersy.ext import digest, wire
from dispersy.protocol.wire.records import DATAGRAM, ENVELOPE, MESSAGE

SECRET = bytes(16)
EPOCH = 7
TAG = b"\x11" * 8
ADDRESS = bytes(10) + b"\xff\xff\x7f\x00\x00\x01\x19\x15"
PARTS = (64, 0, b"a" * 32, b"", 1_000_000, 1_000, b"", b"", [b"x" * 100])
BATCH = 64


def new_drops() -> bytearray:
    return bytearray(4 * len(wire.DROP_REASONS))


@pytest.fixture(scope="module")
def message() -> bytes:
    return wire.encode_message(*PARTS) + bytes(64)


@pytest.fixture(scope="module")
def area(message: bytes) -> bytes:
    """The list of five messages that fills a datagram."""
    ((_, packed),) = wire.pack([message] * 5, FRAMES_SIZE_MAX)
    return packed


@pytest.mark.parametrize("count", [1, BATCH])
def test_split(benchmark: BenchmarkFixture, area: bytes, count: int) -> None:
    """Goal: datagrams of five messages, one and a batch a call."""
    body = bytes(4) + b"\x01\x00\xff" + area
    token = digest.tokens_many(ADDRESS, TAG, EPOCH, SECRET)
    datagram = b"\xd3\x00" + TAG + token + b"\x06" + bytes([len(body) & 127 | 128, len(body) >> 7]) + body
    records = b"".join(DATAGRAM.pack(index * len(datagram), len(datagram), ADDRESS) for index in range(count))
    drops = new_drops()
    options = {"tags": TAG, "secret": SECRET, "epoch": EPOCH, "drops": drops}
    _, envelopes = benchmark(wire.split, datagram * count, records, **options)
    assert len(envelopes) == count * ENVELOPE.size


@pytest.mark.parametrize("count", [1, BATCH])
def test_parse(benchmark: BenchmarkFixture, area: bytes, count: int) -> None:
    """Goal: five messages, and those of a batch of datagrams."""
    records = benchmark(wire.parse_messages, area * count, new_drops())
    assert len(records) == 5 * count * MESSAGE.size


def test_encode(benchmark: BenchmarkFixture, message: bytes) -> None:
    """Goal: what publishing one message costs before its signature."""
    assert benchmark(wire.encode_message, *PARTS) == message[:-64]


def test_split_payloads(benchmark: BenchmarkFixture, message: bytes) -> None:
    """Goal: what handing one message to applications costs."""
    assert benchmark(wire.split_payloads, message) == PARTS[8]


def test_pack(benchmark: BenchmarkFixture, message: bytes) -> None:
    """Goal: a full answer's worth of messages into datagrams."""
    packed = benchmark(wire.pack, [message] * 320, FRAMES_SIZE_MAX)
    assert sum(count for count, _ in packed) == 320
