"""Goal: what one member sends costs about its length, in whatever order it comes: steps are counted."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from dispersy.protocol.identifiers import MemberId, MessageId
from dispersy.protocol.permissions import undoing
from dispersy.protocol.permissions.claims import Claim
from dispersy.protocol.permissions.control_messages import Body, ControlMessage, Undo
from dispersy.protocol.permissions.powers import Order
from dispersy.protocol.permissions.timeline import Timeline
from dispersy.protocol.wire.message import NO_PREVIOUS
from tests.unit.test_timeline import FOUNDER, GUEST, JUNIOR, SENIOR, TEXT, Story, grant

COUNT = 300


class Counted(Story):
    """Counts how often a claim is judged."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.judged = 0
        judge = Timeline._judge

        def counting(timeline: Timeline, claim: Claim) -> None:
            self.judged += 1
            judge(timeline, claim)

        monkeypatch.setattr(Timeline, "_judge", counting)
        super().__init__()

    def chain(self, author: MemberId, body: Body, *, first: int) -> list[ControlMessage]:
        """Messages that follow one another, of rising times; not held yet."""
        previous, chain = NO_PREVIOUS, []
        for time in range(first, first + COUNT):
            chain.append(self.message(author, time, body, previous))
            previous = chain[-1].id
        return chain

    def hold_each(self, messages: Sequence[ControlMessage]) -> int:
        """Hold one after another; how many claims were judged."""
        before = self.judged
        for message in messages:
            self.hold(message)
        return self.judged - before


FORWARD, BACKWARD = 1, -1
"""Steps through a chain: the oldest first, or the newest."""


@pytest.fixture
def story(monkeypatch: pytest.MonkeyPatch) -> Counted:
    return Counted(monkeypatch)


@pytest.mark.parametrize("step", [FORWARD, BACKWARD])
def test_who_grants_to_itself_again_and_again(story: Counted, step: int) -> None:
    """What it grants itself is deeper than what it has: nothing rests on it."""
    story.says(FOUNDER, 1, grant(SENIOR))
    assert story.hold_each(story.chain(SENIOR, grant(SENIOR), first=10)[::step]) <= 2 * COUNT


@pytest.mark.parametrize("step", [FORWARD, BACKWARD])
def test_many_grants_to_whoever_has_said_much(story: Counted, step: int) -> None:
    """A grant concerns what its member says between it and the next one that gives as much."""
    story.says(FOUNDER, 1, grant(SENIOR))
    said = story.chain(JUNIOR, grant(GUEST), first=11)
    story.hold_each(said)
    given = story.chain(SENIOR, grant(JUNIOR), first=10)
    # Once when the first grant comes, and once when the least is deep as any.
    assert story.hold_each(given[::step]) <= 4 * COUNT
    assert all(story.counts(each.id) for each in [*said, *given])


def test_a_grant_that_gives_nothing_new_touches_no_messages(story: Counted) -> None:
    """Or one member could have another's messages decided again for each of its grants."""
    story.says(FOUNDER, 1, grant(SENIOR))
    story.says(SENIOR, 2, grant(JUNIOR))
    for message in story.chain(SENIOR, grant(JUNIOR), first=10):
        story.timeline.add(message)
        assert not story.timeline.settle().lanes


class CountedOrder(Order):
    """Counts comparisons of places among messages."""

    compared = 0

    def __lt__(self, other: tuple[object, ...]) -> bool:
        CountedOrder.compared += 1
        return super().__lt__(other)

    def __eq__(self, other: object) -> bool:
        CountedOrder.compared += 1
        return super().__eq__(other)

    __hash__ = Order.__hash__


def test_own_undos_of_one_target_in_falling_order(story: Counted, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each counts until one before it comes; they are compared, but not all with all."""
    target = MessageId(b"\xff" * 32)
    story.timeline.set_target(target, (GUEST,), TEXT, 5)
    undos = story.chain(GUEST, Undo(target, TEXT, 5, None), first=10)
    monkeypatch.setattr(undoing, "order_of", lambda each: CountedOrder(each.global_time, each.id))
    CountedOrder.compared = 0
    assert story.hold_each(undos[::-1]) == COUNT
    assert [story.counts(each.id) for each in undos] == [True] + [False] * (COUNT - 1)
    assert 0 < CountedOrder.compared <= 30 * COUNT
