"""The tokens that a simulated node gives: one community's, where a real node has one secret for all."""

from __future__ import annotations

from dispersy.constants import TOKEN_SIZE
from dispersy.ext.digest import tokens_many
from dispersy.protocol.address import Address
from dispersy.protocol.wire.token import TokenEpochs


class Tokens:
    """The wire kernel checks them again, with `secret` and `epoch(now)`.

    secret  16 bytes, random, of this node
    tag     8 bytes of the community
    """

    def __init__(self, *, secret: bytes, tag: bytes) -> None:
        assert len(tag) == TOKEN_SIZE
        self.secret = secret
        self.epoch = TokenEpochs(secret).at
        self._tag = tag

    def token_for(self, address: Address, now: float) -> bytes:
        """8 bytes that this address shall put into its datagrams to us."""
        return tokens_many(address, self._tag, self.epoch(now), self.secret)
