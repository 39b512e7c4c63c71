"""What the gateway sees of the node in one turn: the store as it was committed, and the names in it."""

from __future__ import annotations

from dispersy.errors import UsageError
from dispersy.service.interface.directory import Directory
from dispersy.storage.store import StoreReader


class View:
    """A reader of the store, once there is one, and the directory that goes with its snapshot."""

    def __init__(self) -> None:
        self.directory = Directory()
        self.reader: StoreReader | None = None
        self._communities_version = -1
        self._stale = True

    def attach(self, reader: StoreReader) -> None:
        """The writer has made the store."""
        self.reader = reader

    def store(self) -> StoreReader:
        """The store, for an operation that cannot do without; UsageError `starting`."""
        if self.reader is None:
            raise UsageError("the node is starting", code="starting", hint="send this again in a moment")
        return self.reader

    def expire(self) -> None:
        """The communities may have changed: read them again at the next refresh()."""
        self._stale = True

    def note_version(self, communities_version: int) -> None:
        """What the writer's note says of its communities."""
        if communities_version != self._communities_version:
            self._communities_version = communities_version
            self._stale = True

    def refresh(self) -> None:
        """See what has been committed; one snapshot a turn.

        The writer says the version of its communities each second, so a lost note is seen.
        """
        if self.reader is None:
            return
        self.reader.refresh()
        if self._stale:
            self.directory.update(self.reader)
            self._stale = False

    def release(self) -> None:
        """Let the snapshot go: an old one pins pages."""
        if self.reader is not None:
            self.reader.release()

    def close(self) -> None:
        if self.reader is not None:
            self.reader.close()
