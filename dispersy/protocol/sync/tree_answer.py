"""The answering side of the tree: counts and sums of a node's children, from the store as it is.

A request names at most NODES_ASKED_MAX nodes and gets a datagram for each, of 64 rows of the store: so its
work and its answer are bounded, whatever is asked for and however large the set is.
"""

from __future__ import annotations

from dispersy.protocol.holdings import ItemHoldings
from dispersy.protocol.tree import children_of
from dispersy.protocol.wire.frames import Busy, Tree, TreeRequest, frame

NOT_YET_MS = 1_000
"""For which a store that has to make its tree first is left alone."""


def answer_tree(request: TreeRequest, holdings: ItemHoldings) -> list[bytes]:
    """Frames that answer, one datagram's each."""
    found = []
    for index in request.indexes:
        children = holdings.tree(request.level - 1, children_of(index))
        if children is None:
            busy = Busy(request.number, NOT_YET_MS)
            return [frame(Busy.type, busy.encode())]
        tree = Tree(request.number, request.level, index, tuple(children))
        found.append(frame(Tree.type, tree.encode()))
    return found
