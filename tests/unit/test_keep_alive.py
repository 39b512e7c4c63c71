"""A walker's pings: when they leave, what answers them, whom they keep, and what they do not prove."""

from __future__ import annotations

from dispersy.constants import (
    KEEP_ALIVE_S,
    KEPT_MAX,
    PINGS_ANSWERED_PER_SECOND_MAX,
    SETTLING_S,
    STUMBLED_LIFETIME_S,
    TICK_S,
)
from dispersy.protocol.walk.shared_pace import SharedPace
from dispersy.protocol.walk.walk_events import SendIntroduction, SendKeepAlive, SummaryHeard, WalkEvent
from dispersy.protocol.walk.walker import Walker
from dispersy.protocol.wire.frames import IntroductionRequest, Ping, Pong
from dispersy.protocol.wire.numbers import FrameType
from dispersy.protocol.wire.records import TOKEN_CURRENT
from dispersy.protocol.wire.summary import Summary
from tests.unit.walker_house import SUMMARY, address, make_walker, member, of, stumble, token

OTHER = Summary(highest=9, count=9, sum=9)


class Crowd:
    """So many other communities of the node that have settled; kept for as long as they should count."""

    def __init__(self, pace: SharedPace, count: int) -> None:
        self.walkers = [object.__new__(Walker) for _ in range(count)]
        for walker in self.walkers:
            pace.set_settled(walker, True)


def make_crowded(count: int = 50) -> tuple[Walker, Crowd]:
    """A walker of a node with so many settled communities."""
    pace = SharedPace()
    crowd = Crowd(pace, count)
    return make_walker(pace=pace), crowd


def run(walker: Walker, start: float, end: float) -> list[tuple[float, WalkEvent]]:
    """What leaves in this time, and when."""
    sent, now = [], start
    while now < end:
        walker.handle_timer(now)
        sent += [(now, event) for event in walker.drain()]
        now = max(now + 0.001, walker.next_deadline())
    return sent


def pings(sent: list[tuple[float, WalkEvent]]) -> list[tuple[float, SendKeepAlive]]:
    return [(moment, event) for moment, event in sent if isinstance(event, SendKeepAlive)]


def test_a_silent_neighbour_is_pinged_in_time_and_its_pong_keeps_it() -> None:
    """No sooner than KEEP_ALIVE_S, at a tick, and two ticks later at most; then all begins anew."""
    walker, _crowd = make_crowded()
    stumble(walker, 2, 0.0, summary=SUMMARY)
    heard_at = 0.0
    for _ in range(20):
        sent = [each for each in run(walker, heard_at, heard_at + KEEP_ALIVE_S + 2 * TICK_S) if pings([each])]
        moment, ping = pings(sent)[0]
        assert KEEP_ALIVE_S <= moment - heard_at <= KEEP_ALIVE_S + 2 * TICK_S
        assert moment % TICK_S == 0.0
        assert (ping.address, ping.header_token, ping.frame_type) == (address(2), token(2), FrameType.PING)
        assert Ping.decode(ping.body).summary == SUMMARY
        heard_at = moment + 0.05
        walker.receive_pong(address(2), Pong(Ping.decode(ping.body).number, SUMMARY), heard_at)
        assert of(walker.drain(), SummaryHeard) == [SummaryHeard(address(2), member(2), SUMMARY)]
        [view] = walker.candidates(heard_at)
        assert view.proven_age_s == 0.0


def test_a_community_alone_sends_no_pings() -> None:
    """It steps as it always did."""
    walker = make_walker()
    stumble(walker, 2, 0.0, summary=SUMMARY)
    assert pings(run(walker, 0.0, STUMBLED_LIFETIME_S)) == []


def test_a_ping_is_answered_by_as_much_and_heard_as_an_introduction() -> None:
    """Under the token of its sender, with its number and our summary."""
    walker = make_walker()
    stumble(walker, 2, 0.0)
    walker.receive_ping(address(2), Ping(77, OTHER), 30.0)
    heard, sent = walker.drain()
    assert heard == SummaryHeard(address(2), member(2), OTHER)
    assert isinstance(sent, SendKeepAlive)
    assert (sent.address, sent.header_token, sent.frame_type) == (address(2), token(2), FrameType.PONG)
    assert Pong.decode(sent.body) == Pong(77, SUMMARY)
    assert len(sent.body) == len(Ping(77, OTHER).encode())
    assert walker.candidates(30.0)[0].proven_age_s == 0.0


