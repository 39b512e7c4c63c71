"""Goal: where neighbours go fast it is seen within seconds; neither loss nor a slow link looks like it."""

from __future__ import annotations

from random import Random

from dispersy.constants import STEP_INTERVAL_S, WALK_RETRY_S
from dispersy.protocol.address import Address, make_address
from dispersy.protocol.identifiers import MemberId
from dispersy.protocol.walk.announcers import ANNOUNCERS_MAX, Announcers
from dispersy.protocol.walk.bootstrap import ASKED_AGAIN_S, Bootstrap
from dispersy.protocol.walk.candidate import Candidates, Category
from dispersy.protocol.walk.turnover import MEMORY_S, Turnover
from dispersy.protocol.walk.walk_events import SendIntroduction
from dispersy.protocol.wire.frames import IntroductionResponse
from dispersy.protocol.wire.numbers import Capability
from tests.unit.walker_house import HERE, SUMMARY, make_walker, member, of, stumble
from tests.unit.walker_house import address as address_of


def test_two_that_fall_silent_in_a_row_are_many_and_the_past_is_forgotten() -> None:
    turnover = Turnover()
    turnover.fall_silent(1.0)
    assert not turnover.is_high(1.0)
    turnover.fall_silent(2.0)
    assert turnover.is_high(2.0)
    assert not turnover.is_high(2.0 + MEMORY_S)


def test_few_among_many_that_answer_are_loss() -> None:
    turnover = Turnover()
    for second in range(20):
        turnover.answer(float(second))
    for _ in range(2):
        turnover.fall_silent(20.0)
    assert not turnover.is_high(20.0)


def test_who_answers_late_was_not_gone() -> None:
    turnover = Turnover()
    for second in range(10):
        turnover.fall_silent(float(second))
        turnover.take_back(second + 0.5)
        turnover.answer(second + 0.5)
    assert not turnover.is_high(10.0)


def address(number: int) -> Address:
    return make_address(f"198.51.100.{number}", 6421)


def test_where_neighbours_go_fast_the_freshest_are_walked_to_and_named() -> None:
    candidates = Candidates()
    for number in range(1, 4):
        candidates.prove(address(number), MemberId(bytes([number]) * 32), Category.WALKED, float(number))
    oldest, _, freshest = (candidates.get(address(number)) for number in range(1, 4))
    chosen = candidates.choose(rng=Random(1), now=20.0, bootstrap=False)
    assert chosen is oldest
    assert candidates.choose(rng=Random(1), now=20.0, bootstrap=False, freshest=True) is freshest
    requester = candidates.prove(address(9), MemberId(bytes([9]) * 32), Category.STUMBLED, 20.0)
    assert candidates.introduction_for(requester, 20.0, heard_since=2.5) is freshest
    assert freshest is not None
    freshest.is_silent = True
    assert candidates.introduction_for(requester, 20.0, heard_since=2.5) is None
    assert freshest not in candidates.speaking(20.0)
    candidates.prove(address(3), MemberId(bytes([3]) * 32), Category.STUMBLED, 21.0)
    assert freshest in candidates.speaking(21.0)


def test_an_announcer_that_has_fallen_silent_gives_way() -> None:
    """What is new must not wait until it would have been heard again."""
    candidates = Candidates()
    announcers = Announcers(candidates, bootstrap=())
    for number in range(1, ANNOUNCERS_MAX + 1):
        candidates.prove(address(number), MemberId(bytes([number]) * 32), Category.WALKED, 1.0)
        assert announcers.ask(address(number), 1.0)
    assert not announcers.ask(address(9), 2.0)
    silent = candidates.get(address(3))
    assert silent is not None
    silent.is_silent = True
    assert announcers.ask(address(9), 3.0)


def test_a_newcomer_asks_the_bootstrap_again_and_then_no_more() -> None:
    bootstrap = Bootstrap([address(1)], 100.0)
    asked = []
    while (deadline := bootstrap.next_deadline()) is not None:
        asked.append(deadline - 100.0)
        assert bootstrap.take_again(deadline) == address(1)
    assert tuple(asked) == ASKED_AGAIN_S
    assert bootstrap.take_again(1_000.0) is None


def test_who_leaves_other_questions_unanswered_is_looked_after_at_once() -> None:
    """Steps come to each neighbour once in half a minute: where sessions are of seconds most had gone by
    then, and nobody knew."""
    walker = make_walker()
    for index in (2, 3):
        stumble(walker, index, 0.0)
    for index in (2, 3, 2, 3, 4):
        walker.look_after(address_of(index), 0.5)
    asked = [event.address for event in walker.drain() if isinstance(event, SendIntroduction)]
    assert asked == [address_of(2), address_of(3)]
    assert len(walker.neighbours(0.5)) == 2
    now = 0.5
    while now < 0.5 + 2 * WALK_RETRY_S:
        now = walker.next_deadline()
        walker.handle_timer(now)
    assert walker.neighbours(now) == []


def test_who_was_asked_lately_or_is_metered_is_not_looked_after() -> None:
    """A lossy way loses many answers, and each would bring a walk; and who is metered shall be left alone."""
    walker = make_walker()
    stumble(walker, 2, 0.0)
    stumble(walker, 3, 0.0, capabilities=Capability.METERED)
    walker.look_after(address_of(2), 1.0)
    walker.look_after(address_of(3), 1.0)
    asked = [event.address for event in walker.drain() if isinstance(event, SendIntroduction)]
    assert asked == [address_of(2)]
    [request] = walker._requests._requests.values()
    walker.receive_introduction_response(
        address_of(2),
        IntroductionResponse(number=request.number, member=member(2), receiver=HERE, summary=SUMMARY),
        2.1,
    )
    walker.drain()
    walker.look_after(address_of(2), 1.0 + STEP_INTERVAL_S - 0.1)
    assert not of(walker.drain(), SendIntroduction)
    walker.look_after(address_of(2), 1.0 + STEP_INTERVAL_S)
    assert of(walker.drain(), SendIntroduction)
