"""Goal: what a person asks of a community is signed by the right key, once, and only where it would count."""

from __future__ import annotations

from pathlib import Path

import pytest

from dispersy.errors import StorageError, UsageError
from dispersy.ext.wire import split_payloads
from dispersy.protocol.definitions.definition import Definition, decode_definition, encode_definition
from dispersy.protocol.definitions.kind import Kind
from dispersy.protocol.identifiers import CommunityId
from dispersy.protocol.permissions.control_messages import (
    Authorize,
    Destroy,
    Permission,
    Revoke,
    Settings,
    Undo,
    read_control,
)
from dispersy.protocol.wire.message import MessageView, read_message
from dispersy.protocol.wire.numbers import ControlKind
from tests.unit.governing_house import ALL, KINDS, NOW_MS, OPEN, PAGE, REMARK, House, request_id


@pytest.fixture
def house(tmp_path: Path) -> House:
    return House(tmp_path)


# -- who signs, and when -------------------------------------------------------------------------------------


def test_the_founders_key_signs_where_it_is_here(house: House) -> None:
    """Unless another is asked for; the node's own member holds nothing yet."""
    editor = house.key("editor")
    assert house.view(house.authorize(editor, Permission.PERMIT)).author == house.founder
    error = house.refusal(
        "authorize", members=["editor"], kinds=[PAGE], permissions=1, as_key=house.own.hex()
    )
    assert error.code == "not-permitted"
    assert "page" in error.hint
    house.authorize(house.own, Permission.PERMIT | Permission.AUTHORIZE)
    assert house.view(house.authorize(editor, Permission.PERMIT, as_key=house.own.hex())).author == house.own


def test_control_messages_follow_each_other(house: House) -> None:
    """Each names the one before of its author, at a later global time, with the next sequence of its kind."""
    editor, writer = house.key("editor"), house.key("writer")
    first = house.view(house.authorize(editor, ALL))
    house.publish("between", kind=OPEN)
    second = house.view(house.authorize(writer, Permission.PERMIT))
    by_editor = house.view(house.authorize(writer, Permission.UNDO, as_key="editor"))
    assert (first.previous, second.previous, by_editor.previous) == (bytes(32), first.id, bytes(32))
    assert (first.sequence, second.sequence, by_editor.sequence) == (1, 2, 1)
    times = [each.global_time for each in (first, second, by_editor)]
    assert times == sorted(set(times))
    house.start()
    after = house.view(house.authorize(writer, Permission.SETTINGS))
    assert (after.previous, after.sequence) == (second.id, 3)
    assert after.global_time > by_editor.global_time


def test_a_request_is_carried_out_once(house: House) -> None:
    """Twice in one batch, again later, and again after a restart: the first answer."""
    asked = {"members": [house.own.hex()], "kinds": [PAGE], "permissions": 1, "request": 7}
    house.order("authorize", ticket="one", **asked)
    house.order("authorize", ticket="two", **asked)
    outcomes = house.commit()
    assert outcomes["one"]["ids"] == outcomes["two"]["ids"]
    for _ in range(2):
        again = house.govern("authorize", **asked)
        assert again == {**outcomes["one"], "repeated": True}
        house.start()
    assert [each.kind for each in controls(house)] == [ControlKind.AUTHORIZE]


def controls(house: House) -> list[MessageView]:
    """All control messages that are live, without definitions."""
    entries = house.store.control(1)
    views = [read_message(CommunityId(house.founder), entry.message) for entry in entries if not entry.marks]
    return [view for view in views if view.kind != ControlKind.DEFINITION]


def test_an_order_waits_for_what_came_before_it(house: House) -> None:
    """What was published in the same moment is pinned, too, and several orders come one after another."""
    writer = house.key("writer")
    house.authorize(writer, Permission.PERMIT)
    house.ledger.publish(
        "publish",
        number=1,
        kind=PAGE,
        groups=[[b"in the same moment"]],
        request_id=request_id(1),
        as_key="writer",
        now_ms=NOW_MS,
    )
    powers = {"members": ["writer"], "kinds": [PAGE], "permissions": 1}
    house.order("revoke", ticket="revoke", **powers)
    house.order("authorize", ticket="authorize", **powers)
    outcomes = house.commit()
    assert len(outcomes["publish"]["ids"]) == 1
    revoke = house.body(outcomes["revoke"]["ids"][0])
    assert isinstance(revoke, Revoke)
    assert revoke.withdrawals[0].ranges == ((1, 1),)
    assert house.view(outcomes["authorize"]["ids"][0]).previous == outcomes["revoke"]["ids"][0]
    assert house.shown() == ["in the same moment"]


