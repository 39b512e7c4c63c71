"""What undos take back, target by target (rule 16): of equal ones by one author the least counts."""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass

from dispersy.protocol.identifiers import MemberId, MessageId
from dispersy.protocol.permissions.control_messages import ControlMessage, Undo
from dispersy.protocol.permissions.powers import Order, order_of


@dataclass(frozen=True, slots=True)
class UndoneState:
    """What of a live message has been taken back.

    whole      all of it
    indices    payloads named one by one
    by_author  the whole by one of its own authors: it is erased
    """

    whole: bool
    indices: frozenset[int]
    by_author: bool


@dataclass(frozen=True, slots=True)
class Target:
    """A live data message that an undo names."""

    authors: tuple[MemberId, ...]
    kind: int
    global_time: int


class Undoing:
    """The held undos of one community by target, and the targets as far as they are live."""

    def __init__(self) -> None:
        self._targets: dict[MessageId, Target] = {}
        self._undos: dict[MessageId, dict[MessageId, ControlMessage]] = {}
        # By target, then by what makes undos equal, author and index: the least first.
        self._valid: dict[MessageId, dict[tuple[MemberId, int | None], list[Order]]] = {}

    def add(self, message: ControlMessage) -> None:
        self._undos.setdefault(_undo(message).target, {})[message.id] = message

    def remove(self, message: ControlMessage) -> None:
        """Hold an undo no more; it has been set invalid before."""
        target = _undo(message).target
        del self._undos[target][message.id]
        if not self._undos[target]:
            del self._undos[target]

    def set_target(self, target_id: MessageId, target: Target | None) -> bool:
        """A message is live, or not (any more); returns whether that is new."""
        if self._targets.get(target_id) == target:
            return False
        if target is None:
            self._targets.pop(target_id, None)
        else:
            self._targets[target_id] = target
        return True

    def target_of(self, message: ControlMessage) -> Target | None:
        """What an undo may take back: None unless it is live and is what the undo says that it is."""
        undo = _undo(message)
        target = self._targets.get(undo.target)
        if target is None or (target.kind, target.global_time) != (undo.kind, undo.global_time):
            return None
        return target if message.global_time > target.global_time else None

    def set_valid(self, message: ControlMessage, is_valid: bool) -> list[tuple[MessageId, bool]]:
        """An undo is permitted, or not any more; returns those that count, or do not, because of it."""
        undo = _undo(message)
        equal = self._valid.setdefault(undo.target, {}).setdefault((message.author, undo.index), [])
        before = equal[0] if equal else None
        order = order_of(message)
        place = bisect_left(equal, order)
        is_there = place < len(equal) and equal[place] == order
        if is_valid and not is_there:
            equal.insert(place, order)
        elif is_there and not is_valid:
            del equal[place]
        after = equal[0] if equal else None
        if not equal:
            del self._valid[undo.target][message.author, undo.index]
            if not self._valid[undo.target]:
                del self._valid[undo.target]
        if before == after:
            return []
        return [(each.id, each == after) for each in (before, after) if each is not None]

    def state(self, target_id: MessageId) -> UndoneState | None:
        """None where nothing of it is undone."""
        valid = self._valid.get(target_id)
        target = self._targets.get(target_id)
        if not valid or target is None:
            return None
        whole = [author for author, index in valid if index is None]
        indices = frozenset(index for _, index in valid if index is not None)
        return UndoneState(bool(whole), indices, any(author in target.authors for author in whole))

    def is_taken_back(self, target_id: MessageId, target: Target) -> bool:
        """Whether a held undo by an author of the message takes all of it back, should it be live."""
        return any(
            undo.author in target.authors
            and _undo(undo).index is None
            and (_undo(undo).kind, _undo(undo).global_time) == (target.kind, target.global_time)
            and undo.global_time > target.global_time
            for undo in self._undos.get(target_id, {}).values()
        )

    def of_target(self, target_id: MessageId) -> list[ControlMessage]:
        """The held undos of a message, in their order."""
        return sorted(self._undos.get(target_id, {}).values(), key=order_of)


def _undo(message: ControlMessage) -> Undo:
    assert isinstance(message.body, Undo)
    return message.body
