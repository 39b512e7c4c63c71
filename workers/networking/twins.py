"""Other running nodes that sign with our key of a community: their addresses, and what the owner is told."""

from __future__ import annotations

import logging
from typing import Any

log = logging.getLogger("dispersy.network")
TWIN_SHOWN_S = 600.0
"""How long a node with our key is told of after it was heard: it may have been stopped."""
TWINS_SHOWN_MAX = 8


class TwinsHeard:
    """Of one community."""

    def __init__(self, community_id: bytes, name: str) -> None:
        self._community_id = community_id
        self._name = name
        self._heard: dict[str, float] = {}

    def hear(self, address: str, now: float) -> None:
        """One was heard there; the log says so where none was lately."""
        if address not in self._heard and len(self._heard) >= TWINS_SHOWN_MAX:
            del self._heard[min(self._heard, key=lambda known: self._heard[known])]
        if not self.warnings(now):
            log.warning(
                "%s",
                self._message(address),
                extra={
                    "event": "same-key",
                    "fields": {"community": self._community_id.hex(), "address": address},
                },
            )
        self._heard[address] = now

    def warnings(self, now: float) -> list[dict[str, Any]]:
        """What the owner should see to."""
        return [
            {
                "code": "same-key",
                "community": self._community_id,
                "message": self._message(address),
                "hint": "stop one of the two: what both publish proves that their member misbehaves",
            }
            for address, heard_at in self._heard.items()
            if now < heard_at + TWIN_SHOWN_S
        ]

    def _message(self, address: str) -> str:
        return f"another running node, at {address}, uses our key of community {self._name}"