def test_a_disk_that_refuses_is_the_outcome_of_every_order(house: House) -> None:
    """Also of those that waited; nothing of them is there, and the next one is carried out."""
    powers = {"members": [house.own.hex()], "kinds": [PAGE], "permissions": 1}
    house.store.fails = True
    house.order("authorize", ticket="one", request=1, **powers)
    house.order("authorize", ticket="two", request=2, **powers)
    outcomes = house.commit()
    assert {type(outcome) for outcome in outcomes.values()} == {StorageError}
    assert outcomes.keys() == {"one", "two"}
    assert controls(house) == []
    done = house.govern("authorize", request=2, **powers)
    assert house.view(done["ids"][0]).sequence == 1


# -- authorize and revoke ------------------------------------------------------------------------------------


def test_whoever_is_authorized_may_publish_and_nobody_else(house: House) -> None:
    """What would not count is refused before it is signed."""
    writer = house.key("writer")
    with pytest.raises(UsageError) as refused:
        house.publish("too early", as_key="writer")
    assert refused.value.code == "not-permitted"
    assert "dispersy permissions wiki --kind page" in refused.value.hint
    house.authorize(writer, Permission.PERMIT)
    house.publish("now", as_key="writer")
    assert house.shown() == ["now"]


def test_nobody_gives_what_it_lacks(house: House) -> None:
    """A power and `authorize` for it, or the founder's key."""
    editor = house.key("editor")
    house.authorize(editor, Permission.PERMIT | Permission.AUTHORIZE)
    asked = {"members": [house.own.hex()], "as_key": "editor"}
    house.govern("authorize", kinds=[PAGE], permissions=3, **asked)
    for kinds, permissions, word in (
        ([PAGE], 8, "undo"),
        ([REMARK], 1, "permit"),
        ([PAGE, REMARK], 1, ""),
    ):
        error = house.refusal("authorize", kinds=kinds, permissions=permissions, **asked)
        assert error.code == "not-permitted"
        assert word in str(error)
        assert "editor" in str(error)


def test_many_members_take_as_few_messages_as_hold_them(house: House) -> None:
    """One answer for all of them, in order; each follows the one before."""
    members = [bytes([number]) * 32 for number in range(1, 101)]
    done = house.govern(
        "authorize", members=[each.hex() for each in members], kinds=[REMARK, PAGE], permissions=3
    )
    views = [house.view(each) for each in done["ids"]]
    assert 1 < len(views) < 20
    assert [view.previous for view in views] == [bytes(32), *done["ids"][:-1]]
    granted = []
    for view in views:
        body = read_control(view).body
        assert isinstance(body, Authorize)
        granted += [(grant.member, grant.kind) for grant in body.grants]
    assert granted == [(member, kind) for member in members for kind in (PAGE, REMARK)]
    assert done["last_cursor"] - done["first_cursor"] == len(views) - 1


def test_what_a_member_has_written_stays_when_it_is_revoked(house: House) -> None:
    """It writes no more; what is not pinned, though it claims to be older, never counts."""
    writer = house.key("writer")
    house.authorize(writer, Permission.PERMIT)
    house.publish("one", "two", as_key="writer")
    house.revoke(writer, Permission.PERMIT)
    with pytest.raises(UsageError, match="permit"):
        house.publish("three", as_key="writer")
    assert house.shown() == ["one", "two"]


