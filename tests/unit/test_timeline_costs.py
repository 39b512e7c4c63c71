"""Goal: what one member sends costs about its length, in whatever order it comes: steps are counted."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from dispersy.protocol.identifiers import MemberId, MessageId
from dispersy.protocol.permissions import policy_history, powers, undoing
from dispersy.protocol.permissions.claims import Claim
from dispersy.protocol.permissions.control_chain import ControlChain
from dispersy.protocol.permissions.control_messages import (
    AuthorRanges,
    Body,
    ControlMessage,
    Permission,
    Revoke,
    Settings,
    Undo,
    Withdrawal,
)
from dispersy.protocol.permissions.powers import Order
from dispersy.protocol.permissions.timeline import Timeline
from dispersy.protocol.wire.message import NO_PREVIOUS
from tests.unit.test_timeline import CHANGING, FOUNDER, GUEST, JUNIOR, SENIOR, TEXT, Story, grant

COUNT, FEW = 300, 50


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


def counted(monkeypatch: pytest.MonkeyPatch, owner: object, name: str) -> list[object]:
    """Grows by one with each call of a function."""
    calls: list[object] = []
    called = getattr(owner, name)

    def counting(*arguments: object) -> object:
        calls.append(None)
        return called(*arguments)

    monkeypatch.setattr(owner, name, counting)
    return calls


def pinning(at: int, heads: tuple[MessageId, ...] = ()) -> Revoke:
    """A revoke with a pin that no other has."""
    return Revoke((Withdrawal(SENIOR, TEXT, Permission(31), heads, ((1, at), (at + 2, 3 * COUNT)), ()),))


@pytest.mark.parametrize("step", [FORWARD, BACKWARD])
def test_many_revokes_of_whoever_has_said_much(
    story: Counted, step: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each message is judged again by each, and is not compared with all pins each time."""
    story.says(FOUNDER, 1, grant(SENIOR))
    compared = counted(monkeypatch, powers, "pinned_ranges")
    times = range(10, 10 + FEW)[::step]
    for sequence, time in enumerate(times, start=1):
        story.says(FOUNDER, time, pinning(sequence))
        kept = [at for at in range(1, COUNT) if story.writes(SENIOR, 5, at)]
        assert kept == [1, *range(sequence + 2, COUNT)]
    assert len(compared) == FEW


def test_many_revokes_of_whoever_has_granted_much(story: Counted, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same of control messages; what no pin reaches counts no more."""
    story.says(FOUNDER, 1, grant(SENIOR))
    said = story.chain(SENIOR, grant(JUNIOR), first=10)[:FEW]
    story.hold_each(said)
    walked = counted(monkeypatch, ControlChain, "reached")
    for at, head in enumerate(said):
        story.says(FOUNDER, 1_000 + at, pinning(at + 1, tuple(sorted({head.id, said[-9].id}))))
    assert len(walked) == len(Permission) * FEW
    assert [story.counts(each.id) for each in said] == [True] * (FEW - 8) + [False] * 8


def test_many_changes_to_linear_of_what_much_was_said_in(
    story: Counted, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each message is judged again by each, and is not compared with all cuts each time."""
    compared = counted(monkeypatch, policy_history, "divided")
    cuts = [(AuthorRanges(GUEST[:16], ((max(1, at), COUNT),)),) for at in range(FEW)]
    ids = [story.says(FOUNDER, 10 + at, Settings(CHANGING, True, cut)) for at, cut in enumerate(cuts)]
    compared.clear()
    for sequence in range(1, COUNT + 1):
        cut_off = story.timeline.cut_off_by((GUEST,), CHANGING, 10, sequence)
        # The latest of those that do not name it.
        assert cut_off == (ids[-1] if sequence < FEW - 1 else None)
    assert 0 < len(compared) <= 4 * FEW
    compared.clear()
    story.says(FOUNDER, 9, Settings(CHANGING, True, cuts[-1]))
    assert story.timeline.cut_off_by((GUEST,), CHANGING, 9, 1) == ids[-1]
    assert 0 < len(compared) <= 4
