"""Whom this node does not listen to: members that it does not show, addresses that it does not speak with.

It is told to no one: what a blocked member writes is still held and synchronised, or neighbours would notice,
and their sets would never be equal to ours again.
"""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress

from dispersy.errors import UsageError
from dispersy.protocol.address import (
    Address,
    address_host,
    address_port,
    format_address,
    make_address,
    parse_address,
)
from dispersy.protocol.hosts import host_of
from dispersy.storage.store import BlockedRecord

EVERYWHERE = 0
"""Instead of a community's number."""
_HOST_SIZE = 16


def canonical_address(text: str) -> str:
    """HOST or HOST:PORT as it is kept.

    raises  UsageError `address-malformed`
    """
    address = _parse(text)
    return address_host(address) if address_port(address) == 0 else format_address(address)


def _parse(text: str) -> Address:
    """Port 0 stands for all ports of the host."""
    with suppress(UsageError):
        return make_address(text, 0)
    try:
        return parse_address(text)
    except UsageError as error:
        raise UsageError(
            f"{text!r} is no address, nor a member's whole key",
            code="address-malformed",
            hint="write 192.0.2.1 or 2001:db8::1, or with a port 192.0.2.1:6421 or [2001:db8::1]:6421; "
            "a member is 64 hex digits, as `dispersy list --json` prints them",
        ) from error


class Blocklist:
    """Made anew when the records change."""

    def __init__(self, records: Iterable[BlockedRecord] = ()) -> None:
        self._members: set[tuple[int, bytes]] = set()
        self._addresses: set[bytes] = set()
        self._hosts: set[bytes] = set()
        for record in records:
            if record.member:
                self._members.add((record.community, record.member))
                continue
            address = _parse(record.address)
            if address_port(address):
                self._addresses.add(address)
            else:
                self._hosts.add(_host(address))
        self.has_addresses = bool(self._addresses or self._hosts)

    def hides(self, community: int, member: bytes) -> bool:
        """Whether what this member says in a community is not for us."""
        return (EVERYWHERE, member) in self._members or (community, member) in self._members

    def refuses(self, address: bytes) -> bool:
        """Whether nothing is taken from an 18-byte address, and nothing sent there."""
        return address in self._addresses or _host(Address(address)) in self._hosts


def _host(address: Address) -> bytes:
    """Who has one address of an IPv6 network has all of them."""
    return host_of(address) or address[:_HOST_SIZE]
