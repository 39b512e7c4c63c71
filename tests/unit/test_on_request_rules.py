"""Goal: what is decided of kinds that are on request is decided alike by those who hold their messages and by
those who do not (docs/timeline.md, rule 21)."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from dispersy.errors import UsageError
from dispersy.protocol.definitions.definition import Definition
from dispersy.protocol.definitions.kind import Kind
from dispersy.protocol.definitions.policies import choose
from dispersy.protocol.definitions.succession import check_successor
from dispersy.protocol.identifiers import MemberId, MessageId
from dispersy.protocol.intake.marks import ERASED, UNDONE
from dispersy.protocol.permissions.control_messages import (
    Authorize,
    AuthorRanges,
    Body,
    ControlMessage,
    Grant,
    Permission,
    Revoke,
    Settings,
    Undo,
    Withdrawal,
    control_kind,
)
from dispersy.protocol.permissions.timeline import Timeline
from dispersy.protocol.permissions.undoing import UndoneState
from dispersy.protocol.wire.message import NO_PREVIOUS
from dispersy.storage.store import EntryType, on_request
from tests.oracle.decisions import Decisions
from tests.oracle.intake_node import WrittenNode
from tests.oracle.state import KindRules
from tests.oracle.writing import Pen

FOUNDER, EDITOR, AUTHOR, STRANGER = (MemberId(bytes([number]) * 32) for number in range(1, 5))
LINEAR, CHANGING = 64, 65
TARGET, OTHER = MessageId(b"t" * 32), MessageId(b"o" * 32)


class Story:
    """A timeline of two kinds that are on request; no target is held unless a test says so."""

    def __init__(self) -> None:
        self.timeline = Timeline(FOUNDER)
        self.timeline.set_resolution(LINEAR, "linear")
        self.timeline.set_resolution(CHANGING, ("dynamic", "public"))
        for kind in (LINEAR, CHANGING):
            self.timeline.set_on_request(kind, True)
        self.count = 0
        self.says(FOUNDER, 1, Authorize((Grant(EDITOR, LINEAR, Permission.UNDO),)))
        self.granted = self.says(FOUNDER, 1, Authorize((Grant(AUTHOR, LINEAR, Permission.PERMIT),)))

    def says(self, author: MemberId, time: int, body: Body, previous: MessageId = NO_PREVIOUS) -> MessageId:
        self.count += 1
        message_id = MessageId(self.count.to_bytes(32, "big"))
        message = ControlMessage(message_id, author, control_kind(body), time, previous, body)
        self.timeline.add(message)
        self.timeline.settle()
        return message_id

    def hold(self, author: MemberId, kind: int = LINEAR, target: MessageId = TARGET) -> UndoneState | None:
        self.timeline.set_target(target, (author,), kind, 5)
        self.timeline.settle()
        return self.timeline.undone(target)


def test_who_may_write_or_undo_is_heard_though_nothing_is_held() -> None:
    story = Story()
    own = story.says(AUTHOR, 9, Undo(TARGET, LINEAR, 5))
    editors = story.says(EDITOR, 9, Undo(TARGET, LINEAR, 5))
    strangers = story.says(STRANGER, 9, Undo(TARGET, LINEAR, 5))
    early = story.says(AUTHOR, 5, Undo(TARGET, LINEAR, 5))
    live = [story.timeline.is_live(each) for each in (own, editors, strangers, early)]
    assert live == [True, True, False, False]
    # What they take back shows where it is held.
    assert story.hold(AUTHOR) == UndoneState(True, frozenset(), by_author=True)
    assert story.hold(STRANGER) == UndoneState(True, frozenset(), by_author=False)
    assert [story.timeline.is_live(each) for each in (own, editors, strangers, early)] == live


def test_what_was_written_by_others_stays_without_the_power() -> None:
    story = Story()
    assert story.timeline.is_live(story.says(AUTHOR, 9, Undo(TARGET, LINEAR, 5)))
    assert story.hold(EDITOR) is None
    assert story.timeline.is_live(story.says(EDITOR, 9, Undo(OTHER, CHANGING, 5)))
    assert story.hold(AUTHOR, LINEAR, OTHER) is None, "it says another kind"


def test_it_goes_and_comes_with_the_permit() -> None:
    """A revoke ends what its pin does not reach, also of what came before it."""
    story = Story()
    first = story.says(AUTHOR, 9, Undo(TARGET, LINEAR, 5))
    second = story.says(AUTHOR, 10, Undo(OTHER, LINEAR, 5), first)
    assert (story.timeline.is_live(first), story.timeline.is_live(second)) == (True, True)
    cut = Withdrawal(AUTHOR, LINEAR, Permission.PERMIT, (first,), (), ())
    story.says(FOUNDER, 11, Revoke((cut,)))
    assert (story.timeline.is_live(first), story.timeline.is_live(second)) == (True, False)
    assert not story.timeline.is_live(story.says(AUTHOR, 7, Undo(OTHER, LINEAR, 5)))


def test_equal_ones_count_once_in_what_they_take_back() -> None:
    story = Story()
    least = story.says(AUTHOR, 9, Undo(TARGET, LINEAR, 5))
    again = story.says(AUTHOR, 10, Undo(TARGET, LINEAR, 5))
    assert (story.timeline.counts(least), story.timeline.counts(again)) == (True, False)
    story.says(FOUNDER, 9, Authorize((Grant(AUTHOR, LINEAR, Permission.UNDO),)))
    # The later one takes back what others have written, too.
    assert (story.timeline.counts(least), story.timeline.counts(again)) == (True, True)
    assert story.hold(STRANGER) == UndoneState(True, frozenset(), by_author=False)


def test_settings_take_it_from_whom_they_do_not_name() -> None:
    """Whoever writes below a change to linear with a fresh key floods nobody."""
    story = Story()
    known, fresh = (story.says(each, 9, Undo(TARGET, CHANGING, 5)) for each in (AUTHOR, STRANGER))
    assert (story.timeline.is_live(known), story.timeline.is_live(fresh)) == (True, True)
    story.says(FOUNDER, 12, Settings(CHANGING, True, (AuthorRanges(AUTHOR[:16], ((1, 1),)),), ()))
    assert (story.timeline.is_live(known), story.timeline.is_live(fresh)) == (True, False)
    assert not story.timeline.is_live(story.says(AUTHOR, 13, Undo(TARGET, CHANGING, 5)))


def test_a_kind_that_is_offered_asks_for_its_target() -> None:
    story = Story()
    undo = story.says(AUTHOR, 9, Undo(TARGET, LINEAR, 5))
    story.timeline.set_on_request(LINEAR, False)
    story.timeline.settle()
    assert not story.timeline.is_live(undo)
    story.hold(AUTHOR)
    assert story.timeline.is_live(undo)


def test_the_oldest_definition_decides_whenever_it_comes(tmp_path: Path) -> None:
    """Both nodes hold the same, in the same part of the store: the one moves what it has."""
    pen = Pen(random.Random(1))
    master = MemberId(pen.master)
    old = pen.definition(1, {64: KindRules("public", priority=16)})
    new = pen.definition(2, {64: KindRules("public")})
    author = pen.key()
    messages = [pen.data((author,), 64, time, time - 2) for time in (3, 4)]
    undo = pen.control(author, 9, None, Undo(messages[0].id, 64, 3))
    ends = []
    for order in ((old, new, *messages, undo), (new, *messages, undo, old), (new, undo, messages[0], old)):
        node = WrittenNode(pen, Decisions(master), tmp_path)
        for each in order:
            node.receive([each])
        stored = [each for each in node.store.log(1, 99) if each.type == EntryType.MESSAGE]
        marks = {each.message_id: each.marks for each in stored}
        assert node.in_part(on_request(node.number)) == {each.id for each in messages if each in order}
        assert marks[messages[0].id] == UNDONE | ERASED
        ends.append(node.in_part(node.number))
        node.close()
    assert ends == [{old.id, new.id, undo.id}] * 3


@pytest.mark.parametrize(("before", "after"), [(31, 32), (128, 0)])
def test_no_newer_definition_crosses_the_line(before: int, after: int) -> None:
    distributions = [choose("distribution", "full-sync", priority=each) for each in (before, after)]
    kinds = [Kind(number=64, name="text", distribution=each) for each in distributions]
    one, other = (Definition("demo", (kind,)) for kind in kinds)
    told = f"priority cannot change from {before} to {after}, across 32"
    with pytest.raises(UsageError, match=told) as refused:
        check_successor(one, other)
    assert refused.value.code == "definition-kind-changed"


def test_what_is_left_is_taken_while_an_undo_stands(tmp_path: Path) -> None:
    """Goal: whoever takes it keeps the undo that says that it may be; should the kind be offered some day,
    others are told of both."""
    pen = Pen(random.Random(1))
    author, decisions = pen.key(), Decisions(pen.master)
    first, other = (WrittenNode(pen, decisions, tmp_path) for _ in range(2))
    definition = pen.definition(10, {64: KindRules("linear", priority=0)})
    granted = pen.control(pen.master, 11, None, Authorize((Grant(author, 64, Permission.PERMIT),)))
    picture = pen.data((author,), 64, 12, 1)
    undo = pen.control(author, 20, None, Undo(picture.id, 64, 12))
    pinned = Withdrawal(author, 64, Permission.PERMIT, (), ((1, 1),), ())
    revoked = pen.control(pen.master, 14, granted.id, Revoke((pinned,)))
    first.receive([definition, granted, picture, undo])
    first.receive([revoked])
    assert picture.id in first.state().live
    assert undo.id not in first.state().live
    other.receive([definition, granted, revoked, undo])
    other.receive([picture], first)
    assert picture.id not in other.state().live
    other.receive(
        [pen.control(pen.master, 15, revoked.id, Authorize((Grant(author, 64, Permission.PERMIT),)))]
    )
    assert {picture.id, undo.id} <= other.state().live
    for node in (first, other):
        node.close()
