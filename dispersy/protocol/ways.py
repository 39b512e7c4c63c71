"""By which means a message came: a request's number says it, and its answer repeats the number.

So nothing has to be looked up, and no role has to ask another: the lowest bits of a number are the way, the
others are random. Whoever answers learns no more than the request says itself; whoever answers with another
number is shown as something else, and no more than that.
"""

from __future__ import annotations

from collections.abc import Container
from enum import IntEnum
from random import Random

WAY_BITS = 4
NUMBER_BITS = 32


class Way(IntEnum):
    """The means, as `explain` names them by `label`."""

    OFFERED = 0
    """A neighbour that compared sets with us sent what we lack, without a request and its number."""
    PUSHED = 1
    ANNOUNCED = 2
    """Asked for after a neighbour had announced its id."""
    SYMBOLS = 3
    RANGES = 4
    NAME = 5
    """Asked for by name: a proof, a gap in a sequence, the definition."""
    FRAGMENTS = 6
    BUNDLE = 7
    OWN = 8

    @property
    def label(self) -> str:
        return self.name.lower()


def number_for(way: Way, rng: Random, taken: Container[int] = ()) -> int:
    """A request's number, never 0 and none of those that are taken: of two under way with one number the
    first would never end."""
    while True:
        number = rng.randrange(1, 1 << (NUMBER_BITS - WAY_BITS)) << WAY_BITS | way
        if number not in taken:
            return number


def way_of(number: int) -> Way:
    """What was asked for with this number, or might have been: whoever answers says it."""
    return _WAYS.get(number & _WAY_MASK, Way.OFFERED)


_WAYS = {int(way): way for way in Way}
_WAY_MASK = (1 << WAY_BITS) - 1
