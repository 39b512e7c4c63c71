"""What became of a message on this node, as a state for programs and a sentence for people."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from dispersy.protocol.intake.marks import DENIED, INACTIVE
from dispersy.protocol.wire.numbers import ControlKind
from dispersy.service.operations.stored import hidden
from dispersy.storage.store import LogEntry

STATES = {
    "shown": "this node holds the message, and it counts",
    "hidden": "this node holds the message and does not show it: {why}",
    "blocked": "this node holds the message and does not show it: its author is blocked here",
    "inactive": "this node holds the message, and offers it to nobody any more: it is old, and will go",
    "idle": "this node holds the message, for others rest on it, and it has no effect: {why}",
    "denied": "this node has the message, and it does not count: {why}",
    "waiting": "the message has come and waits: {why}",
    "refused": "the message has come and was refused: {why}",
    "undefined": "this node does not hold the message: the definition of its community has not come yet",
    "unknown": "this node does not hold the message: it has not come, or it was refused some time ago",
}
"""By the state's name."""
HIDDEN_WHY = {
    "equivocation": "its author signed another message of the same kind and sequence",
    "order": "a message of its author and kind with a higher sequence has no higher global time",
    "undone": "it was taken back",
    "denied": "its author was not permitted to publish it",
    "erased": "its payloads are gone, for its own author took it back",
}
AWAITED_WHY = {
    "kind": "its kind is not in the definition that this node has",
    "permission": "nothing that this node holds permits its author to publish it",
    "power": "its author holds no power for what it says, as far as this node knows",
    "sequence": "messages of its author that come before it have not come",
}
DENIED_WHY = {
    "destroyed": "the founder has ended the community",
    "kind-unknown": "no definition names its kind",
    "frozen": "its kind takes no more messages",
    "policy": "only who is permitted may publish its kind, and the change to that did not keep it",
    "pruned": "it is too old: neither is it offered any more, nor taken",
    "revoked": "what permitted its author was revoked, and this message is not among what was kept",
}
CAME_BY = {
    "own": "this node published it",
    "offered": "a neighbour sent it that had compared its messages with this node's",
    "pushed": "a neighbour pushed it when it was new",
    "announced": "asked for when a neighbour announced it",
    "symbols": "asked for when coded symbols had told the difference to a neighbour",
    "ranges": "asked for as part of a range, by filters",
    "name": "asked for by name, for something else rests on it",
    "fragments": "fetched in fragments",
    "bundle": "it was in a file that was imported",
    "": "not known any more",
}
"""What is said to people of each protocol.ways.Way."""
POWERLESS = "its author holds no power for it"


def explained(
    entry: LogEntry | None, told: Mapping[str, Any], *, is_defined: bool, is_blocked: bool = False
) -> dict[str, Any]:
    """Fields of a reply to `explain`: state, text, held, cursor, hidden, reason, came_by, proof and against.

    entry       of the message, None where the log does not have it
    told        what the writer says (workers/governing/explaining.py)
    is_defined  whether the community's definition is known
    is_blocked  whether this node does not show what its author writes
    """
    is_live = entry is not None and not entry.marks & DENIED
    marks = hidden(entry.marks) if entry is not None else []
    state, why = _state(entry, told, marks, is_defined=is_defined, is_blocked=is_blocked)
    return {
        "state": state,
        "text": STATES[state].format(why=why),
        "held": is_live,
        "cursor": entry.cursor if entry is not None else None,
        "hidden": marks,
        "reason": _reason(state, told),
        "came_by": told["came_by"],
        "proof": list(_named(told["proof"])),
        "against": list(_named(told["against"])),
    }


def _state(
    entry: LogEntry | None, told: Mapping[str, Any], marks: list[str], *, is_defined: bool, is_blocked: bool
) -> tuple[str, str]:
    if told["waits"]:
        return "waiting", AWAITED_WHY.get(told["awaited"], AWAITED_WHY["permission"])
    if entry is not None and entry.marks & DENIED:
        return "denied", DENIED_WHY.get(told["reason"], HIDDEN_WHY["denied"])
    if entry is not None and is_blocked:
        return "blocked", ""
    if entry is not None and entry.marks & INACTIVE and not marks:
        return "inactive", ""
    if entry is not None and not told["counts"]:
        return "idle", POWERLESS
    if entry is not None:
        return ("hidden" if marks else "shown"), "; ".join(HIDDEN_WHY[mark] for mark in marks)
    if told["refused"]:
        return "refused", DENIED_WHY.get(told["refused"], told["refused"])
    return ("unknown" if is_defined else "undefined"), ""


def _reason(state: str, told: Mapping[str, Any]) -> str:
    """A name for programs: why it was refused or denied, or what it waits for."""
    reasons = {"refused": told["refused"], "denied": told["reason"], "waiting": told["awaited"]}
    return str(reasons.get(state, ""))


def _named(rows: Iterable[Mapping[str, Any]]) -> Iterable[dict[str, Any]]:
    for row in rows:
        yield {**row, "kind": ControlKind(row["kind"]).name.lower()}
