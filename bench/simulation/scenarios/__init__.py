"""All scenarios, by name, in the order in which they are listed."""

from __future__ import annotations

from simulation.scenario import Scenario
from simulation.scenarios import differences, filling, identical, spreading, unrest

SCENARIOS: dict[str, Scenario] = {
    scenario.name: scenario
    for scenario in (
        identical.SCENARIO,
        differences.SCATTERED,
        differences.NEWEST_MISSING,
        filling.NEWCOMER,
        differences.HALF,
        filling.THREE_G,
        filling.ON_WIFI,
        filling.ON_TRICKLE,
        filling.IN_WINDOWS,
        spreading.PROPAGATION,
        spreading.THROUGHPUT,
        unrest.CHURN,
        unrest.PARTITION,
        unrest.SCALE,
    )
}
