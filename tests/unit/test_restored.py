"""Goal: a restored home asks neighbours before it publishes, and waits no longer than it says."""

from __future__ import annotations

import random

import pytest

from dispersy.errors import UsageError
from dispersy.protocol.address import Address
from dispersy.protocol.identifiers import MemberId
from dispersy.protocol.sync.newest_request import NewestRequest
from dispersy.protocol.wire.frames import MissingNewest
from dispersy.workers.keeping.restored import GRACE_S, HELD_MAX, HOSTS_MIN, RestoredHome

AUTHOR, OTHER = MemberId(b"a" * 32), MemberId(b"b" * 32)
COMMUNITIES = {1: (b"1" * 32, [AUTHOR]), 2: (b"2" * 32, [OTHER])}


def address(number: int, port: int = 4112) -> Address:
    return Address(bytes(10) + b"\xff\xff" + bytes([192, 0, 2, number]) + port.to_bytes(2, "big"))


def restored(problem: str = "a copy") -> RestoredHome[str]:
    return RestoredHome(problem, COMMUNITIES, now=100.0, limit_s=30.0)


def test_a_home_that_fits_holds_nothing() -> None:
    home = restored(problem="")
    assert home.is_over
    assert not home.hold(1, "publish")
    assert home.authors() == {}
    assert home.warnings(100.0) == []
    assert home.next_deadline() is None


def test_publishing_waits_for_what_came_and_a_grace() -> None:
    """Other communities go on waiting for theirs; one that was joined since has nothing to wait for."""
    home = restored()
    assert home.authors() == {1: [AUTHOR], 2: [OTHER]}
    assert home.hold(1, "first")
    assert home.hold(2, "other")
    assert home.hold(1, "second")
    assert not home.hold(3, "joined since")
    home.receive_told(1, 7, 104.0)
    home.receive_own(1, 105.0)
    assert home.next_deadline() == 105.0 + GRACE_S
    assert home.handle_timer(105.0 + GRACE_S - 0.1) == []
    assert home.handle_timer(105.0 + GRACE_S) == ["first", "second"]
    assert not home.hold(1, "later")
    assert home.authors() == {2: [OTHER]}
    assert not home.is_over
    assert home.handle_timer(130.0) == ["other"]
    assert home.is_over


def test_it_waits_at_most_so_long_and_then_warns() -> None:
    """What comes at the last moment makes it no longer; the warning stays where no answer came."""
    home = restored()
    home.receive_told(1, 7, 120.0)
    home.receive_own(1, 129.0)
    assert home.next_deadline() == 130.0
    asking = home.warnings(118.0)
    assert [warning["code"] for warning in asking] == ["home-restored"] * 2
    assert "a copy" in asking[0]["message"]
    assert "12 s left" in asking[0]["message"]
    home.handle_timer(130.0)
    (warning,) = home.warnings(200.0)
    assert warning["code"] == "home-restored-unanswered"
    assert warning["community"] == b"2" * 32
    assert "within 30 s" in warning["message"]


def test_one_host_that_says_nothing_does_not_end_the_waiting() -> None:
    """However often it says so: who holds more has the whole time to say so, until several agree."""
    home = restored()
    for _ in range(HOSTS_MIN):
        home.receive_told(1, 7, 101.0)
    assert home.next_deadline() == 130.0
    home.receive_told(1, 8, 102.0)
    home.receive_told(1, 9, 103.0)
    home.receive_told(1, 10, 110.0)
    assert home.next_deadline() == 103.0 + GRACE_S
    home.receive_own(1, 105.0)
    assert home.next_deadline() == 105.0 + GRACE_S, "more may follow what came late"


def test_a_community_that_is_served_later_is_asked_in_then() -> None:
    """Its time begins only when it is served: before, no neighbour could have answered."""
    home: RestoredHome[str] = RestoredHome("a copy", {1: COMMUNITIES[1]}, now=100.0, limit_s=30.0)
    assert not home.hold(2, "not served")
    home.handle_timer(130.0)
    assert home.is_over
    home.begin(2, *COMMUNITIES[2], 500.0)
    home.begin(2, *COMMUNITIES[2], 510.0)
    assert home.authors() == {2: [OTHER]}
    assert home.is_expected(2)
    assert home.hold(2, "publish")
    assert home.next_deadline() == 530.0
    assert home.handle_timer(530.0) == ["publish"]


def test_no_more_orders_are_held_than_the_gateway_sends() -> None:
    home = restored()
    for _ in range(HELD_MAX):
        assert home.hold(1, "publish")
    with pytest.raises(UsageError) as refused:
        home.hold(1, "publish")
    assert refused.value.code == "busy"


def test_every_neighbour_is_asked_until_it_has_answered_for_every_author() -> None:
    """Ever more slowly; who is met later is asked at once."""
    asking = NewestRequest(rng=random.Random(1))
    asking.hear(address(1), 0.0)
    assert asking.step(0.0) == []
    asking.set_authors([AUTHOR, OTHER], 1.0)
    first = asking.step(1.0)
    assert [(source, request.wanted) for source, request in first] == [
        (address(1), MissingNewest(AUTHOR)),
        (address(1), MissingNewest(OTHER)),
    ]
    assert asking.step(1.5) == []
    asking.set_authors([AUTHOR, OTHER], 1.5)
    asking.hear(address(2), 1.5)
    assert [source for source, _ in asking.step(1.5)] == [address(2)] * 2
    numbers = [request.number for _, request in first]
    assert not asking.receive_answer(address(2), numbers[0])
    assert not asking.receive_answer(address(1), numbers[0])
    assert asking.receive_answer(address(1), numbers[1])
    assert not asking.receive_answer(address(1), numbers[1])
    assert {source for source, _ in asking.step(60.0)} == {address(2)}
    asking.set_authors([], 61.0)
    assert asking.next_deadline() is None


def test_a_crowd_of_neighbours_is_not_remembered() -> None:
    """One host with many ports, and very many hosts: both are bounded."""
    asking = NewestRequest(rng=random.Random(1))
    asking.set_authors([AUTHOR], 0.0)
    for port in range(1, 1000):
        asking.hear(address(1, port), 0.0)
    assert len(asking.step(0.0)) == 8
    for number in range(2, 200):
        asking.hear(address(number), 0.0)
    assert len({source for source, _ in asking.step(500.0)}) == 64
