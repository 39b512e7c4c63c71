"""The named integers and byte strings of every floor, and the order key that puts messages in line."""

from __future__ import annotations

from hashlib import sha256
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

ORDER_LOW = OrderKey(bytes(24))
ORDER_TOP = OrderKey(b"\xff" * 24)
"""As an upper bound it includes everything."""


def community_tag(community_id: CommunityId) -> bytes:
    """The 8 bytes that name a community in a datagram's header."""
    return sha256(b"dispersy/3 community" + community_id).digest()[:8]


def sum_key(community_id: CommunityId) -> bytes:
    """The 16-byte public key under which a community's summary sum is taken."""
    return sha256(b"dispersy/3 sum" + community_id).digest()[:16]


def order_key(global_time: GlobalTime, message_id: MessageId) -> OrderKey:
    """Where a message stands in its community's order."""
    return OrderKey(global_time.to_bytes(8, "big") + message_id[:16])
