"""The walker's rules one by one: spoofing, handshakes, punctures, nudges, votes, and who is dropped when."""

from __future__ import annotations

import pytest

from dispersy.constants import (
    INTRODUCTION_SOURCES_MAX,
    INTRODUCTIONS_PER_HOST_MAX,
    INTRODUCTIONS_PER_SECOND_MAX,
    NUDGE_INTERVAL_S,
    NUDGED_MAX,
    WALK_REQUEST_LIFETIME_S,
)
from dispersy.protocol.address import NO_ADDRESS, Address, make_address
from dispersy.protocol.walk.candidate import Category
from dispersy.protocol.walk.nudges import AFTERWARDS_S
from dispersy.protocol.walk.targets import DISCOVERED_AT_ONCE_MAX
from dispersy.protocol.walk.walk_events import (
    CandidateFound,
    OwnAddress,
    SendFrame,
    SendIntroduction,
    SendToken,
    SummaryHeard,
)
from dispersy.protocol.wire.frames import NO_TOKEN, IntroductionRequest, IntroductionResponse, PunctureRequest
from dispersy.protocol.wire.numbers import Capability, ConnectionType, FrameType
from dispersy.protocol.wire.records import TOKEN_CURRENT, TOKEN_INVALID, TOKEN_PREVIOUS, TOKEN_ZERO
from dispersy.protocol.wire.summary import Summary
from tests.unit.walker_house import HERE, SUMMARY, US, address, make_walker, member, of, stumble, token


@pytest.mark.parametrize("state", [TOKEN_ZERO, TOKEN_INVALID])
def test_an_unproven_address_gets_one_token_a_datagram(state: int) -> None:
    """And nothing else, whatever it sends: its token frame is answered under the very token it gave."""
    walker = make_walker()
    for attempt in range(5):
        walker.receive_token(address(2), state, NO_TOKEN, token(2), float(attempt))
        assert walker.drain() == [SendToken(address(2), token(2))]
    assert walker.token_for(address(2)) is None


@pytest.mark.parametrize("state", [TOKEN_CURRENT, TOKEN_PREVIOUS])
def test_a_valid_token_is_remembered_and_not_answered(state: int) -> None:
    """Else two nodes would send each other tokens for ever."""
    walker = make_walker()
    walker.receive_token(address(2), state, token(1), token(2), 0.0)
    assert walker.drain() == []
    assert walker.token_for(address(2)) == token(2)


def test_a_first_walk_proves_both_sides() -> None:
    """Token out, token in, request out, response in: the neighbour is verified, its round trip known."""
    walker = make_walker(address(2))
    walker.handle_timer(0.0)
    assert walker.drain() == [SendToken(address(2), NO_TOKEN)]
    walker.receive_token(address(2), TOKEN_CURRENT, token(1), token(2), 0.1)
    [sent] = walker.drain()
    assert isinstance(sent, SendIntroduction)
    assert (sent.address, sent.header_token, sent.frame_type) == (
        address(2),
        token(2),
        FrameType.INTRODUCTION_REQUEST,
    )
    request = IntroductionRequest.decode(sent.unsigned_body + bytes(64))
    assert request.asks_introduction
    assert (request.member, request.receiver, request.summary) == (US, address(2), SUMMARY)
    answer = IntroductionResponse(
        number=request.number, member=member(2), receiver=HERE, introduced_wan=address(3), summary=SUMMARY
    )
    walker.receive_introduction_response(address(2), answer, 0.25)
    events = walker.drain()
    assert of(events, CandidateFound) == [CandidateFound(address(2), member(2))]
    assert of(events, SummaryHeard) == [SummaryHeard(address(2), member(2), SUMMARY)]
    views = {view.address: view for view in walker.candidates(0.25)}
    assert views[address(2)].category is Category.WALKED
    assert views[address(2)].round_trip_s == pytest.approx(0.15)
    assert views[address(3)].category is Category.INTRODUCED
    # The same response again is unasked now.
    walker.receive_introduction_response(address(2), answer, 0.3)
    assert walker.drain() == []


@pytest.mark.parametrize("field", ["number", "source"])
def test_an_unasked_response_is_nothing(field: str) -> None:
    """A response counts for the request that it names, from the address that was asked."""
    walker = make_walker(address(2))
    walker.handle_timer(0.0)
    assert walker.drain() == [SendToken(address(2), NO_TOKEN)]
    walker.receive_token(address(2), TOKEN_CURRENT, token(1), token(2), 0.1)
    [sent] = walker.drain()
    assert isinstance(sent, SendIntroduction)
    number = IntroductionRequest.decode(sent.unsigned_body + bytes(64)).number
    answer = IntroductionResponse(number=number ^ (field == "number"), member=member(2))
    walker.receive_introduction_response(address(3 if field == "source" else 2), answer, 0.2)
    assert walker.drain() == []
    assert walker.candidates(0.2) == []


