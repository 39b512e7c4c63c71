"""Stories of the intake: what control messages do to data that came before, with and after them."""

from __future__ import annotations

from itertools import permutations
from pathlib import Path

import pytest

from dispersy.constants import WAITING_AUTHOR_MAX
from dispersy.errors import StorageError, UsageError
from dispersy.protocol.identifiers import MemberId
from dispersy.protocol.intake.marks import ERASED, UNDONE
from dispersy.protocol.permissions.control_messages import Permission
from dispersy.protocol.wire.message import read_message
from dispersy.storage.memory_store import MemoryStore
from dispersy.storage.store import Batch, EntryType
from tests.unit.governed import (
    COMMUNITY,
    EDIT,
    OPEN,
    PACT,
    RATED,
    STATUS,
    TALK,
    Author,
    GovernedNode,
    id_of,
    master,
)

CHAIN = Permission.PERMIT | Permission.AUTHORIZE


def test_an_unpermitted_message_waits_for_its_authorize(tmp_path: Path) -> None:
    """Goal: neither live nor lost; the authorize releases it, in whatever round it comes."""
    founder, writer, node = master(), Author(2), GovernedNode(tmp_path)
    early, grant, later = writer.data(EDIT, 10), founder.grant(5, writer), writer.data(EDIT, 11)
    node.receive(early)
    assert node.waits(early)
    assert not node.live()
    assert node.wants().proofs == [id_of(early)]
    node.receive(grant)
    assert node.shows(early) == [True]
    assert node.is_live(grant)
    node.receive(later)
    assert node.shows(later) == [True]
    assert not node.wants()


def test_a_chain_of_grants_in_every_order(tmp_path: Path) -> None:
    """Goal: who was authorized by one who may authorize writes, whatever came first."""
    founder, editor, writer = master(), Author(2), Author(3)
    first = founder.grant(2, editor, permissions=CHAIN)
    second = editor.grant(3, writer)
    text = writer.data(EDIT, 4)
    for order in permutations([first, second, text]):
        node = GovernedNode(tmp_path)
        for raw in order:
            node.receive(raw)
        assert node.live() == {id_of(each) for each in order}
        assert node.shows(text) == [True]
        assert node.ledger.proof(node.number, id_of(text)) == [id_of(first), id_of(second)]
        assert node.ledger.proof(node.number, id_of(second)) == [id_of(first)]


def test_who_may_not_grant_what_it_lacks_changes_nothing(tmp_path: Path) -> None:
    """Goal: a grant without the power waits and permits nobody."""
    writer, friend, node = Author(2), Author(3), GovernedNode(tmp_path)
    grant, text = writer.grant(2, friend), friend.data(EDIT, 3)
    node.receive(grant, text)
    assert node.waits(grant)
    assert node.waits(text)
    assert not node.live()


def test_a_late_revoke_takes_what_its_pin_does_not_name(tmp_path: Path) -> None:
    """Goal: pinned sequences stay, others are denied once, what the member signs after waits."""
    founder, writer, node = master(), Author(2), GovernedNode(tmp_path)
    texts = [writer.data(EDIT, 10 + at) for at in range(4)]
    node.receive(founder.grant(2, writer), *texts)
    revoke = founder.revoke(20, writer, keeps=((1, 2),))
    node.receive(revoke)
    assert node.shows(*texts) == [True, True, False, False]
    assert node.told == [("denied", id_of(each), "revoked") for each in texts[2:]]
    back_dated, anew = writer.data(EDIT, 5), writer.data(EDIT, 12, "other", sequence=2)
    node.receive(back_dated, anew)
    assert node.waits(back_dated)
    # A pinned sequence signed anew proves misbehaviour, and gains nothing.
    assert node.shows(texts[1], anew) == [False, False]
    node.receive(*texts)
    assert node.shows(*texts) == [True, False, False, False]


