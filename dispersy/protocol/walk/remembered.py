"""Neighbours of earlier runs: a node that starts while its bootstrap is gone finds its way back through them.

Whoever answered us at an address will mostly do so again after a pause. It is asked at the start, after the
bootstrap, as a neighbour that was lost (former.py): so addresses that lead nowhere cost next to nothing, and
one that leads to somebody else only finds who is there. The longest known are kept, for who was there for
long is the likeliest to be there again.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from dispersy.constants import FORMER_MAX
from dispersy.protocol.address import Address, usable_as_peer
from dispersy.protocol.hosts import host_of
from dispersy.protocol.identifiers import MemberId
from dispersy.protocol.walk.candidate import Unwanted
from dispersy.protocol.walk.former import Former

REMEMBERED_MAX = FORMER_MAX
"""Of a community: all of them are asked at a start."""
REMEMBERED_S = 60 * 86_400
"""Without a word from an address: most of those that people have from their providers are others' by then."""
VAIN_STARTS_MAX = 3
"""Starts in a row at which somebody answered and this one did not, after which it is forgotten."""
VAIN_AFTER_S = 120.0
"""From the start until who has not answered was asked in vain: three times by then."""

REMINDED_AFTER_S, REMINDED_EVERY_S = 1.0, 0.1
"""From the start until the first of them is asked, and the next: fifty communities do not ask all at once,
and who is found through the bootstrap meanwhile is not asked."""


@dataclass(frozen=True, slots=True)
class Remembered:
    """Where a member answered.

    heard_at   unix seconds
    vain       starts in a row since then at which others answered and it did not
    """

    member: MemberId
    address: Address
    heard_at: int
    vain: int = 0


class RememberedNeighbours:
    """Of one community, at most REMEMBERED_MAX and one of a host.

    stored      by the last run, the likeliest to be there first
    unix_now    seconds that the wall clock shows; it may be wrong, so that a moment to come is no harm
    """

    def __init__(self, stored: Iterable[Remembered] = (), *, unix_now: int, now: float) -> None:
        self._kept = _bounded(
            each
            for each in stored
            if each.vain < VAIN_STARTS_MAX
            and unix_now - each.heard_at < REMEMBERED_S
            and usable_as_peer(each.address)
        )
        self._unheard = {each.member for each in self._kept}
        self._vain_at = now + VAIN_AFTER_S

    def __iter__(self) -> Iterator[Remembered]:
        return iter(self._kept)

    def hear(self, answered: Sequence[tuple[Address, MemberId]], *, unix_now: int, now: float) -> bool:
        """These have answered us lately where they are; whether others are kept now than before.

        answered   the likeliest to be there again first
        """
        before = [(each.member, each.address, each.vain) for each in self._kept]
        heard = {member for _, member in answered}
        self._unheard -= heard
        others = [each for each in self._kept if each.member not in heard]
        # Where nobody answers it may be our own line.
        if heard and self._unheard and now >= self._vain_at:
            others = [
                replace(each, vain=each.vain + 1) if each.member in self._unheard else each for each in others
            ]
            self._unheard.clear()
        fresh = [Remembered(member, address, unix_now) for address, member in answered]
        self._kept = _bounded([*fresh, *(each for each in others if each.vain < VAIN_STARTS_MAX)])
        return before != [(each.member, each.address, each.vain) for each in self._kept]

    def forget(self, is_unwanted: Unwanted) -> None:
        """Keep these no longer."""
        self._kept = [each for each in self._kept if not is_unwanted(each.address, each.member)]


def _bounded(neighbours: Iterable[Remembered]) -> list[Remembered]:
    """The first of each member, address and host, and so many of them."""
    kept: list[Remembered] = []
    members, places = set(), set()
    for each in neighbours:
        place = host_of(each.address) or each.address
        if each.member not in members and place not in places and len(kept) < REMEMBERED_MAX:
            members.add(each.member)
            places.add(place)
            kept.append(each)
    return kept


def remind(former: Former, remembered: Iterable[Remembered], now: float, *, has_bootstrap: bool) -> None:
    """Have these asked at a start as if they had just been lost, one after the other."""
    after_s = REMINDED_AFTER_S if has_bootstrap else 0.0
    for index, each in enumerate(remembered):
        former.remember(each.member, each.address, now, first_after_s=after_s + index * REMINDED_EVERY_S)
