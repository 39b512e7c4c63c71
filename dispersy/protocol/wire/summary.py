"""The 24-byte summary of a node's live set: equal count and sum end a synchronisation step."""

from __future__ import annotations

from dataclasses import dataclass, replace

from dispersy.errors import WireError
from dispersy.protocol.wire.packing import FieldReader

SUMMARY_SIZE = 24
SUM_MODULUS = 1 << 96


@dataclass(frozen=True, slots=True)
class Summary:
    """What introduction-requests and last messages datagrams say of the sender's live set.

    highest    of our own store: the highest live global time. Sent: our clock instead (at_clock), for any
               member can write a message of any time, and a newcomer's clock starts from what its neighbours
               say; 48 bits on the wire (saturating), a hint, never compared
    count      live messages
    horizon    what has left as too old (protocol.pruning), 0 without pruning
    sum        see docs/wire.md, below 2^96
    """

    highest: int = 0
    count: int = 0
    horizon: int = 0
    sum: int = 0

    def same_set(self, other: Summary) -> bool:
        """Whether nothing tells the two sets apart (an audit may still).

        Horizons say nothing about that: with nothing between two of them, the sets are the same.
        """
        return self.sum == other.sum and self.count == other.count

    def at_clock(self, clock: int) -> Summary:
        """As it is sent: with the sender's clock."""
        return replace(self, highest=clock)

    def encode(self) -> bytes:
        return (
            min(self.highest, (1 << 48) - 1).to_bytes(6, "big")
            + (self.count & 0xFFFFFFFF).to_bytes(4, "big")
            + self.horizon.to_bytes(2, "big")
            + self.sum.to_bytes(12, "big")
        )

    @classmethod
    def read(cls, reader: FieldReader) -> Summary:
        """The next field of a frame."""
        return cls.decode(reader.take(SUMMARY_SIZE))

    @classmethod
    def decode(cls, data: bytes) -> Summary:
        if len(data) != SUMMARY_SIZE:
            raise WireError("summary-malformed")
        return cls(
            highest=int.from_bytes(data[:6], "big"),
            count=int.from_bytes(data[6:10], "big"),
            horizon=int.from_bytes(data[10:12], "big"),
            sum=int.from_bytes(data[12:], "big"),
        )
