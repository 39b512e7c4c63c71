"""Invites: a community's id and addresses of nodes that serve it, in one line of text.

dispersy:<64 hex digits>?peer=HOST:PORT&peer=[ADDRESS]:PORT
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from dispersy.endpoint import Endpoint, parse_endpoint
from dispersy.errors import UsageError
from dispersy.routes import hosts_towards_the_world

SCHEME = "dispersy:"
INVITE_PEERS_MAX = 16
"""An invite is pasted by hand; a node needs only a few addresses to begin the walk."""
_ID = re.compile(r"[0-9a-fA-F]{64}")


@dataclass(frozen=True, slots=True)
class Invite:
    """community_id: 32 bytes; peers: where to walk to first, maybe none."""

    community_id: bytes
    peers: tuple[Endpoint, ...] = ()

    def __str__(self) -> str:
        query = "&".join(f"peer={peer}" for peer in self.peers)
        return f"{SCHEME}{self.community_id.hex()}" + (f"?{query}" if query else "")


def parse_invite(text: str) -> Invite:
    """Read an invite, or a bare community id.

    raises  UsageError `invite-malformed` (or of an address in it) that says which part is wrong
    """
    text = text.strip()
    if _ID.fullmatch(text):
        return Invite(bytes.fromhex(text))
    if not text.startswith(SCHEME):
        raise _malformed(
            f"an invite begins with {SCHEME!r}; a community id has 64 hex digits (this has {len(text)} "
            "characters)"
        )
    identifier, question, query = text[len(SCHEME) :].partition("?")
    if not _ID.fullmatch(identifier):
        raise _malformed(
            f"the community id has 64 hex digits, not {identifier!r} ({len(identifier)} characters)"
        )
    peers: dict[Endpoint, None] = {}
    for field in query.split("&") if question else ():
        key, equals, value = field.partition("=")
        if key != "peer" or not equals:
            raise _malformed(f"{field!r} is not understood; after the ? come peer=HOST:PORT, joined by &")
        peer = parse_endpoint(value)
        number = peer.numeric
        if number is not None and (number.is_unspecified or number.is_multicast):
            raise _malformed(f"peer {peer} names no node")
        peers[peer] = None
    if len(peers) > INVITE_PEERS_MAX:
        raise _malformed(f"it names {len(peers)} peers; at most {INVITE_PEERS_MAX} are taken")
    return Invite(bytes.fromhex(identifier), tuple(peers))


def reachable_addresses(listen: Endpoint, known: Iterable[Endpoint] = ()) -> list[Endpoint]:
    """Where others may reach a node, for invites: best first, never a wildcard.

    listen   what the node's socket is bound to, with its real port
    known    addresses that the network role knows itself by (as others see it)
    returns  at most INVITE_PEERS_MAX; loopback only when nothing else is there or listened on
    """
    bound = listen.numeric
    assert bound is not None
    if not bound.is_unspecified:
        return [listen]
    found: dict[Endpoint, None] = {}
    for address in known:
        number = address.numeric
        if number is not None and not number.is_unspecified and not number.is_loopback and address.port:
            found[address] = None
    for host in hosts_towards_the_world(ipv6=bound.version == 6):
        found[Endpoint(host, listen.port)] = None
    if not found:
        found[Endpoint("127.0.0.1", listen.port)] = None
    return list(found)[:INVITE_PEERS_MAX]


def is_own(peer: str, listen: str, addresses: Iterable[str]) -> bool:
    """Whether a numeric HOST:PORT leads back to the node that listens there and is known at these."""
    if peer == listen or peer in addresses:
        return True
    if not listen:
        return False
    own, other = parse_endpoint(listen), parse_endpoint(peer)
    assert own.numeric is not None
    assert other.numeric is not None
    return own.numeric.is_unspecified and other.numeric.is_loopback and own.port == other.port


def is_sendable(peer: Endpoint, listen: Endpoint) -> bool:
    """Whether a node that listens there can send to this numeric peer: IPv4 alone reaches no IPv6."""
    own, other = listen.numeric, peer.numeric
    assert own is not None
    assert other is not None
    return own.version == other.version or (own.version == 6 and own.is_unspecified)


def _malformed(why: str) -> UsageError:
    return UsageError(
        f"this is no invite: {why}",
        code="invite-malformed",
        hint="copy the whole line that `dispersy community show NAME` prints, in quotes",
    )
