"""Publish requests already answered: repeating one gives the first answer, and very old ones are refused.

A request id is 16 bytes whose first 6 are its unix time in milliseconds (as in UUID version 7), so that one
that may have been forgotten is known by its age.
"""

from __future__ import annotations

from collections.abc import Iterable

from dispersy.constants import REQUESTS_KEPT
from dispersy.errors import UsageError
from dispersy.storage.store import RequestRecord

REQUEST_ID_SIZE = 16
REQUEST_AHEAD_MS = 300_000
"""A request id may lie this far in the future of our clock: clients' clocks differ, but the age of what is
forgotten must not run ahead of those that are right."""


class Requests:
    """The newest REQUESTS_KEPT requests, in memory."""

    def __init__(self, known: Iterable[RequestRecord], *, kept_max: int = REQUESTS_KEPT) -> None:
        self._kept_max = kept_max
        self._known: dict[bytes, RequestRecord] = {}
        self._forgotten_ms = 0
        for record in known:
            self.add(record)
        if len(self._known) >= kept_max:
            # Others were known before these, and are no more.
            self._forgotten_ms = max(self._forgotten_ms, _made_ms(next(iter(self._known))))

    def find(self, request_id: bytes, *, now_ms: int) -> RequestRecord | None:
        """What answered this request before, None if it is new.

        raises  UsageError for an id that is none, lies far in the future, or is so old that it may be
                forgotten
        """
        known = self._known.get(request_id)
        if known is not None:
            return known
        if len(request_id) != REQUEST_ID_SIZE:
            raise UsageError(
                f"a request id has {REQUEST_ID_SIZE} bytes, not {len(request_id)}",
                code="request-id",
                hint="6 bytes unix milliseconds, then 10 random ones",
            )
        made_ms = _made_ms(request_id)
        if made_ms > now_ms + REQUEST_AHEAD_MS:
            raise UsageError(
                "this request id lies more than five minutes in the future",
                code="request-id",
                hint="begin it with the unix time in milliseconds, and set the clock",
            )
        if made_ms <= self._forgotten_ms:
            raise UsageError(
                "this request id is older than those that are remembered",
                code="request-old",
                hint="look whether the message is there; if it is not, publish it under a new id",
            )
        return None

    def add(self, record: RequestRecord) -> None:
        """Remember an answered request; the oldest is forgotten when there are too many."""
        self._known[record.request_id] = record
        if len(self._known) > self._kept_max:
            oldest = next(iter(self._known))
            del self._known[oldest]
            self._forgotten_ms = max(self._forgotten_ms, _made_ms(oldest))


def _made_ms(request_id: bytes) -> int:
    return int.from_bytes(request_id[:6], "big")
