"""Goal: who is there, who may do what by which proof, and why a message counts or does not, is told."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from dispersy.protocol.identifiers import MemberId
from dispersy.protocol.permissions.control_messages import Authorize, Permission, Revoke, Withdrawal
from tests.unit.governing_house import ALL, OPEN, PAGE, REMARK, House


@pytest.fixture
def house(tmp_path: Path) -> House:
    return House(tmp_path)


def test_members_are_named_as_people_do(house: House) -> None:
    """By key, by the name of a key, by the first digits of a known member."""
    writer = house.key("writer")
    for text in (writer.public.hex(), writer.public.hex().upper(), "writer"):
        body = house.body(house.govern("authorize", members=[text], kinds=[PAGE], permissions=1)["ids"][0])
        assert isinstance(body, Authorize)
        assert body.grants[0].member == writer.public
    assert house.govern("authorize", members=[writer.public.hex()[:8]], kinds=[PAGE], permissions=2)["ids"]
    for text in ("nobody", "ab", bytes([5]).hex() * 8):
        error = house.refusal("authorize", members=[text], kinds=[PAGE], permissions=1)
        assert error.code == "member-unknown"
    twins = [bytes([0xAB] * 8 + [number] * 24) for number in (1, 2)]
    house.govern("authorize", members=[each.hex() for each in twins], kinds=[PAGE], permissions=1)
    error = house.refusal("authorize", members=["abab"], kinds=[PAGE], permissions=1)
    assert error.code == "member-ambiguous"
    assert twins[1].hex()[:16] in str(error) or twins[0].hex()[:16] in str(error)


def permissions(house: House, **asked: Any) -> list[dict[str, Any]]:
    """All rows, over pages of two."""
    rows: list[dict[str, Any]] = []
    after = b""
    while True:
        wanted: dict[str, Any] = {"member": "", "kind": 0, "at": None, "limit": 2, "after": after, **asked}
        reply = house.ledger.permissions(1, **wanted)
        assert len(reply["permissions"]) <= 2
        rows += reply["permissions"]
        assert len(rows) < 100, "pages go round"
        if reply["next"] is None:
            return rows
        after = reply["next"]


def test_permissions_tell_who_may_what_by_which_proof(house: House) -> None:
    """Each power with its depth and chain; page by page, by member, by kind, and as it was."""
    editor, writer = house.key("editor"), house.key("writer")
    first = house.authorize(editor, Permission.PERMIT | Permission.AUTHORIZE | Permission.REVOKE)
    second = house.authorize(writer, Permission.PERMIT, as_key="editor")
    house.authorize(writer, Permission.PERMIT, kind=REMARK)
    revoke = house.revoke(writer, Permission.PERMIT, as_key="editor")["ids"][0]
    rows = permissions(house)
    keys = [(row["member"], row["kind"], row["permission"]) for row in rows]
    assert keys == sorted(keys)
    assert len(rows) == 5
    (row,) = [row for row in rows if (row["member"], row["kind"]) == (writer.public, PAGE)]
    assert (row["depth"], row["proof"], row["revoked_by"]) == (2, [first, second], [revoke])
    assert row["since"] == house.view(second).global_time
    assert [row["kind"] for row in permissions(house, member="writer")] == [PAGE, REMARK]
    assert [row["member"] for row in permissions(house, kind=REMARK)] == [writer.public]
    assert len(permissions(house, at=house.view(second).global_time)) == 3


def test_kinds_tell_what_holds(house: House) -> None:
    """Now, or at a global time."""
    wanted: dict[str, Any] = {"member": "", "kind": 0, "at": None, "limit": 9, "after": b""}
    told = house.ledger.permissions(1, **wanted)["kinds"]
    assert [(row["kind"], row["resolution"], row["policy"]) for row in told] == [
        (PAGE, "linear", "linear"),
        (REMARK, "dynamic", "public"),
        (OPEN, "public", "public"),
    ]
    changed = house.govern("policy", kinds=[REMARK], is_linear=True)["ids"][0]
    at = house.view(changed).global_time
    for time, policy in ((None, "linear"), (at, "public"), (at + 1, "linear")):
        (row,) = house.ledger.permissions(1, **{**wanted, "kind": REMARK, "at": time})["kinds"]
        assert row["policy"] == policy


def explained(house: House, message_id: bytes) -> dict[str, Any]:
    return house.ledger.explain(1, message_id)


def ids_of(rows: Sequence[dict[str, Any]]) -> list[bytes]:
    return [row["message_id"] for row in rows]


def test_explain_tells_the_proof_and_what_speaks_against_it(house: House) -> None:
    """From the founder down, for data and for what governs."""
    editor, writer = house.key("editor"), house.key("writer")
    first = house.authorize(editor, ALL)
    second = house.authorize(writer, Permission.PERMIT, as_key="editor")
    one, two = house.publish("one", "two", as_key="writer")
    told = explained(house, one)
    assert (ids_of(told["proof"]), told["against"], told["counts"]) == ([first, second], [], True)
    assert [row["author"] for row in told["proof"]] == [house.founder, editor.public]
    undo = house.govern("undo", message_id=two, as_key="editor")["ids"][0]
    assert ids_of(explained(house, two)["against"]) == [undo]
    assert ids_of(explained(house, second)["proof"])[:1] == [first]
    erased = house.govern("undo", message_id=one)["ids"][0]
    assert ids_of(explained(house, one)["against"]) == [erased]
    assert explained(house, bytes(32)) == {
        "cursor": None,
        "waits": False,
        "awaited": "",
        "refused": "",
        "reason": "",
        "came_by": "",
        "counts": True,
        "proof": [],
        "against": [],
    }


def test_explain_tells_why_a_message_does_not_count(house: House) -> None:
    """What was never permitted, and what was revoked and not kept, by which message."""
    writer = house.key("writer")
    stranger = house.receive("writer", PAGE, global_time=1, sequence=1, text="too early")
    told = explained(house, stranger)
    assert (told["waits"], told["awaited"], told["against"]) == (True, "permission", [])
    granted = house.authorize(writer, Permission.PERMIT | Permission.AUTHORIZE)
    (one,) = house.publish("one", as_key="writer")
    time = house.view(one).global_time
    revoke = house.revoke(writer, Permission.PERMIT | Permission.AUTHORIZE)["ids"][0]
    late = house.receive("writer", PAGE, global_time=time, sequence=2, text="back-dated")
    told = explained(house, late)
    assert (told["waits"], told["awaited"], told["reason"]) == (True, "permission", "revoked")
    assert ids_of(told["against"]) == [revoke]
    assert ids_of(explained(house, one)["proof"]) == [granted]
    assert house.shown() == ["one"]


def test_explain_tells_of_what_counted_and_does_no_more(house: House) -> None:
    """It is in the log, no index leads to it, and it is found all the same."""
    writer = house.key("writer")
    house.authorize(writer, Permission.PERMIT)
    one, two = house.publish("one", "two", as_key="writer")
    # Another who may revoke, on another node, holds the first alone.
    revoke = house.founder_says(
        Revoke((Withdrawal(MemberId(writer.public), PAGE, Permission.PERMIT, (), ((1, 1),)),)),
        global_time=house.view(two).global_time + 5,
    )
    assert house.shown() == ["one"]
    told = explained(house, two)
    assert (told["waits"], told["reason"], ids_of(told["against"])) == (False, "revoked", [revoke])
    (entry,) = house.store.entries([told["cursor"]])
    assert entry.message_id == two
    assert explained(house, one)["reason"] == ""


def test_members_are_all_who_have_to_do_with_it(house: House) -> None:
    """The founder, oneself, who holds or held something, who has published: page by page, by rising key."""
    editor, writer, guest = house.key("editor"), house.key("writer"), house.key("guest")
    house.authorize(editor, ALL)
    house.authorize(writer, Permission.PERMIT)
    house.revoke(writer, Permission.PERMIT)
    house.publish("one", "two", kind=OPEN, as_key="guest")
    rows: list[dict[str, Any]] = []
    after = b""
    while True:
        page = house.ledger.members(1, limit=2, after=after)
        assert len(page["members"]) <= 2
        rows += page["members"]
        assert len(rows) < 100, "pages go round"
        if page["next"] is None:
            break
        after = page["next"]
    assert [row["member"] for row in rows] == sorted(
        [house.founder, house.own, editor.public, writer.public, guest.public]
    )
    told = {row["member"]: row for row in rows}
    assert told[editor.public]["permissions"] == {PAGE: ALL}
    assert told[writer.public]["permissions"] == {}
    assert told[guest.public]["published"] == {OPEN: 2}
    assert [row["member"] for row in rows if row["is_founder"]] == [house.founder]
    assert [row["member"] for row in rows if row["is_own"]] == [house.own]
