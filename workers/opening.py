"""Opening the store as a reader while the writer may still be making it."""

from __future__ import annotations

from pathlib import Path
from time import monotonic, sleep

from dispersy.errors import StorageError
from dispersy.storage.lmdb_reader import LmdbReader
from dispersy.storage.store import CommunityRecord, StoreReader

RETRY_S = 0.02


START_LIMIT_S = 2.0
"""How long the writer may be behind the others; a disk that refuses must not keep them from starting."""


def open_reader(path: Path, *, limit_s: float = 10.0, start_id: str = "") -> LmdbReader:
    """A reader of the store in `path`, once it is there; roles start in any order.

    start_id  waits a moment for the writer to begin this start of the node
    raises  StorageError when it is still not readable after `limit_s`
    """
    limit = monotonic() + limit_s
    while True:
        try:
            reader = LmdbReader(path)
            break
        except StorageError:
            if monotonic() >= limit:
                raise
        sleep(RETRY_S)
    limit = monotonic() + START_LIMIT_S
    while start_id and reader.start_id() != start_id and monotonic() < limit:
        sleep(RETRY_S)
        reader.refresh()
    reader.release()
    return reader


def joined(reader: StoreReader, start_id: str) -> list[CommunityRecord]:
    """All that this node takes part in, loaded or not; none before the writer has begun this start, for until
    then what the last one had loaded is no reason to speak."""
    if start_id and reader.start_id() != start_id:
        return []
    return [record for record in reader.communities() if not record.left]
