"""Signatures of simulated nodes: Ed25519, or in large worlds a hash that shows the same mistakes for less.

A modelled signature can be made by everybody, so nodes that forge belong into worlds with real ones. What
checking costs a node is modelled by the world (`checking_s`), in both: nobody here checks those of messages.
"""

from __future__ import annotations

from hashlib import blake2b

from dispersy.ext import verify


def public_key(seed: bytes, *, models: bool) -> bytes:
    """32 bytes, from 32 secret ones."""
    return blake2b(seed, digest_size=32).digest() if models else verify.public_key(seed)


def sign(secret: bytes, signed: bytes, *, models: bool) -> bytes:
    """64 bytes; secret: seed and public key."""
    if models:
        return blake2b(signed, key=secret[32:]).digest()
    return verify.sign_many(secret, [signed])


def holds(member: bytes, signature: bytes, signed: bytes, *, models: bool) -> bool:
    """Whether a member signed this."""
    if models:
        return signature == blake2b(signed, key=member).digest()
    return verify.verify_many(member, signature, [signed]) == b"\1"
