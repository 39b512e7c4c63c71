"""The tracker: members of any community meet through it, and strangers, liars and crowds cost it little."""

from __future__ import annotations

from collections.abc import Iterable
from random import Random

import pytest

from dispersy.constants import TRACKED_PEERS_MAX
from dispersy.ext.verify import public_key
from dispersy.ext.wire import DROP_REASONS, split
from dispersy.protocol.address import Address, make_address
from dispersy.protocol.identifiers import MemberId
from dispersy.protocol.walk.walk_events import SendFrame, SendIntroduction, SendKeepAlive, SendToken
from dispersy.protocol.walk.walker import Walker
from dispersy.protocol.wire.frames import (
    IntroductionRequest,
    IntroductionResponse,
    PunctureRequest,
    TokenFrame,
    token_datagram,
)
from dispersy.protocol.wire.numbers import Capability, FrameType
from dispersy.protocol.wire.records import DATAGRAM, FRAME
from dispersy.protocol.wire.token import SECRET_SIZE, TokenEpochs
from dispersy.workers import tracker as tracker_module
from dispersy.workers.networking.walk_datagrams import WalkDatagrams
from dispersy.workers.tracker import Tracker

AT = make_address("203.0.113.1", 6421)
ONE, OTHER = b"tag of 1", b"tag of 2"
LIMIT_S = 60.0


class Peer:
    """A node of one community, which knows the tracker's address alone: the product's walker."""

    def __init__(self, host: int, tag: bytes = ONE, *, seed: bytes = b"", port: int = 6421) -> None:
        self.address = make_address(f"192.0.2.{host}", port)
        self.tag = tag
        seed = seed or Random(f"{host} {port}").randbytes(32)
        self.member = MemberId(public_key(seed))
        self.secret = bytes([host]) * SECRET_SIZE
        self.epoch = TokenEpochs(self.secret).at
        self.walker = Walker(tag=tag, member=self.member, rng=Random(host), bootstrap=[AT], now=0.0)
        self.made = WalkDatagrams(
            tag, secret=seed + self.member, token_secret=self.secret, epoch=self.epoch, counters=Counts()
        )
        self.named: list[Address] = []
        self.heard: list[IntroductionRequest | IntroductionResponse] = []
        self.punctured: list[Address] = []

    def receive(self, datagram: bytes, now: float) -> None:
        frames, _ = split(
            datagram,
            DATAGRAM.pack(0, len(datagram), AT),
            tags=self.tag,
            secret=self.secret,
            epoch=self.epoch(now),
            drops=bytearray(4 * len(DROP_REASONS)),
        )
        for _, offset, length, _, frame_type, state, _ in FRAME.iter_unpack(frames):
            body = datagram[offset : offset + length]
            if frame_type == FrameType.TOKEN:
                token = TokenFrame.decode(body).token
                self.walker.receive_token(AT, state, datagram[10:18], token, now)
            elif frame_type == FrameType.INTRODUCTION_RESPONSE:
                response = IntroductionResponse.decode(body)
                self.named.append(response.introduced_wan)
                self.heard.append(response)
                self.walker.receive_introduction_response(AT, response, now)
            elif frame_type == FrameType.INTRODUCTION_REQUEST:
                request = IntroductionRequest.decode(body)
                self.heard.append(request)
                self.walker.receive_introduction_request(AT, request, now)
            elif frame_type == FrameType.PUNCTURE_REQUEST:
                self.punctured.append(PunctureRequest.decode(body).walker_wan)

    def drain(self, now: float) -> list[bytes]:
        """Datagrams to the tracker; to others nothing gets through here."""
        sent = []
        for event in self.walker.drain():
            if isinstance(event, SendToken | SendIntroduction | SendKeepAlive | SendFrame):
                made = self.made.made(event, self.walker.token_for(event.address), now)
                if made is not None and event.address == AT:
                    sent.append(made)
        return sent


class Counts(dict[str, int]):
    def __missing__(self, key: str) -> int:
        return 0


class House:
    """A tracker and peers, with a network that is always at once."""

    def __init__(self) -> None:
        self.tracker = Tracker(seed=b"t" * 32, secret=b"s" * SECRET_SIZE, own_address=AT, rng=Random(1))
        self.now = 0.0
        self.sent: list[tuple[bytes, bytes]] = []

    def give(self, datagrams: Iterable[tuple[bytes, Address]]) -> list[tuple[bytes, bytes]]:
        """What the tracker sends for these, in one batch."""
        arena, records = b"", b""
        for datagram, source in datagrams:
            records += DATAGRAM.pack(len(arena), len(datagram), source)
            arena += datagram
        self.tracker.receive(arena, records, self.now)
        sent = self.tracker.drain()
        self.sent += sent
        return sent

    def run(self, *peers: Peer, seconds: float) -> None:
        by_address = {peer.address: peer for peer in peers}
        end = self.now + seconds
        while self.now < end:
            for peer in peers:
                peer.walker.handle_timer(self.now)
            self.tracker.handle_timer(self.now)
            on_the_way = self.tracker.drain()
            self.sent += on_the_way
            while True:
                for address, datagram in on_the_way:
                    if address in by_address:
                        by_address[address].receive(datagram, self.now)
                asked = [(each, peer.address) for peer in peers for each in peer.drain(self.now)]
                if not asked:
                    break
                on_the_way = self.give(asked)
            dues = [peer.walker.next_deadline() for peer in peers] + [self.tracker.next_deadline() or end]
            self.now = min(end, max(min(dues), self.now + 0.001))


