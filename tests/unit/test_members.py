"""Where a walker takes members to be, and what it makes of its own key at another address."""

from __future__ import annotations

from dataclasses import replace
from math import ceil

from dispersy.constants import WALK_REQUEST_LIFETIME_S
from dispersy.protocol.address import Address
from dispersy.protocol.walk.candidate import Category
from dispersy.protocol.walk.walk_events import CandidateFound, SameKeyElsewhere, SendIntroduction
from dispersy.protocol.wire.frames import IntroductionRequest, IntroductionResponse, Ping
from dispersy.protocol.wire.numbers import FrameType
from dispersy.protocol.wire.records import TOKEN_CURRENT
from tests.unit.walker_house import SUMMARY, US, address, make_walker, member, of, stumble, token


def test_a_known_member_moves_only_by_an_introduction_made_for_us() -> None:
    """One that covers no receiver may be passed on by whom it was made for: it is answered, no more."""
    walker = make_walker()
    stumble(walker, 2, 0.0)
    walker.receive_token(address(9), TOKEN_CURRENT, token(1), token(9), 0.0)
    request = IntroductionRequest(number=7, member=member(2), summary=SUMMARY, asks_introduction=True)
    walker.receive_introduction_request(address(9), request, 1.0)
    [sent] = of(walker.drain(), SendIntroduction)
    assert isinstance(sent, SendIntroduction)
    assert (sent.address, sent.receiver_member) == (address(9), member(2))
    # Should there be two nodes with one key, they hear of each other so.
    response = IntroductionResponse.decode(sent.unsigned_body + bytes(64))
    assert response.introduced_wan == address(2)
    views = {view.address: view for view in walker.candidates(1.0)}
    assert (views[address(2)].member, views[address(2)].category) == (member(2), Category.STUMBLED)
    assert (views[address(9)].member, views[address(9)].category) == (None, Category.INTRODUCED)
    elsewhere = replace(request, covers_receiver=True, wan=address(8))
    walker.receive_introduction_request(address(9), elsewhere, 2.0)
    assert of(walker.drain(), CandidateFound) == []
    here = replace(request, covers_receiver=True, wan=address(9))
    walker.receive_introduction_request(address(9), here, 2.0)
    assert CandidateFound(address(9), member(2)) in walker.drain()
    assert {view.address: view.member for view in walker.candidates(2.0)} == {address(9): member(2)}


def test_the_answer_of_a_member_that_has_moved_moves_it() -> None:
    """We walk to where it may be, and its response is always made for us."""
    walker = make_walker()
    stumble(walker, 2, 0.0)
    walker.receive_token(address(9), TOKEN_CURRENT, token(1), token(9), 0.0)
    walker.receive_introduction_request(address(9), IntroductionRequest(number=7, member=member(2)), 1.0)
    assert len(walker.drain()) == 1
    now, sent = 1.0, list[SendIntroduction]()
    while not sent:
        now = max(now, walker.next_deadline())
        assert now < 30.0
        walker.handle_timer(now)
        sent = [
            event
            for event in walker.drain()
            if isinstance(event, SendIntroduction) and event.address == address(9)
        ]
    # Who answers there is not known yet, so the request is made for nobody.
    assert sent[0].receiver_member is None
    asked = IntroductionRequest.decode(sent[0].unsigned_body + bytes(64))
    assert not asked.covers_receiver
    answer = IntroductionResponse(number=asked.number, member=member(2), lan=address(9))
    walker.receive_introduction_response(address(9), answer, now)
    assert {view.address: view.member for view in walker.candidates(now)} == {address(9): member(2)}


def test_a_member_that_does_not_know_its_new_address_moves_when_the_former_is_silent() -> None:
    """A NAT gave it another port, and nobody has told it yet: the former address is asked, and forgotten."""
    walker = make_walker()
    stumble(walker, 2, 0.0)
    request = IntroductionRequest(number=7, member=member(2), wan=address(2), covers_receiver=True)
    walker.receive_token(address(9), TOKEN_CURRENT, token(1), token(9), 20.0)
    walker.receive_introduction_request(address(9), request, 20.0)
    asked = [event.address for event in walker.drain() if isinstance(event, SendIntroduction)]
    assert asked == [address(2), address(9)]
    assert next(view for view in walker.candidates(20.0) if view.member).address == address(2)
    now = 20.0
    while now < 20.0 + WALK_REQUEST_LIFETIME_S:
        now = walker.next_deadline()
        walker.handle_timer(now)
        walker.drain()
    walker.receive_introduction_request(address(9), request, now)
    assert {view.address: view.member for view in walker.candidates(now)} == {address(9): member(2)}


