"""Goal: whatever a member, a revoked member or a stranger sends is refused or bounded; honest nodes agree.

Each test is a line of the table in docs/timeline.md. Messages go through a real verifier, ledger and store,
on two nodes that hear them in two orders and exchange what is live; `explain` says why.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from dispersy.constants import GLOBAL_TIME_MAX, WAITING_AUTHOR_MAX, WAITING_MAX
from dispersy.ext.verify import sign_many
from dispersy.protocol.identifiers import CommunityId
from dispersy.protocol.permissions.control_messages import Permission
from dispersy.protocol.wire.message import draft_message
from dispersy.protocol.wire.push import n_hop_field
from tests.unit.attacked import RUMOUR, WHISPER, Honest
from tests.unit.governed import COMMUNITY, EDIT, OPEN, PACT, STATUS, TALK, Author, id_of, master

CHAIN = Permission.PERMIT | Permission.AUTHORIZE


@pytest.fixture
def honest(tmp_path: Path) -> Honest:
    return Honest(tmp_path)


# -- who was revoked


def revoked_writer(honest: Honest) -> tuple[Author, bytes]:
    """A writer whose messages 1, 2 and 5 stay; its key, and the revoke."""
    founder, writer = master(), Author(2)
    texts = [writer.data(EDIT, 10 + sequence, sequence=sequence) for sequence in (1, 2, 5)]
    revoke = founder.revoke(30, writer, keeps=((1, 2), (5, 5)))
    honest.hear(founder.grant(2, writer), *texts, revoke)
    assert honest.shows(*texts) == [True, True, True]
    return writer, revoke


@pytest.mark.parametrize(
    ("global_time", "sequence"),
    [
        (14, 3),  # fills a gap
        (25, 6),  # back-dates, behind its newest
        (3, 7),  # back-dates to where it was just granted
        (31, 6),  # goes on as if nothing had happened
    ],
)
def test_a_revoked_member_gains_no_place(honest: Honest, global_time: int, sequence: int) -> None:
    """Whatever time and sequence it states: what the pin does not name never counts."""
    writer, revoke = revoked_writer(honest)
    sneaked = writer.data(EDIT, global_time, "sneaked", sequence=sequence)
    honest.hear(sneaked)
    assert honest.shows(sneaked) == [False]
    assert honest.states(sneaked) == {"waiting"}
    assert honest.against(sneaked) == [id_of(revoke)]


def test_a_revoked_member_signs_an_old_sequence_anew(honest: Honest) -> None:
    """It proves its own misbehaviour: both are hidden, and no third gets in."""
    writer, _ = revoked_writer(honest)
    anew = [writer.data(EDIT, 12, text, sequence=2) for text in ("anew", "once more", "and again")]
    honest.hear(*anew)
    assert honest.shows(*anew) == [False] * 3
    lived = [raw for raw in anew if honest.nodes[0].is_live(raw)]
    assert len(lived) <= 2
    for raw in lived:
        assert [told["hidden"] for told in honest.explain(raw)] == [["equivocation"]] * 2
    for raw in set(anew).difference(lived):
        assert honest.states(raw) <= {"refused", "denied"}


def test_a_revoked_member_goes_on_granting(honest: Honest) -> None:
    """Also below the revoke, also from the head that the pin names: nobody writes by such a grant."""
    founder, editor, before, after = master(), Author(2), Author(3), Author(4)
    first = editor.grant(5, before)
    revoke = founder.revoke(20, editor, permissions=CHAIN, heads=[id_of(first)])
    honest.hear(founder.grant(2, editor, permissions=CHAIN), first, revoke)
    back_dated, later = editor.grant(6, after), editor.grant(30, after)
    texts = [before.data(EDIT, 40), after.data(EDIT, 7), after.data(EDIT, 41)]
    honest.hear(back_dated, later, *texts)
    assert honest.shows(*texts) == [True, False, False]
    for grant in (back_dated, later):
        assert honest.states(grant) == {"waiting"}
        assert honest.against(grant) == [id_of(revoke)]


def test_a_member_grants_what_it_does_not_hold(honest: Honest) -> None:
    """To itself, to a friend, and round in a circle."""
    founder, writer, friend = master(), Author(2), Author(3)
    permit = founder.grant(2, writer)
    seized = writer.grant(3, writer, permissions=Permission(31))
    passed = writer.grant(3, friend)
    back = friend.grant(4, writer, permissions=Permission(31))
    text = friend.data(EDIT, 10)
    honest.hear(permit, seized, passed, back, text)
    assert honest.shows(text) == [False]
    for raw in (seized, passed, back, text):
        assert honest.states(raw) == {"waiting"}
    assert {told["reason"] for told in honest.explain(seized)} == {"power"}


def test_a_fresh_key_writes_below_a_settings_change(honest: Honest) -> None:
    """What was public counts where the settings' cut names it: a key made later is not in it."""
    fresh, settings = Author(9), master().settings(42, is_linear=True)
    honest.hear(settings)
    texts = [fresh.data(TALK, 10), fresh.data(TALK, 43)]
    honest.hear(*texts)
    assert honest.shows(*texts) == [False, False]
    for text in texts:
        assert honest.states(text) == {"waiting"}
    assert honest.against(texts[0]) == [id_of(settings)]


