"""The publish requests that were answered, on disk: the newest REQUESTS_KEPT, under their first cursors."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import lmdb

from dispersy.constants import REQUESTS_KEPT
from dispersy.storage.layout import CURSOR, REQUEST
from dispersy.storage.store import RequestRecord

REQUESTS_PRUNED_MAX = 64
"""Old requests removed a commit beyond as many as it brings."""


def write_requests(txn: lmdb.Transaction[bytes], database: Any, requests: Sequence[RequestRecord]) -> None:
    """Add these, and let the oldest go where there are too many."""
    for request in requests:
        assert len(request.request_id) == 16
        value = REQUEST.pack(request.request_id, request.message_count)
        txn.put(CURSOR.pack(request.first_cursor), value, db=database)
    if requests:
        excess = txn.stat(database)["entries"] - REQUESTS_KEPT
        cursor = txn.cursor(database)
        for _ in range(min(excess, REQUESTS_PRUNED_MAX + len(requests))):
            cursor.first()
            cursor.delete()


def read_requests(txn: lmdb.Transaction[bytes], database: Any) -> list[RequestRecord]:
    """The newest REQUESTS_KEPT, oldest first."""
    found: list[RequestRecord] = []
    cursor = txn.cursor(database)
    for key, value in cursor.iterprev() if cursor.last() else ():
        if len(found) == REQUESTS_KEPT:
            break
        request_id, count = REQUEST.unpack(value)
        found.append(RequestRecord(request_id, CURSOR.unpack(key)[0], count))
    found.reverse()
    return found
