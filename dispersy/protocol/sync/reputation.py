"""What describing our set to a neighbour has cost and what it has brought, kept by host.

Whoever says that it holds another set than we is described ours, and may have lied. So each host has an
account. What we send in order to pull from it is charged, what the store takes in pays it back many times
over; and who owes more than a beginner may waits, so that in the long run it costs WASTE_RATE at most.
Accounts outlive sources: another port, or a silence, is no new beginning.

Hosts that never brought anything owe together, too, for somebody may have many.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable

from dispersy.protocol.address import Address
from dispersy.protocol.hosts import host_of

WASTE_MAX = 16_000
"""Bytes that a host may have cost us for nothing before it waits: some rounds of symbols and filters, for a
wrong positive or a loss wants another try."""
WASTE_RATE = 64.0
"""Bytes a second that are forgiven."""
GAIN_WORTH = 4_096
"""Bytes of description that a message which the store takes in is worth."""
EARNED_MAX = 1 << 20
"""Bytes that a host may have earned: who brought much may be in vain for some time."""
PAUSE_MAX_S = 120.0
STRANGER_PAUSE_MAX_S = 600.0
"""How long a host waits at most, and one that never brought anything."""
STRANGERS_WASTE_MAX = 512_000
STRANGERS_WASTE_RATE = 1_024.0
"""The same of all hosts together that never brought anything."""
STRANGERS_PAUSE_MAX_S = 30.0
HOSTS_MAX = 1_024


class _Account:
    """owes   bytes at the time `at`, less than nothing where it has earned some."""

    __slots__ = ("at", "has_gained", "owes")

    def __init__(self, now: float) -> None:
        self.owes = 0.0
        self.at = now
        self.has_gained = False

    def charge(self, size: int, now: float, *, rate: float, most: float) -> None:
        if self.owes > 0:
            self.owes = max(0.0, self.owes - rate * max(0.0, now - self.at))
        self.at = now
        self.owes = min(most, self.owes + size)


class Reputations:
    """Of all hosts that a community may pull from."""

    def __init__(self, *, hosts_max: int = HOSTS_MAX) -> None:
        self._hosts_max = hosts_max
        self._accounts: OrderedDict[Hashable, _Account] = OrderedDict()
        self._strangers = _Account(0.0)

    def charge(self, address: Address, size: int, now: float) -> None:
        """So many bytes were sent to pull from there."""
        name = host_of(address) or address
        account = self._accounts.get(name)
        if account is None:
            account = self._accounts[name] = _Account(now)
            if len(self._accounts) > self._hosts_max:
                self._accounts.popitem(last=False)
        self._accounts.move_to_end(name)
        pause_max_s = PAUSE_MAX_S if account.has_gained else STRANGER_PAUSE_MAX_S
        account.charge(size, now, rate=WASTE_RATE, most=WASTE_MAX + WASTE_RATE * pause_max_s)
        if not account.has_gained:
            most = STRANGERS_WASTE_MAX + STRANGERS_WASTE_RATE * STRANGERS_PAUSE_MAX_S
            self._strangers.charge(size, now, rate=STRANGERS_WASTE_RATE, most=most)

    def credit(self, address: Address, count: int) -> None:
        """The store has taken in so many messages while we pulled from there."""
        account = self._accounts.get(host_of(address) or address)
        if account is not None and count > 0:
            if not account.has_gained:
                self._strangers.owes = max(0.0, self._strangers.owes - max(0.0, account.owes))
            account.owes = max(-EARNED_MAX, min(account.owes, WASTE_MAX) - count * GAIN_WORTH)
            account.has_gained = True

    def begins_at(self, address: Address) -> float:
        """When it may be pulled from again; a time that has passed: at once."""
        account = self._accounts.get(host_of(address) or address)
        own = float("-inf") if account is None else account.at + (account.owes - WASTE_MAX) / WASTE_RATE
        if account is not None and account.has_gained:
            return own
        strangers = self._strangers
        return max(own, strangers.at + (strangers.owes - STRANGERS_WASTE_MAX) / STRANGERS_WASTE_RATE)
