"""Which introductions are worth a look at their signatures: limits by address and host, before any work."""

from __future__ import annotations

from dispersy.constants import (
    INTRODUCTION_SOURCES_MAX,
    INTRODUCTIONS_PER_HOST_MAX,
    INTRODUCTIONS_PER_SECOND_MAX,
)
from dispersy.protocol.address import Address
from dispersy.protocol.flow.per_second import PerSecond
from dispersy.protocol.hosts import Host, host_of


class Admission:
    """Counts introductions of one community.

    per_second   of one address
    """

    def __init__(self, *, per_second: int = INTRODUCTIONS_PER_SECOND_MAX) -> None:
        self._addresses: PerSecond[Address] = PerSecond(limit=per_second, keys_max=INTRODUCTION_SOURCES_MAX)
        self._hosts: PerSecond[Host] = PerSecond(
            limit=INTRODUCTIONS_PER_HOST_MAX, keys_max=INTRODUCTION_SOURCES_MAX
        )

    def admit(self, source: Address, now: float, *, is_candidate: bool) -> bool:
        """Whether one more from there may be looked at."""
        host = host_of(source)
        # The host first: one with all its ports must not fill the table of addresses.
        if not is_candidate and host is not None and not self._hosts.admit(host, now):
            return False
        return self._addresses.admit(source, now, beyond_keys_max=is_candidate)