def test_a_senior_revokes_and_an_equal_cannot(house: House) -> None:
    """Authorize is taken by who is nearer to the founder; what an equal cannot take is said, not signed."""
    first, second = house.key("first"), house.key("second")
    for editor in (first, second):
        house.authorize(editor, ALL)
    error = house.refusal(
        "revoke", members=["second"], kinds=[PAGE], permissions=Permission.AUTHORIZE, as_key="first"
    )
    assert error.code == "nothing-to-revoke"
    assert house.revoke(second, Permission.PERMIT, as_key="first")["ids"]
    assert house.revoke(second, Permission.AUTHORIZE)["ids"]
    error = house.refusal("authorize", members=["first"], kinds=[PAGE], permissions=1, as_key="second")
    assert error.code == "not-permitted"


def test_what_nobody_holds_is_not_revoked_unless_forced(house: House) -> None:
    """A grant that has not come here yet may be cut beforehand, by who insists; the founder by nobody."""
    stranger = bytes([5]) * 32
    for member in (stranger, house.founder):
        error = house.refusal("revoke", members=[member.hex()], kinds=[PAGE], permissions=1)
        assert error.code == "nothing-to-revoke"
    assert house.revoke(stranger, Permission.PERMIT, force=True)["ids"]


def test_who_was_revoked_may_be_authorized_again(house: House) -> None:
    """A later grant is a new power."""
    writer = house.key("writer")
    house.authorize(writer, Permission.PERMIT)
    house.revoke(writer, Permission.PERMIT)
    house.authorize(writer, Permission.PERMIT)
    house.publish("back", as_key="writer")
    assert house.shown() == ["back"]


# -- undo ----------------------------------------------------------------------------------------------------


def test_an_author_takes_back_and_a_moderator_hides(house: House) -> None:
    """The author's key signs where it is here, though the founder's is, too: only that erases."""
    writer, editor = house.key("writer"), house.key("editor")
    house.authorize(writer, Permission.PERMIT)
    house.authorize(editor, Permission.PERMIT | Permission.UNDO)
    mine, other, kept = house.publish("mine", "other", "kept", as_key="writer")
    assert house.view(house.govern("undo", message_id=mine)["ids"][0]).author == writer.public
    done = house.govern("undo", message_id=other, as_key="editor")
    view = house.view(done["ids"][0])
    body = read_control(view).body
    assert isinstance(body, Undo)
    assert (view.author, body.target, body.kind, body.index) == (editor.public, other, PAGE, None)
    assert body.global_time == house.view(other).global_time < view.global_time
    assert house.shown() == ["kept"]
    assert house.view(kept)


def test_who_holds_no_undo_takes_back_only_its_own(house: House) -> None:
    """And says whom to ask."""
    writer, other = house.key("writer"), house.key("other")
    for member in (writer, other):
        house.authorize(member, Permission.PERMIT)
    (message_id,) = house.publish("mine", as_key="writer")
    error = house.refusal("undo", message_id=message_id, as_key="other")
    assert error.code == "not-permitted"
    assert "undo" in str(error)


def test_taking_back_twice_is_done_already(house: House) -> None:
    """By one and the same; another's undo says something else, and one of a payload does, too."""
    (message_id,) = house.publish("one", kind=OPEN)
    house.govern("undo", message_id=message_id, index=0)
    first = house.govern("undo", message_id=message_id)
    before = house.store.last_cursor()
    again = house.govern("undo", message_id=message_id)
    assert (again["already"], again["ids"], house.store.last_cursor()) == (True, [], before)
    assert len(first["ids"]) == 1
    assert house.govern("undo", message_id=message_id, as_key=house.founder.hex())["ids"]


def test_what_is_not_there_is_not_taken_back(house: House) -> None:
    """An id that is none here, a payload that is none, and what governs."""
    (message_id,) = house.publish("one", kind=OPEN)
    assert house.refusal("undo", message_id=bytes(32)).code == "message-unknown"
    assert house.refusal("undo", message_id=message_id, index=1).code == "count"
    authorize = house.authorize(house.own, Permission.PERMIT)
    assert house.refusal("undo", message_id=authorize).code == "not-undoable"


# -- policy, destroy and define ------------------------------------------------------------------------------