def test_pings_alone_hold_no_member_at_its_former_address() -> None:
    """They bear no signature: who once passed an introduction on may ping from there for ever."""
    walker = make_walker()
    stumble(walker, 2, 0.0)
    request = IntroductionRequest(number=7, member=member(2), wan=address(2), covers_receiver=True)
    walker.receive_token(address(9), TOKEN_CURRENT, token(1), token(9), 20.0)
    asked = list[Address]()
    for second in range(1, 22 + ceil(WALK_REQUEST_LIFETIME_S)):
        now = float(second)
        walker.handle_timer(now)
        walker.receive_ping(address(2), Ping(number=second, summary=SUMMARY), now)
        if second == 20:
            walker.receive_introduction_request(address(9), request, now)
        events = walker.drain()
        asked += [event.address for event in events if isinstance(event, SendIntroduction)]
    assert address(2) in asked
    walker.receive_introduction_request(address(9), request, now)
    assert {view.address: view.member for view in walker.candidates(now)} == {address(9): member(2)}


def test_a_member_that_answers_where_it_was_stays_there() -> None:
    """Whoever passes its introductions on from elsewhere moves nothing, however often."""
    walker = make_walker()
    stumble(walker, 2, 0.0)
    request = IntroductionRequest(number=7, member=member(2), wan=address(2), covers_receiver=True)
    walker.receive_token(address(9), TOKEN_CURRENT, token(1), token(9), 0.0)
    for moment in (20.0, 21.0, 40.0):
        walker.receive_introduction_request(address(9), request, moment)
        for event in walker.drain():
            if isinstance(event, SendIntroduction) and event.address == address(2):
                number = IntroductionRequest.decode(event.unsigned_body + bytes(64)).number
                answer = IntroductionResponse(number=number, member=member(2), wan=address(2))
                walker.receive_introduction_response(address(2), answer, moment + 0.1)
    walker.handle_timer(55.0)
    assert next(view for view in walker.candidates(55.0) if view.member).address == address(2)


def test_our_own_key_elsewhere_is_told_and_not_walked_to() -> None:
    """A node that signs as we do is no candidate; at our own address it is ourselves, and no news."""
    walker = make_walker()
    walker.receive_token(address(2), TOKEN_CURRENT, token(1), token(2), 0.0)
    walker.receive_introduction_request(address(2), IntroductionRequest(number=1, member=US), 0.0)
    told, sent = walker.drain()
    assert told == SameKeyElsewhere(address(2))
    # The other must hear it, too.
    assert isinstance(sent, SendIntroduction)
    assert (sent.address, sent.frame_type) == (address(2), FrameType.INTRODUCTION_RESPONSE)
    walker.set_own_addresses(lan=None, wan=address(2))
    walker.receive_introduction_request(address(2), IntroductionRequest(number=1, member=US), 0.0)
    assert walker.drain() == []
    assert walker.candidates(0.0) == []


def test_our_own_request_that_comes_back_is_no_other_node() -> None:
    """From an address that we do not know for ours, behind a NAT: its number tells that we made it."""
    walker = make_walker(address(2))
    walker.receive_token(address(2), TOKEN_CURRENT, token(1), token(2), 0.0)
    walker.handle_timer(0.0)
    [sent] = of(walker.drain(), SendIntroduction)
    assert isinstance(sent, SendIntroduction)
    ours = IntroductionRequest.decode(sent.unsigned_body + bytes(64))
    for moment in (0.1, 500.0):
        walker.receive_introduction_request(address(2), ours, moment)
        assert walker.drain() == []


def test_a_twin_that_answers_is_told() -> None:
    """We walk to a node with our key: its response is signed as ours are."""
    walker = make_walker(address(2))
    walker.receive_token(address(2), TOKEN_CURRENT, token(1), token(2), 0.0)
    walker.handle_timer(0.0)
    [sent] = of(walker.drain(), SendIntroduction)
    assert isinstance(sent, SendIntroduction)
    number = IntroductionRequest.decode(sent.unsigned_body + bytes(64)).number
    walker.receive_introduction_response(address(2), IntroductionResponse(number=number, member=US), 0.1)
    assert walker.drain() == [SameKeyElsewhere(address(2))]
    assert walker.candidates(0.1) == []