def test_what_settings_took_back_is_told_so_later_on(honest: Honest) -> None:
    """Not that something was revoked: nobody was."""
    guest, settings = Author(2), master().settings(42, is_linear=True)
    text, later = guest.data(TALK, 10), guest.data(TALK, 50)
    honest.hear(text, later)
    honest.hear(settings)
    honest.hear(Author(3).data(OPEN, 60))
    for raw in (text, later):
        (first, _) = honest.explain(raw)
        assert (first["state"], first["reason"]) == ("denied", "policy")


# -- what others signed


def test_another_communitys_message_is_replayed(honest: Honest) -> None:
    """The community's id is signed, so here the signature does not hold."""
    author = Author(2)
    draft = draft_message(
        CommunityId(Author(8).id),
        kind=OPEN,
        authors=[author.id],
        global_time=5,
        sequence=1,
        payloads=[b"said elsewhere"],
    )
    raw = draft.complete([sign_many(author.secret, [draft.signed])])
    honest.hear(raw)
    assert [node.dropped["signature-wrong"] for node in honest.nodes] == [1, 1]
    assert honest.states(raw) == {"unknown"}


def test_a_second_author_is_forged(honest: Honest) -> None:
    """Both signatures must hold, and the order of authors is signed."""
    founder, one, two = master(), Author(2), Author(3)
    good = one.data(PACT, 10, second=two)
    draft = draft_message(
        COMMUNITY, kind=PACT, authors=[one.id, two.id], global_time=11, sequence=2, payloads=[b"forged"]
    )
    (mine,) = [sign_many(one.secret, [draft.signed])]
    by_me = draft.complete([mine, mine])
    turned = good.replace(one.id + two.id, two.id + one.id)
    assert turned != good
    honest.hear(founder.grant(2, one, two, kind=PACT), good, by_me, turned)
    assert honest.shows(good) == [True]
    assert [node.dropped["signature-wrong"] for node in honest.nodes] == [2, 2]
    assert honest.states(by_me) == honest.states(turned) == {"unknown"}


def test_a_direct_message_is_passed_on(honest: Honest) -> None:
    """It names whom it is for, and speaks to nobody else."""
    author = Author(2)
    draft = draft_message(
        COMMUNITY,
        kind=WHISPER,
        authors=[author.id],
        global_time=5,
        sequence=1,
        payloads=[b"for you alone"],
        recipient=Author(7).id,
    )
    raw = draft.complete([sign_many(author.secret, [draft.signed])])
    honest.hear(raw)
    assert honest.states(raw) == {"refused"}
    assert {told["reason"] for told in honest.explain(raw)} == {"recipient-other"}
    assert [node.ledger.drain_leaving().heard for node in honest.nodes] == [{}, {}]


def test_an_author_gives_more_hops_than_its_kind_has(honest: Honest) -> None:
    """On the way nobody can raise them at all: tests/unit/test_pusher.py."""
    author = Author(2)
    draft = draft_message(
        COMMUNITY,
        kind=RUMOUR,
        authors=[author.id],
        global_time=5,
        sequence=1,
        payloads=[b"far"],
        n_hop=n_hop_field(bytes(16), 3),
    )
    raw = draft.complete([sign_many(author.secret, [draft.signed])])
    honest.hear(raw)
    assert {told["reason"] for told in honest.explain(raw)} == {"policy-hops"}


def test_somebody_elses_grant_is_signed_by_the_attacker(honest: Honest) -> None:
    """The author is in the header: a grant in the founder's name needs the founder's key."""
    thief = Author(9)
    grant = master().grant(2, thief, permissions=Permission(31))
    forged = grant[:-64] + sign_many(thief.secret, [grant[:-64]])
    text = thief.data(EDIT, 5)
    honest.hear(forged, text)
    assert [node.dropped["signature-wrong"] for node in honest.nodes] == [1, 1]
    assert honest.states(text) == {"waiting"}


# -- global time


