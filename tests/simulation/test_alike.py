"""Goal: ids that were made to begin alike keep nobody from anything: not whoever lacks such messages, nor two
that hold another one of each pair; and what they make a neighbour send is bounded."""

from __future__ import annotations

import pytest

from simulation.scenario import Play
from simulation.scenarios.alike import play_alike

BYTES_MAX = {"missing": 15_000, "crossed": 5_000, "one pair": 5_000}
"""Of 4,000 messages; with forty of them missing, or twenty of each side."""


@pytest.mark.parametrize("variant", BYTES_MAX)
def test_messages_whose_ids_begin_alike_reach_everybody(variant: str) -> None:
    measured = play_alike(Play(variant, 1, 2, short=True)).measures
    assert measured["ended equal"], measured
    assert measured["description"] <= BYTES_MAX[variant]
    assert measured["until equal"] < 3.0
