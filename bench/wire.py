"""Datagrams split and messages parsed per second: the wire kernel beside plain Python on the same bytes.

Batches of 64 datagrams of 5 messages of one 100-byte payload each, a token checked for every datagram.
Envelope: SipHash of 34 bytes takes some 30 ns a datagram; a message has some 8 fields, two of them numbers of
a few bytes, and a record of 96 bytes to write, some 20 to 50 ns. So well below 1 us a message, also with the
two calls from Python (about 1 us each) spread over 320 messages.
"""

from __future__ import annotations

import importlib.util
import random
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

from harness import Bench
from verify import COMMUNITY_ID, make_corpus

from dispersy.constants import FRAMES_SIZE_MAX
from dispersy.ext import digest, wire
from dispersy.protocol.identifiers import CommunityId, community_tag
from dispersy.protocol.wire.records import DATAGRAM

MESSAGES_PER_DATAGRAM = 5
BATCH = 64
COMMUNITIES = 100
EPOCH = 1_000
SECRET = bytes(range(16))
ADDRESS = bytes(10) + b"\xff\xff\x7f\x00\x00\x01\x19\x15"
MESSAGE_COST_MAX_NS = 1_000
PLAIN_RATIO_GOAL = 20
COMMUNITIES_RATIO_GOAL = 0.8
ENVELOPE = bytes(4) + b"\x01\x00\xff"
"""Number 0, end of range, everything covered."""


def plain_twin() -> ModuleType:
    """tests/oracle/wire.py of this source tree, which is no part of the package."""
    path = Path(__file__).parents[1] / "tests" / "oracle" / "wire.py"
    spec = importlib.util.spec_from_file_location("plain_twin", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def make_datagrams(count: int, tag: bytes) -> tuple[list[bytes], list[bytes]]:
    """(datagrams, their lists of messages), each datagram as full as five messages make it."""
    token = digest.tokens_many(ADDRESS, tag, EPOCH, SECRET)
    messages = make_corpus(count * MESSAGES_PER_DATAGRAM).messages
    lists = []
    for start in range(0, len(messages), MESSAGES_PER_DATAGRAM):
        ((_, area),) = wire.pack(messages[start : start + MESSAGES_PER_DATAGRAM], FRAMES_SIZE_MAX)
        lists.append(area)
    datagrams = []
    for area in lists:
        size = len(ENVELOPE) + len(area)
        frame = b"\x06" + bytes([size & 127 | 128, size >> 7]) + ENVELOPE + area
        datagrams.append(b"\xd3\x00" + tag + token + frame)
    return datagrams, lists


def pack_batches(datagrams: list[bytes]) -> list[tuple[bytes, bytes]]:
    """(arena, datagram_records) of BATCH datagrams each."""
    batches = []
    for start in range(0, len(datagrams), BATCH):
        chosen = datagrams[start : start + BATCH]
        records, offset = b"", 0
        for datagram in chosen:
            records += DATAGRAM.pack(offset, len(datagram), ADDRESS)
            offset += len(datagram)
        batches.append((b"".join(chosen), records))
    return batches


def main() -> int:
    bench = Bench("wire", __doc__)
    datagram_count = BATCH * bench.size(100, short=10)
    message_count = datagram_count * MESSAGES_PER_DATAGRAM
    tag = community_tag(CommunityId(COMMUNITY_ID))
    others = random.Random(1).randbytes(8 * (COMMUNITIES - 1))
    datagrams, lists = make_datagrams(datagram_count, tag)
    batches = pack_batches(datagrams)
    areas = [b"".join(lists[start : start + BATCH]) for start in range(0, datagram_count, BATCH)]
    messages = make_corpus(message_count).messages
    drops = bytearray(4 * len(wire.DROP_REASONS))

    def split(tags: bytes) -> None:
        for arena, records in batches:
            wire.split(arena, records, tags=tags, secret=SECRET, epoch=EPOCH, drops=drops)

    def parse() -> None:
        for area in areas:
            wire.parse_messages(area, drops)

    def both() -> None:
        split(tag)
        parse()

    plain_count = datagram_count // 20
    plain = plain_both(datagrams[:plain_count], lists[:plain_count], tag)
    runs: dict[str, Callable[[], object]] = {
        "split": lambda: split(tag),
        "split, 100 communities": lambda: split(others + tag),
        "parse": parse,
        "split and parse": both,
        "pack": lambda: wire.pack(messages, FRAMES_SIZE_MAX),
        "plain Python, split and parse": plain,
    }
    times = bench.interleave(runs, repetitions=9, short=9)
    assert not any(drops)
    counts = dict.fromkeys(runs, message_count) | {"plain Python, split and parse": message_count // 20}
    rates = {name: series.rate(counts[name]) for name, series in times.items()}
    for name, series in rates.items():
        bench.figure(name, series, unit="messages/s")
    cost_ns = 1e9 / rates["split and parse"].median
    bench.figure("split and parse, cost", cost_ns, unit="ns/message")
    bench.at_most("split and parse, ns/message", cost_ns, MESSAGE_COST_MAX_NS, ratio=False)
    bench.at_least(
        "kernel / plain Python",
        rates["split and parse"].over(rates["plain Python, split and parse"]),
        PLAIN_RATIO_GOAL,
    )
    bench.at_least(
        "100 communities / 1", rates["split, 100 communities"].over(rates["split"]), COMMUNITIES_RATIO_GOAL
    )
    return bench.finish()


def plain_both(datagrams: list[bytes], lists: list[bytes], tag: bytes) -> Callable[[], None]:
    """What `both` does, by the plain twin; tokens come from C, or SipHash would take most of its time."""
    twin = plain_twin()
    pairs = [(ADDRESS, datagram) for datagram in datagrams]

    def token_of(address: bytes, community: bytes, epoch: int) -> bytes:
        return digest.tokens_many(address, community, epoch, SECRET)

    def run() -> None:
        found = twin.split(pairs, tags=[tag], epoch=EPOCH, token_of=token_of)
        assert len(found.envelopes) == len(pairs)
        for area in lists:
            parsed, _ = twin.parse_messages(area)
            assert len(parsed) == MESSAGES_PER_DATAGRAM

    return run


if __name__ == "__main__":
    sys.exit(main())