def test_global_time_is_pushed_to_the_end(honest: Honest) -> None:
    """Of data: it counts, carries no clock away, and puts nobody out but its own author."""
    pusher, other = Author(2), Author(3)
    pushed = [pusher.data(kind, GLOBAL_TIME_MAX) for kind in (OPEN, STATUS)]
    before = [pusher.data(OPEN, 10, sequence=9), other.data(OPEN, 11), other.data(STATUS, 12)]
    honest.hear(*pushed, *before)
    # A later sequence at an earlier time contradicts the pusher alone.
    assert honest.shows(*pushed, *before) == [False, True, True, True, True]
    assert [told["hidden"] for told in honest.explain(pushed[0])] == [["order"]] * 2
    assert [node.store.state(node.number).clock for node in honest.nodes] == [12, 12]
    stale = [pusher.data(STATUS, 20 + at) for at in range(3)]
    honest.hear(*stale, *(other.data(STATUS, 20 + at) for at in range(3)))
    # Its own newest two are the one at the end and one more, for ever; nobody else's.
    assert honest.nodes[0].is_live(pushed[1])
    assert [honest.nodes[0].is_live(raw) for raw in stale] == [False, False, True]


def test_control_at_the_end_of_global_time(honest: Honest) -> None:
    """A grant at the end gives nothing, an undo counts, and others' powers and clocks stay."""
    founder, editor, friend = master(), Author(2), Author(3)
    first = founder.grant(2, editor, permissions=CHAIN)
    last = editor.grant(GLOBAL_TIME_MAX, friend)
    text, own = friend.data(EDIT, GLOBAL_TIME_MAX), editor.data(EDIT, 5)
    undo = editor.undo(GLOBAL_TIME_MAX, own)
    honest.hear(first, last, text, own, undo)
    assert honest.shows(text, own) == [False, False]
    assert honest.states(text) == {"waiting"}
    later = founder.grant(6, friend)
    anew = friend.data(EDIT, 7, sequence=2)
    honest.hear(later, anew)
    assert honest.shows(anew) == [True]
    assert [node.store.state(node.number).clock for node in honest.nodes] == [7, 7]


# -- two devices with one key


def test_two_devices_with_one_key(honest: Honest) -> None:
    """Each slot that both fill is hidden with both; what they grant counts on both branches."""
    founder, device, friend, other = master(), Author(2), Author(3), Author(4)
    twin = Author(2)
    texts = [device.data(EDIT, 10, "at home"), twin.data(EDIT, 11, "on the way"), device.data(EDIT, 12)]
    grants = [device.grant(5, friend), twin.grant(6, other)]
    written = [friend.data(EDIT, 20), other.data(EDIT, 21)]
    honest.hear(founder.grant(2, device, permissions=CHAIN), *texts, *grants, *written)
    assert honest.shows(*texts) == [False, False, True]
    assert honest.shows(*written) == [True, True]
    for raw in texts[:2]:
        for told in honest.explain(raw):
            assert "its author signed another message of the same kind and sequence" in told["text"]


# -- floods


FLOODS: dict[str, Callable[[Author, int, bytes], bytes]] = {
    "govern": lambda key, at, _: (
        key.grant(at, key),
        key.revoke(at, key),
        key.settings(at, is_linear=True),
    )[at % 3],
    "undo": lambda key, at, target: key.undo(at, target),
    "text": lambda key, at, _: key.data(EDIT, at),
}
"""What a stranger may sign without end: at a global time, about somebody's message."""


@pytest.mark.parametrize("what", sorted(FLOODS))
def test_a_flood_by_strangers_takes_its_share_and_no_more(honest: Honest, what: str) -> None:
    """One key fills its part of the waiting room, many keys fill the room; the founder's grant still comes
    through, and whom it permits writes. The other node, which nobody floods, has the same."""
    founder, writer, flooded = master(), Author(250), honest.nodes[0]
    target = Author(249).data(OPEN, 10)
    waiting = writer.data(EDIT, 10)
    honest.hear(target)
    for seed in range(2, 4 + WAITING_MAX // WAITING_AUTHOR_MAX):
        stranger = Author(seed)
        flood = [FLOODS[what](stranger, 20 + at, target) for at in range(WAITING_AUTHOR_MAX + 20)]
        flooded.receive(*flood)
        of_author = [each for each in flooded.intake.waiting.waiters() if each.author == stranger.id]
        assert len(of_author) == WAITING_AUTHOR_MAX
        assert len(flooded.intake.waiting) <= WAITING_MAX
        # The timeline holds what waits, and forgets what left.
        assert len(flooded.intake.timeline._held) <= WAITING_MAX
    honest.hear(founder.grant(3, writer), waiting)
    assert honest.shows(target, waiting) == [True, True]
    assert flooded.explain(flood[-1])["state"] == "waiting"
    assert flooded.explain(flood[0])["state"] == "unknown"
