"""Goal: answers are as long as the narrowest place on their way takes at once, whatever else is lost."""

from __future__ import annotations

from random import Random

import pytest

from dispersy.protocol.flow.burst import Burst


def test_an_end_that_is_missing_shortens_to_what_came() -> None:
    """At once where most of it was lost, by half of what was lost where it was little."""
    burst = Burst(3, 32)
    burst.cut(8, 24)
    assert burst.limit == 8
    burst.cut(6, 2)
    assert burst.limit == 7
    for _ in range(100):
        burst.cut(1, 31)
    assert burst.limit == 3


def test_it_settles_at_what_the_queue_holds() -> None:
    """A router that has room for eleven loses few of many answers."""
    burst = Burst(3, 32)
    lost = sent = 0
    for _ in range(500):
        over = max(0, burst.limit - 11)
        lost, sent = lost + over, sent + burst.limit
        if over:
            burst.cut(burst.limit - over, over)
        else:
            burst.took()
    assert burst.limit in (10, 11, 12)
    assert lost < 0.02 * sent


@pytest.mark.parametrize(("loss", "known"), [(0.02, 0.0), (0.1, 0.1), (0.3, 0.3)])
def test_what_a_link_loses_anywhere_leaves_it_long(loss: float, known: float) -> None:
    """As likely in the middle as at the end; of much it has to be known that the link loses it."""
    rng, burst, limits = Random(1), Burst(3, 32), []
    for _ in range(2_000):
        came = [rng.random() >= loss for _ in range(burst.limit)]
        if came[-1]:
            burst.took()
        elif any(came):
            burst.cut(sum(came), len(came) - sum(came), link_loss=known)
        limits.append(burst.limit)
    assert sum(limits) / len(limits) > 25
