"""Goal: each rule of who may do what, as a story of a founder, a senior, a junior and a guest."""

from __future__ import annotations

from itertools import pairwise, product
from random import Random

import pytest

from dispersy.protocol.identifiers import MemberId, MessageId
from dispersy.protocol.permissions.control_messages import (
    Authorize,
    AuthorRanges,
    Body,
    ControlMessage,
    Destroy,
    Grant,
    PairCut,
    PairRanges,
    Permission,
    Ranges,
    Revoke,
    Settings,
    Undo,
    Withdrawal,
    control_kind,
)
from dispersy.protocol.permissions.powers import Order, Power, Standing
from dispersy.protocol.permissions.timeline import Timeline
from dispersy.protocol.permissions.undoing import UndoneState
from dispersy.protocol.wire.message import NO_PREVIOUS

FOUNDER, SENIOR, JUNIOR, GUEST = (MemberId(bytes([number]) * 32) for number in range(1, 5))
TEXT, OPEN, CHANGING = 64, 65, 66
PERMIT, AUTHORIZE, REVOKE, UNDO = Permission.PERMIT, Permission.AUTHORIZE, Permission.REVOKE, Permission.UNDO
SETTINGS = Permission.SETTINGS
ALL = Permission(31)


class Story:
    """A community as it is told; each sentence is a message, held and judged at once."""

    def __init__(self) -> None:
        self.timeline = Timeline(FOUNDER)
        self.timeline.set_resolution(TEXT, "linear")
        self.timeline.set_resolution(OPEN, "public")
        self.timeline.set_resolution(CHANGING, ("dynamic", "public"))
        self.timeline.settle()
        self.count = 0

    def message(
        self, author: MemberId, time: int, body: Body, previous: MessageId = NO_PREVIOUS
    ) -> ControlMessage:
        """Written and not held yet; ids ascend."""
        self.count += 1
        message_id = MessageId(self.count.to_bytes(32, "big"))
        return ControlMessage(message_id, author, control_kind(body), time, previous, body)

    def hold(self, message: ControlMessage) -> MessageId:
        self.timeline.add(message)
        self.timeline.settle()
        return message.id

    def says(self, author: MemberId, time: int, body: Body, previous: MessageId = NO_PREVIOUS) -> MessageId:
        return self.hold(self.message(author, time, body, previous))

    def writes(self, author: MemberId, time: int, sequence: int = 1, kind: int = TEXT) -> bool:
        return self.timeline.is_permitted((author,), kind, time, sequence)

    def counts(self, message_id: MessageId) -> bool:
        return self.timeline.counts(message_id)


@pytest.fixture
def story() -> Story:
    return Story()


def grant(member: MemberId, permissions: Permission = ALL, kind: int = TEXT) -> Authorize:
    return Authorize((Grant(member, kind, permissions),))


def revoke(
    member: MemberId,
    permissions: Permission = ALL,
    heads: tuple[MessageId, ...] = (),
    ranges: Ranges = (),
    pairs: tuple[PairRanges, ...] = (),
) -> Revoke:
    return Revoke((Withdrawal(member, TEXT, permissions, heads, ranges, pairs),))


def test_only_the_founder_writes_where_nobody_was_granted_anything(story: Story) -> None:
    assert story.writes(FOUNDER, 1)
    assert not story.writes(GUEST, 1)
    assert story.writes(GUEST, 1, kind=OPEN)
    assert not story.writes(FOUNDER, 1, kind=99), "no definition names it"


def test_a_grant_holds_for_what_is_later(story: Story) -> None:
    story.says(FOUNDER, 5, grant(GUEST, PERMIT))
    assert [story.writes(GUEST, time) for time in (4, 5, 6)] == [False, False, True]
    assert not story.writes(JUNIOR, 6)


def test_who_grants_needs_authorize_and_what_is_granted(story: Story) -> None:
    story.says(FOUNDER, 1, grant(SENIOR, AUTHORIZE | PERMIT))
    given = story.says(SENIOR, 2, grant(JUNIOR, PERMIT | UNDO))
    assert story.counts(given)
    assert story.timeline.holds(JUNIOR, TEXT, PERMIT, 3)
    assert not story.timeline.holds(JUNIOR, TEXT, UNDO, 3), "which the senior lacks"
    assert not story.counts(story.says(JUNIOR, 3, grant(GUEST, PERMIT)))
    assert not story.writes(GUEST, 4)


