"""The powers of all members of a community in all kinds, and which of them is behind a message."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from dispersy.protocol.identifiers import MemberId
from dispersy.protocol.permissions.control_chain import ControlChain
from dispersy.protocol.permissions.control_messages import ControlMessage, Permission
from dispersy.protocol.permissions.powers import NOTHING, Cut, Power, Standing


class Standings:
    """One Standing for each member and kind of which a counting message says something."""

    def __init__(self, master: MemberId, chain: ControlChain) -> None:
        self._master = master
        self._chain = chain
        self._standings: dict[tuple[MemberId, int], Standing] = {}

    def get(self, member: MemberId, kind: int) -> Standing | None:
        """None where nobody ever granted or withdrew anything."""
        return self._standings.get((member, kind))

    def of(self, member: MemberId, kind: int) -> Standing:
        """To be changed; begins empty."""
        standing = self._standings.get((member, kind))
        if standing is None:
            standing = self._standings[member, kind] = Standing()
        return standing

    def drop_empty(self, member: MemberId, kind: int) -> None:
        """Nothing stays of who has lost everything."""
        if self._standings[member, kind].is_empty:
            del self._standings[member, kind]

    def behind(self, message: ControlMessage, kind: int, permission: Permission) -> Power | None:
        """The least deep power of its author that covers a control message; the master needs none."""
        standing = self._standings.get((message.author, kind))
        if standing is None or message.author == self._master:
            return None
        return standing.covering(
            permission, message.global_time, lambda group: group.reaches(message.id, self._chain)
        )

    def depth(self, message: ControlMessage, kind: int, permission: Permission) -> int:
        """Of that power, 0 for the master; NOTHING where there is none."""
        power = self.behind(message, kind, permission)
        if power is not None:
            return power.depth
        return 0 if message.author == self._master else NOTHING

    def permit(
        self, author: MemberId, authors: Sequence[MemberId], kind: int, global_time: int, sequence: int
    ) -> Power | None:
        """The least deep power of one of its authors that covers a data message."""
        standing = self._standings.get((author, kind))
        if standing is None:
            return None
        return standing.covering(Permission.PERMIT, global_time, lambda group: group.keeps(authors, sequence))

    def uncut(self, member: MemberId, kind: int, permission: Permission, global_time: int) -> Power | None:
        """The least deep power that covers whatever a member signs at this time, with nothing against it."""
        standing = self._standings.get((member, kind))
        return None if standing is None else standing.covering(permission, global_time, lambda _: False)

    def powers(self) -> Iterator[tuple[MemberId, int, Power, list[Cut]]]:
        """Every power there is but the master's, with what cuts it, by member and kind."""
        for member, kind in sorted(self._standings):
            for power, cuts in self._standings[member, kind].powers():
                yield member, kind, power, cuts
