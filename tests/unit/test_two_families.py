"""Goal: who has IPv4 and IPv6 meets those who have one of them, in that one."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from dispersy.protocol.address import NO_ADDRESS, Address, make_address
from dispersy.protocol.walk.walk_events import SendFrame, SendIntroduction
from dispersy.protocol.walk.walker import Walker
from dispersy.protocol.wire.frames import IntroductionRequest, IntroductionResponse, PunctureRequest
from dispersy.protocol.wire.records import TOKEN_CURRENT
from tests.unit.walker_house import address, make_walker, member, of, token

DUAL, ASKER = 2, 3
Place = Callable[[int], Address]


def six(index: int) -> Address:
    return make_address(f"2001:db8::{index:x}", 6421)


def ask(
    walker: Walker, index: int, source: Address, now: float
) -> tuple[Address, dict[Address, PunctureRequest]]:
    """Member `index` asks from there: who is introduced to it, and who is told to expect it where."""
    walker.receive_token(source, TOKEN_CURRENT, token(1), token(index), now)
    request = IntroductionRequest(number=7, member=member(index), asks_introduction=True)
    walker.receive_introduction_request(source, request, now)
    events = walker.drain()
    response = next(
        IntroductionResponse.decode(event.unsigned_body + bytes(64))
        for event in of(events, SendIntroduction)
        if isinstance(event, SendIntroduction) and event.address == source
    )
    told = {
        event.address: PunctureRequest.decode(event.body)
        for event in of(events, SendFrame)
        if isinstance(event, SendFrame)
    }
    return response.introduced_wan, told


@pytest.mark.parametrize(("first", "second"), [(address, six), (six, address)])
def test_it_is_introduced_in_the_family_of_whoever_asks(first: Place, second: Place) -> None:
    """Whichever it came over first; the datagram that makes it open its way takes the first in any case."""
    walker = make_walker()
    ask(walker, DUAL, first(DUAL), 0.0)
    ask(walker, DUAL, second(DUAL), 0.5)
    for place in (first, second):
        introduced, told = ask(walker, ASKER, place(ASKER), 1.0)
        assert introduced == place(DUAL)
        assert told[first(DUAL)].walker_wan == place(ASKER)
        walker.forget(lambda where, _: where in (first(ASKER), second(ASKER)))


@pytest.mark.parametrize(("own", "common"), [(address, six), (six, address)])
@pytest.mark.parametrize("first", [address, six])
def test_who_has_both_is_expected_where_the_other_can_send_to(
    first: Place, own: Place, common: Place
) -> None:
    """One that has one family alone is introduced to it, and opens its way to its address of that family."""
    walker = make_walker()
    ask(walker, DUAL, first(DUAL), 0.0)
    ask(walker, DUAL, six(DUAL) if first is address else address(DUAL), 0.5)
    ask(walker, ASKER, common(ASKER), 1.0)
    introduced, told = ask(walker, DUAL, own(DUAL), 2.0)
    assert introduced == common(ASKER)
    assert told[common(ASKER)].walker_wan == common(DUAL)


def test_it_is_told_once_of_its_other_address() -> None:
    """That is for two nodes with one key. Each later answer has room for a neighbour."""
    walker = make_walker()
    ask(walker, DUAL, address(DUAL), 0.0)
    assert ask(walker, DUAL, six(DUAL), 0.5)[0] == address(DUAL)
    assert ask(walker, DUAL, six(DUAL), 30.0)[0] == NO_ADDRESS
    ask(walker, ASKER, six(ASKER), 31.0)
    assert ask(walker, DUAL, six(DUAL), 40.0)[0] == six(ASKER)


def test_it_is_known_in_both_when_it_has_moved() -> None:
    """Where it says itself that it is reached at its other address."""
    walker = make_walker()
    ask(walker, DUAL, address(DUAL), 0.0)
    walker.receive_token(six(DUAL), TOKEN_CURRENT, token(1), token(DUAL), 1.0)
    moves = IntroductionRequest(number=8, member=member(DUAL), wan=six(DUAL), covers_receiver=True)
    walker.receive_introduction_request(six(DUAL), moves, 1.0)
    walker.drain()
    introduced, told = ask(walker, ASKER, address(ASKER), 2.0)
    assert introduced == address(DUAL)
    assert told[six(DUAL)].walker_wan == address(ASKER)
