"""What a second has of something that all neighbours want, shared so that no few of them use it up.

A limit by address lets as many addresses as it divides into use up what there is for all; and one machine
has many addresses. So what there is is shared between the hosts that asked lately, and what a host has
between its addresses: who floods has the share of one, however many ports it floods from.
"""

from __future__ import annotations

from collections.abc import Hashable

from dispersy.protocol.address import Address
from dispersy.protocol.hosts import host_of


class Shares:
    """At most `in_all` a second, at most per_address of it for one address; in whole seconds.

    in_all       units: whatever is counted
    sources_max  addresses in one second; more are refused, but for those that were there the second before
    """

    def __init__(self, *, in_all: int, per_address: int, sources_max: int) -> None:
        self._in_all = in_all
        self._per_address = per_address
        self._sources_max = sources_max
        self._second = 0
        self._before: dict[Hashable, set[Address]] = {}
        self._hosts: dict[Hashable, dict[Address, int]] = {}
        self._used = self._sources = 0

    def admit(self, source: Address, now: float, *, count: int = 1) -> bool:
        """Count so many more of this address; False: too many, and none is counted."""
        self._turn(int(now))
        host: Hashable = host_of(source) or source
        of_host = self._hosts.get(host, {})
        before = self._before.get(host, set())
        used, used_by_host = of_host.get(source, 0), sum(of_host.values())
        if used + count > self._per_address or self._used + count > self._in_all:
            return False
        if not used and self._sources >= self._sources_max and source not in before:
            return False
        # One share is left for whoever comes next. The first request of a host may be larger than its share.
        share = self._in_all // (1 + len(self._hosts.keys() | self._before.keys() | {host}))
        own = share // len(of_host.keys() | before | {source})
        if (used_by_host and used_by_host + count > share) or (used and used + count > own):
            return False
        self.charge(source, count)
        return True

    def charge(self, source: Address, count: int) -> None:
        """What was admitted just now has cost so many more, whether or not that is too many."""
        of_host = self._hosts.setdefault(host_of(source) or source, {})
        self._sources += source not in of_host
        of_host[source] = of_host.get(source, 0) + count
        self._used += count

    def _turn(self, second: int) -> None:
        if second == self._second:
            return
        follows = second == self._second + 1
        self._before = {host: set(of_host) for host, of_host in self._hosts.items()} if follows else {}
        self._second = second
        self._hosts = {}
        self._used = self._sources = 0
