"""Powers and their cuts: what one member may do in one kind (docs/timeline.md, rules 3 to 8).

A grant gives powers, a withdrawal cuts some of those given before it. Each power is judged with its own
cuts; many powers have the same ones, so they are kept in groups of equal cuts, and within a group only those
that are less deep than all older ones: a look-up is one search per group.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterator, Sequence, Set
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

from dispersy.constants import GLOBAL_TIME_MAX
from dispersy.protocol.identifiers import MemberId, MessageId
from dispersy.protocol.permissions.control_messages import ControlMessage, Permission, Ranges, Withdrawal
from dispersy.protocol.ranges import divided

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


class Reach(NamedTuple):
    """Global times above `after`, up to and including `upto`: of messages that a power may concern."""

    after: int
    upto: int


EVER = Reach(0, GLOBAL_TIME_MAX)
PINNED_LANES_MAX = 256
"""Lanes of one member of which is remembered what the cuts let stand: they are judged one after another."""


class Reaching(Protocol):
    """What is asked of the chains of control messages (control_chain.ControlChain)."""

    @property
    def walked(self) -> int: ...
    def reached(self, heads: Sequence[MessageId]) -> Set[MessageId]: ...


@dataclass(slots=True)
class Group:
    """Of the powers of one permission that the same cuts cut, those less deep than all older ones.

    What all cuts let stand is remembered, or who revokes one member again and again would have each of its
    messages compared with each pin.

    all        of them, by their grants
    _stays     of data, by the authors of a lane
    _reached   of control messages: what all cuts but those _unmet reach, at `walked` of the chain
    """

    cuts: tuple[Cut, ...]
    times: list[int] = field(default_factory=list)
    powers: list[Power] = field(default_factory=list)
    all: dict[Order, Power] = field(default_factory=dict)
    _stays: dict[tuple[MemberId, ...], Ranges] = field(default_factory=dict)
    _reached: Set[MessageId] | None = None
    _unmet: list[Cut] = field(default_factory=list)
    _walked: int = 0

    def keeps(self, authors: Sequence[MemberId], sequence: int) -> bool:
        """Whether the pins of all cuts let a sequence of a lane stand."""
        if not self.cuts:
            return True
        lane = tuple(authors)
        stays = self._stays.get(lane)
        if stays is None:
            stays = pinned_ranges(self.cuts[0].withdrawal, authors)
            for cut in self.cuts[1:]:
                stays = _common(stays, pinned_ranges(cut.withdrawal, authors))
            if len(self._stays) >= PINNED_LANES_MAX:
                self._stays.clear()
            self._stays[lane] = stays
        return contains(stays, sequence)

    def reaches(self, message_id: MessageId, chain: Reaching) -> bool:
        """Whether the heads of all cuts reach a control message."""
        if not self.cuts:
            return True
        reached, unmet = self._reached, self._unmet
        if reached is None or self._walked != chain.walked:
            reached, unmet = chain.reached(self.cuts[0].withdrawal.heads), list(self.cuts[1:])
            self._walked = chain.walked
        for cut in unmet:
            reached = reached & chain.reached(cut.withdrawal.heads)
        self._reached, self._unmet = reached, []
        return message_id in reached

    def cut(self, cut: Cut) -> None:
        """One more withdrawal cuts all of its powers."""
        self._unmet.append(cut)
        self.cuts = tuple(sorted((*self.cuts, cut), key=lambda each: each.at))
        for lane, stays in self._stays.items():
            self._stays[lane] = _common(stays, pinned_ranges(cut.withdrawal, lane))

    def add(self, power: Power) -> Reach | None:
        """In any order: what stays is the same. Returns where a look-up may find another depth than before;
        None: nowhere."""
        self.all[power.since] = power
        since, upto = power.since.global_time, GLOBAL_TIME_MAX
        first = after = bisect_left(self.times, since)
        if first and self.powers[first - 1].depth <= power.depth:
            return None
        while after < len(self.powers) and self.powers[after].depth >= power.depth:
            other = self.powers[after]
            if other.depth == power.depth:
                upto = other.since.global_time
            if (other.since.global_time, other.depth) == (since, power.depth):
                # One is as good as the other; so that all nodes give the same proof it is the least.
                power = min(power, other, key=lambda each: each.since)
            after += 1
        if after < len(self.powers):
            if self.times[after] == since:
                return None
            upto = min(upto, self.times[after])
        self.times[first:after] = [since]
        self.powers[first:after] = [power]
        return Reach(since, upto)


Allows = Callable[[Group], bool]
"""Whether the pins of all cuts of some powers let the message in question stand."""


class Standing:
    """The powers of one member in one kind, with what cuts them."""

    def __init__(self) -> None:
        self._powers: dict[Permission, dict[Order, Power]] = {}
        self._cuts: dict[Order, Cut] = {}
        self._groups: dict[Permission, dict[tuple[Order, ...], Group]] = {}

    @property
    def is_empty(self) -> bool:
        return not self._powers and not self._cuts

    def grant(self, power: Power) -> Reach | None:
        """Take a power, or another depth of one held; returns what may be covered otherwise."""
        groups = self._grouped(power.permission)
        powers = self._powers.setdefault(power.permission, {})
        if power.since in powers:
            self._groups.pop(power.permission)
            powers[power.since] = power
            return Reach(power.since.global_time, GLOBAL_TIME_MAX)
        powers[power.since] = power
        return self._enter(groups, power)

    def ungrant(self, permission: Permission, since: Order) -> Reach | None:
        """Lose a power: its grant does not count any more. Returns what may be covered otherwise."""
        powers = self._powers[permission]
        power = powers.pop(since)
        if not powers:
            del self._powers[permission]
        groups = self._groups.get(permission)
        if groups is not None and not any(power in group.powers for group in groups.values()):
            for group in groups.values():
                group.all.pop(since, None)
            return None
        # Where it stood for others that it outdid, they are found anew.
        self._groups.pop(permission, None)
        return Reach(since.global_time, GLOBAL_TIME_MAX)

    def cut(self, cut: Cut) -> None:
        """Take a withdrawal, or another depth of one held."""
        is_new = cut.at not in self._cuts
        self._cuts[cut.at] = cut
        for permission in cut.withdrawal.permissions:
            groups = self._groups.pop(permission, {}).values()
            if is_new and groups and all(_is_cut_whole(group, cut) for group in groups):
                # Mostly it is later than all grants: no power has to be looked at for what cuts it.
                for group in groups:
                    group.cut(cut)
                self._groups[permission] = {tuple(each.at for each in group.cuts): group for group in groups}

    def uncut(self, at: Order) -> None:
        """Lose a withdrawal: it does not count any more."""
        self._forget_groups(self._cuts.pop(at).withdrawal.permissions)

    def _forget_groups(self, permissions: Permission) -> None:
        for permission in permissions:
            self._groups.pop(permission, None)

    def covering(self, permission: Permission, global_time: int, allows: Allows) -> Power | None:
        """The least deep power that covers a message of this time."""
        best: Power | None = None
        for group in self._grouped(permission).values():
            index = bisect_left(group.times, global_time)
            if not index or (best is not None and best.depth <= group.powers[index - 1].depth):
                continue
            if not group.cuts or allows(group):
                best = group.powers[index - 1]
        return best

    def uncut_since(self, permission: Permission) -> int | None:
        """From when on whatever the member does is covered; None when it takes a closer look.

        Closer are cut powers that may reach further back than the uncut ones.
        """
        groups = self._grouped(permission)
        uncut = groups[()].times[0] if () in groups else None
        is_plain = uncut is not None and all(uncut <= group.times[0] for group in groups.values())
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

    # -- groups: made when they are asked for, kept while nothing is cut -------------------------------------

    def _grouped(self, permission: Permission) -> dict[tuple[Order, ...], Group]:
        groups = self._groups.get(permission)
        if groups is None:
            groups = self._groups[permission] = {}
            for power in self._powers.get(permission, {}).values():
                self._enter(groups, power)
        return groups

    def _enter(self, groups: dict[tuple[Order, ...], Group], power: Power) -> Reach | None:
        cuts = self._cuts_of(power) if self._cuts else ()
        key = tuple(cut.at for cut in cuts)
        group = groups.get(key)
        if group is None:
            group = groups[key] = Group(tuple(cuts))
        return group.add(power)


def _is_cut_whole(group: Group, cut: Cut) -> bool:
    return all(map(cut.cuts, group.all.values()))


def _common(ranges: Ranges, others: Ranges) -> Ranges:
    return tuple(divided(ranges, others)[0])


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