def test_a_late_grant_gives_effect_to_what_waited(story: Story) -> None:
    waited = story.says(SENIOR, 2, grant(GUEST, PERMIT))
    assert not story.timeline.is_live(waited)
    story.timeline.add(story.message(FOUNDER, 1, grant(SENIOR)))
    changes = story.timeline.settle()
    assert waited in changes.lived
    assert changes.lanes == {(SENIOR, TEXT), (GUEST, TEXT)}
    assert story.writes(GUEST, 3)


def test_powers_are_eight_deep_at_most(story: Story) -> None:
    chain = [FOUNDER, *(MemberId(bytes([100 + number]) * 32) for number in range(9))]
    given = [
        story.says(author, time, grant(member)) for time, (author, member) in enumerate(pairwise(chain), 1)
    ]
    assert [story.counts(each) for each in given] == [True] * 8 + [False]
    assert story.timeline.proof((chain[8],), TEXT, 20, 1) == given[:8]


def test_a_revoked_member_keeps_what_is_pinned_and_gains_nothing_by_old_times(story: Story) -> None:
    story.says(FOUNDER, 1, grant(SENIOR))
    kept = story.says(SENIOR, 3, grant(JUNIOR, PERMIT))
    story.says(FOUNDER, 10, revoke(SENIOR, heads=(kept,), ranges=((1, 2), (4, 4))))
    assert [story.writes(SENIOR, 5, sequence) for sequence in range(1, 6)] == [True, True, False, True, False]
    assert story.writes(JUNIOR, 11)
    backdated = story.says(SENIOR, 2, grant(GUEST, PERMIT))
    assert not story.counts(backdated)
    assert not story.writes(GUEST, 11)


def test_a_pin_reaches_back_over_previous_and_no_other_branch(story: Story) -> None:
    story.says(FOUNDER, 1, grant(SENIOR))
    first = story.says(SENIOR, 2, grant(JUNIOR, PERMIT))
    second = story.says(SENIOR, 3, grant(JUNIOR, UNDO), previous=first)
    branch = story.says(SENIOR, 4, grant(GUEST, PERMIT), previous=first)
    story.says(FOUNDER, 10, revoke(SENIOR, heads=(second,)))
    assert [story.counts(each) for each in (first, second, branch)] == [True, True, False]


def test_a_walk_takes_no_step_to_another_author_or_a_later_time(story: Story) -> None:
    story.says(FOUNDER, 1, grant(SENIOR))
    early, late = story.says(SENIOR, 2, grant(JUNIOR)), story.says(SENIOR, 7, grant(JUNIOR))
    backwards = story.says(SENIOR, 5, grant(JUNIOR), previous=late)
    foreign = story.says(JUNIOR, 6, grant(GUEST), previous=early)
    abroad = story.says(SENIOR, 8, grant(JUNIOR), previous=foreign)
    story.says(FOUNDER, 10, revoke(SENIOR, heads=tuple(sorted((backwards, abroad)))))
    assert [story.counts(each) for each in (early, late, backwards, abroad)] == [False, False, True, True]


def test_what_a_pin_names_is_asked_for_and_counts_when_it_comes(story: Story) -> None:
    story.says(FOUNDER, 1, grant(SENIOR))
    oldest = story.message(SENIOR, 2, grant(GUEST, PERMIT))
    middle = story.message(SENIOR, 3, grant(JUNIOR, PERMIT), previous=oldest.id)
    story.hold(oldest)
    story.says(FOUNDER, 10, revoke(SENIOR, heads=(middle.id,)))
    assert story.timeline.missing() == {middle.id}
    assert not story.counts(oldest.id)
    story.hold(middle)
    assert story.timeline.missing() == frozenset()
    assert story.counts(oldest.id)
    assert story.counts(middle.id)
    story.timeline.discard(middle.id)
    story.timeline.settle()
    assert not story.counts(oldest.id)
    assert not story.writes(GUEST, 11)


