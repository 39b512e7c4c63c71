"""Announcing: which new messages somebody has, and the request for some of them. Import from frames.

Messages are named by the first 8 bytes of their id: who names them has them a moment ago, and so few are told
apart by less. Two that share a beginning cost a detour through synchronisation, which compares whole ids.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import chain
from struct import Struct
from typing import ClassVar, NewType

from dispersy.constants import FRAMES_SIZE_MAX
from dispersy.errors import WireError
from dispersy.protocol.wire.numbers import FrameType
from dispersy.protocol.wire.packing import FieldReader

PREFIX_SIZE = 8
PREFIXES_MAX = (FRAMES_SIZE_MAX - 3 - 4) // PREFIX_SIZE
"""Of one frame: with a number in front they fill a datagram."""

IdPrefix = NewType("IdPrefix", bytes)
"""The first PREFIX_SIZE bytes of a message id."""
_PREFIX = Struct(f"{PREFIX_SIZE}s")


@dataclass(frozen=True, slots=True)
class Have:
    """Messages that are new at the sender, 1 to PREFIXES_MAX of them."""

    type: ClassVar[FrameType] = FrameType.HAVE

    prefixes: tuple[IdPrefix, ...]

    def encode(self) -> bytes:
        assert 1 <= len(self.prefixes) <= PREFIXES_MAX
        return b"".join(self.prefixes)

    @classmethod
    def decode(cls, body: bytes) -> Have:
        return cls(_prefixes(body))


@dataclass(frozen=True, slots=True)
class Want:
    """Asks for announced messages, 1 to PREFIXES_MAX of them.

    number    u32, which the messages frames of the answer echo
    """

    type: ClassVar[FrameType] = FrameType.WANT

    number: int
    prefixes: tuple[IdPrefix, ...]

    def encode(self) -> bytes:
        assert 1 <= len(self.prefixes) <= PREFIXES_MAX
        return self.number.to_bytes(4, "big") + b"".join(self.prefixes)

    @classmethod
    def decode(cls, body: bytes) -> Want:
        reader = FieldReader(body)
        return cls(reader.integer(4), _prefixes(reader.rest()))


def _prefixes(data: bytes) -> tuple[IdPrefix, ...]:
    """Whole prefixes, at least one; more than PREFIXES_MAX do not fit a datagram."""
    if not data:
        raise WireError("count-zero")
    if len(data) % PREFIX_SIZE:
        raise WireError("frame-truncated")
    return split_prefixes(data)


def split_prefixes(data: bytes) -> tuple[IdPrefix, ...]:
    """Prefixes that stand one behind the other; under load there are more of them than of anything else."""
    return tuple(chain.from_iterable(_PREFIX.iter_unpack(data)))
