"""Proofs: the control messages by which something counts, from the master down.

Each step leads to a grant whose author is less deep, and needs two: of `authorize`, and of what was granted.
So a proof of one power has at most 36 messages, and mostly as many as the power is deep.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from dispersy.protocol.identifiers import MessageId
from dispersy.protocol.permissions.claims import Claim
from dispersy.protocol.permissions.control_messages import Authorize, ControlMessage, Permission
from dispersy.protocol.permissions.powers import Power
from dispersy.protocol.permissions.standings import Standings


class Proofs:
    """Finds them in what a timeline holds."""

    def __init__(self, standings: Standings, held: Mapping[MessageId, ControlMessage]) -> None:
        self._standings = standings
        self._held = held

    def chain(self, kind: int, powers: Iterable[Power]) -> list[MessageId]:
        """The grants behind these powers for one kind, and those behind them: the less deep first."""
        found: set[Power] = set()
        following = list(powers)
        while following:
            power = following.pop()
            if power not in found:
                found.add(power)
                grant = self._held[power.since.id]
                needed = (Permission.AUTHORIZE, power.permission)
                behind = (self._standings.behind(grant, kind, permission) for permission in needed)
                following += [each for each in behind if each is not None]
        ordered = sorted(found, key=lambda power: (power.depth, power.since))
        return list(dict.fromkeys(power.since.id for power in ordered))

    def of_claims(self, claims: Iterable[Claim]) -> list[MessageId]:
        """The grants behind what counts of a message."""
        found: dict[MessageId, None] = {}
        for claim in claims:
            # 0 deep is what needs no power: the master's, and an author's own undo.
            needed = {permission for permission, depth in claim.depths.items() if depth}
            if needed and isinstance(claim.message.body, Authorize):
                needed.add(Permission.AUTHORIZE)
            behind = (self._standings.behind(claim.message, claim.kind, each) for each in sorted(needed))
            found |= dict.fromkeys(self.chain(claim.kind, (each for each in behind if each is not None)))
        return list(found)