def test_pings_of_strangers_are_nothing() -> None:
    """A valid token alone makes nobody a neighbour, and a neighbour who was forgotten is a stranger."""
    walker = make_walker()
    walker.receive_token(address(3), TOKEN_CURRENT, token(1), token(3), 0.0)
    walker.receive_ping(address(3), Ping(1, OTHER), 0.0)
    stumble(walker, 2, 0.0)
    walker.receive_ping(address(2), Ping(1, OTHER), STUMBLED_LIFETIME_S)
    assert walker.drain() == []
    assert walker.counts["pings-ignored"] == 2


def test_pings_are_answered_a_few_times_a_second() -> None:
    walker = make_walker()
    stumble(walker, 2, 0.0)
    for _ in range(50):
        walker.receive_ping(address(2), Ping(1, SUMMARY), 1.5)
    assert len(of(walker.drain(), SendKeepAlive)) == PINGS_ANSWERED_PER_SECOND_MAX


def test_an_unasked_pong_is_nothing() -> None:
    """Nor is one with another number."""
    walker, _crowd = make_crowded()
    stumble(walker, 2, 0.0, summary=SUMMARY)
    walker.receive_pong(address(2), Pong(1, OTHER), 1.0)
    assert walker.drain() == []
    [(moment, ping), *_] = pings(run(walker, 1.0, KEEP_ALIVE_S + 2 * TICK_S))
    walker.receive_pong(address(2), Pong(Ping.decode(ping.body).number ^ 1, OTHER), moment)
    walker.receive_pong(address(3), Pong(Ping.decode(ping.body).number, OTHER), moment)
    assert of(walker.drain(), SummaryHeard) == []


def test_who_answers_no_ping_is_walked_to_and_pinged_no_more() -> None:
    """Until it pings itself."""
    walker, _crowd = make_crowded()
    stumble(walker, 2, 0.0, summary=SUMMARY)
    sent = run(walker, 0.0, STUMBLED_LIFETIME_S)
    assert len(pings(sent)) == 3
    walked = [moment for moment, event in sent if isinstance(event, SendIntroduction)]
    assert any(moment > pings(sent)[-1][0] for moment in walked)
    stumble(walker, 2, STUMBLED_LIFETIME_S, summary=SUMMARY)
    assert pings(run(walker, STUMBLED_LIFETIME_S, 2 * STUMBLED_LIFETIME_S)) == []
    stumble(walker, 2, 2 * STUMBLED_LIFETIME_S, summary=SUMMARY)
    walker.receive_ping(address(2), Ping(1, SUMMARY), 2 * STUMBLED_LIFETIME_S)
    assert pings(run(walker, 2 * STUMBLED_LIFETIME_S, 3 * STUMBLED_LIFETIME_S)) != []


def test_a_neighbour_that_started_again_is_walked_to_at_once() -> None:
    """It answers a ping with a token alone, for it does not know us: what it says next is an introduction."""
    walker, _crowd = make_crowded()
    stumble(walker, 2, 0.0, summary=SUMMARY)
    [(moment, _), *_] = pings(run(walker, 0.0, KEEP_ALIVE_S + 2 * TICK_S))
    walker.receive_token(address(2), TOKEN_CURRENT, token(1), token(9), moment)
    sent = [event for _, event in run(walker, moment, moment + 0.5)]
    [request] = of(sent, SendIntroduction)
    assert isinstance(request, SendIntroduction)
    assert (request.address, request.header_token) == (address(2), token(9))
    assert IntroductionRequest.decode(request.unsigned_body + bytes(64)).asks_introduction


def test_so_many_neighbours_are_kept_the_longest_known_first() -> None:
    """Strangers that come later take nobody's place."""
    walker, _crowd = make_crowded()
    for index in range(2, 2 + 2 * KEPT_MAX):
        stumble(walker, index, index / 100, summary=SUMMARY)
    walker.drain()
    walker.handle_timer(KEEP_ALIVE_S + 2 * TICK_S)
    kept = {ping.address for ping in walker.drain() if isinstance(ping, SendKeepAlive)}
    assert kept == {address(index) for index in range(2, 2 + KEPT_MAX)}


def test_news_end_the_rest_at_once() -> None:
    """A neighbour's other summary, or our own: then steps come as they do in a community alone."""
    for news in ("theirs", "ours"):
        walker, _crowd = make_crowded()
        stumble(walker, 2, 0.0, summary=SUMMARY)
        run(walker, 0.0, 2 * SETTLING_S)
        assert walker._settling.is_settled
        assert walker._steps.due_at() > 2 * SETTLING_S + 60
        if news == "theirs":
            walker.receive_ping(address(2), Ping(1, OTHER), 2 * SETTLING_S)
        else:
            walker.set_summary(OTHER, 2 * SETTLING_S)
        assert walker._steps.due_at() <= 2 * SETTLING_S + 5.0
