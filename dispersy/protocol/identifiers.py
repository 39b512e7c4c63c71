"""The named integers and byte strings of every floor, and the order key that puts messages in line."""

from __future__ import annotations

from hashlib import blake2b, sha256
from typing import NewType

GlobalTime = NewType("GlobalTime", int)
Sequence = NewType("Sequence", int)
Cursor = NewType("Cursor", int)
MemberId = NewType("MemberId", bytes)
"""32 bytes: an Ed25519 public key."""
CommunityId = NewType("CommunityId", bytes)
"""32 bytes: the master's Ed25519 public key."""
MessageId = NewType("MessageId", bytes)
"""32 bytes, see docs/wire.md."""
CommunityNumber = NewType("CommunityNumber", int)
"""This node's own short name of a community, u32, never reused; leaves no process of this node."""
OrderKey = NewType("OrderKey", bytes)
"""24 bytes: u64 global time, first 16 bytes of the message id; compared as bytes."""

_TWO_AUTHORS = 1
_PAIR_CONTEXT = b"dispersy/3 pair"

ORDER_LOW = OrderKey(bytes(24))
ORDER_TOP = OrderKey(b"\xff" * 24)
"""As an upper bound it includes everything."""


def community_tag(community_id: CommunityId) -> bytes:
    """The 8 bytes that name a community in a datagram's header."""
    return sha256(b"dispersy/3 community" + community_id).digest()[:8]


def sum_key(community_id: CommunityId) -> bytes:
    """The 16-byte public key under which a community's summary sum is taken."""
    return sha256(b"dispersy/3 sum" + community_id).digest()[:16]


def symbols_key(community_id: CommunityId) -> bytes:
    """The 16-byte public key of the symbols of a community's live set."""
    return sha256(b"dispersy/3 symbols" + community_id).digest()[:16]


def lane_name(message: bytes) -> bytes:
    """The 32 bytes that name a message's lane within its kind: whose sequences they are.

    Its author, or of two authors in this order a hash of both: each ordered pair counts by itself. The Heads
    kernel (ext/heads.pxi) makes the same name.

    message  well-formed and with an author; the first 66 bytes are enough
    """
    if message[1] & _TWO_AUTHORS:
        return blake2b(_PAIR_CONTEXT + message[2:66], digest_size=32).digest()
    return message[2:34]


def order_key(global_time: GlobalTime, message_id: MessageId) -> OrderKey:
    """Where a message stands in its community's order."""
    return OrderKey(global_time.to_bytes(8, "big") + message_id[:16])
