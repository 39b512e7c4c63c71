"""Claims: what a control message says about one kind, which stands or falls as one."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TypeVar

from dispersy.protocol.control_messages import (
    Authorize,
    ControlMessage,
    Grant,
    Permission,
    Revoke,
    Settings,
    Undo,
    Withdrawal,
)
from dispersy.protocol.powers import NOTHING

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
