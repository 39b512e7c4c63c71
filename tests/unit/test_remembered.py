"""Goal: where neighbours answered is asked again at the next start, and what leads nowhere is forgotten."""

from __future__ import annotations

from random import Random

from dispersy.protocol.address import Address, make_address
from dispersy.protocol.walk.candidate import Candidates, Category
from dispersy.protocol.walk.remembered import (
    REMEMBERED_MAX,
    REMEMBERED_S,
    REMINDED_AFTER_S,
    VAIN_AFTER_S,
    VAIN_STARTS_MAX,
    Remembered,
    RememberedNeighbours,
)
from dispersy.protocol.walk.walk_events import SendToken
from dispersy.protocol.walk.walker import Walker
from dispersy.protocol.wire.numbers import ConnectionType
from tests.unit.walker_house import TAG, US, address, member, of

TODAY = 1_800_000_000


def entry(index: int, *, heard_at: int = TODAY, vain: int = 0, at: Address | None = None) -> Remembered:
    return Remembered(member(index), address(index) if at is None else at, heard_at, vain)


def started(*stored: Remembered, unix_now: int = TODAY) -> RememberedNeighbours:
    return RememberedNeighbours(stored, unix_now=unix_now, now=0.0)


def hear(remembered: RememberedNeighbours, *indexes: int, now: float = VAIN_AFTER_S) -> bool:
    answered = [(address(index), member(index)) for index in indexes]
    return remembered.hear(answered, unix_now=TODAY, now=now)


def members(remembered: RememberedNeighbours) -> list[bytes]:
    return [each.member for each in remembered]


def test_who_answers_is_kept_before_who_did_once() -> None:
    remembered = started(entry(2), entry(3))
    assert hear(remembered, 5, 3, now=1.0)
    assert members(remembered) == [member(5), member(3), member(2)]
    assert not hear(remembered, 5, 3, now=2.0)


def test_few_are_kept_and_one_of_a_host() -> None:
    remembered = started()
    hear(remembered, *range(2, 100))
    assert members(remembered) == [member(index) for index in range(2, 2 + REMEMBERED_MAX)]
    crowd = [entry(index, at=address(2, port=index)) for index in range(2, 100)]
    assert members(started(*crowd)) == [member(2)]
    assert members(started(entry(2), entry(2, at=address(3)))) == [member(2)]
    here = [entry(index, at=make_address("127.0.0.1", index)) for index in (2, 3)]
    assert members(started(*here)) == [member(2), member(3)]


def test_a_member_that_moved_and_an_address_that_another_has_are_one_entry() -> None:
    remembered = started(entry(2), entry(3))
    remembered.hear([(address(9), member(2)), (address(3), member(7))], unix_now=TODAY, now=1.0)
    assert [(each.member, each.address) for each in remembered] == [
        (member(2), address(9)),
        (member(7), address(3)),
    ]


def test_what_led_nowhere_at_some_starts_is_forgotten() -> None:
    """But only where others answered: else it may be our own line, and they the only way back."""
    stored = [entry(2), entry(3)]
    for _ in range(VAIN_STARTS_MAX - 1):
        remembered = started(*stored)
        hear(remembered, 3, now=1.0)
        assert hear(remembered, 3)
        assert not hear(remembered, 3, now=2 * VAIN_AFTER_S), "once a start"
        stored = list(remembered)
    for _ in range(2 * VAIN_STARTS_MAX):
        alone = started(*stored)
        assert not hear(alone)
        assert list(alone) == stored
    remembered = started(*stored)
    hear(remembered, 3)
    assert members(remembered) == [member(3)]
    assert members(started(entry(2, vain=VAIN_STARTS_MAX))) == []


def test_who_answers_after_all_is_as_good_as_any() -> None:
    remembered = started(entry(2, vain=VAIN_STARTS_MAX - 1))
    hear(remembered, 2, now=1.0)
    hear(remembered, 3)
    assert [each.vain for each in remembered] == [0, 0]


def test_old_ones_are_forgotten_and_a_clock_that_is_wrong_loses_nothing() -> None:
    old = entry(2, heard_at=TODAY - REMEMBERED_S)
    assert members(started(old, entry(3, heard_at=TODAY - REMEMBERED_S + 1))) == [member(3)]
    early = started(entry(4), unix_now=0)
    assert list(started(*early)) == [entry(4)]


def test_the_blocked_are_forgotten_and_what_is_no_address_never_asked() -> None:
    remembered = started(entry(2), entry(3), entry(4, at=make_address("224.0.0.1", 6421)))
    remembered.forget(lambda place, _: place == address(2))
    assert members(remembered) == [member(3)]


def asked(walker: Walker, now: float) -> set[Address]:
    walker.handle_timer(now)
    return {event.address for event in of(walker.drain(), SendToken)}  # type: ignore[attr-defined]


def walker_with(remembered: list[Remembered], *bootstrap: Address) -> Walker:
    return Walker(tag=TAG, member=US, rng=Random(1), bootstrap=bootstrap, remembered=remembered, now=0.0)


def test_a_start_asks_them_after_the_bootstrap() -> None:
    walker = walker_with([entry(2), entry(3)], address(9))
    assert asked(walker, 0.0) == {address(9)}
    assert not asked(walker, REMINDED_AFTER_S - 0.01) & {address(2), address(3)}
    assert asked(walker, REMINDED_AFTER_S + 1.0) >= {address(2), address(3)}
    walker = walker_with([entry(2), entry(3)])
    assert asked(walker, 0.0) == {address(2)}
    assert walker.next_deadline() < REMINDED_AFTER_S


def test_dead_ones_cost_little() -> None:
    """All of them, with nobody else there: no more than those that were lost, and these end after a day."""
    walker = walker_with([entry(index) for index in range(2, 2 + REMEMBERED_MAX)])
    sent, now = 0, 0.0
    while now < 3_600:
        sent += len(asked(walker, now))
        now = max(walker.next_deadline(), now + 1.0)
    # 28 bytes of token frame, and as many of headers.
    assert REMEMBERED_MAX < sent < 200 * 3_600 / 56


def test_those_who_answered_are_the_ones_to_remember() -> None:
    """The longest known first, those behind a symmetric NAT last; nobody who came to us, or is metered."""
    candidates = Candidates()
    for index in (2, 3, 4, 5, 6):
        category = Category.STUMBLED if index == 4 else Category.WALKED
        candidate = candidates.prove(address(index), member(index), category, 10.0 - index)
        candidate.is_metered = index == 5
        candidate.connection = ConnectionType.SYMMETRIC if index == 6 else ConnectionType.UNKNOWN
    assert candidates.answered(10.0) == [(address(index), member(index)) for index in (3, 2, 6)]