def test_members_of_two_communities_meet_and_each_its_own() -> None:
    """Each hears of the other at the address it speaks from, which is asked to open its NAT; nobody of
    strangers."""
    house = House()
    peers = [Peer(2), Peer(3), Peer(4, OTHER), Peer(5, OTHER)]
    house.run(*peers, seconds=LIMIT_S)
    for one, other in (peers[:2], peers[2:]):
        assert set(one.named) - {bytes(18)} == {other.address}
        assert set(other.named) - {bytes(18)} == {one.address}
        assert set(one.punctured) | set(other.punctured) <= {one.address, other.address}
        assert other.address in one.punctured or one.address in other.punctured
    assert set(house.tracker.members(ONE, house.now)) == {peers[0].member, peers[1].member}
    assert len(house.tracker) == 2


def test_it_says_what_it_is_and_wants_to_hear_of_no_messages() -> None:
    house = House()
    peers = [Peer(2), Peer(3)]
    house.run(*peers, seconds=LIMIT_S)
    heard = [*peers[0].heard, *peers[1].heard]
    assert {type(each) for each in heard} == {IntroductionRequest, IntroductionResponse}
    assert {(each.capabilities, each.asks_announcements) for each in heard} == {(Capability.TRACKER, False)}
    [[shown], [other]] = [peer.walker.candidates(house.now) for peer in peers]
    assert shown.is_tracker
    assert other.is_tracker


def test_who_has_proven_nothing_is_answered_by_a_token_and_forgotten() -> None:
    """Whatever tags strangers name: one datagram no longer than theirs, and no community."""
    house = House()
    for number in range(200):
        asked = token_datagram(number.to_bytes(8, "big"), bytes(8), b"theirs!!")
        [(address, answer)] = house.give([(asked, make_address("198.51.100.1", 1 + number))])
        assert address == make_address("198.51.100.1", 1 + number)
        assert len(answer) <= len(asked)
    assert len(house.tracker) == 0
    assert house.give([(b"\xd3\0" + bytes(100), AT), (b"", AT), (b"\xd3", AT)]) == []


def test_a_wrong_signature_makes_no_community_known() -> None:
    """A member that signs with another's key is dropped and counted."""
    house = House()
    peer = Peer(2)
    peer.made._secret = b"x" * 32 + public_key(b"x" * 32)
    house.run(peer, seconds=10)
    assert len(house.tracker) == 0
    assert house.tracker.counters["introduction-signature-wrong"] > 0
    assert peer.named == []


def test_one_host_pushes_out_its_own_communities_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tracker_module, "TRACKED_PER_HOST_MAX", 4)
    house = House()
    honest = Peer(2)
    house.run(honest, seconds=1)
    for number in range(20):
        house.run(Peer(9, number.to_bytes(8, "big"), port=1_000 + number), seconds=1)
    assert len(house.tracker) == 5
    assert house.tracker.members(ONE, house.now) == [honest.member]


def test_there_are_no_more_communities_and_members_than_limits_say(monkeypatch: pytest.MonkeyPatch) -> None:
    """The community heard longest ago makes room, and of a crowd in one so many stay."""
    monkeypatch.setattr(tracker_module, "TRACKED_MAX", 3)
    house = House()
    steady = Peer(9, OTHER)
    for number in range(6):
        house.run(steady, Peer(10 + number, number.to_bytes(8, "big")), seconds=30)
        assert len(house.tracker) <= 3
    assert house.tracker.members(OTHER, house.now) == [steady.member]
    begun = len(house.tracker) + house.tracker.counters["communities-forgotten"]
    assert begun == 7, "one that spoke had to begin again"
    assert house.tracker.members((5).to_bytes(8, "big"), house.now)
    assert not house.tracker.members((2).to_bytes(8, "big"), house.now)
    for number in range(TRACKED_PEERS_MAX + 30):
        house.run(Peer(20 + number), seconds=0.05)
    assert 0 < len(house.tracker.members(ONE, house.now)) <= TRACKED_PEERS_MAX


def test_where_nobody_speaks_any_more_the_community_is_forgotten() -> None:
    house = House()
    house.run(Peer(2), seconds=2)
    assert len(house.tracker) == 1
    house.run(seconds=300)
    assert len(house.tracker) == 0
    assert house.tracker.next_deadline() is None
