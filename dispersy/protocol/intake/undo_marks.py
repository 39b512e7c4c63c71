"""Undo and what a round shows: marks of single messages, and what followers of the log are told of them.

An undo may come before its target, and loses its effect while the target is not live: so whoever lets a
message live or not tells the timeline, where some undo names it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Protocol

from dispersy.protocol.identifiers import MessageId
from dispersy.protocol.intake.control_intake import ControlIntake
from dispersy.protocol.intake.intake_round import Change, Event, Round
from dispersy.protocol.intake.lane_round import PRUNED, Fate
from dispersy.protocol.intake.marks import ERASED, HIDDEN, HIDDEN_BY_ORDER, UNDONE
from dispersy.protocol.intake.received import Received, authors_of
from dispersy.protocol.permissions.undoing import UndoneState
from dispersy.protocol.wire.numbers import COMMUNITY_KIND_MIN

WHOLE = "message"
"""The reason of an event about all of a message; "payload-N" is about one payload."""
QUIET_REASONS = frozenset({"superseded", PRUNED})
"""Where only the newest stay, a newer one is event enough; what is old stays readable."""


class StoredEntry(Protocol):
    """What is read of a stored message (storage.store.LogEntry)."""

    @property
    def cursor(self) -> int: ...
    @property
    def marks(self) -> int: ...
    @property
    def message(self) -> bytes: ...


class UndoStore(Protocol):
    """What is asked of the writer's store: what was committed before this round."""

    def find(self, community: int, global_time: int, message_id: bytes) -> int | None: ...
    def entries(self, cursors: Sequence[int]) -> Sequence[StoredEntry]: ...
    def undone(self, cursors: Sequence[int]) -> Mapping[int, tuple[int, ...]]: ...


