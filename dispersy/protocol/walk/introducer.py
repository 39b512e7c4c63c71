"""What we say of ourselves in introductions: our key, where we are reached, and our live set."""

from __future__ import annotations

from dispersy.protocol.address import NO_ADDRESS, Address, is_ipv4
from dispersy.protocol.identifiers import MemberId
from dispersy.protocol.walk.announcers import Announcers
from dispersy.protocol.walk.candidate import Candidate, Candidates
from dispersy.protocol.walk.neighbours import Neighbours
from dispersy.protocol.walk.reachability import OwnAddresses
from dispersy.protocol.walk.walk_events import SendIntroduction
from dispersy.protocol.wire.introductions import IntroductionRequest, IntroductionResponse
from dispersy.protocol.wire.numbers import Capability

NOBODY = NO_ADDRESS, NO_ADDRESS
"""The (LAN, WAN) address of an introduction to nobody."""
TOLD_NOTHING = Capability.METERED | Capability.TRACKER
"""Such nodes neither announce new messages nor want to hear of them."""


class Introducer:
    """Writes the introductions of one community, but for their signature.

    member  our key; read at every call
    """

    def __init__(
        self,
        member: MemberId,
        *,
        own: OwnAddresses,
        neighbours: Neighbours,
        candidates: Candidates,
        announcers: Announcers,
        capabilities: Capability,
    ) -> None:
        self.member = member
        self._own = own
        self._neighbours = neighbours
        self._candidates = candidates
        self._announcers = announcers
        self._capabilities = capabilities
        self._asks_announcements = not capabilities & TOLD_NOTHING

    def request(
        self, address: Address, token: bytes, number: int, now: float, *, asks_introduction: bool
    ) -> SendIntroduction:
        """A step's or, asking for no introduction, a nudge."""
        candidate = self._candidates.get(address)
        receiver_member = None if candidate is None else candidate.member
        self._neighbours.tell(candidate)
        request = IntroductionRequest(
            number=number,
            member=self.member,
            receiver=address,
            lan=self._own.lan,
            wan=self._own.wan,
            summary=self._neighbours.summary,
            connection=self._own.connection,
            asks_introduction=asks_introduction,
            asks_announcements=self._asks_announcements and self._announcers.ask(address, now),
            capabilities=self._capabilities,
            covers_receiver=receiver_member is not None,
        )
        return SendIntroduction(address, token, request.type, request.unsigned(), receiver_member)

    def response(
        self,
        source: Address,
        token: bytes,
        request: IntroductionRequest,
        introduced: tuple[Address, Address],
        now: float,
    ) -> SendIntroduction:
        """The answer to a request.

        introduced  the (LAN, WAN) address of whom it introduces, NO_ADDRESS both: nobody
        """
        asks_announcements = self._asks_announcements and not request.capabilities & TOLD_NOTHING
        self._neighbours.tell(self._candidates.get(source))
        response = IntroductionResponse(
            number=request.number,
            member=self.member,
            receiver=source,
            lan=self._own.lan,
            wan=self._own.wan,
            introduced_lan=introduced[0],
            introduced_wan=introduced[1],
            summary=self._neighbours.summary,
            connection=self._own.connection,
            asks_announcements=asks_announcements and self._announcers.ask(source, now),
            capabilities=self._capabilities,
        )
        return SendIntroduction(source, token, response.type, response.unsigned(), request.member)

    def asker(
        self, asker: Candidate, member: MemberId, introduced: Candidate, now: float
    ) -> tuple[Address, Address]:
        """The (LAN, WAN) address at which the introduced one is to expect the member that asks."""
        met_at = introduced.place_for(asker.address)
        if is_ipv4(met_at) != is_ipv4(asker.address):
            known = self._candidates.verified_elsewhere(member, asker.address, now)
            asker = asker if known is None else known
        return self._own.addresses_of(asker, to=met_at)
