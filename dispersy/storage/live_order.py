"""What is live, in the LMDB store: the order with its two parts, and the states that sum up what is offered.

What is on request stands in the order under its community's number with the highest bit set. So whatever
reads the community's own part (summaries, symbols, trees, ranges) leaves it out without asking for kinds.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import lmdb

from dispersy.ext.rows import scanned
from dispersy.protocol.holdings import KEY_SIZE
from dispersy.protocol.identifiers import CommunityId, sum_key
from dispersy.protocol.tree import NodeSum, leaf_sums, negative
from dispersy.protocol.wire.summary import Summary
from dispersy.storage.environment import Databases
from dispersy.storage.layout import COMMUNITY, CURSOR, ORDER_KEY_SIZE, is_on_request
from dispersy.storage.set_change import SetChange
from dispersy.storage.store import ON_REQUEST_PART, CommunityRecord, CommunityState

_FIRST_ON_REQUEST = COMMUNITY.pack(ON_REQUEST_PART)


@dataclass(slots=True)
class Changes:
    """What memory takes over once the transaction is durable."""

    next_cursor: int
    states: dict[int, CommunityState] = field(default_factory=dict)
    sets: dict[int, SetChange] = field(default_factory=dict)
    added: list[tuple[bytes, bytes, bytes]] = field(default_factory=list)
    """(message_records, packed cursors, packed slots entries)"""
    runs: list[int] | None = None
    gone: list[int] = field(default_factory=list)
    """Communities of which the last has been removed."""


class LiveOrder:
    """The writer's; `states` are those of the last commit.

    sum_bits    the summary's sum is taken modulo 2^sum_bits
    """

    def __init__(self, databases: Databases, *, sum_bits: int) -> None:
        self.states: dict[int, CommunityState] = {}
        self._order = databases.order
        self._sum_modulus = 1 << sum_bits
        self._sum_keys: dict[int, bytes] = {}

    def open(self, states: dict[int, CommunityState], records: Sequence[CommunityRecord]) -> None:
        """Begin with what is stored."""
        self.states = states
        self._sum_keys = {record.number: sum_key(CommunityId(record.community_id)) for record in records}

    def add(self, record: CommunityRecord) -> None:
        """A community that there is from now on."""
        self._sum_keys[record.number] = sum_key(CommunityId(record.community_id))

    def take_over(self, changes: Changes) -> None:
        """They are durable."""
        self.states |= changes.states
        for community in changes.gone:
            del self.states[community], self._sum_keys[community]

    def state_of(self, community: int, changes: Changes) -> CommunityState:
        """As the commit has left it so far."""
        return changes.states.get(community) or self.states.get(community) or CommunityState()

    def enter(
        self,
        txn: lmdb.Transaction[bytes],
        community: int,
        rows: list[tuple[bytes, bytes]],
        changes: Changes,
    ) -> None:
        """Make messages of a community live: their rows, which rise, into the order, and they into what sums
        it up."""
        cursor = txn.cursor(self._order)
        # Appending fills pages whole; LMDB allows it only behind the last key of all.
        is_behind = not cursor.last() or cursor.key() < rows[0][0]
        _, count = cursor.putmulti(rows, overwrite=False, append=is_behind)
        assert count == len(rows), "a message that is live already was committed again"
        # What is on request sorts behind the rest.
        packed, _ = scanned(rows, _FIRST_ON_REQUEST)
        offered = len(packed) // KEY_SIZE
        state = self.state_of(community, changes)
        summary = state.summary
        if offered:
            change = changes.sets.setdefault(community, SetChange())
            change.added += packed
            leaves = leaf_sums(packed, self._sum_keys[community])
            change.add_leaves(leaves)
            summary = Summary(
                max(summary.highest, CURSOR.unpack_from(packed, len(packed) - KEY_SIZE)[0]),
                summary.count + offered,
                summary.horizon,
                (summary.sum + _total(leaves)) % self._sum_modulus,
            )
        changes.states[community] = replace(
            state, summary=summary, on_request=state.on_request + len(rows) - offered
        )

    def leave(
        self, txn: lmdb.Transaction[bytes], community: int, keys: Sequence[bytes], changes: Changes
    ) -> None:
        """Take messages of a community that are out of the order out of what sums it up, too."""
        packed = b"".join([key[COMMUNITY.size :] for key in keys if not is_on_request(key)])
        offered = len(packed) // KEY_SIZE
        state = self.state_of(community, changes)
        summary = state.summary
        if offered:
            change = changes.sets.setdefault(community, SetChange())
            change.removed += packed
            leaves = leaf_sums(packed, self._sum_keys[community])
            change.add_leaves({leaf: negative(gone) for leaf, gone in leaves.items()})
            summary = Summary(
                self._highest(txn, community),
                summary.count - offered,
                summary.horizon,
                (summary.sum - _total(leaves)) % self._sum_modulus,
            )
        changes.states[community] = replace(
            state, summary=summary, on_request=state.on_request - len(keys) + offered
        )

    def _highest(self, txn: lmdb.Transaction[bytes], community: int) -> int:
        """The highest global time that a community offers, 0 when that is nothing."""
        prefix = COMMUNITY.pack(community)
        cursor = txn.cursor(self._order)
        behind = cursor.set_range(prefix.ljust(ORDER_KEY_SIZE, b"\xff"))
        if (cursor.prev() if behind else cursor.last()) and cursor.key().startswith(prefix):
            return int(CURSOR.unpack_from(cursor.key(), COMMUNITY.size)[0])
        return 0


def _total(leaves: Mapping[int, NodeSum]) -> int:
    """The sum of all that is in these, as a summary adds it: nothing is hashed twice."""
    return sum(total for _, total in leaves.values())
