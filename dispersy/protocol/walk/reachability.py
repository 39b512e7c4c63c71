"""Our own addresses by the vote of neighbours outside our LAN, what the votes say of our NAT, and who is
near."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from dispersy.protocol.address import NO_ADDRESS, Address, is_ipv4, is_loopback, is_private, usable_as_peer
from dispersy.protocol.walk.candidate import Candidate
from dispersy.protocol.wire.numbers import ConnectionType


class OwnAddresses:
    """Where this node is reached.

    lan         in our local network, NO_ADDRESS while unknown
    wan         as set, or else as voted; NO_ADDRESS while unknown
    connection  what the votes say of the NAT we are behind
    """

    def __init__(self) -> None:
        self.lan = NO_ADDRESS
        self.voted = NO_ADDRESS
        self.connection = ConnectionType.UNKNOWN
        self._wan: Address | None = None

    @property
    def wan(self) -> Address:
        return self.voted if self._wan is None else self._wan

    @property
    def is_translated(self) -> bool:
        """Whether others see us at another address than our own: a NAT stands in between."""
        return self.lan != NO_ADDRESS and self.wan not in (NO_ADDRESS, self.lan)

    def set(self, *, lan: Address | None, wan: Address | None) -> None:
        # A socket that listens everywhere names no address at which anybody could reach it.
        self.lan = lan if lan is not None and usable_as_peer(lan) else NO_ADDRESS
        self._wan = wan

    def are(self, address: Address) -> bool:
        """Whether a datagram to this address would come back to us, as far as we know."""
        return address != NO_ADDRESS and address in (self.lan, self.wan, self.voted)

    def in_our_lan(self, address: Address) -> bool:
        """Whether the host is on our side of the router, and so does not see us as the Internet does."""
        if is_loopback(address):
            return True
        if self.lan == NO_ADDRESS:
            return is_private(address)
        # No netmask is known: /24 and /64 are what nearly every LAN uses.
        size = 15 if is_ipv4(address) else 8
        return address[:size] == self.lan[:size]

    def behind_our_router(self, wan: Address) -> bool:
        """Whether this is our WAN address but for the port: strangers behind one NAT meet in the LAN."""
        return self.wan != NO_ADDRESS and wan[:16] == self.wan[:16]

    def nearest(self, *, lan: Address, wan: Address) -> Address:
        """Of a peer's two addresses the one at which we reach it; NO_ADDRESS: neither."""
        # In the LAN only private addresses are believed, or anybody could have us walk to whom it likes.
        is_near = lan != NO_ADDRESS and (is_private(lan) or self.in_our_lan(lan))
        return lan if is_near and (wan == NO_ADDRESS or self.behind_our_router(wan)) else wan

    def ways_to(self, *, lan: Address, wan: Address) -> list[Address]:
        """The same, and its other address behind it: a carrier's NAT has many LANs behind it, all alike."""
        nearest = self.nearest(lan=lan, wan=wan)
        return [nearest] if nearest == wan or wan == NO_ADDRESS else [nearest, wan]

    def may_meet(self, address: Address, *, told_by: Address) -> bool:
        """Whether to believe a neighbour that a peer is there; nobody outside knows our own machine."""
        return (
            usable_as_peer(address)
            and address != told_by
            and not self.are(address)
            and (is_loopback(told_by) or not is_loopback(address))
        )

    def addresses_of(self, candidate: Candidate, *, to: Address) -> tuple[Address, Address]:
        """The (LAN, WAN) address to introduce a candidate by to whoever is at another address: what we see
        goes before what it claims."""
        place = candidate.place_for(to)
        if place != candidate.address:
            return NO_ADDRESS, place
        # A public address is good everywhere, though it be next to ours: in one data centre many are.
        is_local = is_private(candidate.address) or is_loopback(candidate.address)
        if is_local and self.in_our_lan(candidate.address):
            return candidate.address, candidate.wan
        return candidate.lan, candidate.address

    def count_votes(self, voters: Iterable[Candidate]) -> bool:
        """Take the votes of neighbours outside our LAN, one a host; True: our voted address has changed."""
        votes: dict[bytes, Address] = {}
        for voter in voters:
            if usable_as_peer(voter.vote) and not self.in_our_lan(voter.address):
                votes.setdefault(voter.address[:16], voter.vote)
        self.connection = self._connection(votes)
        if not votes:
            return False
        winner = Counter(votes.values()).most_common(1)[0][0]
        changed = winner != self.voted
        self.voted = winner
        return changed

    def _connection(self, votes: dict[bytes, Address]) -> ConnectionType:
        """What more than half of at least two say: one that lies or errs decides nothing."""
        if len(votes) < 2:
            return ConnectionType.UNKNOWN
        seen = Counter(votes.values())
        address, count = seen.most_common(1)[0]
        if 2 * count > len(votes):
            return ConnectionType.PUBLIC if address == self.lan else ConnectionType.UNKNOWN
        _, of_host = Counter(each[:16] for each in votes.values()).most_common(1)[0]
        # One host, but another port for nearly every neighbour.
        return ConnectionType.SYMMETRIC if 2 * of_host > len(votes) else ConnectionType.UNKNOWN