def test_a_revoke_of_the_revoker_restores(tmp_path: Path) -> None:
    """Goal: what a revoke took comes back under its cursor when the revoke counts no more."""
    founder, editor, writer, node = master(), Author(2), Author(3), GovernedNode(tmp_path)
    texts = [writer.data(EDIT, 10), writer.data(EDIT, 11)]
    grants = [
        founder.grant(2, editor, permissions=Permission.REVOKE),
        founder.grant(3, writer),
    ]
    node.receive(*grants, *texts)
    cursor = node.store.find(node.number, 10, id_of(texts[0]))
    taken = editor.revoke(20, writer)
    node.receive(taken)
    assert node.shows(*texts) == [False, False]
    node.receive(founder.revoke(15, editor, permissions=Permission.REVOKE))
    assert node.shows(*texts) == [True, True]
    assert not node.is_live(taken)
    assert node.store.find(node.number, 10, id_of(texts[0])) == cursor
    assert node.told[2:] == [("restored", id_of(each), "message") for each in texts]
    count = sum(entry.type == EntryType.MESSAGE for entry in node.store.log(1, 1_000))
    node.receive(*texts, taken)
    assert sum(entry.type == EntryType.MESSAGE for entry in node.store.log(1, 1_000)) == count


def test_after_a_restart_all_is_as_before(tmp_path: Path) -> None:
    """Goal: the timeline is rebuilt from the store, with what is stored and not live."""
    founder, editor, writer, node = master(), Author(2), Author(3), GovernedNode(tmp_path)
    text, other = writer.data(EDIT, 10), writer.data(EDIT, 11)
    senior = founder.grant(2, editor, permissions=Permission.REVOKE)
    node.receive(senior, founder.grant(3, writer), text, other)
    node.receive(editor.revoke(20, writer, keeps=((2, 2),)))
    undo = writer.undo(30, other)
    node.receive(undo)
    node.restart()
    assert node.shows(text, other) == [False, False]
    node.receive(founder.revoke(15, editor, permissions=Permission.REVOKE))
    assert node.shows(text, other) == [True, False]
    node.restart()
    node.receive(senior, text, undo)
    assert node.shows(text, other) == [True, False]


def test_settings_say_who_may_write_from_then_on(tmp_path: Path) -> None:
    """Goal: linear settings take public messages that their cut does not name; public again restores."""
    founder, guest, node = master(), Author(2), GovernedNode(tmp_path)
    before, after = guest.data(TALK, 10), guest.data(TALK, 50)
    node.receive(before, after)
    assert node.shows(before, after) == [True, True]
    node.receive(founder.settings(42, is_linear=True))
    assert node.shows(before, after) == [False, False]
    assert {reason for _, _, reason in node.told} == {"policy"}
    node.receive(founder.settings(45, is_linear=False))
    # What the cut excluded stays so; what came after the way back is public again.
    assert node.shows(before, after) == [False, True]


def test_a_revoke_reaches_below_the_settings_of_its_round(tmp_path: Path) -> None:
    """Goal: settings touch what is later than they, a revoke of the same round all of its member's lane."""
    founder, writer, node = master(), Author(2), GovernedNode(tmp_path)
    node.receive(founder.settings(5, is_linear=True), founder.grant(6, writer, kind=TALK))
    text = writer.data(TALK, 10)
    node.receive(text)
    node.receive(founder.settings(50, is_linear=False), founder.revoke(51, writer, kind=TALK))
    assert node.shows(text) == [False]


def test_two_members_sign_and_both_need_permission(tmp_path: Path) -> None:
    """Goal: one permit of two is none; both lanes of a pair keep the newest together."""
    founder, one, two, node = master(), Author(2), Author(3), GovernedNode(tmp_path)
    pacts = [
        one.data(PACT, 10, second=two),
        two.data(PACT, 11, second=one),
        one.data(PACT, 12, second=two),
    ]
    node.receive(founder.grant(2, one, kind=PACT), pacts[0])
    assert node.waits(pacts[0])
    grant = founder.grant(3, two, kind=PACT)
    node.receive(grant)
    assert node.shows(pacts[0]) == [True]
    node.receive(pacts[2])
    node.receive(pacts[1])
    assert [node.is_live(each) for each in pacts] == [False, True, True]
    # Nobody is told of what a newer one replaces.
    assert node.told == []
    node.receive(founder.revoke(20, two, kind=PACT))
    assert [node.is_live(each) for each in pacts] == [False, False, False]
    assert sorted(node.told) == sorted(("denied", id_of(each), "revoked") for each in pacts[1:])


