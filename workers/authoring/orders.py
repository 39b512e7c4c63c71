"""What comes of an order to the writer."""

from __future__ import annotations

from typing import Any

import msgspec

from dispersy.errors import StorageError, UsageError

Ticket = Any
"""What the caller wants back with the outcome of an order."""
Outcome = tuple[Ticket, dict[str, Any] | StorageError | UsageError]


class ControlOrder(msgspec.Struct, frozen=True):
    """What our control message shall say; the fields that an act does not need stay empty.

    act         authorize, revoke, undo, policy, destroy or define
    members     as a person names them (members.py)
    force       also where it hides what this node does not know
    """

    act: str
    members: list[str] = []
    kinds: list[int] = []
    permissions: int = 0
    message_id: bytes = b""
    index: int | None = None
    is_linear: bool = False
    is_hard: bool = False
    definition: bytes = b""
    force: bool = False
