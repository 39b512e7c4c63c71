"""Goal: what a client asks of a community's government reaches the writer, or is refused with the reason."""

from __future__ import annotations

from os import urandom
from pathlib import Path
from typing import Any

import pytest

from dispersy.bus.frames import encode
from dispersy.protocol.definitions.definition import Definition, Kind, encode_definition
from dispersy.protocol.permissions.control_messages import Permission
from tests.unit.control_house import ALICE, CHAT, IMAGE, ME, TEXT, ControlHouse

REQUEST = urandom(16)
SAID: dict[str, dict[str, Any]] = {
    "authorize": {"members": [ALICE.hex()], "kinds": ["text"], "permissions": ["permit"]},
    "revoke": {"members": [ALICE.hex()], "kinds": ["text"], "permissions": ["permit"], "force": True},
    "undo": {"message_id": ALICE},
    "policy": {"kind": "text", "resolution": "public"},
    "destroy": {"hard": False, "yes": True},
    "define": {"definition": encode_definition(Definition("chat", (Kind(number=TEXT, name="text"),)))},
}


@pytest.fixture
def desk(tmp_path: Path) -> ControlHouse:
    made = ControlHouse(tmp_path)
    made.join(1, CHAT, "chat")
    return made


def hear(desk: ControlHouse, **about: int) -> None:
    """What the network role says of the community."""
    known = {"peers_verified": 0, "peers_in_sync": 0, "peers_differing": 0} | about
    report = {"role": "network", "pid": 1, "whole": True, "communities": {1: known}}
    desk.control.receive_report(encode(report))


def ordered(desk: ControlHouse, op: str, **fields: Any) -> dict[str, Any]:
    """What the one order of a request asks the writer to say."""
    desk.request(op, community="chat", request_id=REQUEST, **fields)
    (order,) = desk.orders
    desk.orders.clear()
    assert (order["op"], order["community"], order["request_id"]) == ("govern", 1, REQUEST)
    said = dict(order["control"])
    assert said.pop("act") == op
    return said


def refusal(desk: ControlHouse, op: str, **fields: Any) -> dict[str, Any]:
    """The error of a request that no order came of."""
    reply = desk.ask(op, **{"community": "chat", "request_id": REQUEST, **fields})
    assert desk.orders == []
    error: dict[str, Any] = reply["error"]
    assert error["message"]
    assert error["hint"]
    return error


def test_names_become_numbers(desk: ControlHouse) -> None:
    """Each kind and permission once, whatever order they are named in; members go as they are called."""
    said = ordered(
        desk,
        "authorize",
        members=["alice", ALICE.hex()],
        kinds=["image", "text", "image"],
        permissions=["undo", "permit", "undo"],
    )
    assert said == {
        "members": ["alice", ALICE.hex()],
        "kinds": [TEXT, IMAGE],
        "permissions": Permission.PERMIT | Permission.UNDO,
    }


def test_each_asks_for_what_it_is_called(desk: ControlHouse) -> None:
    """Fields go as they are."""
    hear(desk, peers_verified=1, peers_in_sync=1)
    assert ordered(desk, "undo", message_id=ALICE, index=3) == {"message_id": ALICE, "index": 3}
    assert ordered(desk, "policy", kind="text", resolution="linear") == {
        "kinds": [TEXT],
        "is_linear": True,
        "force": False,
    }
    assert ordered(desk, "destroy", hard=True, yes=True) == {"is_hard": True}
    assert ordered(desk, "define", **SAID["define"]) == {"definition": SAID["define"]["definition"]}
    desk.request("undo", community="chat", request_id=REQUEST, message_id=ALICE, **{"as": "bob"})
    assert [order["as_key"] for order in desk.orders] == ["bob"]


@pytest.mark.parametrize("op", SAID)
def test_what_was_done_before_is_told(desk: ControlHouse, op: str) -> None:
    """`already` is there whether the writer signed or found it done."""
    for answer in ({"ids": [ALICE], "repeated": False}, {"ids": [], "repeated": False, "already": True}):
        desk.request(op, community="chat", request_id=REQUEST, **SAID[op])
        (order,) = desk.orders
        desk.orders.clear()
        desk.control.receive_answer(encode({"id": order["id"], "ok": True, **answer}))
        _, reply = desk.sent[-1]
        assert (reply["ok"], reply["ids"], reply["already"]) == (True, answer["ids"], "already" in answer)