def test_the_newest_stay_and_an_older_one_comes_back_for_a_denied_one(tmp_path: Path) -> None:
    """Goal: last-sync in order costs no waiting, and what was replaced returns when its successor goes."""
    author, node = Author(2), GovernedNode(tmp_path)
    states = [author.data(STATUS, 10 + at) for at in range(4)]
    node.receive(*states[:3])
    assert [node.is_live(each) for each in states[:3]] == [False, True, True]
    node.receive(states[3])
    assert [node.is_live(each) for each in states] == [False, False, True, True]
    node.receive(*states)
    assert [node.is_live(each) for each in states] == [False, False, True, True]
    node.receive(master().destroy(12, is_hard=False))
    assert [node.is_live(each) for each in states] == [False, True, True, False]


def test_a_rate_keeps_the_first_of_a_block(tmp_path: Path) -> None:
    """Goal: more than the rate within a block of global times is kept out, whatever came first."""
    author = Author(2)
    texts = [author.data(RATED, 10 + at) for at in range(3)] + [author.data(RATED, 1_100)]
    for order in permutations(texts):
        node = GovernedNode(tmp_path)
        for raw in order:
            node.receive(raw)
        assert [node.is_live(each) for each in texts] == [True, True, False, True]


# -- undo


def test_an_own_undo_erases_and_a_partial_one_names_its_payload(tmp_path: Path) -> None:
    """Goal: the author takes back one payload, then all of it: header and signatures alone stay."""
    author, node = Author(2), GovernedNode(tmp_path)
    text = author.data(OPEN, 10, "one|two|three")
    node.receive(text)
    node.receive(author.undo(20, text, 1))
    assert node.shows(text) == [True]
    assert node.told == [("undone", id_of(text), "payload-1")]
    node.receive(author.undo(21, text))
    assert node.shows(text) == [False]
    assert node.told[1:] == [("undone", id_of(text), "message")]
    cursor = node.store.find(node.number, 10, id_of(text))
    assert cursor is not None
    (entry,) = node.store.entries([cursor])
    assert entry.marks == UNDONE | ERASED
    assert b"three" not in node.store.messages([cursor])[0]


def test_an_undo_may_come_first(tmp_path: Path) -> None:
    """Goal: the message is stored undone, the undo lives from then on; in one round, too."""
    author = Author(2)
    text = author.data(OPEN, 10)
    undo = author.undo(20, text)
    for rounds in ([[undo], [text]], [[undo, text]], [[text, undo]], [[text], [undo]]):
        node = GovernedNode(tmp_path)
        for raws in rounds:
            node.receive(*raws)
        assert node.shows(text) == [False]
        assert node.live() == {id_of(text), id_of(undo)}


def test_an_undo_may_come_with_what_its_targets_lane_is_decided_by(tmp_path: Path) -> None:
    """Goal: a stored message is found by its first undo, also in a round that has its lane decided anew."""
    node, author = GovernedNode(tmp_path), Author(2)
    text = author.data(OPEN, 10, "one", sequence=5)
    node.receive(text)
    undo = author.undo(20, text)
    node.receive(author.data(OPEN, 11, "another", sequence=5), undo)
    assert node.is_live(undo)


def test_revoking_the_power_to_undo_restores(tmp_path: Path) -> None:
    """Goal: what another has undone is hidden, not erased, and is shown again with the power gone."""
    founder, editor, author, node = master(), Author(2), Author(3), GovernedNode(tmp_path)
    text = author.data(OPEN, 10)
    grant = founder.grant(2, editor, kind=OPEN, permissions=Permission.UNDO)
    node.receive(grant, text)
    undo = editor.undo(20, text)
    node.receive(undo, editor.undo(21, text))
    assert node.shows(text) == [False]
    node.receive(founder.revoke(30, editor, kind=OPEN, permissions=Permission.UNDO))
    assert node.shows(text) == [True]
    assert not node.is_live(undo)
    assert [each[0] for each in node.told] == ["undone", "restored"]


