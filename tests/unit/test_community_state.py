"""How a community is, in words: one line for each way it can be, and numbers that agree with it."""

from __future__ import annotations

from typing import Any

import pytest

from dispersy.service.operations.community_state import community_state
from dispersy.storage.store import CommunityRecord


def about(peers: int, in_sync: int = 0, differing: int = 0) -> dict[str, int]:
    """What the network role reports."""
    return {"peers_verified": peers, "peers_in_sync": in_sync, "peers_differing": differing}


JOINED = {"loaded": True, "left": False}


@pytest.mark.parametrize(
    ("record", "told", "seen", "state"),
    [
        ({}, about(3, 3), {}, "in sync with 3 of 3 neighbours"),
        ({}, about(3, 2), {}, "in sync with 2 of 3 neighbours"),
        ({}, about(1, 1), {}, "in sync with 1 of 1 neighbour"),
        ({}, about(1, 1), {"is_destroyed": True}, "destroyed by its founder; in sync with 1 of 1 neighbour"),
        ({"left": True}, about(1, 1), {"is_destroyed": True}, "left"),
        ({}, about(5, 3, 2), {}, "synchronising: 2 of 5 neighbours hold something else"),
        ({}, about(1, 0, 1), {}, "synchronising: 1 of 1 neighbour holds something else"),
        ({}, about(2), {}, "not compared yet: 2 neighbours"),
        ({}, about(0), {}, "alone: no neighbour answers"),
        ({}, {**about(0), "trackers": 1}, {}, "alone: no neighbour answers, only a tracker"),
        ({}, {}, {}, "starting"),
        ({}, {}, {"is_defined": False}, "definition awaited"),
        ({}, about(0), {"is_defined": False}, "definition awaited: no neighbour answers"),
        ({}, about(1), {"is_defined": False}, "definition awaited"),
        ({}, about(1), {"is_defined": False, "refusal": "version 9"}, "definition refused: version 9"),
        ({"loaded": False}, about(3, 3), {}, "unloaded"),
        ({"left": True, "loaded": False}, {}, {}, "left"),
        ({"left": True}, about(3, 3), {"is_purging": True}, "left, and being removed"),
    ],
)
def test_the_state_in_words(
    record: dict[str, bool], told: dict[str, int], seen: dict[str, Any], state: str
) -> None:
    """What keeps all else from happening is said first, and one neighbour is no neighbours."""
    joined = CommunityRecord(1, bytes(32), "chat", bytes(32), **{**JOINED, **record})
    known = {"is_defined": True, "refusal": "", "is_purging": False, **seen}
    assert community_state(joined, told, **known) == state
