"""The push frame, a message sent unasked, and the hash chain that bounds how far it goes. Import from frames.

The author of an n-hop message draws 16 random bytes s and signs n and H^n(s). A frame that may still be
passed on r times carries H^(n-r)(s): hashing it r times must give what was signed. Whoever passes it on
hashes once more for r - 1. To raise r would be to invert H, so a relay can shorten the way and never
lengthen it.
"""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import sha256
from typing import ClassVar

from dispersy.errors import WireError
from dispersy.protocol.wire.numbers import FrameType, MessageFlag
from dispersy.protocol.wire.packing import FieldReader

LINK_SIZE = 16
MESSAGE_SIZE_MIN = 5
"""Of a message without author, with one payload of nothing (ext.wire)."""


@dataclass(frozen=True, slots=True)
class Push:
    """A message that was not asked for.

    hops_left  how often it may still be passed on; with an n-hop field the link proves it
    message    whole; its signatures are checked as any message's
    link       16 bytes, H^(n-r)(s), exactly where the message has an n-hop field; else empty
    """

    type: ClassVar[FrameType] = FrameType.PUSH

    hops_left: int
    message: bytes
    link: bytes = b""

    def encode(self) -> bytes:
        assert 0 <= self.hops_left <= 0xFF
        assert len(self.message) >= MESSAGE_SIZE_MIN
        assert len(self.link) == (LINK_SIZE if self.message[1] & MessageFlag.N_HOP else 0)
        return bytes((self.hops_left,)) + self.message + self.link

    @classmethod
    def decode(cls, body: bytes) -> Push:
        reader = FieldReader(body)
        hops_left, rest = reader.integer(1), reader.rest()
        # The link stands last, so that the message's own second byte tells whether there is one.
        link_size = LINK_SIZE if rest[1:2] and rest[1] & MessageFlag.N_HOP else 0
        if len(rest) < MESSAGE_SIZE_MIN + link_size:
            raise WireError("frame-truncated")
        end = len(rest) - link_size
        return cls(hops_left, rest[:end], rest[end:])


def chain_link(start: bytes, times: int) -> bytes:
    """H applied so many times; H is the first 16 bytes of SHA-256("dispersy/3 hop" ‖ x)."""
    assert len(start) == LINK_SIZE
    link = start
    for _ in range(times):
        link = sha256(b"dispersy/3 hop" + link).digest()[:LINK_SIZE]
    return link


def n_hop_field(secret: bytes, hops: int) -> bytes:
    """The 17 bytes that a message's header carries: u8 n ‖ H^n(s)."""
    assert 1 <= hops <= 0xFF
    return bytes((hops,)) + chain_link(secret, hops)


def check_hops(n_hop: bytes, push: Push) -> None:
    """Whether a frame has no more hops left than its message's author gave it.

    n_hop   the message's field, 17 bytes
    raises  WireError hop-chain-wrong
    """
    if push.hops_left >= n_hop[0] or chain_link(push.link, push.hops_left) != n_hop[1:]:
        raise WireError("hop-chain-wrong")
