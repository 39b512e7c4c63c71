"""All scenarios, by name, in the order in which they are listed."""

from __future__ import annotations

from simulation.scenario import Scenario
from simulation.scenarios import (
    alike,
    differences,
    endurance,
    filling,
    gathering,
    identical,
    lying,
    spreading,
    unrest,
)

SCENARIOS: dict[str, Scenario] = {
    scenario.name: scenario
    for scenario in (
        identical.SCENARIO,
        differences.SCATTERED,
        differences.NEWEST_MISSING,
        differences.GAPS_MISSING,
        filling.NEWCOMER,
        gathering.SCENARIO,
        differences.HALF,
        filling.THREE_G,
        filling.ON_WIFI,
        filling.ON_TRICKLE,
        filling.IN_WINDOWS,
        endurance.PHONE,
        spreading.PROPAGATION,
        spreading.THROUGHPUT,
        unrest.CHURN,
        unrest.PARTITION,
        lying.LIARS,
        alike.SCENARIO,
        endurance.CHANNEL,
        unrest.SCALE,
    )
}