def test_a_grant_after_the_revoke_is_not_cut_by_it(story: Story) -> None:
    story.says(FOUNDER, 1, grant(GUEST, PERMIT))
    story.says(FOUNDER, 10, revoke(GUEST, PERMIT))
    assert not story.writes(GUEST, 20)
    story.says(FOUNDER, 11, grant(GUEST, PERMIT))
    assert [story.writes(GUEST, time) for time in (5, 11, 12)] == [False, False, True]


def test_equals_take_leaves_from_each_other_and_no_seniority(story: Story) -> None:
    story.says(FOUNDER, 1, Authorize((Grant(SENIOR, TEXT, ALL), Grant(JUNIOR, TEXT, ALL))))
    one = story.says(SENIOR, 5, revoke(JUNIOR))
    other = story.says(JUNIOR, 5, revoke(SENIOR))
    assert story.counts(one)
    assert story.counts(other)
    for member in (SENIOR, JUNIOR):
        held = [each for each in ALL if story.timeline.holds(member, TEXT, each, 9)]
        assert held == [AUTHORIZE, REVOKE]
    founders = story.says(FOUNDER, 6, revoke(SENIOR))
    assert story.counts(founders)
    assert not story.counts(one), "no pin names it"
    assert story.timeline.holds(JUNIOR, TEXT, PERMIT, 9)
    assert [power.permission for power, cuts in story.timeline.powers_of(SENIOR, TEXT) if not cuts] == []


def test_several_pins_must_all_allow(story: Story) -> None:
    story.says(FOUNDER, 1, grant(GUEST, PERMIT))
    story.says(FOUNDER, 10, revoke(GUEST, PERMIT, ranges=((1, 4),)))
    story.says(FOUNDER, 11, revoke(GUEST, PERMIT, ranges=((3, 9),)))
    assert [story.writes(GUEST, 5, sequence) for sequence in (2, 3, 4, 5)] == [False, True, True, False]


def test_a_pair_is_pinned_by_the_other_and_the_role(story: Story) -> None:
    story.says(FOUNDER, 1, Authorize((Grant(SENIOR, TEXT, PERMIT), Grant(GUEST, TEXT, PERMIT))))
    pairs = (PairRanges(SENIOR, 0, ((2, 2),)), PairRanges(SENIOR, 1, ((3, 3),)))
    story.says(FOUNDER, 10, revoke(GUEST, PERMIT, ranges=((1, 1),), pairs=pairs))
    permitted = [
        (lane, sequence)
        for lane in ((GUEST,), (GUEST, SENIOR), (SENIOR, GUEST), (GUEST, FOUNDER))
        for sequence in (1, 2, 3)
        if story.timeline.is_permitted(lane, TEXT, 5, sequence)
    ]
    assert permitted == [((GUEST,), 1), ((GUEST, SENIOR), 2), ((SENIOR, GUEST), 3)]
    assert not story.timeline.is_permitted((SENIOR, JUNIOR), TEXT, 5, 1), "each for itself"


def test_settings_hold_from_their_time_and_cut_off_what_they_do_not_keep(story: Story) -> None:
    kept = (AuthorRanges(GUEST[:16], ((1, 2),)),)
    narrowed = story.says(FOUNDER, 10, Settings(CHANGING, is_linear=True, cut=kept))
    assert [story.writes(GUEST, 5, sequence, CHANGING) for sequence in (2, 3)] == [True, False]
    assert story.timeline.cut_off_by((GUEST,), CHANGING, 5, 3) == narrowed
    assert not story.writes(GUEST, 11, 2, CHANGING)
    widened = story.says(FOUNDER, 20, Settings(CHANGING, is_linear=False))
    assert [story.writes(GUEST, time, 9, CHANGING) for time in (10, 20, 21)] == [False, False, True]
    assert story.timeline.proof((GUEST,), CHANGING, 21, 9) == [widened]


