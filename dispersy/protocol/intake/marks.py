"""The byte of marks beside every stored message: why it is not shown (0: it is)."""

HIDDEN_BY_EQUIVOCATION = 1
"""Two permitted messages in this slot (rule 13)."""
HIDDEN_BY_ORDER = 2
"""A higher sequence of its author and kind has an equal or lower global time (rule 14)."""
UNDONE = 4
DENIED = 8
ERASED = 16
"""Its payloads are gone: one of its own authors has undone it."""
INACTIVE = 32
"""Too old to be offered and counted: it stays readable until it is removed."""
ON_REQUEST = 128
"""Its kind is offered to nobody. A message is given it when it is first stored; who reads marks does not see
it, for the kind tells."""

HIDDEN = HIDDEN_BY_EQUIVOCATION | HIDDEN_BY_ORDER | UNDONE | DENIED | ERASED

ONE_PAYLOAD = "payload-"
"""Begins the reason of an event that is about one payload of a message; its index follows."""


def payload_index(reason: str) -> int | None:
    """Which payload an event with this reason is about; None: the whole message."""
    index = reason.removeprefix(ONE_PAYLOAD)
    return int(index) if index != reason else None