class UndoMarks:
    """One a community: what is undone, as the last round left it.

    unsaid  (id, cursor, indices) where an older store does not say which payloads are undone
    """

    def __init__(self, store: UndoStore, control: ControlIntake, *, community: int) -> None:
        self._store = store
        self._control = control
        self._timeline = control.timeline
        self._community = community
        self._known: dict[bytes, UndoneState] = {}
        self.unsaid: list[tuple[bytes, int | None, tuple[int, ...]]] = []

    def load(self) -> None:
        """Begin with what is stored."""
        self._see_stored(self._control.targets)
        self._control.settle()
        for target in self._control.targets:
            state = self._timeline.undone(MessageId(target))
            self._learn(target, state)
            found = self._find(target) if state and state.indices else None
            if found is not None:
                indices, cursor = _indices_of(state), found[1].cursor
                if self._store.undone([cursor]).get(cursor) != indices:
                    self.unsaid.append((target, cursor, indices))

    # -- targets ---------------------------------------------------------------------------------------------

    def see(self, fates: Mapping[bytes, Fate], arrived: Mapping[bytes, Received], named: set[bytes]) -> None:
        """Tell the timeline which messages that undos name are live now, and which are no longer.

        arrived    messages of this round that undos name
        named      ids that an undo has named for the first time
        """
        awaited = self._control.targets
        for message_id, received in arrived.items():
            fate = fates.get(message_id)
            if fate is None or fate.marks is not None:
                self._set(message_id, received.message, received.global_time)
        for message_id, fate in fates.items():
            if fate.stored is None or message_id not in awaited:
                continue
            if fate.marks is None:
                self._timeline.set_target(MessageId(message_id), None, 0, fate.entry.global_time)
            elif not fate.stored.live or message_id in named:
                (entry,) = self._store.entries([fate.stored.cursor])
                self._set(message_id, entry.message, fate.entry.global_time)
        self._see_stored(named - arrived.keys() - fates.keys())

    def _see_stored(self, targets: Iterable[bytes]) -> None:
        for target in targets:
            found = self._find(target)
            if found is not None:
                self._set(target, found[1].message, found[0])

    def _find(self, target: bytes) -> tuple[int, StoredEntry] | None:
        """The global time and the entry of a stored live message that an undo names."""
        for global_time in self._control.targets.get(target, ()):
            cursor = self._store.find(self._community, global_time, target)
            if cursor is not None:
                (entry,) = self._store.entries([cursor])
                return global_time, entry
        return None

    def _set(self, target: bytes, message: bytes, global_time: int) -> None:
        if message[0] >= COMMUNITY_KIND_MIN:
            self._timeline.set_target(MessageId(target), authors_of(message), message[0], global_time)

    # -- marks and events ------------------------------------------------------------------------------------

    def close(
        self,
        finished: Round,
        fates: Mapping[bytes, Fate],
        arrived: Mapping[bytes, Received],
        undone: set[bytes],
    ) -> dict[bytes, int]:
        """Say in the round what changes about stored messages, and what is to be told; the marks of messages
        that the round brings, where they are not 0.

        undone    ids of messages that are undone otherwise than before
        """
        marks: dict[bytes, int] = {}
        finished.undone += self.unsaid
        self.unsaid.clear()
        for message_id, fate in fates.items():
            state = self._timeline.undone(MessageId(message_id)) if fate.marks is not None else None
            if fate.stored is None:
                if fate.marks is not None:
                    marks[message_id] = self._arrive(finished, message_id, fate.marks, state)
            else:
                stored = fate.stored
                self._change(finished, message_id, stored.cursor, (stored.marks, stored.live), fate, state)
        for message_id in sorted(undone - fates.keys()):
            state = self._timeline.undone(MessageId(message_id))
            if message_id in arrived:
                marks[message_id] = self._arrive(finished, message_id, 0, state)
            elif (found := self._find(message_id)) is not None:
                entry = found[1]
                self._change(finished, message_id, entry.cursor, (entry.marks, True), None, state)
        return marks

    def _arrive(self, finished: Round, message_id: bytes, marks: int, state: UndoneState | None) -> int:
        """A message of this round: its marks."""
        marks |= UNDONE if state and state.whole else 0
        if not marks & HIDDEN:
            finished.events += _payload_events(message_id, None, None, state)
        if _indices_of(state):
            finished.undone.append((message_id, None, _indices_of(state)))
        self._learn(message_id, state)
        if _is_erased(state):
            finished.erased.append((message_id, None))
        return marks

    def _change(
        self,
        finished: Round,
        message_id: bytes,
        cursor: int,
        stored: tuple[int, bool],
        fate: Fate | None,
        state: UndoneState | None,
    ) -> None:
        """A stored message, as it is: (marks, whether it is live); fate None: its lane says what it said."""
        known = self._known.get(message_id)
        erased = stored[0] & ERASED
        before = stored[0] if stored[1] else None
        after = fate.marks if fate is not None else stored[0] & ~(UNDONE | ERASED)
        if after is not None:
            after = after | (UNDONE if state and state.whole else 0) | erased
        if after != before:
            is_inactive = after is None and fate is not None and fate.reason == PRUNED
            finished.changes.append(Change(message_id, cursor, before, after, is_inactive))
        if _is_erased(state) and not erased:
            finished.erased.append((message_id, cursor))
        was_shown = before is not None and not before & HIDDEN
        is_shown = after is not None and not after & HIDDEN
        if was_shown and is_shown:
            finished.events += _payload_events(message_id, cursor, known, state)
        elif is_shown:
            finished.events.append(Event("restored", message_id, cursor, WHOLE))
            finished.events += _payload_events(message_id, cursor, None, state)
        elif was_shown and (after is not None or fate is None or fate.reason not in QUIET_REASONS):
            finished.events.append(_denied(message_id, cursor, after, fate))
        if _indices_of(state) != _indices_of(known):
            finished.undone.append((message_id, cursor, _indices_of(state)))
        self._learn(message_id, state)

    def _learn(self, message_id: bytes, state: UndoneState | None) -> None:
        if state:
            self._known[message_id] = state
        else:
            self._known.pop(message_id, None)


def _indices_of(state: UndoneState | None) -> tuple[int, ...]:
    return tuple(sorted(state.indices)) if state else ()


def _is_erased(state: UndoneState | None) -> bool:
    return bool(state and state.whole and state.by_author)


def _denied(message_id: bytes, cursor: int, after: int | None, fate: Fate | None) -> Event:
    if after is not None and after & UNDONE:
        return Event("undone", message_id, cursor, WHOLE)
    if after is None:
        reason = fate.reason if fate is not None else ""
        return Event("denied", message_id, cursor, "equivocation" if reason == "slot-full" else reason)
    return Event(
        "denied", message_id, cursor, "order" if after & HIDDEN == HIDDEN_BY_ORDER else "equivocation"
    )


def _payload_events(
    message_id: bytes, cursor: int | None, before: UndoneState | None, after: UndoneState | None
) -> Iterator[Event]:
    """What single payloads of a message that is shown have come to."""
    was = before.indices if before else frozenset[int]()
    now = after.indices if after else frozenset[int]()
    for index in sorted(now - was):
        yield Event("undone", message_id, cursor, f"payload-{index}")
    for index in sorted(was - now):
        yield Event("restored", message_id, cursor, f"payload-{index}")
