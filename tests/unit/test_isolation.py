"""Goal: a node to which nobody speaks any more finds others soon, and one that is spoken to asks no more."""

from __future__ import annotations

import pytest

from dispersy.constants import STEP_INTERVAL_S, WALK_RETRY_S
from dispersy.protocol.address import Address
from dispersy.protocol.walk.candidate import NEVER
from dispersy.protocol.walk.hunger import FED, Hunger
from dispersy.protocol.walk.isolation import UNANSWERED_MAX, Isolation
from dispersy.protocol.walk.shared_pace import SharedPace
from dispersy.protocol.walk.walk_events import SendIntroduction, SendToken
from dispersy.protocol.walk.walker import Walker
from dispersy.protocol.wire.frames import IntroductionRequest, IntroductionResponse
from dispersy.protocol.wire.records import TOKEN_CURRENT
from tests.unit.walker_house import HERE, SUMMARY, address, make_walker, member, stumble, token

HOUR_S = 3_600.0
TOLD_S = (1 + UNANSWERED_MAX) * STEP_INTERVAL_S + 2 * WALK_RETRY_S
"""Within which a node knows: steps that come late to its silent neighbours, and their first repetitions."""


def test_walks_in_a_row_that_nobody_answers_are_isolation() -> None:
    isolation = Isolation()
    isolation.leave_unanswered(10.0, 11.0, heard_at=9.0)
    assert not isolation.take()
    assert isolation.heard_since == NEVER
    isolation.leave_unanswered(15.0, 16.0, heard_at=9.0)
    assert isolation.heard_since == 10.0
    assert isolation.take()
    assert not isolation.take()


def test_whoever_is_heard_meanwhile_ends_it() -> None:
    """Behind many a NAT each other walk is in vain, and nobody is alone for it."""
    isolation = Isolation()
    for second in range(10, 100, 5):
        heard_at = second - 2.0 + 3.0 * (second % 2)
        isolation.leave_unanswered(second, second + 1.0, heard_at=heard_at)
    assert not isolation.take()


def test_whoever_is_heard_after_a_walk_began_is_there() -> None:
    """That one is left unanswered then tells of that one alone; the next begin to count anew."""
    isolation = Isolation()
    isolation.leave_unanswered(10.0, 11.0, heard_at=9.0)
    isolation.leave_unanswered(15.0, 16.0, heard_at=15.5)
    isolation.leave_unanswered(20.0, 21.0, heard_at=15.5)
    assert not isolation.take()
    isolation.leave_unanswered(25.0, 26.0, heard_at=15.5)
    assert isolation.take()
    assert isolation.heard_since == 20.0


def test_early_steps_are_too_fast_for_it() -> None:
    """A phone that roams hears nobody for two seconds, in which a newcomer asks five."""
    isolation = Isolation()
    for index in range(5):
        isolation.leave_unanswered(10.0 + 0.4 * index, 11.0 + 0.4 * index, heard_at=9.0)
    assert not isolation.take()


def test_each_time_takes_as_many_walks_and_is_news_but_once() -> None:
    isolation = Isolation()
    told = []
    for at in (10.0, 15.0, 20.0, 25.0, 30.0):
        isolation.leave_unanswered(at, at + 1.0, heard_at=9.0)
        told.append((isolation.take(), isolation.is_news))
    assert told == [(False, False), (True, True), (False, True), (True, False), (False, False)]
    isolation.leave_unanswered(40.0, 41.0, heard_at=31.0)
    isolation.leave_unanswered(45.0, 46.0, heard_at=31.0)
    assert isolation.is_news


def test_what_was_not_answered_before_a_sleep_does_not_count() -> None:
    isolation = Isolation()
    isolation.leave_unanswered(10.0, 11.0, heard_at=9.0)
    isolation.begin_again()
    isolation.leave_unanswered(3_600.0, 3_601.0, heard_at=9.0)
    assert not isolation.take()


