"""The responder as neighbours press it: requests are bounded, and whatever bytes they send, it goes on."""

from __future__ import annotations

import random

import pytest

from dispersy.bus import frames as bus
from dispersy.bus.settings import RoleSettings
from dispersy.constants import ANSWERS_MAX, ANSWERS_PER_SOURCE_MAX, MISSING_PER_SECOND_MAX
from dispersy.ext.digest import identify_many
from dispersy.ext.verify import public_key
from dispersy.ext.wire import DROP_REASONS, parse_messages
from dispersy.protocol.address import Address, make_address
from dispersy.protocol.definitions.definition import default_definition, encode_definition
from dispersy.protocol.identifiers import ORDER_LOW, ORDER_TOP, CommunityId, MemberId
from dispersy.protocol.sync.answer import Answer
from dispersy.protocol.sync.answers_in_work import ANSWERS_PER_HOST_MAX
from dispersy.protocol.wire.frames import Audit, AuditRequest, Busy, RequestMissing, SyncRequest, decode_frame
from dispersy.protocol.wire.message import NO_PREVIOUS, create_message
from dispersy.protocol.wire.missing import MissingLast, MissingNewest
from dispersy.protocol.wire.numbers import FrameType
from dispersy.protocol.wire.packing import encode_uvarint
from dispersy.protocol.wire.records import ENVELOPE, LAST_OF_ANSWER
from dispersy.protocol.wire.summary import Summary
from dispersy.storage.memory_store import MemoryStore
from dispersy.storage.store import Batch, CommunityRecord, MessageBlock
from dispersy.workers.answering.clock_voices import CLOCK_VOICES_S
from dispersy.workers.report import Reporter
from dispersy.workers.responder import Responder

SEED = bytes(range(32))
MASTER = public_key(SEED)
NUMBER = 3


def address(number: int) -> Address:
    return Address(bytes(10) + b"\xff\xff" + bytes([192, 0, 2, number]) + b"\x10\x10")


class House:
    """A responder over an empty community; what it sends is kept."""

    def __init__(self) -> None:
        definition = create_message(
            CommunityId(MASTER),
            SEED + MASTER,
            kind=0,
            global_time=1,
            sequence=1,
            payloads=[encode_definition(default_definition("test"))],
            previous=NO_PREVIOUS,
        )
        self.store = MemoryStore()
        self.store.commit(Batch(communities=[CommunityRecord(NUMBER, MASTER, "test", MASTER, definition)]))
        self.reporter = Reporter("worker-0", RoleSettings("", "", "", 1))
        self.sent: list[tuple[bytes, bytes]] = []
        self.looked_up: list[tuple[int, int, bytes]] = []
        self.responder = Responder(
            self.store, self.reporter, index=0, workers=1, send=self._send, find=self._find
        )
        self.responder.set_communities(self.store.communities(), 0.0)

    def _send(self, community: int, items: list[tuple[bytes, bytes]]) -> None:
        assert community == NUMBER
        self.sent += items

    def _find(self, order: int, community: int, author: bytes) -> bool:
        self.looked_up.append((order, community, author))
        return True

    def receive(self, frame_type: int, body: bytes, *, source: int = 1, now: float = 0.0) -> None:
        frames = [bus.SyncFrame(address(source), frame_type, body)]
        self.responder.receive(bus.SYNC, NUMBER, bus.encode(frames), now)

    def keep(self, message: bytes) -> None:
        """Commit it, with cursor 1."""
        area = encode_uvarint(len(message)) + message
        records = parse_messages(area, bytearray(4 * len(DROP_REASONS)))
        identify_many(records, area, MASTER)
        self.store.commit(Batch(blocks=[MessageBlock(NUMBER, bytes(records), area, b"\0", 0)]))

    def sent_types(self) -> list[int]:
        return [frame[0] for _, frame in self.sent]


@pytest.fixture
def house() -> House:
    return House()


def test_a_request_is_answered(house: House) -> None:
    """Goal: one request, one answer that ends the range, and nothing is left of it."""
    house.receive(FrameType.SYNC_REQUEST, SyncRequest(number=7, budget=4).encode())
    house.responder.step(0.0)
    assert house.sent_types() == [FrameType.MESSAGES]
    assert house.sent[0][0] == address(1)
    assert not house.responder.step(0.0)


