"""The waiting room: verified messages of kinds that the held definition does not name, bounded, oldest out
first.

They are not live, not stored and not forwarded; a restart loses them and synchronisation brings them back.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection

from dispersy.constants import WAITING_AUTHOR_MAX, WAITING_MAX


class WaitingRoom:
    """One a community; holds whole messages by id."""

    def __init__(self, *, messages_max: int = WAITING_MAX, author_max: int = WAITING_AUTHOR_MAX) -> None:
        self._messages_max = messages_max
        self._author_max = author_max
        self._waiting: dict[bytes, tuple[int, bytes, bytes]] = {}
        self._by_author: Counter[bytes] = Counter()

    def __len__(self) -> int:
        return len(self._waiting)

    def __contains__(self, message_id: bytes) -> bool:
        return message_id in self._waiting

    def add(self, message_id: bytes, *, kind: int, author: bytes, message: bytes) -> bool:
        """Let a message wait; False when it does already or its author fills its share."""
        if message_id in self._waiting or self._by_author[author] >= self._author_max:
            return False
        if len(self._waiting) >= self._messages_max:
            self._remove(next(iter(self._waiting)))
        self._waiting[message_id] = (kind, author, message)
        self._by_author[author] += 1
        return True

    def release(self, kinds: Collection[int]) -> list[bytes]:
        """Take out the messages of these kinds, in order of arrival."""
        ready = [message_id for message_id, (kind, _, _) in self._waiting.items() if kind in kinds]
        return [self._remove(message_id) for message_id in ready]

    def _remove(self, message_id: bytes) -> bytes:
        _, author, message = self._waiting.pop(message_id)
        self._by_author[author] -= 1
        if not self._by_author[author]:
            del self._by_author[author]
        return message
