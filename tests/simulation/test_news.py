"""Goal: new messages come once, also where the sets held some before; then neighbours tell what they hold."""

from __future__ import annotations

from simulation.populations import populate
from simulation.scenarios.spreading import spread_one


def test_news_are_not_pulled_while_they_spread() -> None:
    """Of 300 nodes that have met some hear from a neighbour that it has more before they are told what."""
    population = populate(nodes=300, seed=1, warm_up_s=60.0)
    spread_one(population)
    population.forget_traffic()
    for _ in range(3):
        everybody, took_s, _ = spread_one(population)
        assert everybody
        assert took_s < 1.5
    assert population.heard("messages") < 1.12 * 3 * len(population.nodes)
