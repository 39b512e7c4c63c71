"""What is live, in the LMDB store: the order with its two parts, and the states that sum up what is offered.

What is on request stands in the order under its community's number with the highest bit set. So whatever
reads the community's own part (summaries, symbols, trees, ranges) leaves it out without asking for kinds.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import lmdb

from dispersy.ext.digest import sum_many
from dispersy.protocol.holdings import ids_of
from dispersy.protocol.identifiers import CommunityId, sum_key
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
    added: list[tuple[bytes, bytes, list[int]]] = field(default_factory=list)
    """(packed lane hashes, message_records, cursors)"""
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
        rows: Sequence[tuple[bytes, bytes]],
        changes: Changes,
    ) -> None:
        """Make messages of a community live: their rows into the order, and they into what sums it up."""
        pairs = sorted(rows)
        cursor = txn.cursor(self._order)
        # Appending fills pages whole; LMDB allows it only behind the last key of all.
        is_behind = not cursor.last() or cursor.key() < pairs[0][0]
        _, added = cursor.putmulti(pairs, overwrite=False, append=is_behind)
        assert added == len(pairs), "a message that is live already was committed again"
        # What is on request sorts behind the rest.
        offered = bisect_left(pairs, (_FIRST_ON_REQUEST,))
        state = self.state_of(community, changes)
        changes.states[community] = replace(state, on_request=state.on_request + len(pairs) - offered)
        if offered:
            highest = CURSOR.unpack_from(pairs[offered - 1][0], COMMUNITY.size)[0]
            self._count(community, [key[COMMUNITY.size :] for key, _ in pairs[:offered]], highest, changes)

    def _count(self, community: int, packed: list[bytes], highest: int, changes: Changes) -> None:
        """Add messages, of at most this global time, to what is offered."""
        changes.sets.setdefault(community, SetChange()).added += packed
        state = self.state_of(community, changes)
        summary = state.summary
        changes.states[community] = replace(
            state,
            summary=Summary(
                max(summary.highest, highest),
                summary.count + len(packed),
                summary.horizon,
                (summary.sum + self._sum_of(community, packed)) % self._sum_modulus,
            ),
        )

    def leave(
        self, txn: lmdb.Transaction[bytes], community: int, keys: Sequence[bytes], changes: Changes
    ) -> None:
        """Take messages of a community that are out of the order out of what sums it up, too."""
        packed = [key[COMMUNITY.size :] for key in keys if not is_on_request(key)]
        state = self.state_of(community, changes)
        changes.states[community] = replace(state, on_request=state.on_request - len(keys) + len(packed))
        if not packed:
            return
        changes.sets.setdefault(community, SetChange()).removed += packed
        state = changes.states[community]
        total = state.summary.sum - self._sum_of(community, packed)
        changes.states[community] = replace(
            state,
            summary=Summary(
                self._highest(txn, community),
                state.summary.count - len(packed),
                state.summary.horizon,
                total % self._sum_modulus,
            ),
        )

    def _sum_of(self, community: int, packed_keys: list[bytes]) -> int:
        return sum_many(ids_of(b"".join(packed_keys)), self._sum_keys[community])

    def _highest(self, txn: lmdb.Transaction[bytes], community: int) -> int:
        """The highest global time that a community offers, 0 when that is nothing."""
        prefix = COMMUNITY.pack(community)
        cursor = txn.cursor(self._order)
        behind = cursor.set_range(prefix.ljust(ORDER_KEY_SIZE, b"\xff"))
        if (cursor.prev() if behind else cursor.last()) and cursor.key().startswith(prefix):
            return int(CURSOR.unpack_from(cursor.key(), COMMUNITY.size)[0])
        return 0
