"""Making what is too old leave: first what is to be offered no more, then what is to be kept no more.

After every commit it is asked where the pruning time has come to. At a new step the intake refuses at once
what is too old, and what is held leaves in portions, one with each batch: found by global time, so that a
step costs what lies in it, however much is stored. The summary says so once all of it has left. A crash in
between costs nothing: what has left is found no more, and the rest is.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from dispersy.constants import PRUNED_PER_COMMIT_MAX, PRUNED_READ_MAX
from dispersy.protocol.holdings import KEY_SIZE, first_key_of, key_after, order_key_at
from dispersy.protocol.identifiers import OrderKey
from dispersy.protocol.intake.received import each_received, pack
from dispersy.protocol.intake.retiring import Aged
from dispersy.protocol.pruning import Pruning, horizon_at, step_of
from dispersy.storage.store import Batch, StoreWriter, on_request
from dispersy.workers.keeping.communities import Communities, Community
from dispersy.workers.keeping.following import borne_out


@dataclass(slots=True)
class _Scan:
    """Live messages to look at: those from `low` on below `high` that are of one of these kinds.

    part  the number under which they stand: its community's, or on_request() of it
    """

    part: int
    low: OrderKey
    high: OrderKey
    kinds: set[int] = field(default_factory=set)


@dataclass(slots=True)
class _Step:
    """What is still to leave until all is as it has to be at a pruning time.

    prunings    by kind, what its definition said when the step began
    removals    (kind, the highest global time that is gone)
    """

    time: int
    horizon: int
    prunings: dict[int, Pruning]
    scans: list[_Scan]
    removals: list[tuple[int, int]]

    @property
    def is_over(self) -> bool:
        return not self.scans and not self.removals


class PruningSteps:
    """One a node: at most one step of each community is under way."""

    def __init__(self, store: StoreWriter, communities: Communities) -> None:
        self._store = store
        self._communities = communities
        self.read_store()

    def read_store(self) -> None:
        """Forget the batch; begin again what was not finished."""
        self._steps: dict[int, _Step] = {}
        self.look(self._communities.by_number)

    @property
    def is_under_way(self) -> bool:
        """Whether more has to leave, even when nothing comes in."""
        return bool(self._steps)

    def look(self, numbers: Iterable[int]) -> None:
        """Begin a step wherever it is time for one; between two batches."""
        for number in numbers:
            community = self._communities.by_number.get(number)
            if community is not None and not community.record.left and number not in self._steps:
                self._begin(community)

    def _begin(self, community: Community) -> None:
        number = community.record.number
        state = self._store.state(number)
        prunings = community.intake.prunings()
        step = step_of(prunings.values())
        time = self._time(community) // step * step if step else 0
        horizon = horizon_at(time, step)
        if (time, horizon) == (state.pruning_time, state.summary.horizon):
            return
        community.intake.set_pruning_time(time)
        self._steps[number] = _Step(
            time,
            horizon,
            prunings,
            _scans(community, prunings, state.pruning_time, time),
            [(kind, each.pruned_to(time)) for kind, each in prunings.items() if each.pruned_to(time) >= 0],
        )

    def follow(self, community: Community, clock: int, *, is_median: bool, is_newcomer: bool) -> bool:
        """Go along with neighbours' clocks where something is pruned: what has lifted them may be too old to
        be heard of. Whether something may leave for that.

        They are believed no further than what is held bears out, for anybody may be a neighbour: the median
        also across a gap, up to messages that are held beyond it. A newcomer, who holds nothing, takes the
        median as it is; where it has heard too few for one, it goes as far as its messages bear them out.
        """
        is_pruned = bool(community.intake.prunings())
        if not (is_median and is_newcomer):
            up_to = clock if is_median or is_newcomer else community.clock
            clock = min(clock, borne_out(self._store, community, up_to=up_to))
        is_further = clock > community.clock and (is_newcomer or is_pruned)
        if is_further:
            community.clock = clock
        return is_further and is_pruned

    def _time(self, community: Community) -> int:
        """Our clock, as far as permitted messages bear it out: a newcomer's begins where neighbours say, who
        could make it forget everything."""
        reached = self._store.state(community.record.number).pruning_time
        return max(reached, min(community.clock, borne_out(self._store, community, up_to=community.clock)))

    def add_to(self, batch: Batch) -> None:
        """A portion of every step; what becomes too old goes through the community's round of this batch."""
        for number, step in list(self._steps.items()):
            community = self._communities.by_number.get(number)
            if community is None:
                continue
            self._communities.touched.add(number)
            if community.intake.prunings() != step.prunings:
                # A definition has come with this batch: its round decides all lanes anew, and what leaves by
                # what it says is another step's, which begins behind the round.
                del self._steps[number]
                continue
            if self._age(community, step):
                self._remove(number, step, batch)
            if step.is_over:
                batch.pruned[number] = (step.time, step.horizon)

    def committed(self, numbers: Iterable[int]) -> None:
        """The batch is durable, and has brought these communities something."""
        known = self._communities.by_number
        self._steps = {
            number: step for number, step in self._steps.items() if number in known and not step.is_over
        }
        self.look(numbers)

    def _age(self, community: Community, step: _Step) -> bool:
        """Retire a portion; whether all is retired that this step removes."""
        left = PRUNED_PER_COMMIT_MAX
        prunings = community.intake.prunings()
        is_ready = True
        while step.scans and left > 0:
            scan = step.scans[-1]
            keys, cursors, complete = self._store.scan(scan.part, scan.low, scan.high, left)
            left -= len(keys) // KEY_SIZE
            if complete:
                step.scans.pop()
            else:
                scan.low = key_after(order_key_at(keys, -1))
            old = array("Q", cursors).tolist()
            parts = (old[at : at + PRUNED_READ_MAX] for at in range(0, len(old), PRUNED_READ_MAX))
            aged = [each for part in parts for each in self._aged(community, scan.kinds, part)]
            community.intake.retire(aged)
            gone = {kind: prunings[kind].pruned_to(step.time) for kind in scan.kinds & prunings.keys()}
            # They are found among those that are retired only once that is durable.
            is_ready &= all(each.global_time > gone.get(each.kind, -1) for each in aged)
        return is_ready and not step.scans

    def _aged(self, community: Community, kinds: set[int], cursors: list[int]) -> list[Aged]:
        """Those of some live messages that are of these kinds."""
        messages = zip(cursors, self._store.messages(cursors), strict=True)
        old = {cursor: message for cursor, message in messages if message[0] in kinds}
        records, arena = pack(old.values(), community.record.community_id)
        marks = [entry.marks for entry in self._store.entries(list(old))]
        return [
            Aged(each.entry, each.kind, each.authors, cursor, mark)
            for each, cursor, mark in zip(each_received(records, arena), old, marks, strict=True)
        ]

    def _remove(self, number: int, step: _Step, batch: Batch) -> None:
        left = PRUNED_PER_COMMIT_MAX
        while step.removals and left > 0:
            kind, high = step.removals[-1]
            cursors, complete = self._store.retired(number, kind, high, left)
            batch.removed += cursors
            left -= len(cursors)
            if not complete:
                return
            step.removals.pop()


def _scans(community: Community, prunings: Mapping[int, Pruning], before: int, time: int) -> list[_Scan]:
    """Where the messages stand that become too old between two pruning times; kinds alike are read once."""
    number, definitions = community.record.number, community.intake.definitions
    scans: dict[tuple[int, int, int], _Scan] = {}
    for kind, pruning in prunings.items():
        low, high = (max(0, pruning.inactive_to(each) + 1) for each in (before, time))
        if low < high:
            part = on_request(number) if definitions.is_on_request(kind) else number
            scan = scans.setdefault((part, low, high), _Scan(part, first_key_of(low), first_key_of(high)))
            scan.kinds.add(kind)
    return list(scans.values())
