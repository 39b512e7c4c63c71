"""Goal: new messages come once, also while neighbours still tell each other of the one before."""

from __future__ import annotations

import pytest

from simulation.populations import populate, spread_one


@pytest.mark.parametrize(
    ("nodes", "messages", "bodies_max"), [(10, 20, 1.7), (60, 20, 1.35), (100, 20, 1.25), (300, 3, 1.12)]
)
def test_a_new_message_comes_about_once(nodes: int, messages: int, bodies_max: float) -> None:
    """Neither pulled by those who heard that a neighbour has more before they were told what, nor pushed from
    all sides where the members are few."""
    population = populate(nodes=nodes, seed=1, warm_up_s=60.0)
    spread_one(population)
    population.forget_traffic()
    for _ in range(messages):
        everybody, took_s, _ = spread_one(population)
        assert everybody
        assert took_s < 1.5
    assert population.heard("messages") < bodies_max * messages * nodes
