"""Hosts: what limits are counted by where each address alone would let one machine be a crowd."""

from __future__ import annotations

from collections.abc import Collection
from functools import lru_cache
from hashlib import blake2b
from typing import NewType

from dispersy.constants import MET_MAX, MET_PER_HOST_MAX
from dispersy.protocol.address import Address, is_ipv4

Host = NewType("Host", bytes)
"""16 bytes of an IPv4-mapped address, or the 8 bytes of an IPv6 network: who has one /64 has all of it."""

_HOSTS_MAX = 4_096
"""Addresses whose host, and its bucket, is remembered: limits ask for those of all neighbours at once."""
_LOOPBACK_4 = bytes(10) + b"\xff\xff\x7f"
_LOOPBACK_6 = bytes(15) + b"\x01"


@lru_cache(_HOSTS_MAX)
def host_of(address: Address) -> Host | None:
    """Whom this address is counted as; None: nobody, for it is this machine, where many nodes are normal."""
    if address.startswith((_LOOPBACK_4, _LOOPBACK_6)):
        return None
    return Host(address[:16] if is_ipv4(address) else address[:8])


def leaves_for(source: Address, known: Collection[Address]) -> Address | None:
    """Who has to leave so that one more neighbour can be kept: the first of its own host, where that is a
    crowd already, or of all where there are too many; None where there is room."""
    if len(known) < MET_PER_HOST_MAX:
        return None
    host = host_of(source)
    rivals = [each for each in known if host is not None and host_of(each) == host]
    if len(rivals) >= MET_PER_HOST_MAX:
        return rivals[0]
    return next(iter(known)) if len(known) >= MET_MAX else None


@lru_cache(_HOSTS_MAX)
def bucket_of(address: Address, *, key: bytes) -> int:
    """1 to 255: a share of all hosts, by a keyed hash, so that nobody outside can choose to share one.

    On this machine each address counts for itself: many nodes are normal here.

    key    of this start of the node, the same in all its roles
    """
    digest = blake2b(host_of(address) or address, key=key, digest_size=8).digest()
    return 1 + int.from_bytes(digest, "big") % 255
