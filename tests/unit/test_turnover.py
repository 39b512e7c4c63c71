"""Goal: where neighbours go fast it is seen within seconds; neither loss nor a slow link looks like it."""

from __future__ import annotations

from random import Random

from dispersy.protocol.address import Address, make_address
from dispersy.protocol.identifiers import MemberId
from dispersy.protocol.walk.announcers import ANNOUNCERS_MAX, Announcers
from dispersy.protocol.walk.bootstrap import ASKED_AGAIN_S, Bootstrap
from dispersy.protocol.walk.candidate import Candidates, Category
from dispersy.protocol.walk.turnover import MEMORY_S, Turnover


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
