"""Whether stored messages have a form that is admitted still: the end of a community takes definitions away.

As long as it goes on, a definition can only admit more, and what was admitted once is never looked at again.
Behind the end, one that comes late may admit what the end has taken away and lies here.
What its own author has undone is admitted with whatever was in it: some have erased it, and cannot tell.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Protocol

from dispersy.ext.wire import split_payloads
from dispersy.protocol.definitions.held_definitions import HeldDefinitions
from dispersy.protocol.identifiers import MessageId
from dispersy.protocol.intake.lane_round import LaneSlot
from dispersy.protocol.intake.received import Authors, authors_of
from dispersy.protocol.permissions.timeline import Timeline
from dispersy.protocol.wire.numbers import COMMUNITY_KIND_MIN, MessageFlag
from dispersy.protocol.wire.stripped import Stripped


class FormStore(Protocol):
    """What is read of the store: whole messages, or what is left of them."""

    def find_ids(self, ids: bytes, *, unlive: bool = False) -> Sequence[int | None]: ...
    def messages(self, cursors: Sequence[int]) -> Sequence[bytes]: ...


class EndedForms:
    """One a community."""

    def __init__(self, timeline: Timeline, definitions: HeldDefinitions, store: FormStore) -> None:
        self._timeline = timeline
        self._definitions = definitions
        self._store = store

    def refusal(self, kind: int, place: LaneSlot) -> str:
        """Why a stored message is not admitted: "destroyed" if the end has taken all definitions that would,
        "" where one is left or nothing has ended."""
        if self._timeline.soft_destroyed_at is None or self._is_admitted(kind, place):
            return ""
        return "destroyed"

    def _is_admitted(self, kind: int, place: LaneSlot) -> bool:
        (message,) = self._store.messages([place.cursor])
        flags = MessageFlag(message[1])
        if not self._definitions.is_stored(kind) or flags not in self._definitions.shapes(kind):
            return False
        if isinstance(message, Stripped):
            # Nobody can tell what was in it, and whoever has it so has the undo that says that it may be.
            return True
        (refusal,) = self._definitions.refusals(kind, [split_payloads(message)])
        return refusal is None or self.forgives(
            place.message_id, authors_of(message), kind, place.global_time
        )

    def forgives(self, message_id: bytes, authors: Authors, kind: int, global_time: int) -> bool:
        """Whether nobody looks at what is in a message: its own author has undone it whole, and it is erased
        as soon as it is live.

        Of what is on request an undo may stand or not, and what is erased of it is erased here alone.
        """
        return not self._definitions.is_on_request(kind) and self._timeline.is_taken_back(
            MessageId(message_id), authors, kind, global_time
        )

    def forgiven(self, named: Mapping[bytes, Iterable[int]]) -> Iterator[tuple[int, Authors]]:
        """Kinds and authors of stored messages that are whole and not live, and that undos let be admitted.

        named   ids of messages that undos name, each with the global times at which they say that it is
        """
        if self._timeline.soft_destroyed_at is None or not named:
            return
        ids = b"".join(named)
        live, logged = self._store.find_ids(ids), self._store.find_ids(ids, unlive=True)
        for (message_id, times), shown, cursor in zip(named.items(), live, logged, strict=True):
            if shown is not None or cursor is None:
                continue
            (message,) = self._store.messages([cursor])
            kind = message[0]
            if kind < COMMUNITY_KIND_MIN or isinstance(message, Stripped):
                continue
            authors = authors_of(message)
            if any(self.forgives(message_id, authors, kind, each) for each in times):
                yield kind, authors
