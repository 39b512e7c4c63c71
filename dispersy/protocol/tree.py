"""The tree of (count, sum) over global time: where in time two live sets differ.

A node covers an aligned stretch of global time: a leaf 2^8 of it, every other one those of its 64 children.
Its count and sum are those of the messages in it, taken as a summary's are, so a node is the sum of its
children, and two that are equal hold the same. Clocks rise by about one a message, so a leaf has some 256
of them, whatever the size of the set.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from dispersy.ext import digest
from dispersy.protocol.holdings import first_key_of
from dispersy.protocol.identifiers import ORDER_TOP, OrderKey
from dispersy.protocol.wire.summary import SUM_MODULUS

LEAF_BITS = 8
BRANCH_BITS = 6
BRANCHES = 1 << BRANCH_BITS
TIME_BITS = 63
LEVELS = 10
"""0 are the leaves; of the highest one two nodes cover all times, and a root would be the summary."""

NodeSum = tuple[int, int]
"""(count, sum modulo 2^96)."""
NOTHING: NodeSum = (0, 0)

assert LEAF_BITS + BRANCH_BITS * (LEVELS - 1) < TIME_BITS <= LEAF_BITS + BRANCH_BITS * LEVELS


def bits_of(level: int) -> int:
    """A node of this level covers 2^bits of global time."""
    return LEAF_BITS + BRANCH_BITS * level


def children_of(index: int) -> range:
    """The indexes, one level below, of a node's children."""
    return range(index << BRANCH_BITS, (index + 1) << BRANCH_BITS)


def range_of(level: int, index: int) -> tuple[OrderKey, OrderKey]:
    """The order keys that a node covers, half open."""
    bits = bits_of(level)
    behind = (index + 1) << bits
    return first_key_of(index << bits), first_key_of(behind) if behind >> 64 == 0 else ORDER_TOP


def level_over(global_time: int) -> int:
    """The lowest level at which node 0 covers all up to this time."""
    level = 0
    while global_time >> bits_of(level):
        level += 1
    return level


def leaf_sums(packed_keys: bytes | bytearray, key: bytes) -> dict[int, NodeSum]:
    """What messages add to the leaves that they are in.

    packed_keys  40 bytes each (protocol.holdings), rising if it shall be fast
    key          identifiers.sum_key
    """
    found: dict[int, NodeSum] = {}
    for leaf, count, total in digest.sum_stretches(packed_keys, key, LEAF_BITS):
        found[leaf] = added(found.get(leaf, NOTHING), (count, total))
    return found


def added(one: NodeSum, other: NodeSum) -> NodeSum:
    """Two stretches, or changes of one, taken together."""
    return one[0] + other[0], (one[1] + other[1]) % SUM_MODULUS


def negative(one: NodeSum) -> NodeSum:
    """What takes this away where it is added."""
    return -one[0], -one[1] % SUM_MODULUS


def every_level(leaves: Mapping[int, NodeSum]) -> list[dict[int, NodeSum]]:
    """What changes of leaves are to the nodes of each level, by index."""
    levels = [dict(leaves)]
    for _ in range(1, LEVELS):
        above: dict[int, NodeSum] = {}
        for index, change in levels[-1].items():
            parent = index >> BRANCH_BITS
            above[parent] = added(above.get(parent, NOTHING), change)
        levels.append(above)
    return levels


class SumTree:
    """A tree in memory. Upper levels follow when they are looked at: commits touch leaves alone."""

    def __init__(self) -> None:
        self._levels: list[dict[int, NodeSum]] = [{} for _ in range(LEVELS)]
        self._changed: dict[int, NodeSum] = {}

    def change(self, leaves: Mapping[int, NodeSum]) -> None:
        """Add so much to leaves, or take it away (negative())."""
        for index, change in leaves.items():
            self._changed[index] = added(self._changed.get(index, NOTHING), change)

    def nodes(self, level: int, indexes: Sequence[int]) -> list[NodeSum]:
        if self._changed:
            for nodes, changes in zip(self._levels, every_level(self._changed), strict=True):
                for index, change in changes.items():
                    nodes[index] = added(nodes.get(index, NOTHING), change)
                    if nodes[index] == NOTHING:
                        del nodes[index]
            self._changed.clear()
        found = self._levels[level]
        return [found.get(index, NOTHING) for index in indexes]
