"""What the votes of neighbours say of the NAT that a node is behind, and how others are named."""

from __future__ import annotations

import pytest

from dispersy.protocol.address import NO_ADDRESS, Address, make_address
from dispersy.protocol.walk.candidate import Candidate
from dispersy.protocol.walk.reachability import OwnAddresses
from dispersy.protocol.walk.walk_events import SendIntroduction
from dispersy.protocol.walk.walker import Walker
from dispersy.protocol.wire.frames import IntroductionRequest, IntroductionResponse
from dispersy.protocol.wire.numbers import ConnectionType
from dispersy.protocol.wire.records import TOKEN_CURRENT
from tests.unit.walker_house import make_walker, member, stumble, token

OURS = make_address("198.51.100.1", 6421)
VOTERS = range(2, 7)
STEP_S = 1.0


def seen_at(port: int, *, host: str = "198.51.100.1") -> Address:
    return make_address(host, port)


class House:
    """A node whose neighbours walk to it again and again, and say where they see it."""

    def __init__(self, lan: Address) -> None:
        self.walker: Walker = make_walker()
        self.walker.set_own_addresses(lan=lan, wan=None)
        self.now = 0.0
        self._asker = 100

    def vote(self, votes: dict[int, Address]) -> None:
        for index, vote in votes.items():
            self.now += STEP_S
            stumble(self.walker, index, self.now, receiver=vote)
            self.walker.handle_timer(self.now + STEP_S / 2)
            self.walker.drain()

    def told(self) -> ConnectionType:
        """What it says of itself to somebody new in its LAN, who does not vote."""
        self._asker += 1
        self.now += STEP_S
        source = make_address("127.0.0.1", 7000 + self._asker)
        self.walker.receive_token(source, TOKEN_CURRENT, token(1), token(self._asker), self.now)
        request = IntroductionRequest(
            number=1, member=member(self._asker), receiver=OURS, asks_introduction=True
        )
        self.walker.receive_introduction_request(source, request, self.now)
        [sent] = [event for event in self.walker.drain() if isinstance(event, SendIntroduction)]
        return IntroductionResponse.decode(sent.unsigned_body + bytes(64)).connection


def test_votes_change_the_connection_type_and_back() -> None:
    """Public where others see us at our own address, symmetric where each sees another port, else unknown."""
    house = House(OURS)
    assert house.told() is ConnectionType.UNKNOWN
    public = dict.fromkeys(VOTERS, OURS)
    behind_a_cone = {index: seen_at(9000) for index in VOTERS}
    symmetric = {index: seen_at(9000 + index) for index in VOTERS}
    for votes, expected in (
        (public, ConnectionType.PUBLIC),
        (behind_a_cone, ConnectionType.UNKNOWN),
        (symmetric, ConnectionType.SYMMETRIC),
        (behind_a_cone, ConnectionType.UNKNOWN),
        (public, ConnectionType.PUBLIC),
        (symmetric, ConnectionType.SYMMETRIC),
        (public, ConnectionType.PUBLIC),
    ):
        house.vote(votes)
        assert house.told() is expected


@pytest.mark.parametrize(
    "lie", [seen_at(9999), seen_at(6421, host="203.0.113.250"), seen_at(1, host="203.0.113.251")]
)
def test_one_vote_among_several_decides_nothing(lie: Address) -> None:
    house = House(OURS)
    house.vote(dict.fromkeys(VOTERS, OURS) | {2: lie})
    assert house.told() is ConnectionType.PUBLIC
    house.vote({index: seen_at(9000 + index) for index in VOTERS} | {2: lie})
    assert house.told() is ConnectionType.SYMMETRIC


def test_one_voter_is_too_few() -> None:
    house = House(OURS)
    house.vote({2: OURS})
    assert house.told() is ConnectionType.UNKNOWN


def test_voters_inside_our_lan_do_not_count() -> None:
    """They see us on our side of the router: however many they are, they make nobody public."""
    inside = make_address("192.168.1.2", 6421)
    house = House(inside)
    for index in range(20, 40):
        house.now += STEP_S / 10
        source = make_address(f"192.168.1.{index}", 6421)
        house.walker.receive_token(source, TOKEN_CURRENT, token(1), token(index), house.now)
        request = IntroductionRequest(number=1, member=member(index), receiver=inside)
        house.walker.receive_introduction_request(source, request, house.now)
        house.walker.handle_timer(house.now + 1)
        house.walker.drain()
    assert house.told() is ConnectionType.UNKNOWN
    house.vote({index: seen_at(9000 + index) for index in (2, 3)})
    assert house.told() is ConnectionType.SYMMETRIC


@pytest.mark.parametrize(
    ("ours", "theirs", "told"),
    [
        ("198.51.100.1", "198.51.100.9", (NO_ADDRESS, make_address("198.51.100.9", 6421))),
        ("192.168.1.2", "192.168.1.9", (make_address("192.168.1.9", 6421), NO_ADDRESS)),
    ],
    ids=["data-centre", "home"],
)
def test_a_neighbour_with_a_public_address_is_named_by_it_though_it_is_next_to_us(
    ours: str, theirs: str, told: tuple[Address, Address]
) -> None:
    """Told as an address of our LAN, whoever is behind a NAT elsewhere neither opened it for that one, nor
    walked there."""
    own = OwnAddresses()
    own.set(lan=make_address(ours, 6421), wan=None)
    candidate = Candidate(make_address(theirs, 6421))
    assert own.addresses_of(candidate, to=make_address("203.0.113.7", 6421)) == told
