"""Goal: what one node alone has leaves it few times, everybody has a turn, and little is given at once."""

from __future__ import annotations

from dispersy.protocol.address import Address, make_address
from dispersy.protocol.sync.served import (
    IDLE_S,
    LITTLE_MAX,
    LITTLE_S,
    SERVED_MAX,
    SERVED_SOURCES_MAX,
    TURN_S,
    TURN_WAITING_MAX,
    Served,
)

EACH = 4_000
"""Bytes of one answer."""


def peer(number: int) -> Address:
    return make_address(f"192.0.{number >> 8}.{number & 255}", 6421)


def ask_all(served: Served, *, askers: int, seconds: float) -> list[int]:
    """How many bytes each was given that asks for more all the time, one answer after another."""
    given = [0] * askers
    for step in range(int(seconds * 20)):
        for asker in range(askers):
            if served.admits(1, peer(asker), step / 20):
                served.charge(1, peer(asker), EACH)
                given[asker] += EACH
    return given


def test_few_are_given_much_at_once() -> None:
    given = ask_all(Served(), askers=20, seconds=TURN_S - 0.5)
    assert sorted(given)[-SERVED_MAX] > 4 * LITTLE_MAX
    assert sorted(given)[-SERVED_MAX - 1] <= LITTLE_MAX + EACH


def test_everybody_has_a_turn() -> None:
    given = ask_all(Served(), askers=4 * SERVED_MAX, seconds=6 * TURN_S)
    windows = 6 * TURN_S / LITTLE_S
    assert min(given) > 1.5 * windows * LITTLE_MAX
    assert max(given) < 2 * min(given)


def test_who_has_done_makes_room_at_once() -> None:
    served = Served()
    ask_all(served, askers=SERVED_MAX, seconds=2.0)
    served.charge(1, peer(99), LITTLE_MAX)
    assert not served.admits(1, peer(99), 2.0)
    assert served.admits(1, peer(99), 2.0 + IDLE_S)


def test_as_few_as_are_served_are_not_limited() -> None:
    given = ask_all(Served(), askers=SERVED_MAX, seconds=20.0)
    assert given == [20 * 20 * EACH] * SERVED_MAX


def test_little_is_given_to_everybody_and_communities_do_not_wait_for_each_other() -> None:
    served = Served()
    ask_all(served, askers=SERVED_MAX, seconds=2.0)
    assert served.admits(1, peer(99), 2.0)
    served.charge(2, peer(99), LITTLE_MAX)
    assert served.admits(2, peer(99), 2.0)


def test_what_is_kept_is_bounded() -> None:
    served = Served()
    for number in range(2 * SERVED_SOURCES_MAX):
        served.charge(1, peer(number), LITTLE_MAX)
        served.admits(1, peer(number), 1.0)
    assert len(served._given) == SERVED_SOURCES_MAX
    assert len(served._turns) == SERVED_MAX
    assert len(served._waiting) == TURN_WAITING_MAX
    served.keep([2])
    assert not served._given
    assert not served._turns
    assert not served._waiting
