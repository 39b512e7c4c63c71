"""What the naive timeline looks at, and what it decides: messages, powers, marks, states."""

from __future__ import annotations

from dataclasses import dataclass, field

from dispersy.protocol.identifiers import MemberId, MessageId
from dispersy.protocol.permissions.control_messages import ControlMessage, Permission, Withdrawal

Order = tuple[int, MessageId]
"""(global time, id): what "before" and "after" mean."""


@dataclass(frozen=True, slots=True)
class DataMessage:
    """A message of the community's own kinds, in the form that they admit.

    authors    none, one or two; without one the sequence is 0
    recipient  whom alone it is for; hops: how far it goes. Both only of what is not kept
    is_long    whether only a kind that says so admits it
    """

    id: MessageId
    authors: tuple[MemberId, ...]
    kind: int
    global_time: int
    sequence: int
    recipient: MemberId | None = None
    hops: int = 0
    is_long: bool = False

    @property
    def slot(self) -> tuple[tuple[MemberId, ...], int, int]:
        return self.authors, self.kind, self.sequence

    @property
    def lane(self) -> tuple[tuple[MemberId, ...], int]:
        return self.authors, self.kind


@dataclass(frozen=True, slots=True)
class KindRules:
    """What a definition says of one kind.

    resolution   public, linear, dynamic
    initial      of dynamic resolution: public or linear
    newest       n of last-sync, 0 for full-sync
    author_count 0 where nobody signs, which goes with what is not kept alone
    inactive     threshold, 0: the kind is not pruned; prune: threshold
    spread       "kept"; or "direct" to one member and "relay" over hops, which nobody keeps
    hops         how many a message of it may have
    priority     with `order`: what of the community is fetched first; below 32: only on request
    in_sequence  whether each message waits for those below it
    admits_long  whether long messages are admitted, too
    """

    resolution: str
    initial: str = "public"
    newest: int = 0
    rate: int = 0
    is_frozen: bool = False
    author_count: int = 1
    inactive: int = 0
    prune: int = 0
    spread: str = "kept"
    hops: int = 0
    priority: int = 128
    order: str = "ascending"
    in_sequence: bool = False
    admits_long: bool = False

    @property
    def is_on_request(self) -> bool:
        """Whether its messages are kept, and offered to nobody."""
        return self.spread == "kept" and self.priority < 32


@dataclass(frozen=True, slots=True)
class DefinitionMessage:
    """A definition that the master signed, understood."""

    id: MessageId
    global_time: int
    kinds: tuple[tuple[int, KindRules], ...]


Message = DataMessage | ControlMessage | DefinitionMessage


@dataclass(frozen=True, slots=True)
class Power:
    """What a member may do; the grant that gave it is an authorize's (global time, id)."""

    member: MemberId
    kind: int
    permission: Permission
    since: Order
    depth: int


@dataclass(frozen=True, slots=True)
class Cut:
    """A withdrawal that counts."""

    withdrawal: Withdrawal
    at: Order
    depth: int


@dataclass(frozen=True, slots=True)
class Marks:
    """Why a live data message, or a part of it, is not shown."""

    equivocation: bool = False
    order: bool = False
    undone: bool = False
    erased: bool = False
    indices: frozenset[int] = frozenset()

    @property
    def is_shown(self) -> bool:
        return not (self.equivocation or self.order or self.undone)


@dataclass(frozen=True, slots=True)
class State:
    """Everything that the rules decide; two nodes with equal live sets have equal ones.

    counting  control messages with effect
    powers    all that were granted, cut or not
    policies  kind -> settings that changed it: (global time, is linear), newest last
    """

    live: frozenset[MessageId] = frozenset()
    counting: frozenset[MessageId] = frozenset()
    powers: frozenset[Power] = frozenset()
    policies: tuple[tuple[int, tuple[tuple[int, bool], ...]], ...] = ()
    marks: dict[MessageId, Marks] = field(default_factory=dict)


def order(message: Message) -> Order:
    return message.global_time, message.id
