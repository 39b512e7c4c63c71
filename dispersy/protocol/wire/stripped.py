"""What is left of a message that its author has undone whole: header, digest and signatures, no payloads.

Its id and what its signatures cover are made of header and digest alone (docs/wire.md, Message): so what is
left still proves who wrote which message, and that it is this one, and says nothing of what was in it.
"""

from __future__ import annotations

from hashlib import sha256

from dispersy.protocol.wire.numbers import COMMUNITY_KIND_MIN, MessageFlag
from dispersy.protocol.wire.packing import decode_uvarint, encode_uvarint

_KEY_SIZE, _SIGNATURE_SIZE, _N_HOP_SIZE, DIGEST_SIZE = 32, 64, 17, 32


class Stripped(bytes):
    """Header ‖ digest ‖ signatures of a message with an author; a type of its own, so that nobody packs it
    among whole messages."""

    __slots__ = ()


def strip(message: bytes) -> Stripped:
    """What is left of a well-formed message."""
    start, end = _payload_part(message)
    return Stripped(message[:start] + sha256(message[start:end]).digest() + message[end:])


def payload_count(message: bytes) -> int:
    """How many payloads a well-formed message has."""
    return decode_uvarint(message, _payload_part(message)[0])[0]


def with_empty_payloads(stripped: bytes, count: int) -> bytes:
    """A well-formed message with the header of a stripped one and as many payloads, all empty, as it had: for
    those who read headers and want to hear nothing of stripped messages. Its signatures do not hold."""
    start, end = _payload_part(stripped)
    return stripped[:start] + encode_uvarint(count) + bytes(count) + stripped[end:]


def _payload_part(message: bytes) -> tuple[int, int]:
    """Where the header ends and the signatures begin."""
    flags = message[1]
    author_count = 2 if flags & MessageFlag.TWO_AUTHORS else 1
    offset = 2 + _KEY_SIZE * (author_count + bool(flags & MessageFlag.RECIPIENT))
    for _ in ("global time", "sequence"):
        _, offset = decode_uvarint(message, offset)
    offset += _KEY_SIZE * (message[0] < COMMUNITY_KIND_MIN) + _N_HOP_SIZE * bool(flags & MessageFlag.N_HOP)
    return offset, len(message) - _SIGNATURE_SIZE * author_count
