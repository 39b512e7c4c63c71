"""Network addresses: 18 canonical bytes in the house, HOST:PORT for people, family and bytes on the wire."""

from __future__ import annotations

import re
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from typing import NewType

from dispersy.errors import UsageError, WireError

Address = NewType("Address", bytes)
"""18 bytes: IPv6 or IPv4-mapped address, u16 port big-endian. One address has one value, so bytes compare."""

ADDRESS_SIZE = 18
NO_ADDRESS = Address(bytes(ADDRESS_SIZE))
PORT_MAX = 0xFFFF

_MAPPED_PREFIX = bytes(10) + b"\xff\xff"
_FAMILY_NONE, _FAMILY_4, _FAMILY_6 = 0, 4, 6
_HOST_SIZE_MAX = 253
_JUDGED_MAX = 4_096
"""Addresses of which it is remembered what they mean: the walk asks of each several times a second."""
_PORT = re.compile(r"[0-9]{1,5}")

# Where hosts meet without a router of the Internet between them: RFC 1918, link local, and RFC 4193.
_PRIVATE_4 = tuple(map(IPv4Network, ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "169.254.0.0/16")))
_PRIVATE_6 = tuple(map(IPv6Network, ("fc00::/7", "fe80::/10")))


def make_address(host: str, port: int) -> Address:
    """The address of a numeric host.

    host    IPv4 or IPv6, without brackets; IPv4-mapped IPv6 gives the same value as IPv4
    raises  UsageError for a host that is a name or has a zone, and for a port outside 0 to 65535
    """
    if not 0 <= port <= PORT_MAX:
        raise UsageError(f"port {port} is outside 0 to {PORT_MAX}", code="address-malformed")
    try:
        parsed = ip_address(host)
    except ValueError as error:
        raise UsageError(
            f"'{host}' is no numeric address; write one as 192.0.2.1 or 2001:db8::1",
            code="address-malformed",
            hint="host names are resolved by the Python client and the command line",
        ) from error
    if isinstance(parsed, IPv6Address) and parsed.scope_id is not None:
        raise UsageError(
            f"'{host}' has a zone; write it without '%{parsed.scope_id}'", code="address-malformed"
        )
    packed = _MAPPED_PREFIX + parsed.packed if isinstance(parsed, IPv4Address) else parsed.packed
    return Address(packed + port.to_bytes(2, "big"))


def address_port(address: Address) -> int:
    """The UDP port, 0 to 65535."""
    return int.from_bytes(address[16:], "big")


def address_host(address: Address) -> str:
    """The numeric host as text, without brackets."""
    return str(_host(address))


def is_ipv4(address: Address) -> bool:
    """Whether it is reached over IPv4 (held as IPv4-mapped)."""
    return address.startswith(_MAPPED_PREFIX)


def format_address(address: Address) -> str:
    """As people write it: 127.0.0.1:6421 or [::1]:6421."""
    host, port = address_host(address), address_port(address)
    return f"{host}:{port}" if is_ipv4(address) else f"[{host}]:{port}"


def parse_address(text: str) -> Address:
    """HOST:PORT with a numeric host; an IPv6 host stands in brackets.

    raises  UsageError that says what is right
    """
    host, port = split_endpoint(text)
    return make_address(host, port)


def split_endpoint(text: str, *, port_min: int = 1) -> tuple[str, int]:
    """(host, port) of HOST:PORT, where the host may be a name; nothing is resolved.

    port_min  0 where the system may choose the port
    raises    UsageError: no port, port outside port_min to 65535, or an IPv6 host without brackets
    """
    host, colon, port_text = text.rpartition(":")
    bracketed = host.startswith("[") and host.endswith("]")
    if bracketed:
        host = host[1:-1]
    if not colon:
        reason = "the port is missing; write HOST:PORT, as 192.0.2.1:6421 or [2001:db8::1]:6421"
    elif not host or len(host) > _HOST_SIZE_MAX or any(character.isspace() for character in text):
        reason = "no HOST:PORT; write it as 192.0.2.1:6421 or [2001:db8::1]:6421"
    elif (":" in host) != bracketed:
        reason = "brackets belong around an IPv6 host, and only there, as in [2001:db8::1]:6421"
    elif not _PORT.fullmatch(port_text) or not port_min <= int(port_text) <= PORT_MAX:
        reason = f"port '{port_text}' is not a number from {port_min} to {PORT_MAX}"
    else:
        return host, int(port_text)
    raise UsageError(
        f"{text!r}: {reason}", code="address-malformed", hint="HOST:PORT, or [ADDRESS]:PORT for IPv6"
    )


def encode_address(address: Address) -> bytes:
    """The wire's address part: u8 family, the address, u16 port; the family alone for NO_ADDRESS."""
    assert len(address) == ADDRESS_SIZE
    if address == NO_ADDRESS:
        return bytes((_FAMILY_NONE,))
    if is_ipv4(address):
        return bytes((_FAMILY_4,)) + address[12:]
    return bytes((_FAMILY_6,)) + address


def decode_address(data: bytes, offset: int) -> tuple[Address, int]:
    """The address part at offset and the offset behind it.

    raises  WireError: frame-truncated, address-malformed (unknown family, or not canonical)
    """
    if offset >= len(data):
        raise WireError("frame-truncated")
    family = data[offset]
    start = offset + 1
    if family == _FAMILY_NONE:
        return NO_ADDRESS, start
    if family not in (_FAMILY_4, _FAMILY_6):
        raise WireError("address-malformed")
    size = 6 if family == _FAMILY_4 else ADDRESS_SIZE
    if start + size > len(data):
        raise WireError("frame-truncated")
    part = data[start : start + size]
    if family == _FAMILY_4:
        return Address(_MAPPED_PREFIX + part), start + size
    if part.startswith(_MAPPED_PREFIX) or part == NO_ADDRESS:
        raise WireError("address-malformed")
    return Address(part), start + size


@lru_cache(_JUDGED_MAX)
def is_loopback(address: Address) -> bool:
    """Whether it means this machine itself."""
    return _host(address).is_loopback


@lru_cache(_JUDGED_MAX)
def is_private(address: Address) -> bool:
    """Whether it means something within one local network only (RFC 1918, link local, RFC 4193)."""
    host = _host(address)
    if isinstance(host, IPv4Address):
        return any(host in network for network in _PRIVATE_4)
    return any(host in network for network in _PRIVATE_6)


def is_unspecified(address: Address) -> bool:
    """Whether the host is the wildcard, 0.0.0.0 or ::."""
    return _host(address).is_unspecified


def is_multicast(address: Address) -> bool:
    """Also IPv4's broadcast to all: a datagram there reaches many."""
    host = _host(address)
    return host.is_multicast or host == IPv4Address("255.255.255.255")


@lru_cache(_JUDGED_MAX)
def usable_as_peer(address: Address) -> bool:
    """Whether a datagram may be sent there at all."""
    return address_port(address) != 0 and not is_unspecified(address) and not is_multicast(address)


def _host(address: Address) -> IPv4Address | IPv6Address:
    assert len(address) == ADDRESS_SIZE
    return IPv4Address(address[12:16]) if is_ipv4(address) else IPv6Address(address[:16])
