"""What a follow sends."""

from __future__ import annotations

import msgspec

from dispersy.service.interface.requests import RequestId


class Event(msgspec.Struct, frozen=True, omit_defaults=True):
    """One frame of a follow's stream; which fields an event has is listed in docs/interface.md.

    id   of the follow; None in one that several follows are to be sent
    """

    v: int
    id: RequestId | None
    event: str
    cursor: int
    community: bytes = b""
    kind: str = ""
    author: bytes = b""
    second_author: bytes = b""
    global_time: int = 0
    sequence: int = 0
    index: int | None = None
    message_id: bytes = b""
    payload: bytes | None = None
    payloads: list[bytes] | None = None
    arrival_ms: int = 0
    message_cursor: int = 0
    reason: str = ""
    low: int = 0
