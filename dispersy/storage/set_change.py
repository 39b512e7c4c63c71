"""What a commit has changed in a community's live set, for what is kept of that set beside the order."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from dispersy.protocol.tree import NodeSum, added


@dataclass(slots=True)
class SetChange:
    """Packed keys, 40 bytes each (protocol.holdings), that have come into the order and left it, and by what
    they change leaves of the tree (protocol.tree)."""

    added: bytearray = field(default_factory=bytearray)
    removed: bytearray = field(default_factory=bytearray)
    leaves: dict[int, NodeSum] = field(default_factory=dict)

    def add_leaves(self, leaves: Mapping[int, NodeSum]) -> None:
        """Take these changes, too."""
        for leaf, change in leaves.items():
            known = self.leaves.get(leaf)
            self.leaves[leaf] = change if known is None else added(known, change)