@pytest.mark.parametrize(
    ("about", "state"),
    [
        ({"peers_verified": 2, "peers_in_sync": 1, "peers_differing": 1}, "synchronising"),
        ({"peers_verified": 1}, "not compared yet"),
        ({}, "alone"),
        (None, "starting"),
    ],
)
@pytest.mark.parametrize(
    ("op", "fields"),
    [("revoke", SAID["revoke"] | {"force": False}), ("policy", {"kind": "text", "resolution": "linear"})],
)
def test_what_hides_is_refused_while_not_in_sync(
    desk: ControlHouse, about: dict[str, int] | None, state: str, op: str, fields: dict[str, Any]
) -> None:
    """What this node does not hold would be gone on every node; who says force gets it."""
    if about is not None:
        hear(desk, **about)
    error = refusal(desk, op, **fields)
    assert error["code"] == "not-in-sync"
    assert state in error["message"]
    assert ordered(desk, op, **fields | {"force": True})["force"] is True
    hear(desk, peers_verified=2, peers_in_sync=2)
    assert ordered(desk, op, **fields)["force"] is False


def test_what_hides_nothing_needs_no_neighbour(desk: ControlHouse) -> None:
    """To let more count is safe wherever one is."""
    assert ordered(desk, "policy", kind="text", resolution="public")["is_linear"] is False
    assert ordered(desk, "authorize", **SAID["authorize"])


@pytest.mark.parametrize(
    ("op", "fields", "code"),
    [
        ("authorize", SAID["authorize"] | {"community": "nowhere"}, "community-unknown"),
        ("authorize", SAID["authorize"] | {"kinds": ["picture"]}, "kind-unknown"),
        ("authorize", SAID["authorize"] | {"permissions": ["fly"]}, "malformed"),
        ("authorize", SAID["authorize"] | {"permissions": []}, "count"),
        ("authorize", SAID["authorize"] | {"members": []}, "count"),
        ("authorize", SAID["authorize"] | {"members": ["x"] * 257}, "count"),
        ("authorize", SAID["authorize"] | {"members": [ALICE]}, "malformed"),
        ("authorize", SAID["authorize"] | {"request_id": b""}, "malformed"),
        ("undo", {"message_id": b"short"}, "malformed"),
        ("undo", {"message_id": ALICE, "index": 255}, "malformed"),
        ("policy", {"kind": "text", "resolution": "dynamic"}, "malformed"),
        ("destroy", {"hard": True}, "malformed"),
        ("destroy", {"hard": True, "yes": False}, "malformed"),
        ("define", {"definition": b"junk"}, "definition-malformed"),
        ("permissions", {"request_id": REQUEST}, "malformed"),
    ],
)
def test_bad_requests_are_refused_before_the_writer_hears_of_them(
    desk: ControlHouse, op: str, fields: dict[str, Any], code: str
) -> None:
    """The code says what was wrong."""
    assert refusal(desk, op, **fields)["code"] == code


def test_members_and_permissions_are_told_by_name(desk: ControlHouse) -> None:
    """Kinds and permissions have names; one that no definition names has its number."""
    desk.request("members", community="chat", limit=7)
    (order,) = desk.orders
    desk.orders.clear()
    assert (order["op"], order["community"], order["limit"], order["next"]) == ("members", 1, 7, b"")
    row = {"member": ALICE, "is_founder": False, "is_own": True}
    answer = {"members": [{**row, "permissions": {TEXT: 9, 99: 1}, "published": {IMAGE: 3}}], "next": b"n"}
    desk.control.receive_answer(encode({"id": order["id"], "ok": True, **answer}))
    client, reply = desk.sent[-1]
    assert client == ME
    assert reply["members"] == [
        {**row, "permissions": {"text": ["permit", "undo"], "99": ["permit"]}, "published": {"image": 3}}
    ]
    assert (reply["community"], reply["next"]) == (CHAT, b"n")

    desk.request("permissions", community="chat", member="alice", kind="image", at=9, next=b"place")
    (order,) = desk.orders
    assert [order[name] for name in ("op", "name", "kind", "at", "next")] == [
        "permissions",
        "alice",
        IMAGE,
        9,
        b"place",
    ]
    row = {"member": ALICE, "since": 3, "depth": 1, "revoked_by": [], "proof": [ALICE]}
    kinds = [{"kind": TEXT, "resolution": "dynamic", "policy": "linear"}]
    answer = {
        "permissions": [{**row, "kind": IMAGE, "permission": 16}],
        "kinds": kinds,
        "at": 9,
        "next": None,
    }
    desk.control.receive_answer(encode({"id": order["id"], "ok": True, **answer}))
    _, reply = desk.sent[-1]
    assert reply["permissions"] == [{**row, "kind": "image", "permission": "settings"}]
    assert reply["kinds"] == [{"kind": "text", "resolution": "dynamic", "policy": "linear"}]
    assert (reply["founder"], reply["at"], reply["next"]) == (CHAT, 9, None)


def test_a_definition_that_is_not_enforced_is_named(desk: ControlHouse) -> None:
    """The founder hears what this version cannot do before anybody gets it."""
    kind = Kind(number=TEXT, name="text", batch_window_ms=10_001)
    error = refusal(desk, "define", definition=encode_definition(Definition("chat", (kind,))))
    assert error["code"] == "definition-not-enforced"
