"""Ping and pong, the signs of life between introductions that are far apart. Import them from frames, where
all frames are."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from dispersy.protocol.wire.numbers import FrameType
from dispersy.protocol.wire.packing import FieldReader
from dispersy.protocol.wire.summary import Summary


@dataclass(frozen=True, slots=True)
class Ping:
    """Asks a verified neighbour for a sign of life, and says the sender's summary."""

    type: ClassVar[FrameType] = FrameType.PING

    number: int
    summary: Summary

    def encode(self) -> bytes:
        return self.number.to_bytes(4, "big") + self.summary.encode()

    @classmethod
    def decode(cls, body: bytes) -> Ping:
        reader = FieldReader(body)
        ping = cls(reader.integer(4), Summary.read(reader))
        reader.finish()
        return ping


@dataclass(frozen=True, slots=True)
class Pong:
    """The answer to a Ping, as long as it: its number, and the summary of who answers."""

    type: ClassVar[FrameType] = FrameType.PONG

    number: int
    summary: Summary

    def encode(self) -> bytes:
        return self.number.to_bytes(4, "big") + self.summary.encode()

    @classmethod
    def decode(cls, body: bytes) -> Pong:
        reader = FieldReader(body)
        pong = cls(reader.integer(4), Summary.read(reader))
        reader.finish()
        return pong
