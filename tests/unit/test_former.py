"""Goal: who was lost is asked again, at a bounded cost, for a day, and by nobody whom that does not serve."""

from __future__ import annotations

from itertools import pairwise

from dispersy.constants import FORMER_AGAIN_MAX_S, FORMER_AGAIN_S, FORMER_MAX, FORMER_S
from dispersy.protocol.address import make_address
from dispersy.protocol.walk.former import Former
from tests.unit.walker_house import address, member


def lost(*indexes: int, count_max: int = FORMER_MAX, wakes: bool = True) -> Former:
    former = Former(count_max=count_max, wakes=wakes)
    for index in indexes:
        former.lose(member(index), address(index), 0.0)
    return former


def test_it_is_asked_ever_more_seldom_and_for_a_day() -> None:
    """The first time soon, then at most twice as far apart as the longest pause says half of."""
    former, moments, now = lost(2), [], 0.0
    while (due := former.next_deadline()) is not None:
        assert former.take(due - 0.001) == []
        assert former.take(due) == [address(2)]
        moments.append(due)
        now = due
    assert moments[0] == FORMER_AGAIN_S
    pauses = [later - earlier for earlier, later in pairwise(moments)]
    assert all(FORMER_AGAIN_S / 2 <= pause <= FORMER_AGAIN_MAX_S * 1.5 for pause in pauses)
    assert pauses[-1] >= FORMER_AGAIN_MAX_S / 2
    assert FORMER_S <= now <= FORMER_S + FORMER_AGAIN_MAX_S * 1.5


def test_two_that_lost_each_other_do_not_ask_in_step() -> None:
    """Else NATs would open and close for both at the same wrong moments."""
    moments = []
    for index in (0x1020, 0xF0E0):
        former = lost(index)
        former.take(FORMER_AGAIN_S)
        moments.append(former.next_deadline())
    assert moments[0] != moments[1]


def test_few_are_remembered_and_one_of_a_host() -> None:
    """Those that were lost last: a flood from one host takes one place."""
    former = lost(*range(2, 4 + FORMER_MAX))
    assert set(former.take(FORMER_AGAIN_S)) == {address(index) for index in range(4, 4 + FORMER_MAX)}
    former = lost(2)
    for port in range(1, 100):
        former.lose(member(port + 1_000), address(3, port=port), 0.0)
    assert former.take(FORMER_AGAIN_S) == [address(2), address(3, port=99)]
    here = [make_address("127.0.0.1", port) for port in (1, 2)]
    former = lost()
    for index, place in enumerate(here):
        former.lose(member(index + 2), place, 0.0)
    assert former.take(FORMER_AGAIN_S) == here


def test_who_is_found_or_unwanted_is_asked_no_more() -> None:
    """Wherever it is found, and whoever is found where it was."""
    former = lost(2, 3, 4, 5)
    former.find(member(2), address(9))
    former.find(member(8), address(3))
    former.forget(lambda place, _: place == address(4))
    assert former.take(FORMER_AGAIN_S) == [address(5)]


def test_when_somebody_is_due_follows_who_is_left() -> None:
    former = Former(count_max=FORMER_MAX, wakes=True)
    for index in (2, 3, 4):
        former.lose(member(index), address(index), float(index))
    assert former.next_deadline() == 2 + FORMER_AGAIN_S
    former.find(member(2), address(9))
    assert former.next_deadline() == 3 + FORMER_AGAIN_S
    former.find(member(8), address(3))
    assert former.next_deadline() == 4 + FORMER_AGAIN_S
    former.forget(lambda place, _: place == address(4))
    assert former.next_deadline() is None


def test_some_remember_nobody_and_some_do_not_wake_for_it() -> None:
    """A tracker forgets who is gone; a phone asks when it is awake anyway."""
    assert lost(2, count_max=0).take(FORMER_AGAIN_S) == []
    sleepy = lost(2, wakes=False)
    assert sleepy.next_deadline() is None
    assert sleepy.take(FORMER_AGAIN_S) == [address(2)]


def test_those_of_an_earlier_run_are_asked_when_told_and_then_as_all() -> None:
    """And take the place of nobody who was lost in this one."""
    former = Former(count_max=2, wakes=True)
    former.remember(member(2), address(2), 0.0, first_after_s=1.0)
    assert former.next_deadline() == 1.0
    assert former.take(1.0) == [address(2)]
    again = former.next_deadline()
    assert again is not None
    assert FORMER_AGAIN_S / 2 <= again - 1.0 <= FORMER_AGAIN_S * 1.5
    assert former.take(FORMER_S) == [address(2)]
    assert former.next_deadline() is None
    former.lose(member(3), address(3), 0.0)
    former.lose(member(4), address(4), 0.0)
    former.remember(member(5), address(5), 0.0, first_after_s=0.0)
    assert set(former.take(FORMER_AGAIN_S)) == {address(3), address(4)}
