"""Opening the store as a reader while the writer may still be making it."""

from __future__ import annotations

from pathlib import Path
from time import monotonic, sleep

from dispersy.errors import StorageError
from dispersy.storage.lmdb_reader import LmdbReader

RETRY_S = 0.02


def open_reader(path: Path, *, limit_s: float = 10.0) -> LmdbReader:
    """A reader of the store in `path`, once it is there; roles start in any order.

    raises  StorageError when it is still not readable after `limit_s`
    """
    limit = monotonic() + limit_s
    while True:
        try:
            return LmdbReader(path)
        except StorageError:
            if monotonic() >= limit:
                raise
        sleep(RETRY_S)
