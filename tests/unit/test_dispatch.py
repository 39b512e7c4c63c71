"""Batches to the workers, over real sockets: big under load, at once without, bounded always."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from random import Random

import pytest
import zmq

from dispersy.bus import frames as bus
from dispersy.bus.settings import RoleSettings
from dispersy.bus.sockets import BATCHES_QUEUED_MAX, bound, connected
from dispersy.protocol.ways import Way, number_for
from dispersy.protocol.wire import records
from dispersy.workers.networking.dispatch import (
    BATCH_MESSAGES_MAX,
    INTRODUCTIONS_MAX,
    OUTSTANDING_MAX,
    PENDING_BYTES_MAX,
    Answer,
    Dispatch,
    answers_in,
)
from dispersy.workers.report import Reporter
from tests.sockets import bounded_context

LIMIT_MS = 30_000
SOURCE = bytes(18)
OTHER = bytes([9]) * 18
ENVELOPE = bytes(96)


def answer(
    area: bytes, *, count: int = 1, source: bytes = SOURCE, number: int = 0, is_stripped: bool = False
) -> Answer:
    """One datagram's messages."""
    return Answer(0, number, source, is_stripped, [source + ENVELOPE], [(area, count)])


class Worker:
    """The other end of `work`."""

    def __init__(self, context: zmq.Context[zmq.Socket[bytes]], endpoint: str, index: int) -> None:
        name = b"worker-%d" % index
        self.socket = connected(context, zmq.DEALER, endpoint, queued_max=BATCHES_QUEUED_MAX, identity=name)

    def credit(self, done: int, incarnation: int = 1) -> None:
        assert self.socket.poll(LIMIT_MS, zmq.POLLOUT)
        self.socket.send_multipart([bus.CREDIT, bus.CREDIT_HEADER.pack(incarnation, done)])

    def receive(self) -> list[bytes]:
        assert self.socket.poll(LIMIT_MS)
        return self.socket.recv_multipart()

    def verify(self) -> tuple[int, int, bytes]:
        """(community, count, area) of the next batch; envelopes before it are passed over."""
        kind, header, data, *rest = self.receive()
        while kind not in (bus.VERIFY, bus.VERIFY_STRIPPED):
            kind, header, data, *rest = self.receive()
        self.kind = kind
        self.sources = list(bus.VERIFY_SOURCE.iter_unpack(rest[0]))
        community, count, way = bus.VERIFY_HEADER.unpack(header)
        self.way = Way(way)
        return community, count, data


class House:
    """A dispatch and its workers."""

    def __init__(self, folder: Path, workers: int) -> None:
        self.context = bounded_context()
        self.endpoint = f"ipc://{folder}/work"
        self.work = bound(self.context, zmq.ROUTER, self.endpoint, queued_max=BATCHES_QUEUED_MAX)
        settings = RoleSettings("", "", "", workers)
        self.reporter = Reporter("network", settings)
        self.dispatch = Dispatch(self.work, self.reporter, settings)
        self.workers = [Worker(self.context, self.endpoint, index) for index in range(workers)]

    def credit(self, index: int, done: int, incarnation: int = 1) -> list[bus.Introduction]:
        self.workers[index].credit(done, incarnation)
        return self.receive()

    def receive(self) -> list[bus.Introduction]:
        assert self.work.poll(LIMIT_MS)
        return self.dispatch.receive()

    def message(
        self, area: bytes = b"a", *, community: int = 1, count: int = 1, source: bytes = SOURCE
    ) -> None:
        self.dispatch.messages(community, 0, answer(area, count=count, source=source))


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    made = House(tmp_path, 2)
    yield made
    made.context.destroy(linger=0)


def test_an_idle_verifier_gets_a_message_at_once(house: House) -> None:
    """Goal: without load there is no waiting for company."""
    house.credit(0, 0)
    house.message()
    house.dispatch.flush()
    assert house.workers[0].verify() == (1, 1, b"a")


def test_batches_grow_while_all_are_busy(house: House) -> None:
    """Goal: under load messages share batches of at most BATCH_MESSAGES_MAX, one community each, in order."""
    house.credit(0, 0)
    for number in range(OUTSTANDING_MAX):
        house.message(b"%d" % number)
        house.dispatch.flush()
    for _ in range(BATCH_MESSAGES_MAX + 1):
        house.message(b"x")
        house.dispatch.flush()
    house.message(b"y", community=2)
    for number in range(OUTSTANDING_MAX):
        assert house.workers[0].verify() == (1, 1, b"%d" % number)
    house.credit(0, OUTSTANDING_MAX)
    house.dispatch.flush()
    assert house.workers[0].verify() == (1, BATCH_MESSAGES_MAX, b"x" * BATCH_MESSAGES_MAX)
    assert house.workers[0].verify() == (1, 1, b"x")
    house.credit(0, 2 * OUTSTANDING_MAX)
    house.dispatch.flush()
    assert house.workers[0].verify() == (2, 1, b"y")


