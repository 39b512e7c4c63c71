"""Tokens: eight bytes that prove that who sends them receives at its address.

Ours cost no state: kernels make them (digest.tokens_many) and check those of arriving datagrams (wire.split),
both with a secret and the epoch that is told here. Theirs are kept while they may still be valid.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Container
from hashlib import sha256

from dispersy.constants import TOKEN_EPOCH_S, TOKENS_MAX
from dispersy.protocol.address import Address

SECRET_SIZE = 16
TOKEN_LIFETIME_S = 2 * TOKEN_EPOCH_S
"""A token is valid in its epoch and the next."""


class TokenEpochs:
    """When our tokens change: for all communities of one secret at the same moment.

    secret  16 bytes, random, of this process
    """

    def __init__(self, secret: bytes) -> None:
        assert len(secret) == SECRET_SIZE
        # Epochs of nodes that started together must not change together, or all renew at once.
        mixed = sha256(b"dispersy/3 epoch" + secret).digest()
        self._offset_s = int.from_bytes(mixed[:8], "big") % int(TOKEN_EPOCH_S)

    def at(self, now: float) -> int:
        """The epoch to give the wire kernel beside the secret."""
        return int((now + self._offset_s) / TOKEN_EPOCH_S)


class TokensHeld:
    """The tokens that others gave us, at most `count_max`.

    keep   addresses whose tokens leave last: proven strangers must not push out those of neighbours
    """

    def __init__(self, keep: Container[Address], *, count_max: int = TOKENS_MAX) -> None:
        self._keep = keep
        self._count_max = count_max
        self._tokens: OrderedDict[Address, tuple[bytes, float]] = OrderedDict()

    def get(self, address: Address) -> bytes | None:
        held = self._tokens.get(address)
        return None if held is None else held[0]

    def put(self, address: Address, token: bytes, now: float) -> None:
        """Only from a datagram whose own token was valid, or anybody could spoil what we hold."""
        self._tokens[address] = (token, now)
        self._tokens.move_to_end(address)
        if len(self._tokens) > self._count_max:
            strangers = (held for held in self._tokens if held not in self._keep and held != address)
            del self._tokens[next(strangers, next(iter(self._tokens)))]

    def expire(self, now: float) -> None:
        while self._tokens:
            address, (_, given_at) = next(iter(self._tokens.items()))
            if now < given_at + TOKEN_LIFETIME_S:
                return
            del self._tokens[address]
