"""The complete way to hear of messages, without gap over restarts of the node: docs/interface.md, follow."""

from __future__ import annotations

import time
from typing import Any

from connection import PASSING, Connection, Refused

QUIET_S = 2.0
FOLLOW_ID = 1


class Follow:
    """All events after `since`, in order, each once, over restarts; on a connection of its own."""

    def __init__(self, endpoint: str, *, since: str | int = "now", credit: int = 100, **filters: Any) -> None:
        self._connection = Connection(endpoint)
        self.since = since
        self._credit = credit
        self._filters = filters
        self._dealt_with = 0
        self._ask()

    def next(self, limit_s: float) -> dict[str, Any] | None:
        """The next event, which then counts as dealt with; None when none comes."""
        limit = time.monotonic() + limit_s
        while (left := limit - time.monotonic()) > 0:
            frame = self._connection.receive(min(left, QUIET_S))
            if frame is None:
                # Silence, or a new gateway that does not know us: `follow-exists` tells that all is well.
                self._ask()
            elif "ok" in frame:
                self._begin(frame)
            elif isinstance(self.since, str) or frame["cursor"] > self.since or frame["event"] == "caught-up":
                self.since = frame["cursor"]
                self._grant(frame["event"])
                return frame
        return None

    def _ask(self) -> None:
        fields = {"since": self.since, "credit": self._credit, **self._filters}
        self._connection.send({"id": FOLLOW_ID, "op": "follow", **fields})

    def _begin(self, reply: dict[str, Any]) -> None:
        if reply["ok"]:
            self.since = reply["since"]
            self._dealt_with = 0
        elif reply["error"]["code"] not in PASSING | {"follow-exists"}:
            raise Refused(reply["error"])

    def _grant(self, event: str) -> None:
        self._dealt_with += event != "caught-up"
        if self._dealt_with * 2 >= self._credit:
            self._connection.send({"id": FOLLOW_ID, "op": "credit", "count": self._dealt_with})
            self._dealt_with = 0
