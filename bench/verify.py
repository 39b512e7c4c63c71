"""Signatures checked per second: the verify kernel beside `cryptography`, and on several processes at once.

Messages of one payload of 100 bytes, by one author or by many. Envelope: a check is one multiplication of two
scalars by two points, some 0.2 M cycles with libsodium's code, so 12,000 to 20,000 a second and core;
`cryptography` on OpenSSL takes about twice that. What the kernel adds, three copies of some 250 bytes in
all, is far below 1 %. Checking uses no memory that others use, so two cores do nearly twice what one does:
that sum is the bound of every path that verifies.
"""

from __future__ import annotations

import argparse
import multiprocessing
import sys
import time
from dataclasses import dataclass
from hashlib import sha256
from multiprocessing.synchronize import Barrier

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from harness import Bench

from dispersy.ext import digest, verify, wire
from dispersy.protocol.identifiers import CommunityId
from dispersy.protocol.wire.message import create_message
from dispersy.protocol.wire.records import MESSAGE

COMMUNITY_ID = bytes(range(32))
KIND = 64
PAYLOAD_SIZE = 100
RATIO_GOAL = 1.7
AUTHORS_GOAL = 0.9
START_LIMIT_S = 60.0
CONTEXT = b"dispersy/3 message"
HEADER_SIZE, DIGEST = 4, 12
"""Of these fields in an unpacked message_record."""


@dataclass(frozen=True, slots=True)
class Corpus:
    """Messages that verify, all different.

    community_id  32 bytes
    arena         (uvarint length ‖ message)*
    records       their packed message_records, with id and digest
    keys          of each message's author
    signed        the bytes that each signature is over
    """

    community_id: bytes
    messages: list[bytes]
    arena: bytes
    records: bytes
    keys: list[bytes]
    signed: list[bytes]

    @property
    def signatures(self) -> list[bytes]:
        return [message[-64:] for message in self.messages]


def make_corpus(count: int, *, authors: int = 1, payload_size: int = PAYLOAD_SIZE) -> Corpus:
    """Authors write in turn, one payload a message, each with rising sequence and global time."""
    seeds = [sha256(b"bench author %d" % number).digest() for number in range(authors)]
    secrets = [seed + verify.public_key(seed) for seed in seeds]
    messages = [
        create_message(
            CommunityId(COMMUNITY_ID),
            secrets[index % authors],
            kind=KIND,
            global_time=index + 1,
            sequence=index // authors + 1,
            payloads=[(b"payload %d " % index).ljust(payload_size, b".")[:payload_size]],
        )
        for index in range(count)
    ]
    return corpus_of(messages, community_id=COMMUNITY_ID)


def corpus_of(messages: list[bytes], *, community_id: bytes) -> Corpus:
    """A corpus of these messages, which have one author each."""
    arena = b"".join(area for _, area in wire.pack(messages, 1 << 30))
    records = wire.parse_messages(arena, bytearray(4 * len(wire.DROP_REASONS)))
    digest.identify_many(records, arena, community_id)
    signed = [
        CONTEXT + community_id + message[: fields[HEADER_SIZE]] + fields[DIGEST]
        for message, fields in zip(messages, MESSAGE.iter_unpack(records), strict=True)
    ]
    keys = [message[2:34] for message in messages]
    return Corpus(community_id, messages, arena, bytes(records), keys, signed)


def check(corpus: Corpus) -> None:
    """The kernel's work on the whole corpus."""
    verdicts = verify.verify_messages(corpus.records, corpus.arena, corpus.community_id)
    assert verdicts.count(1) == len(corpus.messages)


def check_with_cryptography(keys: list[bytes], signatures: list[bytes], signed: list[bytes]) -> None:
    load = Ed25519PublicKey.from_public_bytes
    for key, signature, message in zip(keys, signatures, signed, strict=True):
        load(key).verify(signature, message)


def _work(corpus: Corpus, start: Barrier, rates: multiprocessing.SimpleQueue[float]) -> None:
    check(corpus)
    start.wait(START_LIMIT_S)
    began = time.perf_counter()
    check(corpus)
    rates.put(len(corpus.messages) / (time.perf_counter() - began))


def verify_bound(corpus: Corpus, *, processes: int = 2) -> float:
    """Signatures a second: the sum of the rates of `processes` processes that check the corpus at once."""
    context = multiprocessing.get_context("spawn")
    start, rates = context.Barrier(processes), context.SimpleQueue()
    workers = [context.Process(target=_work, args=(corpus, start, rates)) for _ in range(processes)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
        if worker.exitcode:
            raise RuntimeError(f"a measuring process ended with {worker.exitcode}")
    return float(sum(rates.get() for _ in workers))


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--processes", type=int, default=2, metavar="N", help="how many check at once (2)")


def main() -> int:
    bench = Bench("verify", __doc__, versions=("cryptography", "pynacl"), add_options=add_options)
    processes: int = bench.options.processes
    count = bench.size(5_000, short=200)
    one, many = make_corpus(count), make_corpus(count, authors=min(1_000, count))
    others = one.keys, one.signatures, one.signed
    times = bench.interleave(
        {
            "cryptography": lambda: check_with_cryptography(*others),
            "kernel, 1 author": lambda: check(one),
            "kernel, 1,000 authors": lambda: check(many),
        },
        short=9,
    )
    # Processes that start weigh more than what they measure: the short form looks at them once.
    bound = bench.interleave(
        {"alone": lambda: check(one), "together": lambda: verify_bound(one, processes=processes)},
        warm_up=False,
        short=1,
    )
    rates = {name: series.rate(count) for name, series in times.items()}
    for name, series in rates.items():
        bench.figure(name, series, unit="signatures/s")
    bench.figure(f"kernel, {processes} processes, sum", bound["together"], unit="signatures/s")
    bench.at_least("kernel / cryptography", times["cryptography"].over(times["kernel, 1 author"]), RATIO_GOAL)
    authors_ratio = times["kernel, 1 author"].over(times["kernel, 1,000 authors"])
    bench.at_least("1,000 authors / 1 author", authors_ratio, AUTHORS_GOAL)
    if processes > 1:
        shares = bound["together"].over(bound["alone"].rate(count)).median / processes
        bench.figure("of one process alone, each", shares, unit="")
    return bench.finish()


if __name__ == "__main__":
    sys.exit(main())
