"""Rateless coded symbols of a set (docs/wire.md, Symbols): what two sets differ in, at the cost of the
difference.

A symbol is 13 bytes: exclusive or of the 8-byte ids of the items in it, of their 4-byte checks, and how many
they are modulo 256. Items are packed in rows of item_size bytes, of which the first 8 count. Arguments that
do not fit raise ValueError. The GIL is released while symbols are made and peeled.
"""

from typing_extensions import Buffer

SYMBOL_SIZE: int
SYMBOLS_MAX: int

def add_many(symbols: bytearray, items: Buffer, item_size: int, key: Buffer) -> None:
    """Put items into the first len(symbols) / 13 symbols of a set; key: 16 bytes."""

def remove_many(symbols: bytearray, items: Buffer, item_size: int, key: Buffer) -> None:
    """Take out items that were put in."""

def symbols_of(items: Buffer, item_size: int, key: Buffer, *, first: int, count: int) -> bytes:
    """Symbols [first, first + count) of these items."""

def keyed_items(ids: Buffer, key: Buffer) -> bytes:
    """Packed 8-byte items of packed 32-byte ids: their SipHash-1-3 under a key of 16 bytes. Who does not know
    the key cannot make ids whose items are equal."""

def subtract(ours: Buffer, theirs: Buffer) -> bytes:
    """What sums up the items of one side alone; both the same symbols."""

def peel(difference: Buffer, key: Buffer, *, known: Buffer | None = None) -> tuple[bytes, bytes, bool]:
    """Packed 8-byte ids of items that only the first of the two sets has, that only the second has, and
    whether these are all.

    difference  symbols 0 on, from subtract()
    known       one byte a symbol, 0 for one that did not arrive; None: all did
    """

def estimate(difference: Buffer, surplus: int, *, first: int = 0) -> float:
    """How many items two sets differ in, from the counts: what each would deviate by for one more item.

    difference  symbols `first` on, from subtract()
    surplus     how many items more the first of the two sets has; never less than this is estimated
    """
