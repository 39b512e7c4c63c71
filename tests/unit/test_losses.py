"""Goal: a queue without room is told from a link that loses by itself."""

from __future__ import annotations

import pytest

from dispersy.protocol.flow.losses import Losses


def losses_of(slow: float, otherwise: float, *, answers: int = 400) -> Losses:
    """After answers of ten datagrams, each eighth asked for when little was; shares that were lost."""
    losses = Losses()
    owed = [0.0, 0.0]
    for number in range(answers):
        is_slow = number % 8 == 0
        owed[is_slow] += 10 * (slow if is_slow else otherwise)
        lost = int(owed[is_slow])
        owed[is_slow] -= lost
        losses.note(10 - lost, lost, is_slow=is_slow)
    return losses


@pytest.mark.parametrize(("slow", "otherwise"), [(0.0, 0.02), (0.05, 0.06), (0.3, 0.3), (0.5, 0.52)])
def test_what_is_lost_at_any_pace_is_the_links(slow: float, otherwise: float) -> None:
    losses = losses_of(slow, otherwise)
    assert not losses.are_ours()
    assert losses.link == pytest.approx(slow, abs=0.05)


@pytest.mark.parametrize(("slow", "otherwise"), [(0.0, 0.1), (0.01, 0.17), (0.2, 0.4)])
def test_what_is_lost_when_much_is_asked_for_is_ours(slow: float, otherwise: float) -> None:
    assert losses_of(slow, otherwise).are_ours()


def test_nothing_is_ours_before_it_is_known_what_is_the_links() -> None:
    """A link that loses half must not be thought to be full for its first minute."""
    losses = losses_of(0.0, 0.5, answers=40)
    assert not losses.are_ours()
    assert losses.are_ours(in_doubt=True)
    assert not Losses().are_ours(in_doubt=True)
