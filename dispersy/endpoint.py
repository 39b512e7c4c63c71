"""Network addresses as people write them: HOST:PORT, with brackets around IPv6."""

from __future__ import annotations

import ipaddress
import re
import socket
from dataclasses import dataclass

from dispersy.errors import UsageError
from dispersy.protocol.address import address_host, make_address, split_endpoint

_DIGITS_AND_DOTS = re.compile(r"[0-9.]+")
_HOST_NAME = re.compile(
    r"[A-Za-z0-9_]([A-Za-z0-9_-]*[A-Za-z0-9_])?(\.[A-Za-z0-9_]([A-Za-z0-9_-]*[A-Za-z0-9_])?)*\.?"
)


@dataclass(frozen=True, slots=True)
class Endpoint:
    """host: a numeric IPv4 or IPv6 address without brackets, or a host name; port: 0 to 65535."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @property
    def numeric(self) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
        """The host as a number; None for a host name."""
        try:
            return ipaddress.ip_address(self.host)
        except ValueError:
            return None

    def overlaps(self, other: Endpoint) -> bool:
        """Whether two numeric addresses cannot both be listened on, as far as that is seen from them."""
        ours, theirs = self.numeric, other.numeric
        assert ours is not None
        assert theirs is not None
        # A wildcard of IPv6 takes IPv4 along.
        same = ours == theirs or ours.is_unspecified or theirs.is_unspecified
        return self.port == other.port and same


def parse_endpoint(text: str, *, port_zero: bool = False) -> Endpoint:
    """Read HOST:PORT.

    text       `192.0.2.1:6421`, `[2001:db8::1]:6421` or `node.example.org:6421`
    port_zero  whether port 0 is allowed (the system chooses)
    raises     UsageError `address-malformed`, which says what would be right
    """
    host, port = split_endpoint(text, port_min=0 if port_zero else 1)
    if ":" in host or _DIGITS_AND_DOTS.fullmatch(host):
        # What is meant as a number must be one, as the network role takes it: without a zone.
        try:
            return Endpoint(address_host(make_address(host, port)), port)
        except UsageError as error:
            raise UsageError(f"{text!r}: {error}", code=error.code, hint=error.hint) from None
    if not _HOST_NAME.fullmatch(host):
        raise UsageError(
            f"{text!r}: {host!r} is neither an address nor a host name", code="address-malformed"
        )
    return Endpoint(host, port)


def resolve_endpoint(address: Endpoint) -> list[Endpoint]:
    """The numeric addresses of a host name, at most 4 of them; a numeric address gives itself.

    raises  UsageError `host-unknown`
    """
    if address.numeric is not None:
        return [address]
    try:
        found = socket.getaddrinfo(address.host, address.port, type=socket.SOCK_DGRAM)
    except OSError as error:
        raise UsageError(
            f"host name {address.host} is unknown ({error.strerror or error})",
            code="host-unknown",
            hint="check the spelling and the name server, or write the numeric address",
        ) from None
    numeric = {Endpoint(str(entry[4][0]).partition("%")[0], address.port): None for entry in found}
    return list(numeric)[:4]