def test_a_strangers_undo_waits_and_changes_nothing(tmp_path: Path) -> None:
    author, stranger, node = Author(2), Author(3), GovernedNode(tmp_path)
    text = author.data(OPEN, 10)
    undo = stranger.undo(20, text)
    node.receive(text, undo)
    assert node.shows(text) == [True]
    assert node.waits(undo)


# -- destroy


def test_a_soft_destroy_freezes(tmp_path: Path) -> None:
    """Goal: what is later goes, what is earlier stays and still comes; nothing is published any more."""
    author, node = Author(2), GovernedNode(tmp_path)
    early, late, between = author.data(OPEN, 10), author.data(OPEN, 30), author.data(OPEN, 15)
    node.receive(early, late)
    destroy = master().destroy(20, is_hard=False)
    node.receive(destroy)
    assert node.shows(early, late) == [True, False]
    assert node.told == [("denied", id_of(late), "destroyed")]
    node.receive(author.data(OPEN, 19, sequence=9), late)
    assert len(node.live()) == 3
    node.restart()
    node.receive(between)
    assert node.shows(between) == [True]
    node.keyring.create("own")
    with pytest.raises(UsageError) as refused:
        publish(node)
    assert refused.value.code == "community-destroyed"


def test_a_hard_destroy_wipes_all_but_itself(tmp_path: Path) -> None:
    """Goal: the destroy alone is left, spreads, and nothing is taken or published any more."""
    author, node = Author(2), GovernedNode(tmp_path)
    texts = [author.data(OPEN, 10 + at) for at in range(5)]
    node.receive(*texts)
    destroy = master().destroy(1, is_hard=True)
    node.receive(destroy, author.data(OPEN, 20))
    while node.ledger.is_purging:
        node.commit()
    (record,) = node.store.communities()
    assert record.number != node.number
    assert (record.community_id, record.name, record.served) == (COMMUNITY, "governed", True)
    node.number = record.number
    assert node.live() == {id_of(destroy)}
    kept = [entry.message for entry in node.store.log(1, 1_000) if entry.type == EntryType.MESSAGE]
    assert kept == [destroy]
    node.receive(*texts, master().define(40))
    assert node.live() == {id_of(destroy)}
    assert node.refused(texts[0]) == "destroyed"
    node.restart()
    with pytest.raises(UsageError) as refused:
        publish(node)
    assert refused.value.code == "community-destroyed"


def test_a_soft_destroy_takes_back_what_was_undone_later(tmp_path: Path) -> None:
    """Goal: another's undo after the end never was, and what it hid is shown again; an author's own counts,
    for nobody can bring back what is erased; whatever came first."""
    founder, editor, author, node = master(), Author(2), Author(3), GovernedNode(tmp_path)
    texts = [author.data(OPEN, 10), author.data(OPEN, 11)]
    node.receive(founder.grant(2, editor, kind=OPEN, permissions=Permission.UNDO), *texts)
    undos = [editor.undo(20, texts[0]), author.undo(20, texts[1])]
    node.receive(*undos)
    assert node.shows(*texts) == [False, False]
    destroy = founder.destroy(15, is_hard=False)
    node.receive(destroy)
    latecomer = GovernedNode(tmp_path)
    latecomer.receive(destroy, *texts)
    latecomer.receive(*undos)
    for each in (node, latecomer):
        assert each.shows(*texts) == [True, False]
        assert [each.is_live(undo) for undo in undos] == [False, True]
        cursor = each.store.find(each.number, 11, id_of(texts[1]))
        assert cursor is not None
        assert each.store.entries([cursor])[0].marks == UNDONE | ERASED


def test_nobody_else_destroys(tmp_path: Path) -> None:
    author, node = Author(2), GovernedNode(tmp_path)
    text = author.data(OPEN, 10)
    node.receive(text, author.destroy(5, is_hard=True), author.destroy(6, is_hard=False))
    assert node.live() == {id_of(text)}


