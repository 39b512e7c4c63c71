"""Timeline: who may do what is decided by messages, whatever comes first."""

from __future__ import annotations

from itertools import permutations
from pathlib import Path

from dispersy.protocol.permissions.control_messages import Permission
from tests.unit.governed import EDIT, OPEN, Author, GovernedNode, id_of, master


def test_an_unpermitted_message_waits_its_proof_is_wanted_and_the_authorize_releases_it(
    tmp_path: Path,
) -> None:
    """Goal: nobody sees it before, nothing of it is lost, and it is asked for what would permit it."""
    founder, writer, node = master(), Author(2), GovernedNode(tmp_path)
    text = writer.data(EDIT, 10)
    node.receive(text)
    assert (node.waits(text), node.live()) == (True, set())
    assert node.wants().proofs == [id_of(text)]
    node.receive(founder.grant(5, writer))
    assert (node.waits(text), node.shows(text)) == (False, [True])
    assert not node.wants()


def test_authorize_chains_from_the_master(tmp_path: Path) -> None:
    """Goal: a grant of a grant permits, and what hangs on no chain from the master does not."""
    founder, editor, writer, stranger = master(), Author(2), Author(3), Author(4)
    chain = [
        founder.grant(2, editor, permissions=Permission.PERMIT | Permission.AUTHORIZE),
        editor.grant(3, writer),
    ]
    loose = [stranger.grant(2, stranger), stranger.data(EDIT, 4)]
    text = writer.data(EDIT, 4)
    for order in permutations([*chain, text]):
        node = GovernedNode(tmp_path)
        node.receive(*loose)
        for raw in order:
            node.receive(raw)
        assert node.shows(text) == [True]
        assert node.live() == {id_of(each) for each in [*chain, text]}
        assert node.ledger.proof(node.number, id_of(text)) == [id_of(each) for each in chain]


def test_revoking_a_permission_holds_from_its_time(tmp_path: Path) -> None:
    """Goal: what the pin names stays; what is signed later, or back-dated, does not count."""
    founder, writer = master(), Author(2)
    grant = founder.grant(2, writer)
    before = [writer.data(EDIT, 10), writer.data(EDIT, 11)]
    revoke = founder.revoke(20, writer, keeps=((1, 2),))
    later = [writer.data(EDIT, 21), writer.data(EDIT, 12)]
    for order in permutations([grant, revoke, later[0], later[1]]):
        node = GovernedNode(tmp_path)
        node.receive(*before)
        for raw in order:
            node.receive(raw)
        assert node.shows(*before, *later) == [True, True, False, False]


def test_revoking_the_power_to_undo_restores_what_it_undid(tmp_path: Path) -> None:
    """Goal: another's undo hides only as long as it counts."""
    founder, editor, author, node = master(), Author(2), Author(3), GovernedNode(tmp_path)
    text = author.data(OPEN, 10)
    node.receive(founder.grant(2, editor, kind=OPEN, permissions=Permission.UNDO), text)
    node.receive(editor.undo(20, text))
    assert node.shows(text) == [False]
    node.receive(founder.revoke(30, editor, kind=OPEN, permissions=Permission.UNDO))
    assert node.shows(text) == [True]
