"""Network addresses as people write them: HOST:PORT, with brackets around IPv6."""

from __future__ import annotations

import ipaddress
import re
import socket
from dataclasses import dataclass

from dispersy.errors import UsageError

HIGHEST_PORT = 65535
_HOST_NAME = re.compile(
    r"(?=.{1,253}\Z)[A-Za-z0-9_]([A-Za-z0-9_-]*[A-Za-z0-9_])?"
    r"(\.[A-Za-z0-9_]([A-Za-z0-9_-]*[A-Za-z0-9_])?)*\.?\Z"
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


def parse_endpoint(text: str, *, port_zero: bool = False) -> Endpoint:
    """Read HOST:PORT.

    text       `192.0.2.1:6421`, `[2001:db8::1]:6421` or `node.example.org:6421`
    port_zero  whether port 0 is allowed (the system chooses)
    raises     UsageError `address-malformed`, which says what would be right
    """
    if text.startswith("["):
        host, closing, port_text = text[1:].partition("]:")
        if not closing:
            raise _malformed(text, "an IPv6 address is written [ADDRESS]:PORT")
        try:
            host = str(ipaddress.IPv6Address(host))
        except ValueError:
            raise _malformed(text, f"{host!r} is no IPv6 address") from None
    else:
        host, colon, port_text = text.rpartition(":")
        if not colon:
            raise _malformed(text, "the port is missing; write HOST:PORT, for example 192.0.2.1:6421")
        if ":" in host:
            raise _malformed(text, "an IPv6 address needs brackets: [ADDRESS]:PORT")
        if re.fullmatch(r"[0-9.]+", host):
            try:
                ipaddress.IPv4Address(host)
            except ValueError:
                raise _malformed(text, f"{host!r} is no IPv4 address") from None
        elif not _HOST_NAME.match(host):
            raise _malformed(text, f"{host!r} is neither an address nor a host name")
    # isdecimal() alone would let other scripts' digits through.
    if not (port_text.isascii() and port_text.isdecimal() and len(port_text) <= 5):
        raise _malformed(text, f"the port {port_text!r} is no number from 1 to {HIGHEST_PORT}")
    port = int(port_text)
    if port > HIGHEST_PORT or (port == 0 and not port_zero):
        raise _malformed(text, f"the port must be from {0 if port_zero else 1} to {HIGHEST_PORT}")
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


def _malformed(text: str, why: str) -> UsageError:
    return UsageError(
        f"{text!r} is no address: {why}",
        code="address-malformed",
        hint="HOST:PORT, or [ADDRESS]:PORT for IPv6",
    )
