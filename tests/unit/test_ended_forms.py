"""Goal: a soft end takes away what only a later definition admitted, on every node, whatever came first."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from random import Random

import pytest

from dispersy.protocol.intake.ended_forms import EndedForms
from dispersy.protocol.permissions.control_messages import ControlMessage, Destroy, Undo
from tests.oracle.community import Community
from tests.oracle.intake_node import DiskNode
from tests.oracle.state import DataMessage, KindRules
from tests.oracle.timeline import Oracle
from tests.oracle.writing import Pen

KIND = 64
END = 5


def begin(folder: Path) -> Community:
    """Two nodes that have a definition, under which long messages are not admitted."""
    pen = Pen(Random(1))
    community = Community(pen, [pen.key()], partial(DiskNode, keys=folder), 2, Oracle)
    definition = pen.definition(1, {KIND: KindRules("public")})
    for node in community.nodes:
        node.receive([definition])
    return community


def write_both(community: Community) -> tuple[DataMessage, DataMessage]:
    """A short and a long message below the end, back-dated: a definition above it admits the long one."""
    pen, (node, _) = community.pen, community.nodes
    (author,) = community.members
    node.receive([pen.definition(END + 1, {KIND: KindRules("public", admits_long=True)})])
    short = pen.data((author,), KIND, 2, 1)
    long = pen.data((author,), KIND, 3, 2, is_long=True)
    node.receive([short, long])
    assert node.state().live >= {short.id, long.id}
    return short, long


def test_what_a_later_definition_admitted_ends_with_it(tmp_path: Path) -> None:
    community = begin(tmp_path)
    short, long = write_both(community)
    one, other = community.nodes
    end = community.pen.control(community.master, END, None, Destroy(is_hard=False))
    other.receive([end, short, long])
    one.receive([end])
    community.converge(Random(2))
    for node in community.nodes:
        assert {short.id, long.id} & node.state().live == {short.id}
        node.close()


def test_it_stays_so_when_the_lane_is_judged_again(tmp_path: Path) -> None:
    """Goal: also in a round that does not end anything, and by who was started since."""
    community = begin(tmp_path)
    short, long = write_both(community)
    node, _ = community.nodes
    (author,) = community.members
    node.receive([community.pen.control(community.master, END, None, Destroy(is_hard=False))])
    node.forget(Random(0), 1.0)  # it is started anew
    # One that is signed anew, and does not rise: all of the lane is looked at.
    again = community.pen.data((author,), KIND, 2, 1)
    node.receive([again])
    assert {short.id, long.id, again.id} & node.state().live == {short.id, again.id}
    for each in community.nodes:
        each.close()


def take_back(community: Community, text: DataMessage) -> ControlMessage:
    """Its author undoes all of it, behind the end."""
    undo = Undo(text.id, text.kind, text.global_time)
    return community.pen.control(text.authors[0], END + 2, None, undo)


def end_of(community: Community) -> ControlMessage:
    return community.pen.control(community.master, END, None, Destroy(is_hard=False))


def test_what_its_author_has_undone_is_admitted_wherever_it_lies(tmp_path: Path) -> None:
    """Goal: some have erased it before the end, and nobody can tell any more what was in it; who has it whole
    still, and not live, takes it back from them."""
    community = begin(tmp_path)
    short, long = write_both(community)
    end, undo = end_of(community), take_back(community, long)
    one, other = community.nodes
    other.receive([*one.live(), undo])
    for node in community.nodes:
        node.receive([end])
    assert [long.id in node.state().live for node in community.nodes] == [False, True]
    one.forget(Random(0), 1.0)  # it is started anew
    community.converge(Random(2))
    for node in community.nodes:
        assert {short.id, long.id, undo.id} <= node.state().live
        assert node.state().marks[long.id].erased
        node.close()


@pytest.mark.parametrize("is_undo_first", [False, True])
def test_it_is_admitted_whatever_comes_first(is_undo_first: bool, tmp_path: Path) -> None:
    """Goal: who knows of the undo takes also the whole message, which nobody else would."""
    community = begin(tmp_path)
    pen, (node, never) = community.pen, community.nodes
    (author,) = community.members
    long = pen.data((author,), KIND, 3, 2, is_long=True)
    undo = take_back(community, long)
    node.receive([end_of(community)])
    if is_undo_first:
        node.receive([undo])
    node.receive([undo, long])
    never.receive([end_of(community), long])
    community.converge(Random(2))
    for each in community.nodes:
        assert {long.id, undo.id} <= each.state().live
        each.close()


def test_a_late_definition_below_the_end_admits_it_again(tmp_path: Path) -> None:
    """Goal: what the end took away lies here, and counts as soon as a definition that is left admits it, if
    only that changes, too."""
    community = begin(tmp_path)
    _, long = write_both(community)
    node, _ = community.nodes
    node.receive([end_of(community)])
    assert long.id not in node.state().live
    node.receive([community.pen.definition(END, {KIND: KindRules("public", admits_long=True)})])
    assert long.id in node.state().live
    for each in community.nodes:
        each.close()


def test_a_strangers_undo_admits_nothing(tmp_path: Path) -> None:
    community = begin(tmp_path)
    short, long = write_both(community)
    node, _ = community.nodes
    stranger = community.pen.key()
    undo = community.pen.control(stranger, END - 1, None, Undo(long.id, KIND, long.global_time))
    node.receive([end_of(community)])
    node.receive([undo, community.pen.control(stranger, 9, None, Undo(short.id, KIND, short.global_time))])
    assert {short.id, long.id} & node.state().live == {short.id}
    for each in community.nodes:
        each.close()


def test_a_node_that_looks_at_no_form_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Goal: these two would be red without the look."""
    monkeypatch.setattr(EndedForms, "refusal", lambda *_: "")
    for test in (
        test_what_a_later_definition_admitted_ends_with_it,
        test_it_stays_so_when_the_lane_is_judged_again,
    ):
        with pytest.raises(AssertionError):
            test(tmp_path)
