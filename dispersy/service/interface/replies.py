"""Replies to clients, as docs/interface.md describes them; one that cannot be sent is dropped and counted."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

import msgspec

from dispersy.errors import UsageError
from dispersy.service.interface.codes import listed
from dispersy.service.interface.requests import INTERFACE_VERSION, RequestId

ClientSend = Callable[[bytes, bytes], bool]
"""Takes a client's name and a frame for it, without waiting; False: not now, or it is gone."""


class Replies:
    """Answers requests by their id."""

    def __init__(self, send: ClientSend, counters: Counter[str]) -> None:
        self._send = send
        self._counters = counters

    def answer(self, client: bytes, request_id: RequestId, values: dict[str, Any]) -> None:
        """It was done."""
        reply = {"v": INTERFACE_VERSION, "id": request_id, "ok": True, **values}
        if self._send(client, msgspec.msgpack.encode(reply)):
            return
        # A large one may be too much for a client that has not read those before; this one is small.
        error = UsageError(
            "there is no room for the reply: earlier ones have not been read",
            code="busy",
            hint="read the replies that wait, then send this again; it is safe with the same request id",
        )
        self.fail(client, request_id, error)

    def fail(self, client: bytes, request_id: RequestId | None, error: UsageError) -> None:
        """It was refused; whoever raised the error may leave the hint to its code."""
        known = listed(error.code)
        hint = error.hint or (known.hint if known is not None else "")
        described = {"code": error.code, "message": str(error), "hint": hint}
        reply = {"v": INTERFACE_VERSION, "id": request_id, "ok": False, "error": described}
        if not self._send(client, msgspec.msgpack.encode(reply)):
            self._counters["reply-dropped"] += 1