def test_a_batch_tells_who_sent_what(house: House) -> None:
    """Goal: the writer can hold the messages of one host to a share, also where several share a batch."""
    for area, source in ((b"a", SOURCE), (b"aa", SOURCE), (b"bb", OTHER), (b"c", SOURCE)):
        house.message(area, source=source)
    house.credit(0, 0)
    house.dispatch.flush()
    assert house.workers[0].verify() == (1, 4, b"aaabbc")
    (end, first), (other_end, other), (last_end, last) = house.workers[0].sources
    assert (end, other_end, last_end) == (3, 5, 6)
    assert first == last != other
    assert 0 not in (first, other)


def test_the_datagrams_of_one_answer_are_cut_into_batches(house: House) -> None:
    """Goal: however many came at once, batches are as large as ever, in order, and what waits is counted."""
    pieces = [(b"%02d" % number, BATCH_MESSAGES_MAX // 4) for number in range(10)]
    pieces.insert(3, (b"", 0))
    house.dispatch.messages(1, 0, Answer(0, 0, SOURCE, False, [SOURCE + ENVELOPE] * len(pieces), pieces))
    house.credit(0, 0)
    house.credit(1, 0)
    house.dispatch.flush()
    first, second = house.workers
    assert first.verify() == (1, BATCH_MESSAGES_MAX, b"00010203")
    assert second.verify() == (1, BATCH_MESSAGES_MAX, b"04050607")
    assert first.verify() == (1, BATCH_MESSAGES_MAX // 2, b"0809")
    assert house.dispatch._pending_bytes == 0


def test_stripped_messages_go_in_batches_of_their_own(house: House) -> None:
    """Goal: a verifier parses a batch as what it is; both sorts go on in the order in which they came."""
    for area, is_stripped in ((b"a", False), (b"b", True), (b"c", True), (b"d", False)):
        house.dispatch.messages(1, 0, answer(area, is_stripped=is_stripped))
    house.credit(0, 0)
    house.credit(1, 0)
    house.dispatch.flush()
    first, second = house.workers
    assert (first.verify(), first.kind) == ((1, 1, b"a"), bus.VERIFY)
    assert (second.verify(), second.kind) == ((1, 2, b"bc"), bus.VERIFY_STRIPPED)
    assert (first.verify(), first.kind) == ((1, 1, b"d"), bus.VERIFY)


def test_a_batch_came_one_way(house: House) -> None:
    """The number of an answer tells it; what is pushed and what was asked for are batches of their own."""
    house.credit(0, 0)
    for way in (Way.RANGES, Way.SYMBOLS):
        house.dispatch.messages(1, 0, answer(b"a", number=number_for(way, Random(1))))
        house.dispatch.flush()
        house.workers[0].verify()
        assert house.workers[0].way is way
        house.credit(0, 1 if way is Way.RANGES else 2)
    house.dispatch.pushed(1, SOURCE, b"b", 1)
    house.dispatch.pushed(1, SOURCE, b"c", 1, way=Way.ANNOUNCED)
    house.dispatch.flush()
    assert [(house.workers[0].verify()[2], house.workers[0].way) for _ in range(2)] == [
        (b"b", Way.PUSHED),
        (b"c", Way.ANNOUNCED),
    ]


def test_the_one_with_the_fewest_outstanding_gets_the_batch(house: House) -> None:
    """Goal: load spreads over the verifiers."""
    house.credit(0, 0)
    house.credit(1, 0)
    for number in range(2 * OUTSTANDING_MAX):
        house.message(b"%d" % number)
        house.dispatch.flush()
    for worker in house.workers:
        for _ in range(OUTSTANDING_MAX):
            worker.verify()


def test_a_verifier_that_started_again_owes_nothing(house: House) -> None:
    """Goal: what a killed verifier had in hand does not count against its successor."""
    house.credit(0, 0)
    for _ in range(OUTSTANDING_MAX + 1):
        house.message()
        house.dispatch.flush()
    house.credit(0, 0, incarnation=2)
    house.dispatch.flush()
    for _ in range(OUTSTANDING_MAX + 1):
        house.workers[0].verify()


def test_a_dead_verifier_loses_only_what_it_had(house: House) -> None:
    """Goal: batches wait for one that lives; the network role neither fails nor blocks."""
    house.credit(0, 0)
    monitor = house.work.get_monitor_socket(zmq.EVENT_DISCONNECTED)
    house.workers[0].socket.close(linger=0)
    assert monitor.poll(LIMIT_MS)
    house.work.disable_monitor()
    monitor.close(linger=0)
    house.message(b"kept")
    house.dispatch.flush()
    assert house.reporter.counters["responder-gone"] == 1
    house.credit(1, 0)
    house.dispatch.flush()
    assert house.workers[1].verify() == (1, 1, b"kept")


def test_full_stops_the_reading_until_verifiers_have_caught_up(house: House) -> None:
    """Goal: what waits is bounded, and the bound is left again."""
    area = bytes(PENDING_BYTES_MAX // 16)
    for _ in range(16):
        assert not house.dispatch.full
        house.message(area, count=BATCH_MESSAGES_MAX)
    assert house.dispatch.full
    house.credit(0, 0)
    house.dispatch.flush()
    assert not house.dispatch.full


def test_introductions_are_bounded_and_go_to_a_verifier(house: House) -> None:
    """Goal: a flood of introductions is dropped and counted; those that hold come back."""
    for number in range(INTRODUCTIONS_MAX + 3):
        house.dispatch.introduction(1, SOURCE, bytes(8), 2, b"%d" % number)
    assert house.reporter.counters["introductions-dropped-full"] == 3
    house.dispatch.flush()
    house.credit(1, 0)
    house.dispatch.flush()
    kind, data = house.workers[1].receive()
    assert kind == bus.INTRODUCTIONS
    introductions = bus.introductions_decoder.decode(data)
    assert len(introductions) == INTRODUCTIONS_MAX
    house.workers[1].socket.send_multipart([bus.INTRODUCTIONS, bus.encode(introductions[:2])])
    assert house.receive() == introductions[:2]


def test_frames_for_the_responder_go_to_its_worker(house: House) -> None:
    """Goal: a community's requests, envelopes and neighbours reach the worker that serves it, batched."""
    house.credit(1, 0)
    for body in (b"one", b"two"):
        house.dispatch.sync(7, 1, SOURCE, 5, body)
        house.dispatch.peer(7, 1, bus.PeerHeard(SOURCE, b""))
        house.dispatch.messages(7, 1, answer(b"", count=0))
    house.dispatch.flush()
    received = {kind: (header, data) for kind, header, data in (house.workers[1].receive() for _ in range(3))}
    assert {header for header, _ in received.values()} == {bus.NUMBER.pack(7)}
    assert [each.body for each in bus.sync_decoder.decode(received[bus.SYNC][1])] == [b"one", b"two"]
    assert received[bus.ENVELOPES][1] == (SOURCE + ENVELOPE) * 2
    assert len(bus.peers_decoder.decode(received[bus.PEERS][1])) == 2


def test_datagrams_in_a_row_of_one_answer_are_one() -> None:
    """Goal: another neighbour, request, community or sort begins another answer; the order stays."""
    arena = bytes(range(64))
    datagrams = b"".join(
        records.DATAGRAM.pack(8 * at, 8, source)
        for at, source in enumerate((SOURCE, SOURCE, OTHER, OTHER, OTHER, OTHER))
    )
    told = [
        (0, 7, 0, 0),
        (1, 7, 0, 4),
        (2, 7, 0, 0),
        (3, 8, 0, 0),
        (4, 8, 1, 0),
        (5, 8, 1, 128),
        (5, 8, 1, 0),
    ]
    envelopes = [
        records.ENVELOPE.pack(at, number, 8 * at, 2, index, 3, flags, 2, b"", b"", b"", 0)
        for at, number, index, flags in told
    ]
    answers = answers_in(arena, datagrams, b"".join(envelopes))
    assert [(each.index, each.number, each.source, each.is_stripped) for each in answers] == [
        (0, 7, SOURCE, False),
        (0, 7, OTHER, False),
        (0, 8, OTHER, False),
        (1, 8, OTHER, False),
        (1, 8, OTHER, True),
        (1, 8, OTHER, False),
    ]
    assert answers[0].pieces == [(bytes((0, 1)), 3), (bytes((8, 9)), 3)]
    assert [each for answer in answers for each in answer.envelopes] == [
        source + envelope for source, envelope in zip([SOURCE, SOURCE, *[OTHER] * 5], envelopes, strict=True)
    ]
