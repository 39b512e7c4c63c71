"""Which of the messages of its range a sync-request wants, and in what order."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

from dispersy.errors import WireError
from dispersy.protocol.wire.packing import FieldReader

SELECTED_KINDS_MAX = 255


class Order(IntEnum):
    """How an answer goes through its range, by global time."""

    ASCENDING = 0
    DESCENDING = 1
    RANDOM = 2


@dataclass(frozen=True, slots=True)
class Selection:
    """Messages of these kinds alone, or of all where none is named, in this order.

    kinds   one byte each, ascending
    """

    kinds: bytes = b""
    order: Order = Order.ASCENDING

    def encode(self) -> bytes:
        assert len(self.kinds) <= SELECTED_KINDS_MAX
        assert list(self.kinds) == sorted(set(self.kinds))
        return bytes((self.order, len(self.kinds))) + self.kinds

    @classmethod
    def read(cls, reader: FieldReader) -> Selection:
        """raises WireError selection-malformed: an order that is none, or kinds that do not ascend"""
        order, kinds = reader.integer(1), reader.take(reader.integer(1))
        if order > max(Order) or list(kinds) != sorted(set(kinds)):
            raise WireError("selection-malformed")
        return cls(kinds, Order(order))
