"""Tokens: eight bytes that prove that who sends them receives at its address, without any state kept for it.

The wire kernel checks the tokens of arriving datagrams with (secret, epoch); here is where tokens are made, and
a twin of that check for single ones.
"""

from __future__ import annotations

from hashlib import sha256

from dispersy.constants import TOKEN_EPOCH_S, TOKEN_SIZE
from dispersy.ext import digest
from dispersy.protocol.address import Address
from dispersy.protocol.records import TOKEN_CURRENT, TOKEN_INVALID, TOKEN_PREVIOUS, TOKEN_ZERO

SECRET_SIZE = 16


class Tokens:
    """Our tokens for one community.

    secret  16 bytes, random, of this process and all its communities
    tag     8 bytes of the community
    """

    def __init__(self, *, secret: bytes, tag: bytes) -> None:
        assert len(secret) == SECRET_SIZE
        assert len(tag) == TOKEN_SIZE
        self.secret = secret
        self.tag = tag
        # Epochs of nodes that started together must not change together, or all renew at once.
        mixed = sha256(b"dispersy/3 epoch" + secret).digest()
        self._offset_s = int.from_bytes(mixed[:8], "big") % int(TOKEN_EPOCH_S)

    def epoch(self, now: float) -> int:
        """The epoch to give the wire kernel beside the secret; the same for every community of one secret."""
        return int((now + self._offset_s) / TOKEN_EPOCH_S)

    def token_for(self, address: Address, now: float) -> bytes:
        """8 bytes that this address shall put into its datagrams to us."""
        return digest.tokens_many(address, self.tag, self.epoch(now), self.secret)

    def check(self, address: Address, token: bytes, now: float) -> int:
        """records.TOKEN_*: what a datagram from this address with this token in its header has proven."""
        if token == bytes(TOKEN_SIZE):
            return TOKEN_ZERO
        epoch = self.epoch(now)
        if token == digest.tokens_many(address, self.tag, epoch, self.secret):
            return TOKEN_CURRENT
        if epoch > 0 and token == digest.tokens_many(address, self.tag, epoch - 1, self.secret):
            return TOKEN_PREVIOUS
        return TOKEN_INVALID
