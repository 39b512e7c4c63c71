"""Symbols: what sums up a whole set, and what two sets are found to differ in. Import the frames from frames.

Who asks describes its set by its first symbols. Who answers takes its own from them: where that tells all
that differs, it sends what the asker lacks, and names what it lacks itself; else it sends symbols of its own.

Everybody knows the key of a whole set's symbols, and so can make ids that symbols do not tell apart. So a
range may be described under a key that the asker draws at that moment: its items are hashes of whole ids.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from dispersy.constants import FRAMES_SIZE_MAX
from dispersy.errors import WireError
from dispersy.ext.sketch import SYMBOL_SIZE, SYMBOLS_MAX
from dispersy.protocol.identifiers import OrderKey
from dispersy.protocol.wire.numbers import AskedOfSymbols, FrameType, ToldOfSymbols
from dispersy.protocol.wire.packing import FieldReader, encode_bound

ITEM_SIZE = 8
SET_NAME_SIZE = 8
SYMBOLS_PER_DATAGRAM = (FRAMES_SIZE_MAX - 3 - 16) // SYMBOL_SIZE
"""89: behind a frame's header and the fields that stand before the symbols."""
ITEMS_PER_DATAGRAM = (FRAMES_SIZE_MAX - 3 - 6) // ITEM_SIZE
ANY_SET = bytes(SET_NAME_SIZE)
SYMBOLS_KEY_SIZE = 16
RANGE_SYMBOLS = (FRAMES_SIZE_MAX - 3 - 74) // SYMBOL_SIZE
"""85: behind a frame's header, number, budget, what, key, two whole bounds, and the count."""


@dataclass(frozen=True, slots=True)
class Described:
    """Our set, of `count` messages (modulo 2^32): its symbols from 0 on, at least one."""

    count: int
    symbols: bytes


@dataclass(frozen=True, slots=True)
class Further:
    """Asks for symbols [first, first + count), count >= 1, of the set that was named, or of ANY_SET."""

    set_name: bytes
    first: int
    count: int


@dataclass(frozen=True, slots=True)
class Items:
    """Asks for messages by the first 8 bytes of their ids, packed, at least one."""

    items: bytes


@dataclass(frozen=True, slots=True)
class RangeDescribed:
    """Our part of a range, of `count` messages (u16): symbols of its keyed items from 0 on, at least one.

    key        16 bytes, of the items and of the symbols
    low, high  order keys, half open, low < high
    """

    key: bytes
    low: OrderKey
    high: OrderKey
    count: int
    symbols: bytes


@dataclass(frozen=True, slots=True)
class SymbolsRequest:
    """number: u32; budget: datagrams that the answer may take, 1 to 255."""

    type: ClassVar[FrameType] = FrameType.SYMBOLS_REQUEST

    number: int
    budget: int
    asked: Described | Further | Items | RangeDescribed

    def encode(self) -> bytes:
        assert 1 <= self.budget <= 255
        head = self.number.to_bytes(4, "big") + bytes((self.budget,))
        match self.asked:
            case Described(count, symbols):
                numbers = (count % (1 << 32)).to_bytes(4, "big")
                return head + bytes((AskedOfSymbols.DIFFERENCE,)) + numbers + symbols
            case Further(set_name, first, count):
                numbers = first.to_bytes(2, "big") + count.to_bytes(2, "big")
                return head + bytes((AskedOfSymbols.FURTHER,)) + set_name + numbers
            case Items(items):
                return head + bytes((AskedOfSymbols.ITEMS,)) + items
            case RangeDescribed(key, low, high, count, symbols):
                assert low < high
                part = encode_bound(low) + encode_bound(high) + count.to_bytes(2, "big")
                return head + bytes((AskedOfSymbols.RANGE,)) + key + part + symbols

    @classmethod
    def decode(cls, body: bytes) -> SymbolsRequest:
        reader = FieldReader(body)
        number, budget, what = reader.integer(4), reader.positive_byte(), reader.integer(1)
        asked: Described | Further | Items | RangeDescribed
        if what == AskedOfSymbols.DIFFERENCE:
            asked = Described(reader.integer(4), _whole(reader.rest(), SYMBOL_SIZE))
        elif what == AskedOfSymbols.FURTHER:
            asked = Further(reader.take(SET_NAME_SIZE), reader.integer(2), reader.integer(2))
            if asked.count == 0:
                raise WireError("count-zero")
            if asked.first + asked.count > SYMBOLS_MAX:
                raise WireError("symbols-malformed")
        elif what == AskedOfSymbols.ITEMS:
            asked = Items(_whole(reader.rest(), ITEM_SIZE))
        elif what == AskedOfSymbols.RANGE:
            key, (low, high) = reader.take(SYMBOLS_KEY_SIZE), reader.key_range()
            asked = RangeDescribed(key, low, high, reader.integer(2), _whole(reader.rest(), SYMBOL_SIZE))
        else:
            raise WireError("symbols-malformed")
        reader.finish()
        return cls(number, budget, asked)