# -- publishing, and what is refused


def publish(node: GovernedNode, kind: int = OPEN) -> None:
    node.ledger.publish(
        1,
        number=node.number,
        kind=kind,
        groups=[[b"text"]],
        request_id=(2_000).to_bytes(6, "big") + bytes(10),
        as_key="own",
        now_ms=2_000,
    )


def test_what_is_not_permitted_is_not_signed(tmp_path: Path) -> None:
    """Goal: the refusal names key and kind, before anything is made; once permitted it is published."""
    founder, node = master(), GovernedNode(tmp_path)
    own = Author(5)
    own.id = MemberId(node.keyring.create("own").public)
    with pytest.raises(UsageError, match="own is not permitted to publish edit in governed") as refused:
        publish(node, EDIT)
    assert refused.value.code == "not-permitted"
    assert refused.value.hint
    node.receive(founder.grant(5, own))
    publish(node, EDIT)
    node.commit()
    assert len(node.live()) == 2


def test_malformed_control_is_refused_by_name(tmp_path: Path) -> None:
    """Goal: what says nothing in the one form is neither live nor waits."""
    founder, node = master(), GovernedNode(tmp_path)
    good = founder.grant(5, Author(2))
    bad = good.replace(b"\x81\x01", b"\x81\x02", 1)
    node.receive(bad)
    view = read_message(COMMUNITY, bad)
    assert node.ledger.fate(node.number, view.id) == (False, "control-malformed")
    assert not node.live()


# -- what goes wrong


class FailsOnce(MemoryStore):
    """A disk that refuses one commit."""

    is_refusing = False

    def commit(self, batch: Batch) -> tuple[int, int]:
        if self.is_refusing:
            self.is_refusing = False
            raise StorageError("the disk refuses")
        return super().commit(batch)


def test_a_commit_that_fails_takes_back_what_was_decided(tmp_path: Path) -> None:
    """Goal: after it the timeline is what the store says, and the same messages do the same once more."""
    founder, writer, store = master(), Author(2), FailsOnce()
    node = GovernedNode(tmp_path, store)
    text, other = writer.data(EDIT, 10), writer.data(EDIT, 11)
    node.receive(founder.grant(2, writer), text, other)
    revoke, undo = founder.revoke(20, writer, keeps=((1, 1),)), writer.undo(15, text)
    for store.is_refusing in (True, False):
        node.receive(revoke, undo)
    assert node.shows(text, other) == [False, False]
    assert [(event, message_id) for event, message_id, _ in node.told] == [
        ("denied", id_of(other)),
        ("undone", id_of(text)),
    ]


def test_a_flood_of_what_counts_for_nothing_is_bounded(tmp_path: Path) -> None:
    """Goal: strangers' grants and undos fill their shares of the waiting room; nothing beside it grows."""
    founder, node = master(), GovernedNode(tmp_path)
    text = Author(9).data(OPEN, 10)
    node.receive(text)
    strangers = [Author(100 + at) for at in range(3)]
    flood = [
        raw
        for at in range(WAITING_AUTHOR_MAX)
        for each in strangers
        for raw in (each.grant(20 + at, founder), each.undo(20 + at, text))
    ]
    node.receive(*flood)
    intake = node.ledger._communities.by_number[node.number].intake
    assert len(intake.waiting) == len(strangers) * WAITING_AUTHOR_MAX
    held = [raw for raw in flood if node.waits(raw)]
    assert len(held) == len(intake.waiting)
    control = intake._control
    assert len(control._times) == len(held)
    assert control.targets[id_of(text)].total() == len(control._undos) <= len(held)
    # What is dropped is nothing to the timeline either: a grant of the founder's still finds all in order.
    node.receive(founder.grant(30, Author(2)))
    node.ledger.handle_timer(0.0)
    node.ledger.handle_timer(1e9)
    assert (len(intake.waiting), control._undos, control.targets) == (0, {}, {})
    assert node.shows(text) == [True]