def test_a_restarted_neighbour_is_asked_again_under_its_new_token() -> None:
    """Its answer to our stale token is a token of its own; the request follows under that one, once."""
    walker = make_walker(address(2))
    walker.receive_token(address(2), TOKEN_CURRENT, token(1), token(2), 0.0)
    walker.handle_timer(0.0)
    [first] = of(walker.drain(), SendIntroduction)
    walker.receive_token(address(2), TOKEN_CURRENT, token(1), token(9), 0.05)
    assert walker.drain() == []
    deadline = walker.next_deadline()
    walker.handle_timer(deadline)
    again = [each for each in of(walker.drain(), SendIntroduction) if isinstance(each, SendIntroduction)]
    assert again
    assert again[0].header_token == token(9)
    assert isinstance(first, SendIntroduction)
    assert again[0].unsigned_body == first.unsigned_body


def test_a_request_introduces_another_who_is_asked_to_puncture() -> None:
    """Never the requester; nobody whose token we lack; and both names are what we see ourselves."""
    walker = make_walker()
    events = stumble(walker, 2, 0.0, asks_introduction=True)
    [alone] = [event for event in events if isinstance(event, SendIntroduction)]
    response = IntroductionResponse.decode(alone.unsigned_body + bytes(64))
    assert (response.introduced_lan, response.introduced_wan) == (NO_ADDRESS, NO_ADDRESS)
    assert of(events, SendFrame) == []
    lan = make_address("10.0.0.3", 6421)
    events = stumble(walker, 3, 0.1, asks_introduction=True, lan=lan)
    [sent] = [event for event in events if isinstance(event, SendIntroduction)]
    response = IntroductionResponse.decode(sent.unsigned_body + bytes(64))
    assert (response.number, response.introduced_wan) == (7, address(2))
    [asked] = [event for event in events if isinstance(event, SendFrame)]
    assert asked.address == address(2)
    puncture = PunctureRequest.decode(asked.body)
    assert (puncture.walker_lan, puncture.walker_wan) == (lan, address(3))


def test_requests_are_made_for_whoever_is_known() -> None:
    """A nudge goes to a verified neighbour: its signature covers the neighbour's key, and says so."""
    walker = make_walker()
    stumble(walker, 2, 0.0)
    walker.nudge(1.0)
    [sent] = walker.drain()
    assert isinstance(sent, SendIntroduction)
    assert sent.receiver_member == member(2)
    assert IntroductionRequest.decode(sent.unsigned_body + bytes(64)).covers_receiver


@pytest.mark.parametrize(
    ("introduced", "believed"),
    [
        (address(3), True),
        (address(2), False),
        (HERE, False),
        (make_address("127.0.0.1", 6421), False),
        (make_address("224.0.0.1", 6421), False),
        (address(3, port=0), False),
        (NO_ADDRESS, False),
    ],
    ids=["stranger", "introducer", "ourselves", "loopback", "multicast", "port-0", "nobody"],
)
def test_introductions_are_not_believed_blindly(introduced: Address, believed: bool) -> None:
    """Nobody can have us walk to ourselves, to our own machine or to a group."""
    walker = make_walker(address(2))
    walker.set_own_addresses(lan=None, wan=HERE)
    walker.receive_token(address(2), TOKEN_CURRENT, token(1), token(2), 0.0)
    walker.handle_timer(0.0)
    [sent] = [event for event in walker.drain() if isinstance(event, SendIntroduction)]
    number = IntroductionRequest.decode(sent.unsigned_body + bytes(64)).number
    answer = IntroductionResponse(number=number, member=member(2), introduced_wan=introduced)
    walker.receive_introduction_response(address(2), answer, 0.1)
    listed = {view.address for view in walker.candidates(0.1)}
    assert listed == ({address(2), introduced} if believed else {address(2)})