@dataclass(frozen=True, slots=True)
class SetSymbols:
    """Symbols of the sender's set from `first` on; none where it has none to give, or no more.

    set_name    u32 count modulo 2^32 ‖ the last 4 bytes of the sum: symbols of one name fit together
    """

    set_name: bytes
    first: int
    symbols: bytes

    @property
    def set_count(self) -> int:
        """How many messages are in the set, modulo 2^32."""
        return int.from_bytes(self.set_name[:4], "big")


@dataclass(frozen=True, slots=True)
class Lacked:
    """What the two sets differ in, or their parts of a range.

    count    messages that the asker lacks, and that come with this answer as far as its budget reaches
    items    of messages that the sender lacks, packed; none where there are none, or where it asks itself
    """

    count: int
    items: bytes


@dataclass(frozen=True, slots=True)
class Untold:
    """The symbols of a range did not tell what differs; both numbers at most 65,535.

    count      messages that the sender has in the range, or has looked at there
    estimate   messages that seem to differ
    """

    count: int
    estimate: int


@dataclass(frozen=True, slots=True)
class Symbols:
    """An answer to a SymbolsRequest; last: nothing comes behind it."""

    type: ClassVar[FrameType] = FrameType.SYMBOLS

    number: int
    last: bool
    told: SetSymbols | Lacked | Untold

    def encode(self) -> bytes:
        head = self.number.to_bytes(4, "big") + bytes((self.last,))
        match self.told:
            case SetSymbols(set_name, first, symbols):
                return head + bytes((ToldOfSymbols.SET,)) + set_name + first.to_bytes(2, "big") + symbols
            case Lacked(count, items):
                return head + bytes((ToldOfSymbols.LACKED,)) + count.to_bytes(2, "big") + items
            case Untold(count, estimate):
                numbers = count.to_bytes(2, "big") + estimate.to_bytes(2, "big")
                return head + bytes((ToldOfSymbols.UNTOLD,)) + numbers

    @classmethod
    def decode(cls, body: bytes) -> Symbols:
        reader = FieldReader(body)
        number, flags, what = reader.integer(4), reader.integer(1), reader.integer(1)
        if flags > 1:
            raise WireError("flags-unknown")
        told: SetSymbols | Lacked | Untold
        if what == ToldOfSymbols.SET:
            set_name, first, symbols = reader.take(SET_NAME_SIZE), reader.integer(2), reader.rest()
            told = SetSymbols(set_name, first, _whole(symbols, SYMBOL_SIZE, least=0))
            if first + len(symbols) // SYMBOL_SIZE > SYMBOLS_MAX:
                raise WireError("symbols-malformed")
        elif what == ToldOfSymbols.LACKED:
            told = Lacked(reader.integer(2), _whole(reader.rest(), ITEM_SIZE, least=0))
        elif what == ToldOfSymbols.UNTOLD:
            told = Untold(reader.integer(2), reader.integer(2))
            reader.finish()
        else:
            raise WireError("symbols-malformed")
        return cls(number, bool(flags), told)


def _whole(packed: bytes, size: int, *, least: int = 1) -> bytes:
    """Packed rows of this size."""
    if len(packed) < least:
        raise WireError("count-zero")
    if len(packed) % size:
        raise WireError("symbols-malformed")
    return packed
