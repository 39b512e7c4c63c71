"""Narrowing down by the tree of counts and sums: where in time two sets differ, before anything is described.

Level by level the neighbour's nodes are compared with ours. Where few of a node's children differ, they are
looked into; where most do, what differs lies all over it, and to look closer would cost more than it tells.
What is found are ranges with the number of messages missing in each, which the means `gaps` then asks for.
What a neighbour says of its tree is believed no further: a range too many is a small request.
"""

from __future__ import annotations

from collections.abc import Sequence

from dispersy.constants import TREE_GAPS_MAX, TREE_NODES_MAX, TREE_PARTLY_MAX, TREE_SILENCES_MAX
from dispersy.protocol.holdings import time_of
from dispersy.protocol.sync.course import Arrival, Asking, Heard, Reply
from dispersy.protocol.sync.gaps import Range, fewer
from dispersy.protocol.sync.means import Means
from dispersy.protocol.sync.outline import Outline
from dispersy.protocol.sync.pull_sources import Source
from dispersy.protocol.tree import NodeSum, children_of, level_over, range_of
from dispersy.protocol.ways import Way, number_for
from dispersy.protocol.wire.frames import Tree, TreeRequest
from dispersy.protocol.wire.tree_frames import LEVEL_MAX, NODES_ASKED_MAX

Found = list[tuple[Range, int]]
"""(range, messages that seem to be missing in it), ascending and apart."""


class TreeCourse:
    """Finds the ranges in which a source holds something else than we; implements Course.

    found   what it has found so far
    """

    def __init__(self, asking: Asking, source: Source) -> None:
        self.means = Means.TREE
        self.has_failed = self.has_everything = False
        self.received = 0
        self.found: Found = []
        self._asking = asking
        self._source = source
        highest = max(asking.holdings.summary().highest, source.summary.highest)
        self._level = min(LEVEL_MAX, max(1, level_over(highest)))
        self._todo: list[int] = [0]
        self._below: list[int] = []
        self._number = 0
        self._asked: set[int] = set()
        self._asked_at = self._due_at = 0.0
        self._has_heard = False
        self._nodes = self._silences = 0
        # How many messages of ours lie in what was found: filters would have to describe them.
        self._held = 0

    def begin_again(self) -> None:
        """What was not answered is still to be asked."""
        self._give_back()

    def step(self, now: float) -> Sequence[TreeRequest]:
        if self._asked or not self._todo:
            return []
        indexes, self._todo = self._todo[:NODES_ASKED_MAX], self._todo[NODES_ASKED_MAX:]
        self._number = number_for(Way.RANGES, self._asking.rng)
        self._asked = set(indexes)
        self._asked_at, self._has_heard = now, False
        self._due_at = now + self._source.flow.round_trips.timeout_s()
        self._asking.counts["requests"] += 1
        return [TreeRequest(self._number, self._level, tuple(indexes))]

    def receive_messages(self, arrival: Arrival, now: float) -> Heard:  # noqa: ARG002 trees alone answer it
        return Heard.FOREIGN

    def receive_reply(self, reply: Reply, now: float) -> Heard:
        if not isinstance(reply, Tree) or reply.number != self._number or reply.level != self._level:
            return Heard.FOREIGN
        if reply.index not in self._asked:
            return Heard.FOREIGN
        round_trips = self._source.flow.round_trips
        if not self._has_heard:
            round_trips.measure(now - self._asked_at)
        self._has_heard, self._silences = True, 0
        round_trips.timeouts = 0
        self._due_at = now + round_trips.timeout_s()
        self._asked.discard(reply.index)
        self._compare(reply)
        if self._asked:
            return Heard.PART
        self._descend()
        return Heard.END

    def receive_busy(self, number: int, wait_s: float, now: float) -> bool:  # noqa: ARG002 see Course
        return False

    def handle_timer(self, now: float) -> bool:
        if not self._asked or now < self._due_at:
            return False
        self._asking.counts["timeouts"] += 1
        self._give_back()
        self._silences += 1
        if self._silences >= TREE_SILENCES_MAX:
            # It may not know trees.
            self._find_nothing()
        if self._has_heard:
            return False
        self._source.flow.round_trips.timed_out()
        return True

    def next_deadline(self) -> float | None:
        return self._due_at if self._asked else None

    def next_step(self) -> float | None:
        return None

    def asked(self, number: int) -> bool:
        return bool(self._asked) and number == self._number

    def is_under_way(self) -> bool:
        return bool(self._asked)

    def waits_for_store(self) -> bool:
        return False

    def is_over(self) -> bool:
        return not self._asked and not self._todo

    def gaps(self) -> tuple[Outline, list[Range]]:
        """What was found, for a course that asks for it."""
        parts = [(time_of(low), time_of(high), missing) for (low, high), missing in self.found]
        # What lies between neighbours is held, and a filter says so.
        return Outline(parts), fewer([wanted for wanted, _ in self.found], TREE_GAPS_MAX)

    def _give_back(self) -> None:
        self._todo = sorted([*self._asked, *self._todo])
        self._asked.clear()

    def _compare(self, theirs: Tree) -> None:
        """Take up what differs among the children of one node."""
        below = self._level - 1
        ours = self._asking.holdings.tree(below, children_of(theirs.index))
        if ours is None:
            # It is being made.
            self._find_nothing()
            return
        children = list(zip(children_of(theirs.index), ours, theirs.children, strict=True))
        filled = sum(1 for _, mine, other in children if mine[0] or other[0])
        differing = [each for each in children if each[1] != each[2] and each[2][0]]
        partly = sum(1 for _, mine, _ in differing if mine[0])
        is_all_over = partly > TREE_PARTLY_MAX and 2 * partly > filled
        for index, mine, other in differing:
            if below and mine[0] and not is_all_over and self._nodes < TREE_NODES_MAX:
                self._below.append(index)
                self._nodes += 1
            else:
                self._take(below, index, mine, other)

    def _take(self, level: int, index: int, ours: NodeSum, theirs: NodeSum) -> None:
        missing = max(1, theirs[0] - ours[0])
        self._held += ours[0]
        self.found.append((range_of(level, index), missing))

    def _descend(self) -> None:
        """Where all nodes of a level that there were to ask have been: on to those below."""
        if self._todo:
            return
        if self._below:
            self._todo, self._below = sorted(self._below), []
            self._level -= 1
        elif 2 * self._held > self._asking.holdings.summary().count:
            # No better than to describe everything.
            self._find_nothing()
        else:
            self.found = _joined(self.found)

    def _find_nothing(self) -> None:
        self._todo, self._below, self.found = [], [], []
        self._asked.clear()


def _joined(found: Found) -> Found:
    """The same with ranges that touch made one, ascending."""
    joined: Found = []
    for (low, high), missing in sorted(found):
        if joined and joined[-1][0][1] >= low:
            (start, _), before = joined[-1]
            joined[-1] = (start, high), before + missing
        else:
            joined.append(((low, high), missing))
    return joined
