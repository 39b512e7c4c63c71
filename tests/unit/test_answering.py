"""What neighbours may cost the answering side: all that an honest one needs, whatever they ask."""

from __future__ import annotations

from collections import Counter
from random import Random

import pytest

from dispersy.constants import (
    ANSWER_BUDGET_MAX,
    BUSY_PER_SECOND_MAX,
    DATAGRAM_SIZE_MAX,
    FRAGMENTS_AGAIN_MAX,
    FRAGMENTS_GIVEN_S,
)
from dispersy.ext import sketch
from dispersy.protocol.address import Address, make_address
from dispersy.protocol.identifiers import ORDER_LOW, ORDER_TOP, OrderKey
from dispersy.protocol.shares import Shares
from dispersy.protocol.sync.allowance import (
    COPIES,
    EXAMINED_SIZE,
    HOST_FACTOR,
    REFILL_MIN,
    SPENT_MIN,
    FragmentsGiven,
)
from dispersy.protocol.sync.answering import (
    FRAGMENTS_SERVED_MAX,
    SPENT_MS,
    TURN_MS,
    AnsweredCommunity,
    Answering,
    Request,
)
from dispersy.protocol.sync.answers_in_work import ANSWERS_PER_HOST_MAX, STEP_DATAGRAMS
from dispersy.protocol.sync.served import SERVED_MAX
from dispersy.protocol.wire.frames import (
    AuditRequest,
    Busy,
    FragmentRequest,
    MessagesHeader,
    SymbolsRequest,
    SyncRequest,
    decode_frame,
)
from dispersy.protocol.wire.numbers import FrameType
from dispersy.protocol.wire.sync_frames import SYMBOLS_PER_DATAGRAM, Described
from simulation.holdings import StoreHoldings, history, make_holdings
from simulation.measures import frames_of

HELD = 3_000
MESSAGES = history(HELD + 500)
SIZE = sum(map(len, MESSAGES)) / len(MESSAGES)


class Asking:
    """The asking side, which gets something from `giver` and does nothing else."""

    giver: Address | None = None

    def described_to(self, source: Address) -> bytes | None:  # noqa: ARG002
        return None

    def pulls_from(self, source: Address) -> bool:
        return source == self.giver

    def draw(self, source: Address, now: float) -> None: ...

    def share(self, source: Address, now: float) -> None: ...


class Counted(StoreHoldings):
    examined = 0

    def scan(self, low: bytes, high: bytes, limit: int) -> tuple[bytes, bytes, bool]:
        found = super().scan(low, high, limit)
        self.examined += len(found[1]) // 8
        return found


class House:
    """Answers about 3,000 messages; what is sent is kept by whom it goes to."""

    def __init__(self) -> None:
        self.holdings = Counted(make_holdings().store)
        self.holdings.add(MESSAGES[:HELD])
        self.counts: Counter[str] = Counter()
        self.answering = Answering(self.counts)
        self.asking = Asking()
        self.community = AnsweredCommunity(1, self.holdings, self.asking, self.counts)
        self.sent: Counter[Address] = Counter()

    def ask(self, source: Address, request: Request, now: float) -> list[bytes]:
        """All that a request brings."""
        found: list[bytes] = []
        answering, summary = self.answering, self.holdings.summary()
        found += answering.receive(self.community, source, request, summary, now)
        for step in (answering.step_answer, answering.step_fragments, lambda: answering.step_audit(now)):
            while (worked := step()) is not None:
                found += worked[2]
        self.sent[source] += sum(map(len, found))
        return found


def peer(host: int, port: int = 6421) -> Address:
    return make_address(f"192.0.2.{host}", port)


def fetch_all(house: House, source: Address, now: float) -> int:
    """As a newcomer does that is at it alone; how many requests were refused."""
    low, refused, done = ORDER_LOW, 0, False
    while not done:
        frames = house.ask(source, SyncRequest(number=1, budget=ANSWER_BUDGET_MAX, low=low), now)
        bodies = [each for one in frames for each in frames_of(bytes(18) + one)]
        refused += sum(frame_type == FrameType.BUSY for frame_type, _ in bodies)
        if not bodies or bodies[-1][0] == FrameType.BUSY:
            return refused
        header, _ = MessagesHeader.decode(bodies[-1][1])
        low, done = OrderKey(header.high), header.end_of_range
    return refused


MESSAGES_FROM = HELD.to_bytes(8, "big") + bytes(16)


def test_everything_is_given_twice_and_then_little() -> None:
    """Goal: whoever lost what it had gets it again; the third time it waits, and others do not."""
    house = House()
    for _ in range(COPIES):
        assert fetch_all(house, peer(1), 0.0) == 0
    given = house.sent[peer(1)]
    assert given >= COPIES * HELD * SIZE
    for again in range(10):
        fetch_all(house, peer(1), 1.0 + again)
    assert house.sent[peer(1)] < given + SPENT_MIN + ANSWER_BUDGET_MAX * DATAGRAM_SIZE_MAX
    assert fetch_all(house, peer(2), 11.0) == 0


