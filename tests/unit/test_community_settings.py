"""Goal: what is configured for one community takes effect in the role that serves it, and for no other."""

from __future__ import annotations

from pathlib import Path

from dispersy.bus import frames as bus
from dispersy.bus.settings import CommunitySettings, RoleSettings
from dispersy.constants import AUDIT_CHANCE, EARLY_STEPS_MAX, STEP_INTERVAL_S
from dispersy.protocol.address import Address, make_address
from dispersy.protocol.identifiers import MemberId
from dispersy.protocol.walk.walk_events import SendIntroduction
from dispersy.protocol.walk.walker import Walker
from dispersy.protocol.wire.frames import IntroductionRequest, SyncRequest, decode_frame
from dispersy.protocol.wire.numbers import Capability, FrameType
from dispersy.protocol.wire.records import TOKEN_CURRENT
from dispersy.protocol.wire.summary import Summary
from dispersy.storage.keyring import Keyring
from dispersy.storage.memory_store import MemoryStore
from dispersy.storage.store import Batch, CommunityRecord
from dispersy.workers.network import NetworkRole
from dispersy.workers.report import Reporter
from dispersy.workers.responder import Responder

SPECIAL, PLAIN = 1, 2
NEIGHBOUR = make_address("203.0.113.1", 6421)


def stranger(index: int) -> Address:
    return make_address(f"198.51.{index >> 8}.{index & 255}", 6421)


def settings_of(home: Path, **special: object) -> RoleSettings:
    """Settings for the community called special alone."""
    sections = {"special": CommunitySettings(**special)}  # type: ignore[arg-type]
    return RoleSettings(str(home), "", "127.0.0.1:0", 1, communities=sections)


def joined(member_id: bytes) -> list[CommunityRecord]:
    """Both communities, as if their definitions were known."""
    names = {SPECIAL: "special", PLAIN: "plain"}
    return [
        CommunityRecord(number, bytes([number]) * 32, name, member_id, b"known")
        for number, name in names.items()
    ]


def walkers(home: Path, **special: object) -> dict[int, Walker]:
    """Of a network role with both communities."""
    settings = settings_of(home, **special)
    store = MemoryStore()
    store.commit(Batch(communities=joined(Keyring(settings.keys_path).create("alice").public)))
    role = NetworkRole(settings)
    role.serve(store, Keyring(settings.keys_path), NEIGHBOUR)
    role._load_communities(0.0)
    return {number: each._walker for number, each in role._communities.by_number.items()}


def test_the_walk_steps_at_its_own_pace(tmp_path: Path) -> None:
    """A phone's battery is spent by steps."""
    for number, walker in walkers(tmp_path, walker_step_interval_s=20.0).items():
        walker.receive_token(NEIGHBOUR, TOKEN_CURRENT, b"\1" * 8, b"\2" * 8, 0.0)
        request = IntroductionRequest(number=1, member=MemberId(bytes(32)), receiver=NEIGHBOUR)
        walker.receive_introduction_request(NEIGHBOUR, request, 0.0)
        walker._steps._early = EARLY_STEPS_MAX
        walker.handle_timer(1.0)
        assert walker._steps._at - 1.0 == (20.0 if number == SPECIAL else STEP_INTERVAL_S)


def test_a_metered_community_says_so_and_the_others_do_not(tmp_path: Path) -> None:
    """Its introductions ask others to leave it alone."""
    for number, walker in walkers(tmp_path, metered=True).items():
        source, token = stranger(1), bytes(range(8))
        walker.receive_token(source, TOKEN_CURRENT, bytes(8), token, 0.0)
        walker.drain()
        walker._requests.walk_to(source, 0.0)
        (sent,) = [event for event in walker.drain() if isinstance(event, SendIntroduction)]
        request = IntroductionRequest.decode(sent.unsigned_body + bytes(64))
        assert bool(request.capabilities & Capability.METERED) == (number == SPECIAL)
        assert request.asks_announcements == (number != SPECIAL)


