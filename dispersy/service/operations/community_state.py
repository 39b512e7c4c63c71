"""How a community is on this node, in words: the first thing that a person asks of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dispersy.storage.store import CommunityRecord


def community_state(
    record: CommunityRecord,
    about: Mapping[str, Any],
    *,
    is_defined: bool,
    refusal: str,
    is_purging: bool,
    is_destroyed: bool = False,
) -> str:
    """One line; what keeps everything else from happening comes first.

    about    what the network role reports of it (workers/networking/neighbourhood.py); empty: nothing yet
    refusal  why the definition that came is none that this version takes; empty: it is, or none came
    """
    words = _words(record, about, is_defined=is_defined, refusal=refusal, is_purging=is_purging)
    # What its founder has ended goes on among neighbours: those who do not know have to hear of it.
    return f"destroyed by its founder; {words}" if is_destroyed and record.served else words


def _words(
    record: CommunityRecord,
    about: Mapping[str, Any],
    *,
    is_defined: bool,
    refusal: str,
    is_purging: bool,
) -> str:
    if record.left:
        return "left, and being removed" if is_purging else "left"
    if not record.loaded:
        return "unloaded"
    if refusal:
        return f"definition refused: {refusal}"
    peers = about.get("peers_verified", 0)
    if not is_defined:
        return "definition awaited" if peers or not about else f"definition awaited: {_nobody(about)}"
    if not about:
        return "starting"
    if not peers:
        return f"alone: {_nobody(about)}"
    in_sync, differing = about["peers_in_sync"], about["peers_differing"]
    if differing:
        holds = "holds" if differing == 1 else "hold"
        return f"synchronising: {differing} of {_neighbours(peers)} {holds} something else"
    if not in_sync:
        return f"not compared yet: {_neighbours(peers)}"
    return f"in sync with {in_sync} of {_neighbours(peers)}"


def _nobody(about: Mapping[str, Any]) -> str:
    """What a tracker is good for is to name neighbours: that it answers is half of the way."""
    return "no neighbour answers" + (", only a tracker" if about.get("trackers") else "")


def _neighbours(count: int) -> str:
    return f"{count} neighbour{'' if count == 1 else 's'}"
