"""Message ids, summary sums and tokens as docs/wire.md states them, one at a time."""

from __future__ import annotations

from hashlib import blake2b, sha256
from itertools import groupby

from nacl.encoding import RawEncoder
from nacl.hash import siphash24


def identify(
    message: bytes, header_size: int, signature_count: int, community_id: bytes
) -> tuple[bytes, bytes]:
    """(id, digest) of a message."""
    digest = sha256(message[header_size : len(message) - 64 * signature_count]).digest()
    return sha256(b"dispersy/3 id" + community_id + message[:header_size] + digest).digest(), digest


def sum_ids(ids: list[bytes], key: bytes) -> int:
    hashes = (blake2b(message_id, key=key, digest_size=16).digest() for message_id in ids)
    return sum(int.from_bytes(hashed[:12], "big") for hashed in hashes) % (1 << 96)


def sum_stretches(keys: list[tuple[int, bytes]], key: bytes, bits: int) -> list[tuple[int, int, int]]:
    """keys are (global time, id)."""
    rows = [
        (stretch, [message_id for _, message_id in row])
        for stretch, row in groupby(keys, key=lambda each: each[0] >> bits)
    ]
    return [(stretch, len(ids), sum_ids(ids, key)) for stretch, ids in rows]


def token(address: bytes, tag: bytes, epoch: int, secret: bytes) -> bytes:
    hashed = siphash24(address + tag + epoch.to_bytes(8, "big"), secret, encoder=RawEncoder)
    without_epoch = int.from_bytes(hashed, "big") & ((1 << 63) - 1)
    return (without_epoch | (epoch & 1) << 63).to_bytes(8, "big")