def test_too_many_requests_are_told_to_wait(house: House) -> None:
    """Goal: what is worked off at once is bounded, and who is turned away knows it."""
    for number in range(ANSWERS_MAX + 3):
        request = SyncRequest(number=number, budget=4).encode()
        house.receive(FrameType.SYNC_REQUEST, request, source=1 + number // ANSWERS_PER_SOURCE_MAX)
    assert house.sent_types() == [FrameType.BUSY] * 3


def test_one_address_leaves_room_for_others(house: House) -> None:
    """Goal: who asks for everything at once waits, and the next one does not."""
    request = SyncRequest(number=1, budget=4).encode()
    for _ in range(ANSWERS_PER_SOURCE_MAX + 2):
        house.receive(FrameType.SYNC_REQUEST, request)
    assert house.sent_types() == [FrameType.BUSY] * 2
    house.receive(FrameType.SYNC_REQUEST, request, source=2)
    assert house.sent_types() == [FrameType.BUSY] * 2


def test_one_host_leaves_room_for_others(house: House) -> None:
    """Goal: however many ports a machine asks from, it has its part of the answers only."""
    request = bus.SyncFrame(b"", FrameType.SYNC_REQUEST, SyncRequest(number=1, budget=4).encode())
    for port in range(ANSWERS_MAX):
        source = Address(address(1)[:16] + port.to_bytes(2, "big"))
        house.responder.receive(
            bus.SYNC, NUMBER, bus.encode([bus.SyncFrame(source, request.type, request.body)]), 0.0
        )
    refused = house.sent_types()
    assert refused == [FrameType.BUSY] * (ANSWERS_MAX - ANSWERS_PER_HOST_MAX)
    house.receive(FrameType.SYNC_REQUEST, request.body, source=2)
    assert house.sent_types() == refused


def test_an_authors_newest_messages_are_looked_up_and_sent(house: House) -> None:
    """Goal: the writer says where they are; where there are none the answer says so."""
    held = house.store.communities()[0].definition
    house.keep(held)
    request = RequestMissing(number=9, budget=4, wanted=MissingNewest(MemberId(MASTER)))
    for source in (1, 2):
        house.receive(FrameType.REQUEST_MISSING, request.encode(), source=source)
    house.responder.handle_timer(0.0)
    assert house.looked_up == [(1, NUMBER, request.encode())]
    assert house.sent == []
    house.responder.found(1, [1], 0.0)
    house.responder.handle_timer(0.0)
    house.responder.found(2, [], 0.0)
    assert [target for target, _ in house.sent] == [address(1), address(2)]
    with_message, without = (data for _, data in house.sent)
    assert held in with_message
    assert with_message[:1] == without[:1] == bytes([FrameType.MESSAGES])
    assert len(without) < 60


def test_a_restored_node_asks_every_neighbour_for_its_own(house: House) -> None:
    """Goal: as long as the notes say so, of those met before and after; an answer is passed on, once."""
    note = bus.CommitNote(0, 0, {}, {}, restored={NUMBER: [MASTER]})
    heard = bus.encode([bus.PeerHeard(address(1), b"")])
    house.responder.receive(bus.PEERS, NUMBER, heard, 0.0)
    house.responder.handle_timer(0.0)
    assert FrameType.REQUEST_MISSING not in house.sent_types()
    house.responder.committed(note, 1.0)
    house.responder.handle_timer(1.0)
    asked = [data for _, data in house.sent if data[0] == FrameType.REQUEST_MISSING]
    (request,) = (decode_frame(data[0], data[2:]) for data in asked)
    assert isinstance(request, RequestMissing)
    assert request.wanted == MissingNewest(MemberId(MASTER))
    none = bytes(24)
    envelope = ENVELOPE.pack(0, request.number, 0, 0, 0, 0, LAST_OF_ANSWER, 0, none, none, none, 0)
    for _ in range(2):
        house.responder.receive(bus.ENVELOPES, NUMBER, address(1) + envelope, 1.1)
    assert house.responder.drain_told() == [(NUMBER, address(1))]
    house.responder.committed(bus.CommitNote(0, 0, {}, {}), 2.0)
    house.responder.receive(bus.PEERS, NUMBER, bus.encode([bus.PeerHeard(address(2), b"")]), 2.0)
    before = len(house.sent)
    house.responder.handle_timer(99.0)
    assert FrameType.REQUEST_MISSING not in house.sent_types()[before:]


def test_a_newcomers_clock_takes_the_median(house: House) -> None:
    """Goal: up to five neighbours are heard within two seconds of the first, and no single one decides."""
    for source, highest in enumerate((70, 10**12, 72), start=1):
        heard = bus.PeerHeard(address(source), Summary(highest=highest, count=9).encode())
        house.responder.receive(bus.PEERS, NUMBER, bus.encode([heard]), 1.0)
    assert house.responder.drain_clocks() == []
    due = house.responder.next_deadline()
    assert due is not None
    house.responder.handle_timer(1.0 + CLOCK_VOICES_S)
    assert house.responder.drain_clocks() == [(NUMBER, 72, True, True)]


def test_a_newcomer_that_hears_few_hosts_is_not_lifted_by_one(house: House) -> None:
    """Goal: the word of fewer than three is held against what is stored, and asked for until they are three;
    a host with many ports is one."""

    def hear(source: Address, now: float) -> list[tuple[int, int, bool, bool]]:
        heard = bus.PeerHeard(source, Summary(highest=10**12, count=9).encode())
        house.responder.receive(bus.PEERS, NUMBER, bus.encode([heard]), now)
        house.responder.handle_timer(now + CLOCK_VOICES_S)
        return house.responder.drain_clocks()

    unsure, sure = [(NUMBER, 10**12, False, True)], [(NUMBER, 10**12, True, True)]
    hosts = [make_address("192.0.2.9", port) for port in (1, 2, 3)]
    assert [hear(each, 10.0 * number) for number, each in enumerate(hosts, start=1)] == [unsure] * 3
    assert hear(make_address("192.0.2.10", 1), 40.0) == unsure
    assert hear(make_address("192.0.2.11", 1), 50.0) == sure
    assert hear(make_address("192.0.2.12", 1), 60.0) == []


def test_audits_are_rare_however_many_are_asked_for(house: House) -> None:
    """Goal: sixty bytes that cost a look at 100,000 ids are answered with rests between."""
    request = AuditRequest(1, bytes(16), ORDER_LOW, ORDER_TOP).encode()
    for source in (1, 1, 1, 2):
        house.receive(FrameType.AUDIT_REQUEST, request, source=source)
    assert house.sent == []
    assert house.reporter.counters["audit-refused"] == 2
    house.responder.step(0.0)
    assert house.sent_types() == [FrameType.AUDIT]
    due = house.responder.next_deadline()
    assert due is not None
    assert due > 0.0
    house.responder.step(0.0)
    assert len(house.sent) == 1
    house.responder.step(1000.0)
    assert [source for source, _ in house.sent] == [address(1), address(2)]
    assert decode_frame(FrameType.AUDIT, house.sent[0][1][2:]) == Audit(1, 0, 0)


@pytest.mark.parametrize("seed", range(5))
def test_no_bytes_of_a_neighbour_end_the_role(house: House, seed: int) -> None:
    """Goal: frames, envelopes and summaries of any content are counted or answered."""
    rng = random.Random(seed)
    bodies = {
        5: SyncRequest(number=1, budget=5).encode(),
        7: Busy(1, 100).encode(),
        15: AuditRequest(1, bytes(16), ORDER_LOW, ORDER_TOP).encode(),
        16: Audit(1, 3, 9).encode(),
        19: RequestMissing(1, 1, MissingLast(0, 1)).encode(),
    }
    now = 0.0
    for _ in range(400):
        now += 0.01
        frame_type = rng.choice([*bodies, rng.randrange(256)])
        body = bytearray(bodies.get(frame_type, b"body"))
        for _ in range(rng.randrange(4)):
            body[rng.randrange(len(body))] = rng.randrange(256)
        house.receive(
            frame_type, bytes(body[: rng.randrange(len(body) + 9)]), source=rng.randrange(9), now=now
        )
        summary = rng.choice([b"", rng.randbytes(24)])
        peers = [bus.PeerHeard(address(1), summary)]
        house.responder.receive(bus.PEERS, NUMBER, bus.encode(peers), now)
        number, high = (
            rng.choice([0, 1, rng.randrange(1 << 32)]),
            rng.choice([rng.randbytes(24), b"\xff" * 24]),
        )
        envelope = ENVELOPE.pack(
            0,
            number,
            0,
            99,
            0,
            rng.randrange(1200),
            rng.randrange(8),
            2,
            rng.randbytes(24),
            high,
            bytes(24),
            0,
        )
        house.responder.receive(bus.ENVELOPES, NUMBER, address(1) + envelope, now)
        house.responder.step(now)
        house.responder.handle_timer(now)
        house.responder.drain_clocks()
    assert house.sent


def test_requests_by_name_are_limited(house: House) -> None:
    """Goal: a burst of small requests brings few datagrams, and another address is still served."""
    request = RequestMissing(1, 1, MissingLast(0, 1)).encode()
    for _ in range(50):
        house.receive(FrameType.REQUEST_MISSING, request, now=7.0)
    assert house.sent_types() == [FrameType.MESSAGES] * MISSING_PER_SECOND_MAX
    house.receive(FrameType.REQUEST_MISSING, request, source=2, now=7.0)
    house.receive(FrameType.REQUEST_MISSING, request, now=8.0)
    assert len(house.sent) == MISSING_PER_SECOND_MAX + 2


def test_a_note_that_repeats_what_is_known_changes_nothing(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Notes of all come again and again: fifty quiet communities must not be gone through for each."""
    told: list[float] = []
    puller = house.responder._served[NUMBER].puller
    monkeypatch.setattr(puller, "receive_committed", told.append)
    for now, total in ((1.0, 5), (2.0, 5), (3.0, 6), (4.0, 6)):
        house.responder.committed(bus.CommitNote(0, 0, {NUMBER: total}, {NUMBER: bytes(24)}), now)
    assert told == [1.0, 3.0]


def test_only_communities_whose_time_has_come_are_looked_at(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However often the loop asks."""
    looked_at: list[float] = []
    puller = house.responder._served[NUMBER].puller
    monkeypatch.setattr(puller, "handle_timer", looked_at.append)
    monkeypatch.setattr(puller, "next_deadline", lambda: 7.0)
    house.responder._schedule.touch(NUMBER)
    for now in (1.0, 6.9, 7.0):
        assert house.responder.next_deadline() == 7.0
        house.responder.handle_timer(now)
    assert looked_at == [7.0]


def test_what_is_not_served_any_more_costs_nothing(house: House) -> None:
    """Goal: with the community go its puller, the answers in work and the audits that wait."""
    house.receive(FrameType.SYNC_REQUEST, SyncRequest(number=1, budget=4).encode())
    house.receive(FrameType.AUDIT_REQUEST, AuditRequest(1, bytes(16), ORDER_LOW, ORDER_TOP).encode())
    house.responder.set_communities([], 0.0)
    assert house.responder.next_deadline() is None
    assert not house.responder.step(1.0)
    house.receive(FrameType.SYNC_REQUEST, SyncRequest(number=1, budget=4).encode())
    assert not house.responder.step(2.0)
    assert house.sent == []
    house.responder.set_communities(house.store.communities(), 3.0)
    house.receive(FrameType.SYNC_REQUEST, SyncRequest(number=1, budget=4).encode())
    house.responder.step(4.0)
    assert FrameType.MESSAGES in house.sent_types()


def purge_all(house: House) -> None:
    """As the writer does with a community that was left; no note of it has come yet."""
    house.store.commit(Batch(purges=[(NUMBER, 100)]))


def test_an_answer_whose_messages_were_purged_meanwhile_is_dropped(house: House) -> None:
    """Goal: the store is ahead of the notes, and that must not end the role."""
    house.keep(house.store.communities()[0].definition)
    request = RequestMissing(number=9, budget=4, wanted=MissingNewest(MemberId(MASTER)))
    house.receive(FrameType.REQUEST_MISSING, request.encode())
    house.receive(FrameType.SYNC_REQUEST, SyncRequest(number=1, budget=4).encode())
    [[answer]] = house.responder._answering._answers._answers.values()
    assert isinstance(answer, Answer)
    # It has looked where messages are, and not read them yet.
    answer._scan_more()
    assert answer._wanted
    house.responder.handle_timer(0.0)
    purge_all(house)
    assert not house.responder.step(0.0)
    house.responder.found(1, [1], 0.0)
    assert house.sent == []


def test_the_network_role_is_told_of_a_neighbour_that_leaves_a_question_unanswered(house: House) -> None:
    """By an item without frames: what is sent there may come to nobody."""
    heard = bus.PeerHeard(address(1), Summary(highest=9, count=900, sum=7).encode())
    house.responder.receive(bus.PEERS, NUMBER, bus.encode([heard]), 0.0)
    assert house.sent
    assert all(content for _, content in house.sent)
    now = 0.0
    while now < 2.0:
        now = house.responder.next_deadline() or 2.0
        house.responder.handle_timer(now)
    assert (address(1), b"") in house.sent
