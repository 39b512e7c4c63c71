"""Delivery in sequence: a message waits for those below it in its lane, and they are asked for by name.

A message that follows directly on one that the log has, live or not, is taken, and with it what waited for
it. One that waits for too long is taken all the same, with the gap: so in the end what is live is a function
of the set of messages, and only the order in which they are delivered depends on what came when.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator

from dispersy.constants import WANTED_MAX
from dispersy.protocol.intake.lane_round import LaneStore
from dispersy.protocol.intake.received import KIND_OFFSET, Received, record_at
from dispersy.protocol.intake.waiting import Awaited, Waiter, WaitingRoom, by_turns
from dispersy.protocol.wants import SequenceRange
from dispersy.protocol.wire.records import MESSAGE

_SEQUENCE_FIELD = 3


class InSequence:
    """One a community."""

    def __init__(self, store: LaneStore, waiting: WaitingRoom, *, community: int) -> None:
        self._store = store
        self._waiting = waiting
        self._community = community
        self.begin()

    def begin(self) -> None:
        """Another round."""
        self._taken: dict[tuple[bytes, int], set[int]] = {}

    def hold_back(
        self, records: bytes, arena: bytes, permitted: bytes, kinds: Collection[int], *, is_late: bool
    ) -> bytes:
        """One byte a record: 1 if it is permitted and, where its kind is one of these, follows directly; the
        others of these kinds wait.

        records    by rising sequence (see ascending())
        is_late    they have waited long enough: no gap holds them back
        """
        ready = bytearray(permitted)
        for index, number in enumerate(records[KIND_OFFSET :: MESSAGE.size]):
            if not permitted[index] or number not in kinds:
                continue
            received = Received(record_at(records, index), arena)
            lane = (received.lane, received.kind)
            if is_late or self._follows(lane, received.sequence):
                self._taken.setdefault(lane, set()).add(received.sequence)
            else:
                self._waiting.add(received.waiter(Awaited.SEQUENCE))
                ready[index] = 0
        return bytes(ready)

    def next_waiters(self) -> list[bytes]:
        """Ids of those that wait no longer for those below them, after what this round has taken."""
        ready: list[bytes] = []
        for lane, waiters in self._waiting_by_lane().items():
            last = None
            for each in waiters if lane in self._taken else ():
                is_next = last is not None and each.sequence <= last + 1
                if is_next or self._follows(lane, each.sequence):
                    ready.append(each.message_id)
                    last = each.sequence
        return ready

    def gaps(self) -> Iterator[SequenceRange]:
        """What is missing below those that wait, of the lanes whose turn it is."""
        lanes = self._waiting_by_lane()
        for first in by_turns([waiters[0] for waiters in lanes.values()])[:WANTED_MAX]:
            below = self._store.neighbours(self._community, first.lane, first.kind, first.sequence)[0]
            last = 0 if below is None else below.sequence
            for each in lanes[first.lane, first.kind]:
                if each.sequence > last + 1:
                    yield first.lane, first.kind, last + 1, each.sequence - 1
                last = each.sequence

    def _waiting_by_lane(self) -> dict[tuple[bytes, int], list[Waiter]]:
        """By rising sequence."""
        lanes: dict[tuple[bytes, int], list[Waiter]] = {}
        for each in self._waiting.waiters(Awaited.SEQUENCE):
            lanes.setdefault((each.lane, each.kind), []).append(each)
        for waiters in lanes.values():
            waiters.sort(key=lambda each: each.sequence)
        return lanes

    def _follows(self, lane: tuple[bytes, int], sequence: int) -> bool:
        """Whether nothing is missing directly below; what has its place already (a copy, a fork) waits for
        nothing."""
        return sequence == 1 or self._has(lane, sequence - 1) or self._has(lane, sequence)

    def _has(self, lane: tuple[bytes, int], sequence: int) -> bool:
        if sequence in self._taken.get(lane, ()):
            return True
        head = self._store.heads.get(self._community, *lane)
        if head is None or head[0] < sequence:
            return False
        return head[0] == sequence or bool(self._store.slot(self._community, *lane, sequence, unlive=True))


def ascending(records: bytes) -> bytes:
    """Packed message_records by rising sequence: of a lane the one below comes first, whatever came first."""
    each = [record_at(records, index) for index in range(len(records) // MESSAGE.size)]
    return b"".join(sorted(each, key=lambda record: MESSAGE.unpack(record)[_SEQUENCE_FIELD]))