def test_a_metered_node_spares_what_it_can_in_every_community() -> None:
    """Also where the community has settings of its own."""
    sections = {"special": CommunitySettings(answers_budget_max=7)}
    settings = RoleSettings("", "", "", 1, communities=sections, metered=True, upload_max=8_000)
    special, plain = settings.community(bytes(32), "special"), settings.community(bytes(32), "plain")
    for each in (special, plain):
        assert (each.metered, each.sync_audits, each.sync_budget_max) == (True, False, 16)
    assert (special.answers_budget_max, plain.answers_budget_max) == (4, 4)
    unmetered = RoleSettings("", "", "", 1, communities=sections).community(bytes(32), "special")
    assert unmetered == sections["special"]


def test_fewer_neighbours_are_remembered(tmp_path: Path) -> None:
    """A small machine need not know a thousand."""
    for number, walker in walkers(tmp_path, walker_peers_max=16).items():
        for index in range(50):
            walker.receive_discovery(stranger(index), float(index) / 100)
        assert len(walker.candidates(1.0)) in (range(17) if number == SPECIAL else [50])


def test_fewer_introductions_are_looked_at(tmp_path: Path) -> None:
    """Each may cost a signature."""
    for number, walker in walkers(tmp_path, limits_introductions_per_second=2).items():
        admitted = [walker.admit_introduction(stranger(1), 0.0) for _ in range(4)]
        assert admitted == [True, True, number != SPECIAL, number != SPECIAL]


class Shard:
    """A responder of both communities; what it sends is kept as (community, frame type, body)."""

    def __init__(self, **special: object) -> None:
        self.sent: list[tuple[int, int, bytes]] = []
        self.store = MemoryStore()
        self.store.commit(Batch(communities=joined(bytes(32))))
        reporter = Reporter("worker-0", RoleSettings("", "", "", 1))
        settings = settings_of(Path(), **special).community
        self.responder = Responder(
            self.store,
            reporter,
            index=0,
            workers=1,
            send=self._send,
            find=lambda _order, _community, _author: False,
            settings=settings,
        )
        self.responder.set_communities(self.store.communities(), 0.0)

    def _send(self, community: int, items: list[tuple[bytes, bytes]]) -> None:
        self.sent += [(community, frame[0], frame) for _, frame in items]

    def receive(self, frame_type: FrameType, body: bytes, source: Address) -> None:
        """The same to both communities."""
        for number in (SPECIAL, PLAIN):
            frames = [bus.SyncFrame(source, frame_type, body)]
            self.responder.receive(bus.SYNC, number, bus.encode(frames), 0.0)

    def hear(self, source: Address, summary: Summary) -> None:
        """A neighbour's summary, in both communities."""
        for number in (SPECIAL, PLAIN):
            self.responder.receive(
                bus.PEERS, number, bus.encode([bus.PeerHeard(source, summary.encode())]), 0.0
            )


def test_fewer_requests_are_worked_off_at_once() -> None:
    """Busy is the answer to the rest; other communities have theirs."""
    shard = Shard(answers_at_once_max=2)
    for index in range(4):
        shard.receive(FrameType.SYNC_REQUEST, SyncRequest(number=1, budget=4).encode(), stranger(index))
    assert [(number, kind) for number, kind, _ in shard.sent] == [(SPECIAL, FrameType.BUSY)] * 2


def test_answers_have_fewer_datagrams() -> None:
    """Whatever was asked for."""
    shard = Shard(answers_budget_max=3)
    shard.receive(FrameType.SYNC_REQUEST, SyncRequest(number=1, budget=16).encode(), stranger(1))
    in_work = shard.responder._answering._answers._answers.values()
    assert [answer._budget for answers in in_work for answer in answers] == [3, 16]


def test_requests_ask_for_fewer_datagrams() -> None:
    """On a thin line a long first burst is a jam."""
    shard = Shard(sync_budget_max=4)
    shard.hear(stranger(1), Summary(highest=900, count=900, sum=9))
    asked = {number: decode_frame(kind, body[2:]) for number, kind, body in shard.sent}
    assert all(isinstance(request, SyncRequest) for request in asked.values())
    assert asked[SPECIAL].budget <= 4 < asked[PLAIN].budget  # type: ignore[union-attr]


def test_audits_may_be_left_out() -> None:
    """They look at the whole store once in a while, which not everybody wants to pay for."""
    served = Shard(sync_audits=False).responder._served
    assert [served[number].puller._auditor._chance for number in (SPECIAL, PLAIN)] == [0.0, AUDIT_CHANCE]
