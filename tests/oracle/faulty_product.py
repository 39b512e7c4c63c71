"""The faults of faulty.py in the product itself, in its timeline and lanes, for a test to put there."""

from __future__ import annotations

from collections.abc import Iterable

from dispersy.protocol.identifiers import MessageId
from dispersy.protocol.intake import lane, lane_round
from dispersy.protocol.permissions import control_chain
from dispersy.protocol.permissions.claims import Claim
from dispersy.protocol.permissions.control_chain import ControlChain
from dispersy.protocol.permissions.control_messages import ControlMessage, Permission
from dispersy.protocol.permissions.powers import DEPTH_MAX, Cut, Power
from dispersy.protocol.permissions.timeline import Timeline


def _cuts_without_depth(self: Cut, power: Power) -> bool:
    return bool(power.permission & self.withdrawal.permissions) and power.since < self.at


def _up_to_the_heads(self: ControlChain, heads: Iterable[MessageId]) -> set[MessageId]:
    latest = max((self._held[head].global_time for head in heads if head in self._held), default=0)
    return {each.id for each in self._held.values() if each.global_time <= latest}


def _grants_without_holding(self: Timeline, claim: Claim) -> dict[Permission, int]:
    authorize = self._depth(claim, Permission.AUTHORIZE)
    granted = (permission for grant in claim.grants for permission in grant.permissions)
    return dict.fromkeys(granted, authorize) if authorize < DEPTH_MAX else {}


def _no_step(_: ControlMessage, __: ControlMessage) -> bool:
    return False


def _heads_alone(_: ControlChain, heads: Iterable[MessageId]) -> set[MessageId]:
    return set(heads)


TIMELINE_FAULTS: dict[str, list[tuple[object, str, object]]] = {
    "no depth": [(Cut, "cuts", _cuts_without_depth)],
    "frontier as a number": [(ControlChain, "reached", _up_to_the_heads)],
    "grant what one lacks": [(Timeline, "_depths_of_grants", _grants_without_holding)],
    "no chain closure": [(control_chain, "_steps", _no_step)],
    "heads alone": [(ControlChain, "reached", _heads_alone)],
}
"""By name, what stands where: (owner, name, what is wrong)."""
LANE_FAULTS: dict[str, list[tuple[object, str, object]]] = {
    "lower id wins": [(lane, "SLOT_MAX", 1), (lane_round, "SLOT_MAX", 1)],
}