def test_what_comes_back_is_given_as_it_comes() -> None:
    """Goal: who goes on asking for everything gets no whole answer for the little that it may have again."""
    house = House()
    assert any(fetch_all(house, peer(1), 0.0) for _ in range(10))
    everything = SyncRequest(number=1, budget=ANSWER_BUDGET_MAX)
    answers = [house.ask(peer(1), everything, 10.0 * again) for again in range(1, 300)]
    assert max(map(len, answers)) <= 3
    assert sum(frames[0][0] == FrameType.MESSAGES for frames in answers if frames) > 10


def test_who_has_had_all_is_told_so_once_a_second() -> None:
    """Goal: a refusal is small, and says how long to wait."""
    house = House()
    assert any(fetch_all(house, peer(1), 0.0) for _ in range(10))
    told = [house.ask(peer(1), SyncRequest(number=7, budget=4), 1.5) for _ in range(BUSY_PER_SECOND_MAX)]
    assert [len(frames) for frames in told] == [1, 0, 0, 0]
    assert decode_frame(FrameType.BUSY, told[0][0][2:]) == Busy(7, SPENT_MS)
    assert house.counts["busy"] > BUSY_PER_SECOND_MAX


def test_what_is_new_may_be_asked_for_by_who_had_all() -> None:
    """Goal: an account is no sum for ever: what comes is given too."""
    house = House()
    assert any(fetch_all(house, peer(1), 0.0) for _ in range(10))
    house.holdings.add(MESSAGES[HELD:])
    request = SyncRequest(number=1, budget=32, low=OrderKey(MESSAGES_FROM))
    assert any(frame[0] == FrameType.MESSAGES for frame in house.ask(peer(1), request, 1.0))


@pytest.mark.parametrize("seed", range(3))
def test_a_host_costs_no_more_than_its_part_whatever_it_asks(seed: int) -> None:
    """Goal: bytes and ids looked at are bounded by what is held and by time, from however many ports."""
    house, rng = House(), Random(seed)
    seconds = 120
    house.ask(peer(1, 1), SyncRequest(number=1, budget=1), 0.0)
    for quarter in range(4 * seconds):
        now = quarter / 4
        garbage = rng.randbytes(SYMBOLS_PER_DATAGRAM * sketch.SYMBOL_SIZE)
        request = rng.choice(
            [
                SyncRequest(number=1, budget=ANSWER_BUDGET_MAX),
                SyncRequest(number=1, budget=9, hash_count=32, filter=b"\x55" * 1_000),
                AuditRequest(1, rng.randbytes(16), ORDER_LOW, ORDER_TOP),
                SymbolsRequest(1, ANSWER_BUDGET_MAX, Described(rng.getrandbits(32), garbage)),
            ]
        )
        house.ask(peer(1, rng.randrange(1, 9)), request, now)
    sent = sum(house.sent.values())
    most = SPENT_MIN + COPIES * HELD * (SIZE + 30)
    overshoot = ANSWERS_PER_HOST_MAX * ANSWER_BUDGET_MAX * DATAGRAM_SIZE_MAX
    busy = seconds * 8 * BUSY_PER_SECOND_MAX * 10
    assert sent + EXAMINED_SIZE * house.holdings.examined < (
        HOST_FACTOR * (most + REFILL_MIN * seconds) + overshoot + busy
    )
    assert fetch_all(house, peer(2), seconds) == 0


def test_fragments_of_one_message_are_given_a_few_times() -> None:
    """Goal: 64 KiB for forty bytes are not to be had again and again, but after an hour."""
    given, request = FragmentsGiven(), FragmentRequest(1, OrderKey(bytes(23) + b"\1"), (1 << 57) - 1)
    admitted = [given.admits(1, peer(1), request, 0.0) for _ in range(10)]
    assert admitted == [True] * FRAGMENTS_AGAIN_MAX + [False] * (10 - FRAGMENTS_AGAIN_MAX)
    assert given.admits(1, peer(2), request, 1.0)
    assert given.admits(1, peer(1), FragmentRequest(1, OrderKey(bytes(23) + b"\2"), 1), 1.0)
    assert not given.admits(1, peer(1), request, FRAGMENTS_GIVEN_S - 1)
    assert given.admits(1, peer(1), request, FRAGMENTS_GIVEN_S)


@pytest.mark.parametrize("crowd", ["hosts", "ports"])
def test_a_crowd_leaves_the_next_one_its_share(crowd: str) -> None:
    """Goal: what a second has is not used up by eight that ask as fast as they can."""
    shares = Shares(in_all=128, per_address=32, sources_max=256)
    flooders = [peer(1 + each) if crowd == "hosts" else peer(1, 1 + each) for each in range(8)]
    for second in range(3):
        admitted = Counter(
            source for _ in range(100) for source in flooders if shares.admit(source, second + 0.1)
        )
        late = sum(shares.admit(peer(99), second + 0.9) for _ in range(32))
        assert sum(admitted.values()) + late <= 128
        if second:
            assert late >= 12


