"""Orders to block and unblock; whom this node does not listen to becomes durable with the batch."""

from __future__ import annotations

from typing import Any

from dispersy.constants import BLOCKED_MAX
from dispersy.errors import UsageError
from dispersy.storage.blocklist import EVERYWHERE
from dispersy.storage.store import Batch, BlockedRecord, StoreWriter
from dispersy.workers.keeping.communities import Communities


class Blocking:
    """The list as the batch leaves it."""

    def __init__(self, store: StoreWriter, communities: Communities) -> None:
        self._store = store
        self._communities = communities
        self.read_store()

    def read_store(self) -> None:
        """Forget the batch."""
        self._records = self._store.blocked()
        self.is_changed = False

    def add_to(self, batch: Batch) -> None:
        if self.is_changed:
            batch.blocked = list(self._records)

    def clear_batch(self) -> None:
        self.is_changed = False

    def block(self, record: BlockedRecord) -> dict[str, Any]:
        """Listen no more to a member or an address.

        raises  UsageError: `community-unknown`, `own-key`, or `too-many` are blocked
        """
        if record.community != EVERYWHERE:
            self._communities.joined(record.community)
        if any(each.record.member_id == record.member for each in self._communities.by_number.values()):
            raise UsageError("this key is this node's own", code="own-key", hint="block another's")
        if record in self._records:
            return {"already": True}
        if len(self._records) >= BLOCKED_MAX:
            raise UsageError(
                f"{BLOCKED_MAX} are blocked already", code="too-many", hint="unblock some (dispersy blocked)"
            )
        self._records.append(record)
        self.is_changed = True
        return {"already": False}

    def unblock(self, record: BlockedRecord) -> dict[str, Any]:
        """Listen again, from now on and in replays; `already`: it was not blocked in just this way."""
        if record not in self._records:
            return {"already": True}
        self._records.remove(record)
        self.is_changed = True
        return {"already": False}

    def forget(self, community: int) -> None:
        """All that was blocked in a community that is purged."""
        kept = [record for record in self._records if record.community != community]
        self.is_changed |= len(kept) != len(self._records)
        self._records = kept
