"""What became of a message on this node, as a state for programs and a sentence for people."""

from __future__ import annotations

from typing import Any

from dispersy.service.stored import hidden
from dispersy.storage.store import LogEntry

STATES = {
    "shown": "this node holds the message, and it counts",
    "hidden": "this node holds the message and does not show it: {why}",
    "blocked": "this node holds the message and does not show it: its author is blocked here",
    "waiting": "the message has come and waits: its kind is not in the definition that this node has",
    "refused": "the message has come and was refused: {why}",
    "undefined": "this node does not hold the message: the definition of its community has not come yet",
    "unknown": "this node does not hold the message: it has not come, or it was refused some time ago",
}
"""By the state's name, in the order in which they are looked for."""
HIDDEN_WHY = {
    "equivocation": "its author signed another message of the same kind and sequence",
    "order": "a message of its author and kind with a higher sequence has no higher global time",
    "undone": "it was taken back",
    "denied": "its author was not permitted to publish it",
}


def explained(
    entry: LogEntry | None, *, waits: bool, refused: str, is_defined: bool, is_blocked: bool = False
) -> dict[str, Any]:
    """The fields state, text, held, cursor, hidden and reason of a reply to `explain`.

    entry       of the message, None where it is not live
    waits       whether it is in the writer's waiting room
    refused     why it was refused lately, empty if it was not
    is_defined  whether the community's definition is known
    is_blocked  whether this node does not show what its author writes
    """
    marks = hidden(entry.marks) if entry is not None else []
    if entry is not None:
        state = "blocked" if is_blocked else "hidden" if marks else "shown"
    elif waits:
        state = "waiting"
    elif refused:
        state = "refused"
    else:
        state = "unknown" if is_defined else "undefined"
    why = "; ".join(HIDDEN_WHY[mark] for mark in marks) or refused
    return {
        "state": state,
        "text": STATES[state].format(why=why),
        "held": entry is not None,
        "cursor": entry.cursor if entry is not None else None,
        "hidden": marks,
        "reason": refused if state == "refused" else "",
    }
