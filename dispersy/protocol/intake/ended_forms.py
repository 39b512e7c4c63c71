"""Whether stored messages have a form that is admitted still: the end of a community takes definitions away.

As long as it goes on, a definition can only admit more, and what was admitted once is never looked at again.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from dispersy.ext.wire import split_payloads
from dispersy.protocol.definitions.held_definitions import HeldDefinitions
from dispersy.protocol.permissions.timeline import Timeline
from dispersy.protocol.wire.numbers import MessageFlag
from dispersy.protocol.wire.stripped import Stripped


class MessageStore(Protocol):
    """What is read of the store: whole messages, or what is left of them."""

    def messages(self, cursors: Sequence[int]) -> Sequence[bytes]: ...


class EndedForms:
    """One a community."""

    def __init__(self, timeline: Timeline, definitions: HeldDefinitions, store: MessageStore) -> None:
        self._timeline = timeline
        self._definitions = definitions
        self._store = store

    def refusal(self, kind: int, cursor: int) -> str:
        """Why a stored message is not admitted: "destroyed" if the end has taken all definitions that would,
        "" where one is left or nothing has ended."""
        if self._timeline.soft_destroyed_at is None or self._is_admitted(kind, cursor):
            return ""
        return "destroyed"

    def _is_admitted(self, kind: int, cursor: int) -> bool:
        (message,) = self._store.messages([cursor])
        flags = MessageFlag(message[1])
        if not self._definitions.is_stored(kind) or flags not in self._definitions.shapes(kind):
            return False
        if isinstance(message, Stripped):
            # Nobody can tell what was in it, and whoever has it so has the undo that says that it may be.
            return True
        (refusal,) = self._definitions.refusals(kind, [split_payloads(message)])
        return refusal is None
