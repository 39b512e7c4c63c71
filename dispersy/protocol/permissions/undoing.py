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


@dataclass(frozen=True, slots=True)
class _Equal:
    """What makes undos of one target equal: who says it of what, and whether only of what is its own."""

    author: MemberId
    index: int | None
    kind: int
    global_time: int
    takes_all: bool

    def concerns(self, target: Target) -> bool:
        """Whether they take something of it back: what they name may not be here, and be something else."""
        is_it = (self.kind, self.global_time) == (target.kind, target.global_time)
        return is_it and (self.takes_all or self.author in target.authors)


class Undoing:
    """The held undos of one community by target, and the targets as far as they are live."""

    def __init__(self) -> None:
        self._targets: dict[MessageId, Target] = {}
        self._undos: dict[MessageId, dict[MessageId, ControlMessage]] = {}
        # By target, then by what makes undos equal: the least first.
        self._valid: dict[MessageId, dict[_Equal, list[Order]]] = {}

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

    def set_valid(
        self, message: ControlMessage, *, before: bool | None, after: bool | None
    ) -> list[tuple[MessageId, bool]]:
        """An undo stands otherwise than before; returns those that count, or do not, because of it.

        before, after  whether it takes back whatever it names (True) or what its author has written (False);
                       None: it does not stand
        """
        found = [] if before is None else self._change(message, before, is_valid=False)
        return found if after is None else found + self._change(message, after, is_valid=True)

    def _change(
        self, message: ControlMessage, takes_all: bool, *, is_valid: bool
    ) -> list[tuple[MessageId, bool]]:
        undo = _undo(message)
        key = _Equal(message.author, undo.index, undo.kind, undo.global_time, takes_all)
        equal = self._valid.setdefault(undo.target, {}).setdefault(key, [])
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
            del self._valid[undo.target][key]
            if not self._valid[undo.target]:
                del self._valid[undo.target]
        if before == after:
            return []
        return [(each.id, each == after) for each in (before, after) if each is not None]

    def state(self, target_id: MessageId) -> UndoneState | None:
        """None where nothing of it is undone."""
        target = self._targets.get(target_id)
        valid = [each for each in self._valid.get(target_id, ()) if target and each.concerns(target)]
        if not valid or target is None:
            return None
        whole = [each.author for each in valid if each.index is None]
        indices = frozenset(each.index for each in valid if each.index is not None)
        return UndoneState(bool(whole), indices, any(author in target.authors for author in whole))

    def is_taken_back(self, target_id: MessageId, target: Target, *, must_stand: bool) -> bool:
        """Whether an undo by an author of the message takes all of it back, should it be live: a held one, or
        one that stands."""
        if must_stand:
            return any(
                each.index is None and each.author in target.authors and each.concerns(target)
                for each in self._valid.get(target_id, ())
            )
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