@pytest.mark.parametrize(
    ("lan", "in_the_lan"),
    [
        (make_address("192.168.1.9", 6421), {make_address("192.168.1.9", 6421)}),
        (make_address("203.0.113.9", 53), set()),
        (NO_ADDRESS, set()),
    ],
    ids=["private", "public", "none"],
)
def test_strangers_behind_our_router_meet_in_the_lan(lan: Address, in_the_lan: set[Address]) -> None:
    """Where the introduced WAN host is our own, the LAN address is walked to, if it is a private one; and the
    other, too, for behind a carrier's NAT there are many LANs."""
    walker = make_walker(address(2))
    walker.set_own_addresses(lan=make_address("192.168.1.2", 6421), wan=HERE)
    walker.receive_token(address(2), TOKEN_CURRENT, token(1), token(2), 0.0)
    walker.handle_timer(0.0)
    [sent] = [event for event in walker.drain() if isinstance(event, SendIntroduction)]
    number = IntroductionRequest.decode(sent.unsigned_body + bytes(64)).number
    wan = make_address("198.51.100.1", 7777)
    answer = IntroductionResponse(number=number, member=member(2), introduced_lan=lan, introduced_wan=wan)
    walker.receive_introduction_response(address(2), answer, 0.1)
    assert {view.address for view in walker.candidates(0.1)} == {address(2), wan, *in_the_lan}


def test_who_is_known_in_the_lan_is_not_looked_for_outside() -> None:
    """At its other address it would only be moved back and forth."""
    walker = make_walker(address(2))
    near, wan = make_address("192.168.1.9", 6421), make_address("198.51.100.1", 7777)
    walker.set_own_addresses(lan=make_address("192.168.1.2", 6421), wan=HERE)
    walker.receive_token(address(2), TOKEN_CURRENT, token(1), token(2), 0.0)
    walker.handle_timer(0.0)
    [sent] = [event for event in walker.drain() if isinstance(event, SendIntroduction)]
    number = IntroductionRequest.decode(sent.unsigned_body + bytes(64)).number
    walker.receive_token(near, TOKEN_CURRENT, token(1), token(9), 0.0)
    walker.receive_introduction_request(near, IntroductionRequest(number=7, member=member(9)), 0.0)
    answer = IntroductionResponse(number=number, member=member(2), introduced_lan=near, introduced_wan=wan)
    walker.receive_introduction_response(address(2), answer, 0.1)
    assert {view.address for view in walker.candidates(0.1)} == {address(2), near}


def test_introductions_are_limited_before_their_signature_is_checked() -> None:
    """A few an address and second; and only so many addresses, but neighbours always."""
    walker = make_walker()
    stumble(walker, 2, 0.0)
    admitted = [walker.admit_introduction(address(3), 5.5) for _ in range(50)]
    assert sum(admitted) == INTRODUCTIONS_PER_SECOND_MAX
    assert walker.admit_introduction(address(3), 6.0)
    flood = [walker.admit_introduction(address(index), 7.0) for index in range(100, 3_000)]
    assert sum(flood) == INTRODUCTION_SOURCES_MAX
    assert walker.admit_introduction(address(2), 7.0)


def test_one_host_does_not_take_all_introductions() -> None:
    """Its ports share a limit that leaves the others theirs; neighbours there are not hindered."""
    walker = make_walker()
    stumble(walker, 2, 0.0)
    flood = [walker.admit_introduction(address(2, port), 1.0) for port in range(10_000, 13_000)]
    assert sum(flood) == INTRODUCTIONS_PER_HOST_MAX
    assert walker.admit_introduction(address(2), 1.0)
    assert walker.admit_introduction(address(3), 1.0)


def test_nudges_are_few_fresh_and_coalesced() -> None:
    """The NUDGED_MAX freshest neighbours, at most every NUDGE_INTERVAL_S, and none that knows already."""
    walker = make_walker()
    for index in range(2, 12):
        stumble(walker, index, index / 100, summary=SUMMARY if index == 11 else None)
    walker.nudge(1.0)
    nudged = [event for event in walker.drain() if isinstance(event, SendIntroduction)]
    assert [event.address for event in nudged] == [address(index) for index in (10, 9, 8, 7, 6)]
    assert len(nudged) == NUDGED_MAX
    request = IntroductionRequest.decode(nudged[0].unsigned_body + bytes(64))
    assert not request.asks_introduction
    assert request.summary == SUMMARY
    for moment in (1.01, 1.05, 1.1):
        walker.nudge(moment)
    assert walker.drain() == []
    assert walker.next_deadline() <= 1.0 + NUDGE_INTERVAL_S
    walker.handle_timer(1.0 + NUDGE_INTERVAL_S)
    later = [event for event in walker.drain() if isinstance(event, SendIntroduction)]
    nudges = [
        event
        for event in later
        if not IntroductionRequest.decode(event.unsigned_body + bytes(64)).asks_introduction
    ]
    assert len(nudges) == NUDGED_MAX


