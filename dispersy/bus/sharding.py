"""Which worker's responder serves a community."""

from __future__ import annotations

import mmh3


def responder_of(community_id: bytes, *, workers: int) -> int:
    """The index of the worker whose responder asks and answers for this community; stable over restarts."""
    return int(mmh3.hash(community_id, signed=False)) % workers