class Wire:
    """A walker's wire, at whose other end a few answer.

    speaking  the indices of those who do, and whom they name
    asked     when each was sent a token or a request
    """

    def __init__(self, walker: Walker) -> None:
        self.walker = walker
        self.speaking: dict[int, Address | None] = {}
        self.asked: dict[Address, list[float]] = {}
        self.now = 0.0

    def run(self, until: float) -> None:
        while (deadline := self.walker.next_deadline()) < until:
            self.now = max(self.now + 0.001, deadline)
            self.walker.handle_timer(self.now)
            self.answer()
        self.now = until

    def answer(self) -> None:
        by_address = {address(index): index for index in self.speaking}
        while events := self.walker.drain():
            for event in events:
                if not isinstance(event, SendToken | SendIntroduction):
                    continue
                self.asked.setdefault(event.address, []).append(self.now)
                index = by_address.get(event.address)
                if index is None:
                    continue
                if isinstance(event, SendToken):
                    self.walker.receive_token(event.address, TOKEN_CURRENT, token(1), token(index), self.now)
                else:
                    self.respond(index, IntroductionRequest.decode(event.unsigned_body + bytes(64)))

    def respond(self, index: int, request: IntroductionRequest) -> None:
        named = self.speaking[index]
        response = IntroductionResponse(
            number=request.number,
            member=member(index),
            receiver=HERE,
            **({} if named is None else {"introduced_wan": named}),  # type: ignore[arg-type]
        )
        self.walker.receive_introduction_response(address(index), response, self.now)

    def asked_after(self, whom: Address, since: float) -> list[float]:
        return [at for at in self.asked.get(whom, []) if at >= since]


def isolated(*, bootstrap: bool = True, pace: SharedPace | None = None) -> Wire:
    """Many more neighbours than satisfy a walk have spoken until second 20, and named as many that
    never speak; from then on the bootstrap alone would answer, and name somebody new."""
    walker = make_walker(*[address(1)] * bootstrap, pace=pace)
    wire = Wire(walker)
    if bootstrap:
        wire.speaking = {1: None}
    for second in (8.0, 12.0, 16.0, 20.0):
        wire.run(second)
        for index in range(2, 2 + 8 * FED):
            stumble(walker, index, second, summary=SUMMARY)
            wire.speaking[index] = address(100 + index)
    wire.speaking = {1: address(90)} if bootstrap else {}
    return wire


def test_who_hears_nobody_asks_the_bootstrap_and_walks_to_whom_it_names() -> None:
    """Half of the steps would go to such as were once named, and the silence of these would tell nothing."""
    wire = isolated()
    wire.run(20.0 + TOLD_S)
    asked = wire.asked_after(address(1), 20.0)
    assert asked, "the bootstrap is asked when nobody else answers"
    named = wire.asked_after(address(90), asked[0])
    assert [at for at in named if at < asked[0] + 0.1], "whoever it names is the only one that may be there"


def test_neighbours_that_fell_silent_together_do_not_still_hunger() -> None:
    """They are as many as satisfy it, and gone: the bootstrap is asked again and again until others speak."""
    wire = isolated()
    wire.run(20.0 + TOLD_S + 2 * STEP_INTERVAL_S)
    first, *again = wire.asked_after(address(1), 20.0)
    assert len([at for at in again if at < first + 2 * STEP_INTERVAL_S]) >= 3, (first, again)


def test_without_a_bootstrap_the_neighbour_heard_last_is_asked() -> None:
    wire = isolated(bootstrap=False)
    walker = wire.walker
    freshest = next(each.address for each in walker.candidates(wire.now) if each.member is not None)
    wire.run(20.0 + TOLD_S)
    assert wire.asked_after(freshest, 20.0)


def test_a_bootstrap_that_is_gone_does_not_keep_the_neighbour_heard_last_from_being_asked() -> None:
    """It is under way for ten seconds each time, and so would nobody be asked."""
    wire = isolated()
    wire.speaking = {}
    walker = wire.walker
    freshest = next(each.address for each in walker.candidates(wire.now) if each.address != address(1))
    wire.run(20.0 + 2 * TOLD_S)
    assert wire.asked_after(address(1), 20.0)
    assert wire.asked_after(freshest, 20.0)