def test_a_nudge_is_answered_where_the_answer_says_something() -> None:
    """One whose summary equals ours is not, unless we last said something else."""
    walker = make_walker()
    other = Summary(highest=4, count=4, sum=9)
    assert of(stumble(walker, 2, 0.0, summary=other), SendIntroduction) != []
    assert of(stumble(walker, 2, 0.1, summary=SUMMARY), SendIntroduction) == []
    walker.set_summary(other, 0.2)
    assert of(stumble(walker, 2, 0.3, summary=other), SendIntroduction) != []
    assert of(stumble(walker, 2, 0.4, summary=other), SendIntroduction) == []


def test_who_was_told_nothing_hears_it_when_the_definition_has_come() -> None:
    """A newcomer has no set to speak of before; its neighbours would not know for half a minute."""
    walker = make_walker()
    walker.set_summary(None, 0.0)
    stumble(walker, 2, 0.0, summary=SUMMARY)
    walker.handle_timer(0.1)
    (walk,) = of(walker.drain(), SendIntroduction)
    number = IntroductionRequest.decode(walk.unsigned_body + bytes(64)).number
    answer = IntroductionResponse(number=number, member=member(2), receiver=HERE, summary=SUMMARY)
    walker.receive_introduction_response(address(2), answer, 0.2)
    walker.drain()
    walker.set_summary(SUMMARY, 1.0)
    walker.nudge(1.0)
    # Its own word says our set already, so it is none of those that differ.
    assert walker.drain() == []
    nudged = []
    for count in range(1, 4):
        walker.handle_timer(1.0 + count * AFTERWARDS_S)
        for event in of(walker.drain(), SendIntroduction):
            request = IntroductionRequest.decode(event.unsigned_body + bytes(64))
            if not request.asks_introduction:
                nudged.append((count, event.address, request.summary))
    assert nudged == [(1, address(2), SUMMARY)]


def test_who_was_told_otherwise_hears_it_when_nothing_changes_any_more() -> None:
    """Those that said our summary before we had it are told one by one after the nudge, and once."""
    walker = make_walker()
    other = Summary(highest=4, count=4, sum=9)
    for index in (2, 3):
        stumble(walker, index, 0.0)
        stumble(walker, index, 0.1, summary=other)
    walker.set_summary(other, 1.0)
    walker.nudge(1.0)
    assert walker.drain() == []
    told: set[Address] = set()
    nudged = []
    for count in range(1, 5):
        moment = 1.0 + count * AFTERWARDS_S
        assert walker.next_deadline() <= moment
        walker.handle_timer(moment)
        for event in walker.drain():
            if isinstance(event, SendIntroduction):
                # A step of the walk tells, too.
                told.add(event.address)
                if not IntroductionRequest.decode(event.unsigned_body + bytes(64)).asks_introduction:
                    nudged.append((count, event.address))
    assert told == {address(2), address(3)}
    assert nudged
    assert len(nudged) == len({each for each, _ in nudged}) == len({each for _, each in nudged})


def test_votes_of_others_are_our_address() -> None:
    """The most hosts win, one vote a host; neighbours in our LAN see no WAN address; ports tell the NAT."""
    walker = make_walker()
    walker.set_own_addresses(lan=make_address("192.168.1.2", 6421), wan=None)
    inside = make_address("192.168.1.7", 6421)
    walker.receive_token(inside, TOKEN_CURRENT, token(1), token(2), 0.0)
    walker.receive_introduction_request(
        inside,
        IntroductionRequest(number=1, member=member(99), receiver=make_address("192.168.1.2", 6421)),
        0.0,
    )
    assert of(walker.drain(), OwnAddress) == []
    assert of(stumble(walker, 2, 0.1), OwnAddress) == [OwnAddress(HERE)]
    assert of(stumble(walker, 3, 0.2), OwnAddress) == []
    for index, port in ((4, 9999), (5, 9998)):
        other = make_address("198.51.100.1", port)
        events = stumble(walker, index, index / 10, receiver=other, asks_introduction=True)
        assert of(events, OwnAddress) == []
    [sent] = [event for event in events if isinstance(event, SendIntroduction)]
    response = IntroductionResponse.decode(sent.unsigned_body + bytes(64))
    assert (response.wan, response.connection) == (HERE, ConnectionType.SYMMETRIC)


