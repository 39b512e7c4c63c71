"""Our own addresses, as neighbours see us: the vote of those outside our LAN, and what the votes say of our NAT."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from dispersy.protocol.address import NO_ADDRESS, Address, is_ipv4, is_loopback, is_private, usable_as_peer
from dispersy.protocol.candidate import Candidate
from dispersy.protocol.numbers import ConnectionType


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

    def set(self, *, lan: Address | None, wan: Address | None) -> None:
        self.lan = lan or NO_ADDRESS
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
        """Whether this WAN address is our own but for the port: two strangers behind one NAT meet in the LAN."""
        return self.wan != NO_ADDRESS and wan[:16] == self.wan[:16]

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
        if len(votes) < 2:
            return ConnectionType.UNKNOWN
        seen = set(votes.values())
        if seen == {self.lan}:
            return ConnectionType.PUBLIC
        if len(seen) > 1 and len({address[:16] for address in seen}) == 1:
            # One host, but another port for every neighbour.
            return ConnectionType.SYMMETRIC
        return ConnectionType.UNKNOWN
