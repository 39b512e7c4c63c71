"""Goal: who is told that somebody walks to it opens its NAT, at a bounded cost, or walks there itself."""

from __future__ import annotations

from dispersy.constants import PUNCTURE_TARGETS_MAX, SETTLED_NEIGHBOURS
from dispersy.protocol.address import NO_ADDRESS, make_address
from dispersy.protocol.walk.walk_events import SendIntroduction, SendToken, WalkEvent
from dispersy.protocol.walk.walker import Walker
from dispersy.protocol.wire.frames import NO_TOKEN, PunctureRequest
from dispersy.protocol.wire.records import TOKEN_CURRENT
from tests.unit.walker_house import HERE, address, make_walker, of, stumble, token


def test_punctures_are_few() -> None:
    """One token datagram a target and second, and a bound for all targets together."""
    walker = make_walker()
    request = PunctureRequest(1, make_address("10.0.0.3", 6421), address(3))
    walker.receive_puncture_request(address(2), request, 0.0)
    assert walker.drain() == [SendToken(address(3), NO_TOKEN)]
    walker.receive_puncture_request(address(4), request, 0.999)
    assert walker.drain() == []
    walker.receive_puncture_request(address(4), request, 1.0)
    assert walker.drain() == [SendToken(address(3), NO_TOKEN)]
    for index in range(1_000, 3_000):
        walker.receive_puncture_request(address(2), PunctureRequest(1, NO_ADDRESS, address(index)), 1.5)
    assert len(walker.drain()) == PUNCTURE_TARGETS_MAX - 1


def punctured(walker: Walker, now: float) -> list[WalkEvent]:
    """What leaves when a stranger that walks to us has our token, after we were told that it comes."""
    walker.receive_puncture_request(address(2), PunctureRequest(1, NO_ADDRESS, address(3)), now)
    assert walker.drain() == [SendToken(address(3), NO_TOKEN)]
    walker.receive_token(address(3), TOKEN_CURRENT, token(1), token(3), now)
    return walker.drain()


def test_who_knows_few_walks_to_those_that_are_on_the_way_to_it() -> None:
    """Goal: nodes behind NATs that give each way another port meet whom they can reach, for nobody reaches
    them where they were said to be. Who is seen as it is, or knows enough, leaves it to the other side."""
    inside = make_address("192.168.1.2", 6421)
    hungry = make_walker()
    hungry.set_own_addresses(lan=inside, wan=HERE)
    [sent] = of(punctured(hungry, 0.0), SendIntroduction)
    assert isinstance(sent, SendIntroduction)
    assert sent.address == address(3)
    public = make_walker()
    public.set_own_addresses(lan=HERE, wan=HERE)
    assert punctured(public, 0.0) == []
    sated = make_walker()
    sated.set_own_addresses(lan=inside, wan=HERE)
    for index in range(10, 10 + SETTLED_NEIGHBOURS):
        stumble(sated, index, 0.0)
    sated.drain()
    assert punctured(sated, 0.0) == []


def test_who_is_known_is_not_walked_to_for_a_puncture() -> None:
    """Neighbours are introduced to each other again and again."""
    walker = make_walker()
    walker.set_own_addresses(lan=make_address("192.168.1.2", 6421), wan=HERE)
    stumble(walker, 3, 0.0)
    walker.receive_puncture_request(address(2), PunctureRequest(1, NO_ADDRESS, address(3)), 0.0)
    assert walker.drain() == [SendToken(address(3), token(3))]