@pytest.mark.parametrize("speaks", [True, False])
def test_one_neighbour_that_speaks_is_enough(speaks: bool) -> None:
    wire = isolated()
    if speaks:
        for second in range(20, 60, 4):
            wire.run(float(second))
            stumble(wire.walker, 40, wire.now, summary=SUMMARY)
    wire.run(60.0)
    assert (wire.walker._turnover.isolation.heard_since == NEVER) is speaks


def test_a_line_that_is_down_for_an_hour_is_asked_no_more_than_without_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Once no neighbour is left, steps ask the bootstrap at their own pace."""
    counts = []
    for is_noticed in (True, False):
        if not is_noticed:
            monkeypatch.setattr(Isolation, "take", lambda _: False)
        wire = isolated()
        wire.speaking = {}
        wire.run(20.0 + HOUR_S)
        counts.append(sum(len([at for at in moments if at >= 120.0]) for moments in wire.asked.values()))
    assert counts[0] <= 1.1 * counts[1]


def fallen_silent(*, pace: SharedPace | None = None, is_news: bool = True) -> Wire:
    """Second 30, and it has just turned out that nobody was heard for ten seconds."""
    wire = isolated(pace=pace)
    wire.now = 30.0
    turnover = wire.walker._turnover
    turnover.isolation.heard_since = 21.0
    turnover.isolation.is_news = is_news
    turnover.isolation._is_due = True
    turnover.hunger = wire.walker._targets._hunger = Hunger()
    return wire


def test_who_is_left_is_the_bootstrap_or_else_the_neighbour_heard_last() -> None:
    wire = fallen_silent()
    assert wire.walker._targets.take_again(wire.now) == [address(1)]
    assert wire.walker._targets.take_again(wire.now) == []
    wire = fallen_silent()
    wire.walker._requests.walk_to(address(1), wire.now)
    freshest = wire.walker._candidates.verified(wire.now)[0].address
    assert wire.walker._targets.take_again(wire.now) == [freshest]


def test_where_no_neighbour_is_left_steps_ask_in_any_case() -> None:
    wire = fallen_silent()
    assert wire.walker._targets.take_again(HOUR_S) == []


@pytest.mark.parametrize("is_news", [True, False])
def test_hunger_begins_anew_but_once(is_news: bool) -> None:
    wire = fallen_silent(is_news=is_news)
    wire.walker._targets.take_again(wire.now)
    assert (wire.walker._turnover.hunger.next_deadline() is not None) is is_news


def test_beside_the_bootstrap_one_that_was_not_heard_is_asked() -> None:
    """It may have been our own line that was down: then all are there, and the bootstrap knows no better."""
    wire = fallen_silent()
    wire.walker._targets.take_again(wire.now)
    due_at = wire.walker._turnover.hunger.next_deadline()
    assert due_at is not None
    bootstrap, other = wire.walker._targets.take_again(due_at)
    assert bootstrap == address(1)
    assert other in [each.address for each in wire.walker._candidates.speaking(due_at)]


def test_a_member_that_speaks_ends_it() -> None:
    wire = fallen_silent()
    assert wire.walker._targets.is_isolated(wire.now)
    stumble(wire.walker, 40, wire.now, summary=SUMMARY)
    assert not wire.walker._targets.is_isolated(wire.now)


def test_a_sleep_ends_it() -> None:
    wire = isolated()
    isolation = wire.walker._turnover.isolation
    isolation.leave_unanswered(21.0, 22.0, heard_at=20.0)
    wire.walker.resume(HOUR_S)
    isolation.leave_unanswered(HOUR_S, HOUR_S + 1.0, heard_at=20.0)
    assert not isolation.take()


def test_a_metered_node_asks_nobody_for_it() -> None:
    """It wakes as seldom as it can, and its neighbours are told so."""
    wire = fallen_silent(pace=SharedPace(is_metered=True))
    assert wire.walker._targets.take_again(wire.now) == []
    assert wire.walker._turnover.hunger.next_deadline() is None
    assert not wire.walker._targets.is_isolated(wire.now)
