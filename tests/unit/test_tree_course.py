"""Goal: the tree finds where two sets differ, in few datagrams, and gives up where it would tell nothing."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from hashlib import sha256
from random import Random
from typing import Any

import pytest

from dispersy.constants import TREE_GAPS_MAX, TREE_SILENCES_MAX
from dispersy.errors import WireError
from dispersy.protocol.flow.backlog import Backlog
from dispersy.protocol.holdings import first_key_of, time_of
from dispersy.protocol.sync.course import Arrival, Asking, Heard
from dispersy.protocol.sync.pull_sources import Source
from dispersy.protocol.sync.tree_answer import answer_tree
from dispersy.protocol.sync.tree_course import TreeCourse
from dispersy.protocol.tree import NodeSum, SumTree, leaf_sums
from dispersy.protocol.wire.frames import Busy, Tree
from dispersy.protocol.wire.summary import Summary

KEY = bytes(16)
COUNT = 100_000


def tree_in(framed: bytes) -> Tree:
    """What a frame says, behind its type and its length of one byte or two."""
    return Tree.decode(framed[2 + framed[1] // 128 :])


class Held:
    """One message at each of these global times, as far as a tree sees them."""

    def __init__(self, times: Iterable[int]) -> None:
        held = sorted(times)
        keys = (first_key_of(each)[:8] + sha256(each.to_bytes(8, "big")).digest() for each in held)
        self._tree = SumTree()
        self._tree.change(leaf_sums(b"".join(keys), KEY))
        self._summary = Summary(highest=held[-1], count=len(held), horizon=0, sum=len(held))
        self.has_tree = True

    def summary(self) -> Summary:
        return self._summary

    def tree(self, level: int, indexes: Sequence[int]) -> list[NodeSum] | None:
        return self._tree.nodes(level, indexes) if self.has_tree else None


def course_of(ours: Any, theirs: Any) -> TreeCourse:
    """Of two sets; holdings have far more than a tree needs."""
    asking = Asking(Random(1), ours, Backlog(), Counter(), 64)
    return TreeCourse(asking, Source(theirs.summary(), 0.0))


def play(course: TreeCourse, theirs: Any, *, loses: Iterable[int] = ()) -> int:
    """Let the neighbour answer until it is over; the datagrams with these numbers are lost.

    Returns how many datagrams it sent.
    """
    lost, sent, now = set(loses), 0, 0.0
    while not course.is_over():
        for request in course.step(now):
            for framed in answer_tree(request, theirs):
                sent += 1
                if sent not in lost:
                    course.receive_reply(tree_in(framed), now)
        deadline = course.next_deadline()
        if deadline is not None:
            now = deadline
            course.handle_timer(now)
    return sent


def found_times(course: TreeCourse) -> set[int]:
    """All global times of the ranges that a course found."""
    _, ranges = course.gaps()
    return {each for low, high in ranges for each in range(time_of(low), time_of(high))}


@pytest.mark.parametrize("missing", [range(40_000, 45_000), range(17, 18), range(99_000, 99_300)])
def test_a_stretch_is_found_within_leaves(missing: range) -> None:
    theirs = Held(range(COUNT))
    course = course_of(Held(set(range(COUNT)) - set(missing)), theirs)
    datagrams = play(course, theirs)
    found = found_times(course)
    assert found >= set(missing)
    assert len(found) <= len(missing) + 2 * 256
    assert datagrams <= 3
    outline, _ = course.gaps()
    assert outline.expected(first_key_of(0), first_key_of(COUNT)) == pytest.approx(len(missing))


def test_what_differs_and_is_no_fewer_is_found_too() -> None:
    """As many on both sides, and other ones."""
    ours, theirs = (Held(set(range(COUNT)) - set(range(at, at + 500))) for at in (30_000, 70_000))
    course = course_of(ours, theirs)
    play(course, theirs)
    assert found_times(course) >= set(range(30_000, 30_500))


def test_what_lies_all_over_is_not_looked_into() -> None:
    theirs = Held(range(COUNT))
    course = course_of(Held(range(0, COUNT, 2)), theirs)
    assert play(course, theirs) == 1
    assert course.gaps()[1] == []


def test_lost_datagrams_are_asked_for_again() -> None:
    theirs = Held(range(COUNT))
    course = course_of(Held(set(range(COUNT)) - set(range(40_000, 45_000))), theirs)
    assert play(course, theirs, loses=[1, 3]) > 2
    assert found_times(course) >= set(range(40_000, 45_000))


def test_who_never_answers_is_not_waited_for() -> None:
    course = course_of(Held(range(COUNT - 1)), Held(range(COUNT)))
    silences = 0
    while not course.is_over():
        assert course.step(0.0)
        silences += course.handle_timer(course.next_deadline() or 0.0)
    assert silences == TREE_SILENCES_MAX
    assert course.gaps()[1] == []


@pytest.mark.parametrize("whose", ["ours", "theirs"])
def test_without_a_tree_nothing_is_found(whose: str) -> None:
    held = {"ours": Held(range(COUNT - 5_000)), "theirs": Held(range(COUNT))}
    held[whose].has_tree = False
    course = course_of(held["ours"], held["theirs"])
    (request,) = course.step(0.0)
    (framed,) = answer_tree(request, held["theirs"])  # type: ignore[arg-type]
    if whose == "theirs":
        assert framed[:2] == bytes((Busy.type, len(framed) - 2))
        return
    assert course.receive_reply(tree_in(framed), 0.1) is not Heard.FOREIGN
    assert course.is_over()
    assert course.gaps()[1] == []


def test_ranges_are_bounded() -> None:
    theirs = Held(range(COUNT))
    holes = range(0, 65_536, 512)
    course = course_of(Held(set(range(COUNT)) - set(holes)), theirs)
    play(course, theirs)
    _, ranges = course.gaps()
    assert 0 < len(ranges) <= TREE_GAPS_MAX
    assert found_times(course) >= set(holes)


def test_foreign_trees_are_not_taken() -> None:
    theirs = Held(range(COUNT))
    course = course_of(Held(range(COUNT - 5_000)), theirs)
    (request,) = course.step(0.0)
    (framed,) = answer_tree(request, theirs)  # type: ignore[arg-type]
    tree = tree_in(framed)
    for other in (
        Tree(tree.number ^ 16, tree.level, tree.index, tree.children),
        Tree(tree.number, tree.level, tree.index + 1, tree.children),
    ):
        assert course.receive_reply(other, 0.1) is Heard.FOREIGN
    arrival = Arrival(request.number, 0, first_key_of(0), first_key_of(1), 1)
    assert course.receive_messages(arrival, 0.1) is Heard.FOREIGN
    assert course.receive_reply(tree, 0.1) is not Heard.FOREIGN
    assert course.receive_reply(tree, 0.2) is Heard.FOREIGN


@pytest.mark.parametrize("place", [0, 1, 2, 4, 63])
def test_messages_beyond_the_last_global_time_are_no_tree(place: int) -> None:
    """A set whose highest time is near the last one is compared from the root: there such a liar would have
    us ask for times that no eight bytes hold."""
    ours = Held([1, (1 << 63) - 1])
    course = course_of(ours, ours)
    (request,) = course.step(0.0)
    assert request.level == 10
    told = Tree(request.number, 10, 0, tuple((int(each == place), 7) for each in range(64)))
    if place < 2:
        assert course.receive_reply(Tree.decode(told.encode()), 0.1) is not Heard.FOREIGN
        assert all(high > low for low, high in course.gaps()[1])
        return
    with pytest.raises(WireError, match="tree-malformed"):
        Tree.decode(told.encode())
