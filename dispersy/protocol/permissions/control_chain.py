"""The chains of control messages over `previous`: what heads reach, and what is live for it (rules 7 and 17).

Every message names at most one previous, so messages with their previous form trees that hang together at
the oldest. What is live is kept by counting, per message, what holds it up: that it is a root (it counts, or
is the master's), pins that name it as a head, and live messages that name it as their previous. A change
costs as many steps as there are messages whose state it changes.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence, Set

from dispersy.protocol.identifiers import MemberId, MessageId
from dispersy.protocol.permissions.control_messages import ControlMessage
from dispersy.protocol.wire.message import NO_PREVIOUS


class _Walk:
    """What one head reaches, and the id of the message at which the walk stands still for want of it."""

    __slots__ = ("awaits", "last", "reached")

    def __init__(self, head: MessageId) -> None:
        self.reached: set[MessageId] = set()
        self.last: ControlMessage | None = None
        self.awaits: MessageId | None = head


class ControlChain:
    """The held control messages of one community, by their `previous`.

    walked    counts what changes about the reach of heads that are pinned
    """

    def __init__(self) -> None:
        self._held: dict[MessageId, ControlMessage] = {}
        self._naming: dict[MessageId, set[MessageId]] = {}
        self._roots: set[MessageId] = set()
        self._pins: Counter[MessageId] = Counter()
        self._supports: dict[MessageId, int] = {}
        self._wanted: Counter[MessageId] = Counter()
        self._missing: set[MessageId] = set()
        self.walked = 0
        self._walks: dict[MessageId, _Walk] = {}
        self._awaiting: dict[MessageId, set[MessageId]] = {}
        self._was_live: dict[MessageId, bool] = {}

    def add(self, message: ControlMessage) -> list[MessageId]:
        """Hold a message; returns the ids of those that some pin's heads reach only now, itself included."""
        self._held[message.id] = message
        self._missing.discard(message.id)
        self._naming.setdefault(message.previous, set()).add(message.id)
        children = (self._held[child] for child in self._naming.get(message.id, ()))
        supports = self._pins.get(message.id, 0)
        supports += sum(self.is_live(child.id) and _steps(child, message) for child in children)
        if supports:
            self._raise(message.id, supports)
        reached: list[MessageId] = []
        for head in self._awaiting.pop(message.id, ()):
            reached += self._go_on(head)
        self.walked += bool(reached)
        return reached

    def remove(self, message: ControlMessage) -> list[MessageId]:
        """Hold it no more; returns the ids of those that heads may reach no more because of it."""
        is_live = self.is_live(message.id)
        self._roots.discard(message.id)
        if is_live:
            self._lower(message.id, self._supports[message.id])
        del self._held[message.id]
        naming = self._naming[message.previous]
        naming.discard(message.id)
        if not naming:
            del self._naming[message.previous]
        if message.id in self._wanted:
            self._missing.add(message.id)
        lost: list[MessageId] = []
        # Whatever a pin's head reaches is live, so nothing else stands in a walk.
        walks = self._walks.items() if is_live else ()
        for head in [head for head, walk in walks if message.id in walk.reached]:
            lost += self._walks[head].reached
            self.walked += 1
            self._end_walk(head)
            self._begin_walk(head)
        return lost

    def set_root(self, message_id: MessageId, is_root: bool) -> None:
        """Whether a held message is live for its own sake."""
        if is_root and message_id not in self._roots:
            self._roots.add(message_id)
            self._raise(message_id, 1)
        elif not is_root and message_id in self._roots:
            self._roots.discard(message_id)
            self._lower(message_id, 1)

    def pin(self, heads: Iterable[MessageId]) -> None:
        """A withdrawal with these heads counts."""
        for head in heads:
            self._pins[head] += 1
            self._want(head)
            if self._pins[head] == 1:
                self._begin_walk(head)
            if head in self._held:
                self._raise(head, 1)

    def unpin(self, heads: Iterable[MessageId]) -> None:
        """It does not count any more."""
        for head in heads:
            self._pins[head] -= 1
            if not self._pins[head]:
                del self._pins[head]
                self._end_walk(head)
            self._unwant(head)
            if head in self._held:
                self._lower(head, 1)

    def reached(self, heads: Sequence[MessageId]) -> Set[MessageId]:
        """What one of these heads, which are pinned, reaches; right until `walked` is another number."""
        if len(heads) == 1:
            return self._walks[heads[0]].reached
        return frozenset[MessageId]().union(*(self._walks[head].reached for head in heads))

    def is_live(self, message_id: MessageId) -> bool:
        return message_id in self._supports

    def missing(self) -> frozenset[MessageId]:
        """Ids that live messages name as previous, or pins as heads, and that are not held."""
        return frozenset(self._missing)

    def namers(self, message_id: MessageId) -> set[MemberId]:
        """Authors of held messages that name it as previous; a pin's head may have none."""
        return {self._held[each].author for each in self._naming.get(message_id, ())}

    def take_changes(self) -> tuple[list[MessageId], list[MessageId]]:
        """What became live, and what ceased to be, since the last call."""
        changed = [each for each, was_live in self._was_live.items() if was_live != self.is_live(each)]
        self._was_live.clear()
        lived = sorted(each for each in changed if self.is_live(each))
        return lived, sorted(each for each in changed if not self.is_live(each))

    # -- what is live ----------------------------------------------------------------------------------------

    def _raise(self, message_id: MessageId, by: int) -> None:
        """Hold a message up by so much more; what it names hangs on it when that makes it live."""
        while True:
            was_live = message_id in self._supports
            self._supports[message_id] = self._supports.get(message_id, 0) + by
            if was_live:
                return
            self._was_live.setdefault(message_id, False)
            message = self._held[message_id]
            self._want(message.previous)
            before = self._held.get(message.previous)
            if before is None or not _steps(message, before):
                return
            message_id, by = before.id, 1

    def _lower(self, message_id: MessageId, by: int) -> None:
        while True:
            self._supports[message_id] -= by
            if self._supports[message_id]:
                return
            del self._supports[message_id]
            self._was_live.setdefault(message_id, True)
            message = self._held[message_id]
            self._unwant(message.previous)
            before = self._held.get(message.previous)
            if before is None or not _steps(message, before):
                return
            message_id, by = before.id, 1

    def _want(self, message_id: MessageId) -> None:
        if message_id != NO_PREVIOUS:
            self._wanted[message_id] += 1
            if message_id not in self._held:
                self._missing.add(message_id)

    def _unwant(self, message_id: MessageId) -> None:
        if message_id != NO_PREVIOUS:
            self._wanted[message_id] -= 1
            if not self._wanted[message_id]:
                del self._wanted[message_id]
                self._missing.discard(message_id)

    # -- what heads reach ------------------------------------------------------------------------------------

    def _begin_walk(self, head: MessageId) -> None:
        self._walks[head] = _Walk(head)
        self._go_on(head)

    def _end_walk(self, head: MessageId) -> None:
        awaits = self._walks.pop(head).awaits
        if awaits is not None:
            waiting = self._awaiting[awaits]
            waiting.discard(head)
            if not waiting:
                del self._awaiting[awaits]

    def _go_on(self, head: MessageId) -> list[MessageId]:
        """Walk as far as messages are held; returns what is reached only now."""
        walk = self._walks[head]
        found: list[MessageId] = []
        while walk.awaits is not None:
            message = self._held.get(walk.awaits)
            if message is None:
                self._awaiting.setdefault(walk.awaits, set()).add(head)
                break
            if walk.last is not None and not _steps(walk.last, message):
                walk.awaits = None
                break
            found.append(message.id)
            walk.last = message
            walk.awaits = None if message.previous == NO_PREVIOUS else message.previous
        walk.reached.update(found)
        return found


def _steps(message: ControlMessage, previous: ControlMessage) -> bool:
    """Whether the step from a message to the one that it names holds."""
    return previous.author == message.author and previous.global_time < message.global_time
