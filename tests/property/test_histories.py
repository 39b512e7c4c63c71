"""The rules of the timeline, as the naive oracle has them, beside histories that try to break them.

`python bench/histories.py` searches on, over all cores.
"""

from __future__ import annotations

import pytest

from tests.oracle.faulty import FAULTS
from tests.oracle.judging import judge
from tests.oracle.timeline import Oracle

HISTORIES = 80
SEARCH_MAX = 3_000
"""A wrong rule has to be found within so many histories; most are within a hundred."""
BEATEN = (1321, 2252, 3687)
"""Seeds whose histories once showed something wrong, in a rule or in what judges it."""


def test_nodes_that_told_each_other_everything_agree() -> None:
    """Goal: one state on every node, the same without what is not live, and nothing counts of what a member
    wrote after it was revoked; a third of the histories have a revoke and a partition."""
    verdicts = [judge(seed) for seed in (*BEATEN, *range(HISTORIES))]
    assert [verdict for verdict in verdicts if verdict.fault] == []
    nasty = [verdict for verdict in verdicts if verdict.has_revoke and verdict.has_partition]
    assert len(nasty) >= len(verdicts) / 3


@pytest.mark.parametrize("name", FAULTS)
def test_the_search_finds_a_wrong_rule(name: str) -> None:
    """Goal: each of these rules, which look right, goes red; or the histories would be too kind."""
    oracle: type[Oracle] = FAULTS[name]
    assert any(judge(seed, oracle).fault for seed in range(SEARCH_MAX))


def test_a_history_is_a_function_of_its_seed() -> None:
    """Goal: the seed that is printed brings the disagreement back."""
    fault = next(seed for seed in range(SEARCH_MAX) if judge(seed, FAULTS["no depth"]).fault)
    assert judge(fault, FAULTS["no depth"]) == judge(fault, FAULTS["no depth"])
