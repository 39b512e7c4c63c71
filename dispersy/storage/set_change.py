"""What a commit has changed in a community's live set, for what is kept of that set beside the order."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(slots=True)
class SetChange:
    """Packed keys, 40 bytes each (protocol.holdings), that have come into the order and left it."""

    added: list[bytes] = field(default_factory=list)
    removed: list[bytes] = field(default_factory=list)
