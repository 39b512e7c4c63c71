"""Goal: who knows few neighbours soon finds others if there are any; a small community costs no more."""

from __future__ import annotations

from dispersy.constants import REVISIT_S
from dispersy.protocol.address import NO_ADDRESS, Address
from dispersy.protocol.walk.hunger import FED, HUNGRY_INTERVAL_S, Hunger
from dispersy.protocol.walk.walk_events import SendIntroduction
from dispersy.protocol.walk.walker import Walker
from dispersy.protocol.wire.frames import IntroductionRequest, IntroductionResponse
from dispersy.protocol.wire.numbers import FrameType
from dispersy.protocol.wire.records import TOKEN_CURRENT
from tests.unit.walker_house import HERE, SUMMARY, address, make_walker, member, of, token

MINUTE_S = 60.0


def asked_in_a_minute(hunger: Hunger, *, neighbours: int) -> list[float]:
    """When somebody is asked again, if nothing else happens."""
    moments = []
    while (deadline := hunger.next_deadline()) is not None and deadline < MINUTE_S:
        if hunger.take(deadline, neighbours=neighbours):
            moments.append(deadline)
    return moments


def test_it_asks_soon_then_more_and_more_seldom_and_no_more() -> None:
    hunger = Hunger()
    assert hunger.next_deadline() is None
    hunger.hope(0.0)
    moments = asked_in_a_minute(hunger, neighbours=1)
    assert moments[0] == HUNGRY_INTERVAL_S
    assert len(moments) == 5
    assert moments[-1] > REVISIT_S
    hunger.hope(MINUTE_S)
    assert hunger.next_deadline() is None, "whoever is named and never reached must not go on for ever"
    hunger.lose(MINUTE_S)
    assert hunger.next_deadline() == MINUTE_S + HUNGRY_INTERVAL_S, "who loses a neighbour begins anew"


def test_who_knows_enough_is_not_hungry() -> None:
    hunger = Hunger()
    hunger.lose(0.0)
    assert asked_in_a_minute(hunger, neighbours=FED) == []
    assert hunger.next_deadline() is None


def test_a_lost_datagram_is_no_loss_of_a_neighbour() -> None:
    hunger = Hunger()
    hunger.lose(0.0)
    hunger.regain()
    assert hunger.next_deadline() is None
    hunger.hope(1.0)
    hunger.regain()
    assert hunger.next_deadline() is not None, "that somebody else was named is still so"


def live_with_bootstrap(walker: Walker, *, named: Address | None) -> list[float]:
    """When the bootstrap is asked within a minute; it answers at once, and nobody else does."""
    moments, now = [], 0.0
    walker.receive_token(address(1), TOKEN_CURRENT, token(9), token(1), now)
    while now < MINUTE_S:
        walker.handle_timer(now)
        for event in of(walker.drain(), SendIntroduction):
            assert isinstance(event, SendIntroduction)
            if event.address != address(1) or event.frame_type != FrameType.INTRODUCTION_REQUEST:
                continue
            request = IntroductionRequest.decode(event.unsigned_body + bytes(64))
            moments.append(now)
            response = IntroductionResponse(
                number=request.number,
                member=member(1),
                receiver=HERE,
                introduced_wan=NO_ADDRESS if named is None else named,
                summary=SUMMARY,
            )
            walker.receive_introduction_response(address(1), response, now)
        now = max(now + 0.001, walker.next_deadline())
    return moments


def test_who_knows_the_bootstrap_alone_asks_it_again_if_it_has_named_somebody() -> None:
    """The one that it has named is gone: the next answer may name another."""
    moments = live_with_bootstrap(make_walker(address(1)), named=address(2))
    assert len([each for each in moments if each < 10.0]) >= 4, moments
    assert len(moments) <= 10, "it names the same one for ever, which must not be asked for for ever"


def test_two_who_are_alone_are_left_in_peace() -> None:
    moments = live_with_bootstrap(make_walker(address(1)), named=None)
    assert len(moments) <= 1 + MINUTE_S // REVISIT_S, moments