@pytest.mark.parametrize("seed", range(20))
def test_shares_hold_for_any_crowd(seed: int) -> None:
    """Goal: never more in a second, in all or of one address; whoever is alone has its whole limit."""
    rng, shares = Random(seed), Shares(in_all=100, per_address=30, sources_max=20)
    for second in range(4):
        used: Counter[Address] = Counter()
        for _ in range(400):
            source, count = peer(rng.randrange(1, 9), rng.randrange(1, 9)), rng.randrange(1, 5)
            if shares.admit(source, second + rng.random(), count=count):
                used[source] += count
        assert max(used.values()) <= 30
        assert 50 <= sum(used.values()) <= 100
        assert len(used) <= 20 + 20 * (second > 0)
    alone = [shares.admit(peer(1), 99.0) for _ in range(40)]
    assert sum(alone) == 30


def test_who_asks_twice_is_answered_in_that_order_and_others_in_between() -> None:
    """Goal: an answer is whole before the next of the same asker begins, and nobody waits for all of them."""
    house = House()
    for number, source in ((1, peer(1)), (2, peer(1)), (3, peer(2))):
        request = SyncRequest(number=number, budget=3 * STEP_DATAGRAMS, low=ORDER_LOW)
        house.answering.receive(house.community, source, request, house.holdings.summary(), 0.0)
    answered = []
    while (worked := house.answering.step_answer()) is not None:
        (first, *_) = (body for frame in worked[2] for _, body in frames_of(bytes(18) + frame))
        answered.append(MessagesHeader.decode(first)[0].number)
    assert answered == [1, 3, 1, 3, 1, 3, 2, 2, 2]


def test_few_are_given_much_at_once_and_whoever_gives_us_something_always() -> None:
    """By whatever means: at a bridge between two halves all neighbours ask at once, and its other end must
    not be what has to wait."""
    house = House()
    everything = SyncRequest(number=1, budget=ANSWER_BUDGET_MAX, low=ORDER_LOW)
    described = SymbolsRequest(2, 4, Described(HELD, bytes(SYMBOLS_PER_DATAGRAM * sketch.SYMBOL_SIZE)))
    told = [
        [frame[0] for frame in house.ask(peer(host), everything, 0.0)] for host in range(1, 9) for _ in "ab"
    ]
    assert sum(FrameType.BUSY in each for each in told) == 8 - SERVED_MAX
    for request in (everything, described):
        [frames] = house.ask(peer(8), request, 0.1)
        (_, body), *_ = frames_of(bytes(18) + frames)
        assert Busy.decode(body) == Busy(request.number, TURN_MS)
        assert house.ask(peer(1), request, 0.1)[0][0] != FrameType.BUSY
    house.asking.giver = peer(8)
    for request in (everything, described):
        assert house.ask(peer(8), request, 0.2)[0][0] != FrameType.BUSY


def test_few_are_given_fragments_at_once_and_small_messages_all_the_same() -> None:
    """A long message leaves a slow uplink for three, who give it to the others; nobody waits with more."""
    house = House()
    asked = [
        house.ask(peer(host), FragmentRequest(1, OrderKey(MESSAGES_FROM), 1), 0.0)
        for host in range(1, FRAGMENTS_SERVED_MAX + 4)
    ]
    told = [[each for each, _ in frames_of(bytes(18) + b"".join(frames))] for frames in asked]
    assert told == [[FrameType.FRAGMENT]] * FRAGMENTS_SERVED_MAX + [[FrameType.BUSY]] * 3
    small = house.ask(peer(FRAGMENTS_SERVED_MAX + 2), SyncRequest(number=1, budget=3), 0.0)
    assert small[0][0] == FrameType.MESSAGES


def test_one_host_has_one_turn_of_fragments_and_who_has_had_all_has_none() -> None:
    """Neither with all its ports nor by asking on does anybody keep long messages from the others."""
    house, wanted = House(), FragmentRequest(1, OrderKey(MESSAGES_FROM), 1)
    for port in range(1, 60):
        house.ask(peer(1, port), wanted, 0.0)
    for host in range(2, FRAGMENTS_SERVED_MAX + 1):
        told = []
        while FrameType.BUSY not in told:
            (answer,) = house.ask(peer(host), wanted, 0.1)
            told = [each for each, _ in frames_of(bytes(18) + answer)]
    for host in range(FRAGMENTS_SERVED_MAX + 1, 2 * FRAGMENTS_SERVED_MAX):
        assert house.ask(peer(host), wanted, 0.2)[0][0] == FrameType.FRAGMENT
