"""Destroy: the founder ends a community, softly or for good; nobody else does."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.unit.governed import OPEN, Author, GovernedNode, id_of, master


def test_a_soft_destroy_freezes(tmp_path: Path) -> None:
    """Goal: what is later goes and never comes; what is earlier stays, and may still come."""
    author, node = Author(2), GovernedNode(tmp_path)
    early, late, between = author.data(OPEN, 10), author.data(OPEN, 30), author.data(OPEN, 15)
    node.receive(early, late)
    founder = master()
    node.receive(founder.destroy(20, is_hard=False))
    granted, too_late = (founder.grant(time, author, kind=OPEN) for time in (20, 21))
    node.receive(granted, too_late)
    assert [node.is_live(each) for each in (granted, too_late)] == [True, False]
    last, first_behind = author.data(OPEN, 20), author.data(OPEN, 21)
    node.receive(between, last, first_behind, author.data(OPEN, 40))
    assert node.shows(early, late, between, last) == [True, False, True, True]
    assert not node.is_live(first_behind)
    assert node.told == [("denied", id_of(late), "destroyed")]


@pytest.mark.parametrize("is_first", [True, False])
def test_a_hard_destroy_wipes_and_stops(tmp_path: Path, is_first: bool) -> None:
    """Goal: the destroy alone is held, whatever came before and comes after."""
    author, node = Author(2), GovernedNode(tmp_path)
    texts, destroy = [author.data(OPEN, 10 + at) for at in range(5)], master().destroy(99, is_hard=True)
    for raws in ([destroy], texts) if is_first else (texts, [destroy]):
        node.receive(*raws)
        while node.ledger.is_purging:
            node.commit()
        (record,) = node.store.communities()
        node.number = record.number
    assert node.live() == {id_of(destroy)}
    assert [node.refused(each) for each in texts] == (["destroyed"] * 5 if is_first else [""] * 5)


def test_anyone_elses_changes_nothing(tmp_path: Path) -> None:
    author, node = Author(2), GovernedNode(tmp_path)
    text = author.data(OPEN, 10)
    node.receive(text, author.destroy(5, is_hard=True), author.destroy(6, is_hard=False))
    assert node.live() == {id_of(text)}
