"""Whether an undo stands (rule 16): by its target where that is offered, by itself where it is on request.

What is on request is held by few. An undo of it that counted only where its target is held would be live for
some and not for others, and no two of them would ever be in sync.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from dispersy.protocol.identifiers import MemberId
from dispersy.protocol.permissions.claims import Claim, counting, take_out
from dispersy.protocol.permissions.control_messages import Permission, Undo
from dispersy.protocol.permissions.policy_history import PolicyHistory
from dispersy.protocol.permissions.standings import Standings
from dispersy.protocol.permissions.undoing import Undoing

Depths = dict[Permission, int]
"""Under undo: it takes back whatever it names; under permit: what its author has written."""


class UndoClaims:
    """Those of one timeline."""

    def __init__(self, standings: Standings, policies: Mapping[int, PolicyHistory], undoing: Undoing) -> None:
        self._standings = standings
        self._policies = policies
        self._undoing = undoing
        self._on_request: set[int] = set()
        self._by_kind: dict[int, set[Claim]] = {}

    def add(self, claim: Claim) -> None:
        self._by_kind.setdefault(claim.kind, set()).add(claim)
        self._undoing.add(claim.message)

    def remove(self, claim: Claim) -> None:
        take_out(self._by_kind, claim.kind, claim)
        self._undoing.remove(claim.message)

    def set_on_request(self, kind: int, is_on_request: bool) -> Iterable[Claim]:
        """What the definitions say of a kind; returns what stands by something else now."""
        if is_on_request == (kind in self._on_request):
            return ()
        self._on_request ^= {kind}
        return self._by_kind.get(kind, ())

    def is_on_request(self, kind: int) -> bool:
        """As set_on_request() said."""
        return kind in self._on_request

    def resting_on_policy(self, kind: int) -> Iterable[Claim]:
        """Those that stand or fall with whether a kind is public."""
        return self._by_kind.get(kind, ()) if kind in self._on_request else ()

    def needs(self, claim: Claim) -> Permission:
        """The powers on which a claim rests; it may be of anything."""
        is_own_too = isinstance(claim.message.body, Undo) and claim.kind in self._on_request
        return claim.needs | Permission.PERMIT if is_own_too else claim.needs

    def depths(self, claim: Claim, *, is_before_the_end: bool) -> Depths:
        """As how deep an undo counts."""
        by_power = self._standings.depth(claim.message, claim.kind, Permission.UNDO)
        power = counting({Permission.UNDO: by_power}) if is_before_the_end else {}
        if claim.kind in self._on_request:
            return self._of_itself(claim, power)
        target = self._undoing.target_of(claim.message)
        if target is None:
            return {}
        return {Permission.UNDO: 0} if claim.message.author in target.authors else power

    def _of_itself(self, claim: Claim, power: Depths) -> Depths:
        message = claim.message
        assert isinstance(message.body, Undo)
        if message.global_time <= message.body.global_time:
            return {}
        if power:
            return power
        if self._is_public(claim.kind, message.author, message.global_time):
            return {Permission.PERMIT: 0}
        return counting({Permission.PERMIT: self._standings.depth(message, claim.kind, Permission.PERMIT)})

    def _is_public(self, kind: int, author: MemberId, global_time: int) -> bool:
        """Whether an author needed no power, and what took that back since has named it."""
        history = self._policies.get(kind)
        return (
            history is not None
            and history.is_public(global_time)
            and history.is_named_since(author, global_time)
        )