def test_who_is_found_in_our_network_is_walked_to_at_once() -> None:
    """It may be the only way to others; but a crowd of them waits for steps."""
    walker = make_walker()
    walker.handle_timer(0.0)
    walker.drain()
    for index in range(2, 2 + 2 * DISCOVERED_AT_ONCE_MAX):
        walker.receive_discovery(address(index), 1.0)
        walker.receive_discovery(address(index), 1.0)
    events = walker.drain()
    assert events == [SendToken(address(index), NO_TOKEN) for index in range(2, 2 + DISCOVERED_AT_ONCE_MAX)]


def test_silent_candidates_are_dropped() -> None:
    """Who was only introduced goes after one unanswered request, who answered before after a second."""
    walker = make_walker(address(2))
    stumble(walker, 3, 0.0)
    walker.receive_discovery(address(4), 0.0)
    now, dropped = 0.0, {}
    while now < 50.0:
        now = max(now, walker.next_deadline())
        walker.handle_timer(now)
        walker.drain()
        listed = {view.address for view in walker.candidates(now)}
        for index in (3, 4):
            if address(index) not in listed:
                dropped.setdefault(index, now)
    assert WALK_REQUEST_LIFETIME_S <= dropped[4] < 2 * WALK_REQUEST_LIFETIME_S + 5
    assert dropped[3] > dropped[4]


def test_a_lonely_walker_asks_often_at_first() -> None:
    """At once, then backing off to a step every 5 s; a token frame each time, and never anything larger."""
    walker = make_walker(address(2))
    now, sent = 0.0, []
    while now < 30.0:
        walker.handle_timer(now)
        for event in walker.drain():
            assert event == SendToken(address(2), NO_TOKEN)
            sent.append(now)
        now = walker.next_deadline()
    assert sent[0] == 0.0
    assert sum(moment < 1.0 for moment in sent) >= 3
    assert len(sent) <= 30


def test_a_tracker_is_told_nothing_and_keeps_nobody_from_settling() -> None:
    """It never says what it holds: it would be told of each change, and a community never be quiet."""
    walker = make_walker()
    (answer,) = of(stumble(walker, 1, 0.0, capabilities=Capability.TRACKER), SendIntroduction)
    response = IntroductionResponse.decode(answer.unsigned_body + bytes(64))  # type: ignore[attr-defined]
    assert not response.asks_announcements
    stumble(walker, 2, 0.0, summary=SUMMARY)
    walker.nudge(0.0)
    assert of(walker.drain(), SendIntroduction) == []
    for now in (10.0, 20.0):
        stumble(walker, 1, now, capabilities=Capability.TRACKER)
        stumble(walker, 2, now, summary=SUMMARY)
        walker.handle_timer(now)
        walker.drain()
    assert walker._settling.is_settled


def test_a_member_where_a_tracker_was_is_found() -> None:
    """A node started where its tracker ran is a neighbour that nobody has been told of yet."""
    walker = make_walker()
    assert of(stumble(walker, 1, 0.0, capabilities=Capability.TRACKER), CandidateFound) == []
    found = [CandidateFound(address(1), member(1))]
    assert of(stumble(walker, 1, 1.0, summary=SUMMARY), CandidateFound) == found
    assert of(stumble(walker, 1, 2.0, summary=SUMMARY), CandidateFound) == []


def test_who_is_metered_is_answered_and_left_alone() -> None:
    """Neither introduced, nor asked to announce, nor pushed to, nor nudged, nor walked to."""
    walker = make_walker()
    (answer,) = of(stumble(walker, 1, 0.0, capabilities=Capability.METERED), SendIntroduction)
    response = IntroductionResponse.decode(answer.unsigned_body + bytes(64))  # type: ignore[attr-defined]
    assert not response.asks_announcements
    (answer,) = of(stumble(walker, 2, 1.0, asks_introduction=True), SendIntroduction)
    response = IntroductionResponse.decode(answer.unsigned_body + bytes(64))  # type: ignore[attr-defined]
    assert response.introduced_wan == NO_ADDRESS
    assert [to for to, _ in walker.neighbours(1.0)] == [address(2), address(1)]
    assert [to for to, _ in walker.unmetered(1.0)] == [address(2)]
    walker.set_summary(Summary(highest=4, count=4, sum=9), 1.0)
    walker.nudge(1.0)
    now = 1.0
    asked = set()
    while now < 50.0:
        walker.handle_timer(now)
        asked |= {
            event.address for event in walker.drain() if isinstance(event, SendIntroduction | SendToken)
        }
        now = walker.next_deadline()
    assert asked == {address(2)}
