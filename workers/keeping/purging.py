"""Removing what is held of communities that were left, a portion with each batch."""

from __future__ import annotations

from dispersy.constants import PURGE_ENTRIES_MAX
from dispersy.storage.store import Batch, StoreWriter
from dispersy.workers.keeping.communities import Communities


class Purging:
    """Which communities are being purged; the store remembers them, and how far each has come."""

    def __init__(self, store: StoreWriter, communities: Communities) -> None:
        self._store = store
        self._communities = communities
        self.read_store()

    def read_store(self) -> None:
        """Forget the batch; go on with what was begun."""
        self.numbers = set(self._store.purges())

    def begin(self, number: int) -> None:
        """The first portion goes with this batch: what was promised must survive a crash."""
        self.numbers.add(number)

    def add_to(self, batch: Batch) -> None:
        """A portion of one community, and a beginning of every other, from which the store knows of it."""
        started = self._store.purges()
        fresh = [number for number in sorted(self.numbers) if number not in started]
        batch.purges = [(number, PURGE_ENTRIES_MAX if number == fresh[0] else 1) for number in fresh]
        if self.numbers and not fresh:
            batch.purges = [(min(self.numbers), PURGE_ENTRIES_MAX)]

    def committed(self) -> bool:
        """Take note of those of which nothing is left; whether there are any."""
        left = set(self._store.purges())
        gone = self.numbers - left
        for number in gone:
            del self._communities.by_number[number]
        self.numbers = left
        return bool(gone)
