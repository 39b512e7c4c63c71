"""How a node is as a whole: what people are told, and a service manager."""

from __future__ import annotations

import msgspec


class NodeState(msgspec.Struct, frozen=True):
    """In words, and where.

    words     begin with "ready" when every role works
    listen    HOST:PORT of the UDP socket; empty until it is known
    """

    words: str
    listen: str

    @property
    def is_ready(self) -> bool:
        """Whether every role works."""
        return self.words.startswith("ready")
