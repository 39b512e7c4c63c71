"""Control messages that leave the waiting room in the very round that lets them count, or that brings them
anew."""

from __future__ import annotations

from pathlib import Path

from dispersy.constants import WAITING_AUTHOR_MAX, WANTED_MAX
from dispersy.protocol.identifiers import MessageId
from dispersy.protocol.intake.received import pack
from dispersy.protocol.permissions.control_messages import Permission, Undo
from tests.unit.governed import COMMUNITY, EDIT, OPEN, Author, GovernedNode, id_of, master

CHAIN = Permission.PERMIT | Permission.AUTHORIZE


def begin(node: GovernedNode, *raws: bytes) -> None:
    """A part of a round."""
    node.ledger.receive(node.number, len(raws), *pack(raws, COMMUNITY))


def test_an_undo_counts_that_a_flood_drives_out_as_its_target_comes(tmp_path: Path) -> None:
    """Goal: anybody can send this; it is stored with the round, and the next round is as any other."""
    writer, node = Author(2), GovernedNode(tmp_path)
    text = writer.data(OPEN, 10)
    undo = writer.undo(11, text)
    node.receive(undo)
    node.receive(text, *(writer.grant(20 + at, Author(3)) for at in range(WAITING_AUTHOR_MAX)))
    assert node.is_live(undo)
    other = Author(3).data(OPEN, 30)
    node.receive(other)
    assert node.shows(text, other) == [False, True]
    node.restart()
    assert node.live() == {id_of(each) for each in (text, undo, other)}


def test_a_grant_counts_whose_time_is_up_as_what_it_waited_for_comes(tmp_path: Path) -> None:
    """Goal: it is stored with the round, and permits what it says."""
    founder, editor, writer, node = master(), Author(2), Author(3), GovernedNode(tmp_path)
    first, second = founder.grant(2, editor, permissions=CHAIN), editor.grant(3, writer)
    node.receive(second)
    node.ledger.handle_timer(0.0)
    begin(node, first)
    node.ledger.handle_timer(1e9)
    node.commit()
    text = writer.data(EDIT, 50)
    node.receive(text)
    assert node.live() == {id_of(each) for each in (first, second, text)}


def test_a_grant_waits_that_is_driven_out_and_comes_again_in_one_round(tmp_path: Path) -> None:
    """Goal: the timeline goes on knowing of it, once, whether it counts in that round or later."""
    for is_permitted_at_once in (True, False):
        founder, editor, writer, node = master(), Author(2), Author(3), GovernedNode(tmp_path)
        first, second = founder.grant(2, editor, permissions=CHAIN), editor.grant(3, writer)
        undo = editor.undo(4, writer.data(OPEN, 1))
        node.receive(second, undo)
        begin(node, *(editor.data(EDIT, 100 + at) for at in range(WAITING_AUTHOR_MAX)))
        begin(node, second, undo, *([first] if is_permitted_at_once else []))
        node.commit()
        node.receive(first)
        text = writer.data(EDIT, 50)
        node.receive(text)
        assert node.shows(text) == [True]
        assert {id_of(first), id_of(second)} < node.live()
        node.ledger.handle_timer(0.0)
        node.ledger.handle_timer(1e9)
        assert not node.ledger._communities.by_number[node.number].intake._control.targets


def test_who_names_many_that_nobody_has_keeps_out_none_of_others(tmp_path: Path) -> None:
    """Goal: what a member's chain lacks is asked for by name, however many ids another has made up."""
    author, other, node = Author(2), Author(3), GovernedNode(tmp_path)
    texts = [author.data(OPEN, 10 + at) for at in range(2 * WANTED_MAX)]
    made_up = [
        author.control(
            Undo(id_of(text), OPEN, 10 + at, None),
            1_000 + at,
            previous=MessageId(bytes(31) + bytes((1 + at,))),
        )
        for at, text in enumerate(texts)
    ]
    node.receive(*texts, *made_up)
    text = other.data(OPEN, 500)
    lost = other.grant(600, author)
    node.receive(text, other.undo(700, text))
    wanted = node.ledger._communities.by_number[node.number].intake.wanted().messages
    assert id_of(lost) in wanted
    assert len(wanted) == WANTED_MAX
