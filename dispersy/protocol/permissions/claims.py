"""Claims: what a control message says about one kind, which stands or falls as one."""

from __future__ import annotations

from bisect import bisect_left, bisect_right, insort
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TypeVar

from dispersy.protocol.identifiers import MemberId
from dispersy.protocol.permissions.control_messages import (
    Authorize,
    ControlMessage,
    Grant,
    Permission,
    Revoke,
    Settings,
    Undo,
    Withdrawal,
)
from dispersy.protocol.permissions.powers import NOTHING, Order, Reach, order_of

_Key = TypeVar("_Key")


@dataclass(eq=False, slots=True)
class Claim:
    """What one control message says about one kind, and as how deep it counts.

    needs   the powers on which that rests
    depths  by permission for grants; of any other claim under its one needed permission; NOTHING is left out
    """

    message: ControlMessage
    kind: int
    needs: Permission
    grants: tuple[Grant, ...] = ()
    withdrawals: tuple[Withdrawal, ...] = ()
    depths: dict[Permission, int] = field(default_factory=dict)


def claims_of(message: ControlMessage) -> Iterator[Claim]:
    """Each kind that a message says something about; a destroy says nothing about any."""
    match message.body:
        case Authorize(grants):
            for kind in {grant.kind for grant in grants}:
                of_kind = tuple(grant for grant in grants if grant.kind == kind)
                needs = Permission.AUTHORIZE
                for grant in of_kind:
                    needs |= grant.permissions
                yield Claim(message, kind, needs, grants=of_kind)
        case Revoke(withdrawals):
            for kind in {withdrawal.kind for withdrawal in withdrawals}:
                named = tuple(withdrawal for withdrawal in withdrawals if withdrawal.kind == kind)
                yield Claim(message, kind, Permission.REVOKE, withdrawals=named)
        case Undo() as undo:
            yield Claim(message, undo.kind, Permission.UNDO)
        case Settings() as settings:
            yield Claim(message, settings.kind, Permission.SETTINGS)


def counting(depths: dict[Permission, int]) -> dict[Permission, int]:
    """Depths without those of what no power covers."""
    return {permission: depth for permission, depth in depths.items() if depth != NOTHING}


def take_out(index: dict[_Key, set[Claim]], key: _Key, claim: Claim) -> None:
    """Forget a claim under this key, and the key with its last one."""
    claims = index[key]
    claims.discard(claim)
    if not claims:
        del index[key]


class ClaimsByTime:
    """All claims of a community by member and kind, in their order: a power concerns those of some times."""

    def __init__(self) -> None:
        self._claims: dict[tuple[MemberId, int], list[Claim]] = {}

    def add(self, claim: Claim) -> None:
        insort(self._claims.setdefault((claim.message.author, claim.kind), []), claim, key=_order_of)

    def remove(self, claim: Claim) -> None:
        key = (claim.message.author, claim.kind)
        claims = self._claims[key]
        # One message says one thing about a kind, so no two claims here stand in one place.
        del claims[bisect_left(claims, _order_of(claim), key=_order_of)]
        if not claims:
            del self._claims[key]

    def within(self, member: MemberId, kind: int, reach: Reach) -> list[Claim]:
        """What a member says about a kind in messages of these global times."""
        claims = self._claims.get((member, kind), [])
        first, last = (bisect_right(claims, time, key=_time_of) for time in reach)
        return claims[first:last]


def _order_of(claim: Claim) -> Order:
    return order_of(claim.message)


def _time_of(claim: Claim) -> int:
    return claim.message.global_time