def test_a_cut_goes_on_in_settings_that_continue_it(story: Story) -> None:
    whole = story.says(FOUNDER, 10, Settings(CHANGING, is_linear=True))
    assert not story.writes(GUEST, 5, 1, CHANGING)
    pairs = (PairCut(GUEST[:16], JUNIOR[:16], ((7, 7),)),)
    cut = (AuthorRanges(GUEST[:16], ((1, 1),)),)
    more = story.says(FOUNDER, 30, Settings(CHANGING, True, cut, pairs, continues=whole))
    assert story.writes(GUEST, 5, 1, CHANGING)
    assert story.timeline.is_permitted((GUEST, JUNIOR), CHANGING, 5, 7)
    assert not story.timeline.is_permitted((JUNIOR, GUEST), CHANGING, 5, 7)
    story.says(FOUNDER, 31, Settings(CHANGING, True, (AuthorRanges(JUNIOR[:16], ((1, 1),)),), continues=more))
    assert not story.writes(JUNIOR, 5, 1, CHANGING), "only the first is continued"
    story.says(FOUNDER, 20, Settings(CHANGING, is_linear=False))
    assert story.writes(GUEST, 40, 9, CHANGING), "what continues changes no policy"


def test_settings_need_a_dynamic_kind_and_the_power(story: Story) -> None:
    of_founder = story.says(FOUNDER, 5, Settings(OPEN, is_linear=True))
    of_guest = story.says(GUEST, 5, Settings(CHANGING, is_linear=True))
    assert not story.counts(of_founder)
    assert story.timeline.is_live(of_founder)
    assert not story.timeline.is_live(of_guest)
    assert story.writes(GUEST, 6, kind=OPEN)
    story.timeline.set_resolution(OPEN, ("dynamic", "public"))
    assert story.timeline.settle().kinds == {OPEN: 0}
    assert not story.writes(GUEST, 6, kind=OPEN)
    story.says(FOUNDER, 1, grant(GUEST, SETTINGS, CHANGING))
    assert not story.writes(JUNIOR, 6, kind=CHANGING)


def test_undo_one_s_own_or_with_the_power(story: Story) -> None:
    target = MessageId(b"t" * 32)
    early = story.says(GUEST, 6, Undo(target, TEXT, 5))
    assert story.timeline.undone(target) is None
    story.timeline.set_target(target, (GUEST,), TEXT, 5)
    assert story.timeline.settle().undone == {target}
    assert story.counts(early)
    assert story.timeline.undone(target) == UndoneState(whole=True, indices=frozenset(), by_author=True)
    again = story.says(GUEST, 7, Undo(target, TEXT, 5))
    assert not story.timeline.is_live(again), "undone twice is undone once"
    foreign = story.says(SENIOR, 8, Undo(target, TEXT, 5, index=2))
    assert not story.counts(foreign)
    story.says(FOUNDER, 1, grant(SENIOR, UNDO))
    assert story.timeline.undone(target) == UndoneState(True, frozenset([2]), True)
    assert story.timeline.undos_of(target) == [early, again, foreign]
    assert story.timeline.proof_of(early) == []
    assert len(story.timeline.proof_of(foreign)) == 1
    story.timeline.set_target(target, None, TEXT, 5)
    story.timeline.settle()
    assert story.timeline.undone(target) is None
    assert not story.timeline.is_live(early)


@pytest.mark.parametrize(
    "undo", [(6, OPEN, 5), (6, TEXT, 4), (5, TEXT, 5)], ids=["kind", "time", "not later than its target"]
)
def test_an_undo_must_name_its_target_rightly(story: Story, undo: tuple[int, int, int]) -> None:
    time, kind, target_time = undo
    target = MessageId(b"t" * 32)
    story.timeline.set_target(target, (GUEST,), TEXT, 5)
    assert not story.counts(story.says(GUEST, time, Undo(target, kind, target_time)))
    assert story.timeline.undone(target) is None


