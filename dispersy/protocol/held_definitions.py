"""The definitions that a community's master has published and that are held here.

Every message of kind definition that the master signed is live, also one that this version cannot make sense
of: a newer one must be able to pass through older nodes. The newest of those that are understood counts (then
the lower id) for names, and for what this node publishes.

What is *admitted* is judged by all of them: a message is admitted that any definition held admits. So another
definition can only admit more, nothing that is stored has to be judged again, and two nodes that hold the
same messages agree, whatever came first.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from dispersy.errors import WireError
from dispersy.protocol.definition import Definition, Kind, accept_definition, check_payload_groups
from dispersy.protocol.identifiers import CommunityId
from dispersy.protocol.message import read_message


class HeldDefinitions:
    """One a community.

    current    the newest that is understood, None until there is one
    message    the whole message that it came in, b"" without one
    """

    def __init__(self, community_id: CommunityId) -> None:
        self.current: Definition | None = None
        self.message = b""
        self._community_id = community_id
        self._newest: tuple[int, bytes] | None = None
        self._understood: list[Definition] = []

    def add(self, message: bytes) -> bool:
        """Take a definition message that the master signed; whether it is the current one now.

        raises  WireError: this version does not understand it, or not enforce it; it is live all the same
        """
        view = read_message(self._community_id, message)
        if len(view.payloads) != 1:
            raise WireError("definition-malformed")
        definition = accept_definition(view.payloads[0])
        self._understood.append(definition)
        # Ids compare the other way round: of two at one time the lower one counts.
        if self._newest is not None and (-view.global_time, view.id) > (-self._newest[0], self._newest[1]):
            return False
        self._newest = (view.global_time, view.id)
        self.current, self.message = definition, message
        return True

    def names(self) -> set[int]:
        """The numbers of all kinds that any of them names."""
        return {kind.number for definition in self._understood for kind in definition.kinds}

    def refusals(self, number: int, groups: Sequence[Sequence[bytes]]) -> list[str | None]:
        """For each message of a kind, given by its payloads, why no definition admits it (None: one does)."""
        reasons: list[str | None] = ["kind-unknown"] * len(groups)
        for kind in self._rows(number):
            open_ones = [index for index, reason in enumerate(reasons) if reason is not None]
            if not open_ones:
                break
            judged = check_payload_groups(kind, [groups[index] for index in open_ones])
            for index, reason in zip(open_ones, judged, strict=True):
                reasons[index] = reason
        return reasons

    def _rows(self, number: int) -> Iterator[Kind]:
        for definition in reversed(self._understood):
            kind = definition.kind_by_number(number)
            if kind is not None:
                yield kind
