"""Undo: what is taken back is hidden, whoever hears of it first."""

from __future__ import annotations

from itertools import permutations
from pathlib import Path

from dispersy.protocol.permissions.control_messages import Permission
from dispersy.protocol.wire.stripped import Stripped
from tests.unit.governed import OPEN, Author, GovernedNode, id_of, master


def test_own_messages_and_with_permission_those_of_others(tmp_path: Path) -> None:
    """Goal: the author undoes, who may undo does, nobody else."""
    founder, editor, author, stranger = master(), Author(2), Author(3), Author(4)
    node = GovernedNode(tmp_path)
    texts = [author.data(OPEN, 10 + at) for at in range(3)]
    node.receive(founder.grant(2, editor, kind=OPEN, permissions=Permission.UNDO), *texts)
    node.receive(author.undo(20, texts[0]), editor.undo(21, texts[1]), stranger.undo(22, texts[2]))
    assert node.shows(*texts) == [False, False, True]
    # What the author takes back is gone, and passed on without it; what another took back may be shown again.
    stored = node.store.messages(
        [cursor for cursor in node.store.find_ids(b"".join(map(id_of, texts))) if cursor]
    )
    assert [isinstance(each, Stripped) for each in stored] == [True, False, False]


def test_twice_is_the_same_undo(tmp_path: Path) -> None:
    """Goal: of two that say the same the least counts, in every order; one event tells of it."""
    author = Author(2)
    text = author.data(OPEN, 10)
    first, second = author.undo(20, text), author.undo(21, text)
    for order in permutations([text, first, second]):
        node = GovernedNode(tmp_path)
        for raw in order:
            node.receive(raw)
        assert node.shows(text) == [False]
        assert node.is_live(first)
        assert len(node.told) <= 1


def test_an_undo_may_arrive_before_its_message(tmp_path: Path) -> None:
    """Goal: it waits, and the message is stored undone."""
    author, node = Author(2), GovernedNode(tmp_path)
    text = author.data(OPEN, 10)
    undo = author.undo(20, text)
    node.receive(undo)
    assert node.waits(undo)
    node.receive(text)
    assert node.shows(text) == [False]
    assert node.live() == {id_of(text), id_of(undo)}
    assert node.told == []
