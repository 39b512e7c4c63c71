"""The tree of a live set in memory: made when first asked for, kept up from then.

Most of the many nodes of a simulation are never asked.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from dispersy.protocol.tree import NodeSum, SumTree, leaf_sums, negative


class LiveTree:
    """Of one community; key: protocol.identifiers.sum_key."""

    def __init__(self, key: bytes) -> None:
        self._key = key
        self._tree: SumTree | None = None

    def change(self, packed_keys: Iterable[bytes], *, added: int) -> None:
        """Messages have become live (added 1) or are so no longer (-1)."""
        if self._tree is None:
            return
        leaves = leaf_sums(b"".join(packed_keys), self._key)
        if added < 0:
            leaves = {leaf: negative(change) for leaf, change in leaves.items()}
        self._tree.change(leaves)

    def nodes(self, live: Iterable[bytes], level: int, indexes: Sequence[int]) -> list[NodeSum]:
        """Nodes of one level; live: the packed keys of all that is held."""
        if self._tree is None:
            self._tree = SumTree()
            self._tree.change(leaf_sums(b"".join(live), self._key))
        return self._tree.nodes(level, indexes)
