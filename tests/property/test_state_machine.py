"""A community as a state machine (tests/oracle/machine.py), on nodes that are the product's.

What CI plays is the same every time. The long form goes on with examples of its own, on nodes that have their
stores on disk, and shortens what fails to the few steps that show it:

    DISPERSY_MACHINE_EXAMPLES=5000 python -m pytest tests/property/test_state_machine.py -k agrees --timeout 0
"""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import run_state_machine_as_test

from tests.oracle.decisions import Decisions
from tests.oracle.faulty_product import LANE_FAULTS, TIMELINE_FAULTS
from tests.oracle.intake_node import DiskNode, WrittenNode
from tests.oracle.machine import CommunityMachine
from tests.oracle.node import Node
from tests.oracle.writing import Pen

MORE = int(os.environ.get("DISPERSY_MACHINE_EXAMPLES", "0"))
EXAMPLES = 12
STEPS = 70
FAULTS = TIMELINE_FAULTS | LANE_FAULTS
NAMES = ("lower id wins", "frontier as a number", "no chain closure", "grant what one lacks", "no depth")
FAULT_WITHIN = 1_000
"""Examples; each fault was found within two hundred."""

LONG = settings(
    deadline=None,
    max_examples=MORE or EXAMPLES,
    stateful_step_count=STEPS,
    # Many steps and a whole node or three in each: what Hypothesis finds unhealthy is meant.
    suppress_health_check=list(HealthCheck),
)
SAME_EACH_TIME = settings(LONG, derandomize=True, database=None)
UNTIL_FOUND = settings(SAME_EACH_TIME, max_examples=FAULT_WITHIN, phases=[Phase.generate])


def play(chosen: settings, node: Callable[[Pen, Decisions], Node]) -> None:
    run_state_machine_as_test(lambda: CommunityMachine(node), settings=chosen)  # type: ignore[arg-type]


def test_everybody_agrees_with_the_others_and_with_the_rules(tmp_path: Path) -> None:
    """Goal: whatever is written and comes late, twice, in any order or never: each node is in the state that
    the rules give to what it holds, and in the end all are in one."""
    play(LONG if MORE else SAME_EACH_TIME, partial(DiskNode if MORE else WrittenNode, keys=tmp_path))


@pytest.mark.long
@pytest.mark.timeout(1_200)
@pytest.mark.parametrize("fault", NAMES)
def test_a_fault_is_found(fault: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Goal: the machine bites: each of these faults in the product goes red."""
    for owner, name, wrong in FAULTS[fault]:
        monkeypatch.setattr(owner, name, wrong)
    with pytest.raises(AssertionError):
        play(UNTIL_FOUND, partial(WrittenNode, keys=tmp_path))
