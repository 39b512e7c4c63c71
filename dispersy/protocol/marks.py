"""The byte of marks beside every stored message: why it is not shown (0: it is)."""

HIDDEN_BY_EQUIVOCATION = 1
"""Two permitted messages in this slot (rule 13)."""
HIDDEN_BY_ORDER = 2
"""A higher sequence of its author and kind has an equal or lower global time (rule 14)."""
UNDONE = 4
DENIED = 8
ERASED = 16
"""Its payloads are gone: one of its own authors has undone it."""

HIDDEN = HIDDEN_BY_EQUIVOCATION | HIDDEN_BY_ORDER | UNDONE | DENIED | ERASED
