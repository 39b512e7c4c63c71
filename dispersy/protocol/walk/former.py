"""Neighbours that were lost: where they answered is asked now and then, so that what was parted meets again.

Two halves of a network that was cut, or a node whose line was down, forget each other within a minute. And
who introduced them may be gone by then. So it is with those of an earlier run (remembered.py).
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable

from dispersy.constants import FORMER_AGAIN_MAX_S, FORMER_AGAIN_S, FORMER_S
from dispersy.protocol.address import Address
from dispersy.protocol.hosts import host_of
from dispersy.protocol.identifiers import MemberId


class _Lost:
    """Where a member answered; asked at due_at again, and for the last time before until."""

    __slots__ = ("address", "due_at", "tries", "until", "wait_s")

    def __init__(self, address: Address, now: float, *, first_after_s: float = FORMER_AGAIN_S) -> None:
        self.address = address
        self.tries = 0
        self.wait_s = FORMER_AGAIN_S
        self.due_at = now + first_after_s
        self.until = now + FORMER_S


class Former:
    """Of one community, at most count_max of them: one of a host, those that were lost last.

    wakes   whether they are asked when that is due; else when something else is to be done, too
    """

    def __init__(self, *, count_max: int, wakes: bool) -> None:
        self._count_max = count_max
        self._wakes = wakes
        self._lost: OrderedDict[MemberId, _Lost] = OrderedDict()
        # Kept, for it is asked for after everything that comes, and hardly ever changes.
        self._due_at: float | None = None

    def lose(self, member: MemberId, address: Address, now: float) -> None:
        """It answered there, and does not any more."""
        self.find(member, address)
        host = host_of(address)
        of_host = [each for each, lost in self._lost.items() if host and host_of(lost.address) == host]
        for rival in of_host:
            del self._lost[rival]
        self._lost[member] = _Lost(address, now)
        if len(self._lost) > self._count_max:
            self._lost.popitem(last=False)
        self._look_again()

    def remember(self, member: MemberId, address: Address, now: float, *, first_after_s: float) -> None:
        """It answered there before this node was started again."""
        if len(self._lost) < self._count_max:
            self._lost[member] = _Lost(address, now, first_after_s=first_after_s)
            self._look_again()

    def find(self, member: MemberId, address: Address) -> None:
        """The member is somewhere, or somebody is at this address."""
        if not self._lost:
            return
        self._lost.pop(member, None)
        for other in [each for each, lost in self._lost.items() if lost.address == address]:
            del self._lost[other]
        self._look_again()

    def forget(self, is_unwanted: Callable[[Address, MemberId | None], bool]) -> None:
        """Ask these no more."""
        for member, lost in list(self._lost.items()):
            if is_unwanted(lost.address, member):
                del self._lost[member]
        self._look_again()

    def take(self, now: float) -> list[Address]:
        """Whom to ask now."""
        if self._due_at is None or now < self._due_at:
            return []
        due = [(member, lost) for member, lost in self._lost.items() if now >= lost.due_at]
        for member, lost in due:
            # Sooner or later by what the key says: both sides would else go on missing each other's openings.
            lost.due_at = now + lost.wait_s * (0.5 + member[lost.tries % len(member)] / 255)
            lost.wait_s = min(2 * lost.wait_s, FORMER_AGAIN_MAX_S)
            lost.tries += 1
            if now >= lost.until:
                del self._lost[member]
        self._look_again()
        return [lost.address for _, lost in due]

    def next_deadline(self) -> float | None:
        return self._due_at if self._wakes else None

    def _look_again(self) -> None:
        self._due_at = min([lost.due_at for lost in self._lost.values()], default=None)
