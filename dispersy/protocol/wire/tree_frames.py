"""The frames that compare trees of (count, sum) over global time. Import them from frames, where all are."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from dispersy.errors import WireError
from dispersy.protocol.wire.numbers import FrameType
from dispersy.protocol.wire.packing import FieldReader, decode_uvarint, encode_uvarint

LEVEL_MAX = 10
"""The root's; its children are the highest nodes that are kept."""
BRANCHES = 64
NODES_ASKED_MAX = 16
"""Each is answered by a datagram of its own, of at most some 1,120 bytes."""
SUM_SIZE = 12
COUNT_MAX = (1 << 32) - 1


@dataclass(frozen=True, slots=True)
class TreeRequest:
    """Asks for the children of nodes.

    number    u32
    level     of the nodes, 1 to LEVEL_MAX: their children are one below
    indexes   which nodes, 1 to NODES_ASKED_MAX, ascending: index i covers the global times from i * 2^b on,
              below (i + 1) * 2^b, b = 8 + 6 * level
    """

    type: ClassVar[FrameType] = FrameType.TREE_REQUEST

    number: int
    level: int
    indexes: tuple[int, ...]

    def encode(self) -> bytes:
        assert 1 <= self.level <= LEVEL_MAX
        assert 1 <= len(self.indexes) <= NODES_ASKED_MAX
        assert all(low < high for low, high in zip(self.indexes, self.indexes[1:], strict=False))
        head = self.number.to_bytes(4, "big") + bytes((self.level,))
        return head + b"".join(map(encode_uvarint, self.indexes))

    @classmethod
    def decode(cls, body: bytes) -> TreeRequest:
        reader = FieldReader(body)
        number, level = reader.integer(4), _level(reader)
        indexes = [_index(reader, level)]
        while reader.offset < len(body):
            indexes.append(_index(reader, level))
            if indexes[-1] <= indexes[-2] or len(indexes) > NODES_ASKED_MAX:
                raise WireError("tree-malformed")
        return cls(number, level, tuple(indexes))


@dataclass(frozen=True, slots=True)
class Tree:
    """The children of one node that was asked for.

    number    of the request
    level     of the node, and index: which one
    children  (count, sum) of all BRANCHES of them, ascending; count up to COUNT_MAX, sum below 2^96, and
              (0, 0) where nothing is held, as in all that lie beyond the last global time
    """

    type: ClassVar[FrameType] = FrameType.TREE

    number: int
    level: int
    index: int
    children: tuple[tuple[int, int], ...]

    def encode(self) -> bytes:
        assert len(self.children) == BRANCHES
        filled = sum(1 << place for place, (count, _) in enumerate(self.children) if count)
        head = self.number.to_bytes(4, "big") + bytes((self.level,)) + encode_uvarint(self.index)
        sums = b"".join(
            encode_uvarint(min(COUNT_MAX, count)) + total.to_bytes(SUM_SIZE, "big")
            for count, total in self.children
            if count
        )
        return head + filled.to_bytes(8, "big") + sums

    @classmethod
    def decode(cls, body: bytes) -> Tree:
        reader = FieldReader(body)
        number, level = reader.integer(4), _level(reader)
        index, filled = _index(reader, level), reader.integer(8)
        children = []
        for place in range(BRANCHES):
            if not filled >> place & 1:
                children.append((0, 0))
                continue
            count, total = reader.part(decode_uvarint), reader.integer(SUM_SIZE)
            if not 1 <= count <= COUNT_MAX or not _is_there(index * BRANCHES + place, level - 1):
                raise WireError("tree-malformed")
            children.append((count, total))
        reader.finish()
        return cls(number, level, index, tuple(children))


def _level(reader: FieldReader) -> int:
    level = reader.integer(1)
    if not 1 <= level <= LEVEL_MAX:
        raise WireError("tree-malformed")
    return level


def _index(reader: FieldReader, level: int) -> int:
    index = reader.part(decode_uvarint)
    if not _is_there(index, level):
        raise WireError("tree-malformed")
    return index


def _is_there(index: int, level: int) -> bool:
    """Whether there is such a node: global times have 63 bits."""
    return not index << (8 + 6 * level) >> 63