def test_a_policy_keeps_what_was_public(house: House) -> None:
    """Linear from its time on; public again as before."""
    writer = house.key("writer")
    house.publish("early", kind=REMARK)
    assert house.govern("policy", kinds=[REMARK], is_linear=False)["already"]
    done = house.govern("policy", kinds=[REMARK], is_linear=True)
    body = house.body(done["ids"][0])
    assert isinstance(body, Settings)
    assert [(each.prefix, each.ranges) for each in body.cut] == [(house.own[:16], ((1, 1),))]
    assert house.govern("policy", kinds=[REMARK], is_linear=True)["already"]
    with pytest.raises(UsageError) as refused:
        house.publish("late", kind=REMARK, as_key="writer")
    assert refused.value.code == "not-permitted"
    assert house.shown(REMARK) == ["early"]
    house.govern("policy", kinds=[REMARK], is_linear=False)
    house.publish("later", kind=REMARK, as_key="writer")
    assert house.shown(REMARK) == ["early", "later"]
    assert writer.public


@pytest.mark.parametrize("kind", [PAGE, OPEN])
def test_only_a_dynamic_kind_has_a_policy_that_changes(house: House, kind: int) -> None:
    """Whatever power one has."""
    assert house.refusal("policy", kinds=[kind], is_linear=True).code == "not-dynamic"


def test_settings_take_a_power(house: House) -> None:
    """The founder's, or one that was given."""
    house.key("editor")
    error = house.refusal("policy", kinds=[REMARK], is_linear=True, as_key="editor")
    assert (error.code, "settings" in str(error)) == ("not-permitted", True)
    house.authorize(house.keyring.by_name("editor"), Permission.SETTINGS, kind=REMARK)
    assert house.govern("policy", kinds=[REMARK], is_linear=True, as_key="editor")["ids"]


def test_a_cut_of_many_authors_goes_on_in_further_messages(house: House) -> None:
    """All that was written stays, however many have written it."""
    for number in range(60):
        house.key(f"author-{number}")
        house.publish(str(number), kind=REMARK, as_key=f"author-{number}")
    done = house.govern("policy", kinds=[REMARK], is_linear=True)
    bodies = [house.body(each) for each in done["ids"]]
    assert len(bodies) > 1
    assert [body.continues for body in bodies if isinstance(body, Settings)] == [
        None,
        *[done["ids"][0]] * (len(bodies) - 1),
    ]
    assert house.shown(REMARK) == [str(number) for number in range(60)]


@pytest.mark.parametrize("is_hard", [False, True])
def test_only_the_founder_ends_a_community(house: House, is_hard: bool) -> None:
    """Then nothing can be published or said in it; a hard end may follow a soft one, and is done once."""
    editor = house.key("editor")
    house.authorize(editor, ALL)
    house.publish("before", kind=OPEN)
    error = house.refusal("destroy", is_hard=is_hard, as_key="editor")
    assert error.code == "not-founder"
    done = house.govern("destroy", is_hard=is_hard)
    assert house.body(done["ids"][0]) == Destroy(is_hard)
    for refused in (
        lambda: house.publish("after", kind=OPEN),
        lambda: house.authorize(editor, Permission.PERMIT),
        lambda: house.govern("destroy", is_hard=False),
    ):
        with pytest.raises(UsageError) as raised:
            refused()
        assert raised.value.code == "community-destroyed"
    again = house.govern("destroy", is_hard=True)
    assert again.get("already", False) == is_hard
    house.start()
    with pytest.raises(UsageError) as raised:
        house.publish("after", kind=OPEN)
    assert raised.value.code == "community-destroyed"
    assert house.shown(OPEN) == []


def test_the_founder_defines_anew(house: House) -> None:
    """By the rules of succession; then the new kind is there."""
    more = Definition("wiki", (*KINDS, Kind(number=70, name="photo")))
    house.key("editor")
    error = house.refusal("define", definition=encode_definition(more), as_key="editor")
    assert error.code == "not-founder"
    fewer = encode_definition(Definition("wiki", KINDS[:1]))
    assert house.refusal("define", definition=fewer).code == "definition-kind-removed"
    done = house.govern("define", definition=encode_definition(more))
    view = house.view(done["ids"][0])
    assert (view.kind, view.sequence) == (ControlKind.DEFINITION, 2)
    (record,) = house.store.communities()
    assert decode_definition(split_payloads(record.definition)[0]) == more
    house.publish("a photo", kind=70)
