"""Powers and their cuts: what one member may do in one kind (docs/timeline.md, rules 3 to 8).

A grant gives powers, a withdrawal cuts some of those given before it. Each power is judged with its own
cuts; many powers have the same ones, so they are kept in groups of equal cuts, and within a group only those
that are less deep than all older ones: a look-up is one search per group.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from dispersy.protocol.control_messages import ControlMessage, Permission, Ranges, Withdrawal
from dispersy.protocol.identifiers import MemberId, MessageId

DEPTH_MAX = 8
"""Of a power; the master's are 0 deep. With it every question ends after so many steps."""
NOTHING = DEPTH_MAX + 1
"""Stands for the depth of what no power covers: deeper than any."""
SENIOR = Permission.AUTHORIZE | Permission.REVOKE
"""Only who is less deep may cut these: equals would cut each other in a circle."""


class Order(NamedTuple):
    """Where a message stands among all: before and after are by global time, then id."""

    global_time: int
    id: MessageId


def order_of(message: ControlMessage) -> Order:
    """Where a control message stands."""
    return Order(message.global_time, message.id)


@dataclass(frozen=True, slots=True)
class Power:
    """A permission for a kind, held since a grant."""

    permission: Permission
    since: Order
    depth: int


@dataclass(frozen=True, slots=True)
class Cut:
    """A withdrawal that counts."""

    at: Order
    depth: int
    withdrawal: Withdrawal

    def cuts(self, power: Power) -> bool:
        """Rule 6: of what was granted before, what is deeper than the revoker, and of leaves its equals."""
        if not power.permission & self.withdrawal.permissions or power.since >= self.at:
            return False
        return power.depth > self.depth or (power.depth == self.depth and not power.permission & SENIOR)


Allows = Callable[[Cut], bool]
"""Whether the pin of a cut lets the message in question stand."""


@dataclass(slots=True)
class _Group:
    """Powers of one permission that the same cuts cut; the later, the less deep."""

    cuts: tuple[Cut, ...]
    times: list[int]
    powers: list[Power]


class Standing:
    """The powers of one member in one kind, with what cuts them."""

    def __init__(self) -> None:
        self._powers: dict[Permission, dict[Order, Power]] = {}
        self._cuts: dict[Order, Cut] = {}
        self._groups: dict[Permission, list[_Group]] = {}

    @property
    def is_empty(self) -> bool:
        return not self._powers and not self._cuts

    def grant(self, power: Power) -> None:
        """Take a power, or another depth of one held."""
        self._powers.setdefault(power.permission, {})[power.since] = power
        self._groups.pop(power.permission, None)

    def ungrant(self, permission: Permission, since: Order) -> None:
        """Lose a power: its grant does not count any more."""
        powers = self._powers[permission]
        del powers[since]
        if not powers:
            del self._powers[permission]
        self._groups.pop(permission, None)

    def cut(self, cut: Cut) -> None:
        """Take a withdrawal, or another depth of one held."""
        self._cuts[cut.at] = cut
        self._regroup(cut.withdrawal.permissions)

    def uncut(self, at: Order) -> None:
        """Lose a withdrawal: it does not count any more."""
        self._regroup(self._cuts.pop(at).withdrawal.permissions)

    def _regroup(self, permissions: Permission) -> None:
        for permission in permissions:
            self._groups.pop(permission, None)

    def covering(self, permission: Permission, global_time: int, allows: Allows) -> Power | None:
        """The least deep power that covers a message of this time."""
        best: Power | None = None
        for group in self._grouped(permission):
            index = bisect_left(group.times, global_time)
            if not index or (best is not None and best.depth <= group.powers[index - 1].depth):
                continue
            if all(allows(cut) for cut in group.cuts):
                best = group.powers[index - 1]
        return best

    def uncut_since(self, permission: Permission) -> int | None:
        """From when on whatever the member does is covered; None when it takes a closer look.

        Closer are cut powers that may reach further back than the uncut ones.
        """
        groups = self._grouped(permission)
        uncut = next((group.times[0] for group in groups if not group.cuts), None)
        is_plain = uncut is not None and all(uncut <= group.times[0] for group in groups)
        return uncut if is_plain else None

    def holds(self, permission: Permission) -> bool:
        """Whether there is any such power, cut or not."""
        return permission in self._powers

    def powers(self) -> Iterator[tuple[Power, list[Cut]]]:
        """Each power and its cuts, in the order of their grants."""
        for permission in sorted(self._powers):
            for since in sorted(self._powers[permission]):
                power = self._powers[permission][since]
                yield power, self._cuts_of(power)

    def _cuts_of(self, power: Power) -> list[Cut]:
        return [self._cuts[at] for at in sorted(self._cuts) if self._cuts[at].cuts(power)]

    def _grouped(self, permission: Permission) -> list[_Group]:
        groups = self._groups.get(permission)
        if groups is None:
            groups = self._groups[permission] = self._group(permission)
        return groups

    def _group(self, permission: Permission) -> list[_Group]:
        powers = self._powers.get(permission, {})
        cuts = [
            self._cuts[at] for at in sorted(self._cuts) if permission & self._cuts[at].withdrawal.permissions
        ]
        groups: dict[tuple[Order, ...], _Group] = {}
        for since in sorted(powers):
            power = powers[since]
            cutting = tuple(cut for cut in cuts if cut.cuts(power)) if cuts else ()
            group = groups.setdefault(tuple(cut.at for cut in cutting), _Group(cutting, [], []))
            if group.powers and group.powers[-1].depth <= power.depth:
                continue
            # Of two grants at one time the less deep alone can ever be the least deep that covers.
            if group.times and group.times[-1] == since.global_time:
                group.times.pop()
                group.powers.pop()
            group.times.append(since.global_time)
            group.powers.append(power)
        return list(groups.values())


def contains(ranges: Ranges, sequence: int) -> bool:
    """Whether a sequence is in one of the ranges."""
    index = bisect_left(ranges, (sequence + 1, 0)) - 1
    return index >= 0 and ranges[index][1] >= sequence


def pinned_ranges(withdrawal: Withdrawal, authors: Sequence[MemberId]) -> Ranges:
    """What a pin lets stand in the lane of these authors, of whom the member is one."""
    if len(authors) == 1:
        return withdrawal.ranges
    role = authors.index(withdrawal.member)
    for pair in withdrawal.pairs:
        if (pair.other, pair.role) == (authors[1 - role], role):
            return pair.ranges
    return ()