def test_revoked_undo_gives_back_what_was_undone(story: Story) -> None:
    target = MessageId(b"t" * 32)
    story.timeline.set_target(target, (GUEST,), TEXT, 5)
    story.says(FOUNDER, 1, grant(SENIOR, UNDO))
    story.says(SENIOR, 6, Undo(target, TEXT, 5))
    assert story.timeline.undone(target) == UndoneState(True, frozenset(), by_author=False)
    story.timeline.add(story.message(FOUNDER, 7, revoke(SENIOR, UNDO)))
    assert story.timeline.settle().undone == {target}
    assert story.timeline.undone(target) is None


def test_a_soft_destroy_ends_what_is_later_and_only_the_founder_s(story: Story) -> None:
    story.says(FOUNDER, 1, grant(GUEST, PERMIT))
    late = story.says(FOUNDER, 12, grant(JUNIOR, PERMIT))
    assert not story.timeline.is_live(story.says(GUEST, 3, Destroy(is_hard=True)))
    end = story.says(FOUNDER, 10, Destroy(is_hard=False))
    assert story.timeline.soft_destroyed_at == 10
    assert [story.writes(GUEST, time) for time in (10, 11)] == [True, False]
    assert not story.writes(FOUNDER, 11)
    assert not story.writes(GUEST, 11, kind=OPEN)
    assert story.timeline.is_live(end)
    assert not story.timeline.is_live(late)
    assert not story.timeline.holds(FOUNDER, TEXT, PERMIT, 11)


def test_after_a_hard_destroy_nothing_else_is_live(story: Story) -> None:
    given = story.says(FOUNDER, 1, grant(GUEST, PERMIT))
    later, end = (story.message(FOUNDER, time, Destroy(is_hard=True)) for time in (30, 20))
    story.hold(later)
    story.timeline.add(end)
    changes = story.timeline.settle()
    assert changes.destroyed
    assert story.timeline.hard_destroyed == end.id
    assert changes.unlived == [later.id]
    assert not story.timeline.is_live(given)
    assert not story.writes(FOUNDER, 2)
    assert not story.writes(GUEST, 2, kind=OPEN)


def test_what_counts_keeps_its_chain_live(story: Story) -> None:
    story.says(FOUNDER, 1, grant(SENIOR, PERMIT | AUTHORIZE))
    useless = story.says(SENIOR, 2, revoke(GUEST))
    assert not story.timeline.is_live(useless)
    counting = story.says(SENIOR, 3, grant(JUNIOR, PERMIT), previous=useless)
    assert story.timeline.is_live(useless)
    assert not story.counts(useless)
    story.says(FOUNDER, 9, revoke(SENIOR))
    assert not story.timeline.is_live(counting)
    assert not story.timeline.is_live(useless)


def test_a_proof_names_every_grant_behind_a_message_from_the_founder_down(story: Story) -> None:
    may_grant = story.says(FOUNDER, 2, grant(SENIOR, AUTHORIZE))
    may_write = story.says(FOUNDER, 1, grant(SENIOR, PERMIT))
    given = story.says(SENIOR, 5, grant(GUEST, PERMIT))
    story.says(FOUNDER, 9, grant(GUEST, UNDO))
    assert story.timeline.proof((GUEST,), TEXT, 6, 1) == [may_write, may_grant, given]
    assert sorted(story.timeline.proof_of(given)) == sorted([may_write, may_grant])
    assert story.timeline.proof((FOUNDER,), TEXT, 6, 1) == []
    assert story.timeline.proof((GUEST,), TEXT, 5, 1) == []


def test_powers_are_looked_up_the_same_in_whatever_order_they_were_granted() -> None:
    """Goal: what is kept of many powers for look-ups depends on the set alone, ties included."""
    powers = [
        Power(PERMIT, Order(time, MessageId(bytes([number]) * 32)), depth)
        for number, (time, depth) in enumerate(product((1, 2, 3), (3, 2, 2, 1)))
    ]
    said = set()
    for seed in range(50):
        standing = Standing()
        for power in Random(seed).sample(powers, len(powers)):
            standing.grant(power)
            standing.covering(PERMIT, 9, lambda _: False)
        said.add(tuple(standing.covering(PERMIT, time, lambda _: False) for time in range(6)))
    assert said == {(None, None, *[min(powers[:4], key=lambda each: each.depth)] * 4)}
