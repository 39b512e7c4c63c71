"""At which address of its local network this node is reached, so that others behind its router find it there.

A socket that listens everywhere names no address. The one from which the machine would send to the world is
meant then, and looked for again and again: a machine that joins another network has another one.
"""

from __future__ import annotations

from dispersy.protocol.address import Address, address_port, is_ipv4, is_unspecified, make_address
from dispersy.protocol.walk.shared_pace import SharedPace
from dispersy.routes import hosts_towards_the_world


class OwnLan:
    """Of one socket.

    address   where it is reached in the local network; a wildcard while no network leads anywhere
    """

    def __init__(self, bound: Address, pace: SharedPace, now: float) -> None:
        self.address = self._bound = bound
        self._pace = pace
        self._is_everywhere = is_unspecified(bound)
        self._due_at = now
        self.look(now)

    def look(self, now: float) -> bool:
        """Whether it is another one than before, and there is one at all."""
        if not self._is_everywhere:
            return False
        # When the walk wakes this process anyway.
        self._due_at = self._pace.tick_after(now)
        hosts = hosts_towards_the_world(ipv6=not is_ipv4(self._bound))
        if not hosts:
            # The network is gone for a moment, perhaps, and what neighbours know of us stays true.
            return False
        address = make_address(hosts[0], address_port(self._bound))
        changed = address != self.address
        self.address = address
        return changed

    def next_deadline(self) -> float | None:
        return self._due_at if self._is_everywhere else None
