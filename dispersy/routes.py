"""The addresses from which this machine would send to the world: routing is asked, and nothing is sent."""

from __future__ import annotations

import ipaddress
import socket


def hosts_towards_the_world(*, ipv6: bool) -> list[str]:
    """Numeric hosts, that of IPv4 first; none where no network leads further than this machine or its link.

    ipv6   whether IPv6 is asked for, too
    """
    # Documentation addresses: no datagram leaves by connect().
    probes = [(socket.AF_INET, "192.0.2.1")] + ([(socket.AF_INET6, "2001:db8::1")] if ipv6 else [])
    hosts = []
    for family, target in probes:
        try:
            with socket.socket(family, socket.SOCK_DGRAM) as probe:
                probe.connect((target, 9))
                host = str(probe.getsockname()[0]).partition("%")[0]
        except OSError:
            continue
        number = ipaddress.ip_address(host)
        if not (number.is_loopback or number.is_unspecified or number.is_link_local):
            hosts.append(host)
    return hosts
