"""Goal: whatever is held is found, by id, by slot and in pages, and explained; pages cost no state."""

from __future__ import annotations

import tracemalloc
from pathlib import Path
from typing import Any

import pytest

from dispersy.bus.frames import encode
from dispersy.ext.wire import encode_message
from dispersy.protocol.intake.marks import DENIED, ERASED, HIDDEN_BY_EQUIVOCATION, HIDDEN_BY_ORDER, UNDONE
from dispersy.service.operations.listing import EXAMINED_MAX, PAGE_SIZE_MAX, PORTION
from dispersy.storage.store import Batch, BlockedRecord
from tests.unit.control_house import (
    ALICE,
    BOB,
    CHAT,
    IMAGE,
    NEWS,
    NOTHING_KNOWN,
    TEXT,
    ControlHouse,
    message,
)


@pytest.fixture
def desk(tmp_path: Path) -> ControlHouse:
    made = ControlHouse(tmp_path)
    made.join(1, CHAT, "chat")
    made.join(2, NEWS, "news")
    return made


def all_pages(desk: ControlHouse, **fields: Any) -> list[dict[str, Any]]:
    """The messages of every page; none is longer than asked for."""
    found: list[dict[str, Any]] = []
    place = None
    while True:
        reply = desk.ask("list", **fields, **({} if place is None else {"next": place}))
        assert reply["ok"], reply
        assert len(reply["messages"]) <= fields.get("limit", 100)
        found += reply["messages"]
        place = reply["next"]
        if place is None:
            return found


def times(messages: list[dict[str, Any]]) -> list[int]:
    return [each["global_time"] for each in messages]


def test_get_by_id_tells_all_of_a_message(desk: ControlHouse) -> None:
    """Every field, all payloads."""
    desk.add(1, message(BOB, 3))
    (entry,) = desk.add(1, message(ALICE, 5, sequence=2, kind=IMAGE, payloads=(b"a", b"", b"c")))
    reply = desk.look_up("get", community="chat", message_id=entry.message_id)
    assert reply["messages"] == [
        {
            "community": CHAT,
            "kind": "image",
            "kind_number": IMAGE,
            "author": ALICE,
            "second_author": b"",
            "global_time": 5,
            "sequence": 2,
            "message_id": entry.message_id,
            "cursor": entry.cursor,
            "payloads": [b"a", b"", b"c"],
            "arrival_ms": 1_000,
            "hidden": [],
            "undone": [],
        }
    ]


def test_who_signed_a_message_too_is_told(desk: ControlHouse) -> None:
    """Nobody could otherwise see with whom something was agreed."""
    (entry,) = desk.add(1, message(ALICE, 5, second=BOB))
    for reply in (
        desk.look_up("get", community="chat", message_id=entry.message_id),
        desk.ask("list", community="chat"),
    ):
        (found,) = reply["messages"]
        assert (found["author"], found["second_author"]) == (ALICE, BOB)


def test_payloads_that_were_undone_one_by_one_are_empty(desk: ControlHouse) -> None:
    """By get and by list; the others keep their places, and an index that no payload has says nothing."""
    (entry,) = desk.add(1, message(ALICE, 5, payloads=(b"a", b"b", b"c")))
    desk.store.commit(Batch(undone=[(entry.cursor, (1, 9))]))
    for reply in (
        desk.look_up("get", community="chat", message_id=entry.message_id),
        desk.ask("list", community="chat"),
    ):
        (found,) = reply["messages"]
        assert (found["payloads"], found["undone"], found["hidden"]) == ([b"a", b"", b"c"], [1], [])


def test_get_by_slot_tells_both_that_prove_misbehaviour(desk: ControlHouse) -> None:
    """Two messages in one slot are both told, hidden, and the one of another author is not."""
    twins = [message(ALICE, 5, payloads=(text,)) for text in (b"a", b"b")]
    entries = desk.add(1, *twins, marks=HIDDEN_BY_EQUIVOCATION)
    desk.add(1, message(BOB, 5))
    reply = desk.look_up("get", community="chat", author=ALICE, kind="text", sequence=5)
    assert {each["message_id"] for each in reply["messages"]} == {entry.message_id for entry in entries}
    assert [each["hidden"] for each in reply["messages"]] == [["equivocation"]] * 2


def test_what_is_not_held_is_unknown(desk: ControlHouse) -> None:
    """Of another community too: an id belongs to one."""
    (elsewhere,) = desk.add(2, message(ALICE, 1))
    for wanted in (
        {"message_id": bytes(32)},
        {"message_id": elsewhere.message_id},
        {"author": ALICE, "kind": "text", "sequence": 1},
    ):
        reply = desk.look_up("get", community="chat", **wanted)
        assert reply["error"]["code"] == "message-unknown"
        assert "explain" in reply["error"]["hint"]


@pytest.mark.parametrize(
    ("op", "fields", "code"),
    [
        ("get", {}, "malformed"),
        ("get", {"message_id": bytes(31)}, "malformed"),
        ("get", {"message_id": bytes(32), "author": ALICE}, "malformed"),
        ("get", {"author": ALICE, "kind": "text"}, "malformed"),
        ("get", {"author": ALICE, "kind": "sound", "sequence": 1}, "kind-unknown"),
        ("get", {"author": ALICE, "kind": "text", "sequence": 1 << 63}, "malformed"),
        ("list", {"kinds": ["sound"]}, "kind-unknown"),
        ("list", {"kinds": ["text"] * 257}, "count"),
        ("list", {"author": b"short"}, "malformed"),
        ("list", {"limit": 0}, "malformed"),
        ("list", {"limit": 1_001}, "malformed"),
        ("list", {"from": -1}, "malformed"),
        ("list", {"order": "random"}, "malformed"),
        ("list", {"next": b"t"}, "malformed"),
        ("list", {"next": b"T" + bytes(24)}, "malformed"),
        ("list", {"next": b"a" + bytes(8)}, "malformed"),
        ("list", {"by": "arrival", "next": b"t" + bytes(24)}, "malformed"),
        ("last", {"kind": "sound"}, "kind-unknown"),
        ("last", {}, "malformed"),
        ("explain", {}, "malformed"),
        ("explain", {"message_id": bytes(33)}, "malformed"),
    ],
)
def test_what_names_nothing_is_refused(
    desk: ControlHouse, op: str, fields: dict[str, Any], code: str
) -> None:
    """And the writer is not troubled."""
    reply = desk.ask(op, community="chat", **fields)
    assert reply["error"]["code"] == code
    assert reply["error"]["hint"]
    assert not desk.orders


def test_a_community_without_a_definition_has_no_kinds_to_list(desk: ControlHouse) -> None:
    desk.join(3, b"\3" * 32, "waits", defined=False)
    assert desk.ask("list", community="waits")["error"]["code"] == "definition-unknown"
    assert desk.look_up("explain", community="waits", message_id=bytes(32))["state"] == "undefined"


@pytest.mark.parametrize("by", ["global-time", "arrival"])
@pytest.mark.parametrize("order", ["ascending", "descending"])
@pytest.mark.parametrize("limit", [1, 3, 1_000])
def test_pages_are_the_whole_in_order(desk: ControlHouse, by: str, order: str, limit: int) -> None:
    """Nothing is left out at a page's edge and nothing comes twice, whatever is stored between two pages."""
    arrived = [7, 2, 9, 4, 1, 8]
    for time in arrived:
        desk.add(1, message(ALICE, time))
        desk.add(2, message(ALICE, time))
    expected = sorted(arrived) if by == "global-time" else arrived
    found = all_pages(desk, community="chat", by=by, order=order, limit=limit)
    assert times(found) == (expected if order == "ascending" else expected[::-1])
    assert {each["community"] for each in found} == {CHAT}


def test_what_is_stored_while_one_pages_does_not_shift_the_pages(desk: ControlHouse) -> None:
    """A place is a place in the order, not a count."""
    for time in (2, 4, 6, 8):
        desk.add(1, message(ALICE, time))
    first = desk.ask("list", community="chat", limit=2)
    desk.add(1, message(BOB, 1), message(BOB, 3), message(BOB, 5))
    rest = desk.ask("list", community="chat", limit=9, next=first["next"])
    assert times(first["messages"]) == [2, 4]
    assert times(rest["messages"]) == [5, 6, 8]
    assert rest["next"] is None


@pytest.mark.parametrize("by", ["global-time", "arrival"])
def test_filters_choose(desk: ControlHouse, by: str) -> None:
    """By kind, author and global time, alone and together; the bounds belong to the range."""
    for time in range(1, 9):
        desk.add(1, message(ALICE if time % 2 else BOB, time, kind=TEXT if time < 5 else IMAGE))

    def chosen(**fields: Any) -> list[int]:
        return times(all_pages(desk, community="chat", by=by, limit=2, **fields))

    assert chosen(kinds=["image"]) == [5, 6, 7, 8]
    assert chosen(kinds=["image", "text"]) == list(range(1, 9))
    assert chosen(author=ALICE) == [1, 3, 5, 7]
    assert chosen(**{"from": 3, "to": 6}) == [3, 4, 5, 6]
    assert chosen(author=BOB, kinds=["text"], **{"from": 3}) == [4]
    assert chosen(**{"from": 6, "to": 3}) == []
    assert chosen(order="descending", author=BOB, to=6) == [6, 4, 2]


@pytest.mark.parametrize("by", ["global-time", "arrival"])
def test_hidden_ones_are_listed_when_asked_for(desk: ControlHouse, by: str) -> None:
    """And say why they are hidden; what is no longer live shows by arrival alone."""
    desk.add(1, message(ALICE, 1))
    desk.add(1, message(ALICE, 2), marks=HIDDEN_BY_ORDER | UNDONE)
    (gone,) = desk.add(1, message(ALICE, 3))
    desk.store.commit(Batch(unlive=[gone.cursor]))
    assert times(all_pages(desk, community="chat", by=by)) == [1]
    found = all_pages(desk, community="chat", by=by, hidden=True)
    expected = [[], ["order", "undone"]] + ([["denied"]] if by == "arrival" else [])
    assert [each["hidden"] for each in found] == expected


@pytest.mark.parametrize("by", ["global-time", "arrival"])
def test_what_is_erased_is_listed_without_payloads(desk: ControlHouse, by: str) -> None:
    """When hidden ones are asked for; pages go on behind it, however many payloads it had."""
    first, _ = desk.add(1, message(ALICE, 1, payloads=(b"a", b"b", b"c")), message(ALICE, 2))
    desk.store.commit(Batch(marks=[(first.cursor, UNDONE)], erased=[first.cursor]))
    assert times(all_pages(desk, community="chat", by=by)) == [2]
    found = all_pages(desk, community="chat", by=by, hidden=True)
    assert [(each["hidden"], each["payloads"] == []) for each in found] == [
        (["undone", "erased"], True),
        ([], False),
    ]


def test_a_rare_filter_gives_short_pages_that_go_on(desk: ControlHouse) -> None:
    """No request looks at more than so many entries, and yet the one that is sought is found."""
    many = EXAMINED_MAX + PORTION
    desk.add(1, message(BOB, 1), *(message(ALICE, time) for time in range(2, many)))
    for by in ("global-time", "arrival"):
        first = desk.ask("list", community="chat", by=by, author=BOB, order="descending")
        assert first["messages"] == []
        assert first["next"] is not None
        rest = desk.ask("list", community="chat", by=by, author=BOB, order="descending", next=first["next"])
        assert times(rest["messages"]) == [1]
        assert rest["next"] is None


def test_a_page_has_a_most_of_bytes(desk: ControlHouse) -> None:
    """What one reply costs while nobody reads it is bounded, whatever the limit."""
    size = 900
    count = 3 * PAGE_SIZE_MAX // size
    desk.add(1, *(message(ALICE, time, payloads=(b"x" * size,)) for time in range(1, count + 1)))
    first = desk.ask("list", community="chat", limit=1_000)
    held = sum(len(payload) for each in first["messages"] for payload in each["payloads"])
    assert PAGE_SIZE_MAX / 2 < held < PAGE_SIZE_MAX + 2 * size
    assert times(all_pages(desk, community="chat", limit=1_000)) == list(range(1, count + 1))


def test_pages_of_large_messages_are_read_in_portions(desk: ControlHouse) -> None:
    """Goal: 512 large messages are 32 MB: no more of them is read than a page and a portion take."""
    desk.add(1, *(message(ALICE, time, payloads=(b"x" * 60_000,)) for time in range(1, 101)))
    for by in ("global-time", "arrival"):
        for order in ("ascending", "descending"):
            tracemalloc.start()
            try:
                page = desk.ask("list", community="chat", by=by, order=order, limit=1_000)
                _, peak = tracemalloc.get_traced_memory()
            finally:
                tracemalloc.stop()
            assert len(page["messages"]) == 5
            assert peak < 5_000_000
            pages = all_pages(desk, community="chat", by=by, order=order, limit=1_000)
            assert sorted(times(pages)) == list(range(1, 101))


@pytest.mark.parametrize(
    ("by", "place"),
    [
        ("global-time", b"t" + b"\xff" * 24),
        ("global-time", b"T" + bytes(24)),
        ("arrival", b"a" + b"\xff" * 8),
    ],
)
def test_any_place_is_a_place(desk: ControlHouse, by: str, place: bytes) -> None:
    """What a client makes up itself leads to an end, never to an exception."""
    desk.add(1, message(ALICE, 1))
    order = "descending" if place[:1] == b"T" else "ascending"
    reply = desk.ask("list", community="chat", by=by, order=order, next=place)
    assert (reply["messages"], reply["next"]) == ([], None)


def test_last_gives_the_newest_first(desk: ControlHouse) -> None:
    """Of a kind, and of an author when one is named; its `next` goes on in a list."""
    for time in range(1, 7):
        desk.add(1, message(ALICE if time % 2 else BOB, time))
    desk.add(1, message(ALICE, 9, kind=IMAGE))
    assert times(desk.ask("last", community="chat", kind="text")["messages"]) == [6]
    newest = desk.ask("last", community="chat", kind="text", author=ALICE, count=2)
    assert times(newest["messages"]) == [5, 3]
    on = desk.ask(
        "list", community="chat", kinds=["text"], author=ALICE, order="descending", next=newest["next"]
    )
    assert times(on["messages"]) == [1]


def test_what_is_removed_while_the_writer_answers_is_not_held(desk: ControlHouse) -> None:
    """A place that the writer told may be gone a moment later; that is an answer, and no failure of ours."""
    (entry,) = desk.add(1, message(ALICE, 1))
    for op in ("get", "explain"):
        desk.request(op, community="chat", message_id=entry.message_id)
        answer = {"cursors": [999]} if op == "get" else {**NOTHING_KNOWN, "cursor": 999}
        desk.control.receive_answer(encode({"id": desk.orders.pop()["id"], "ok": True, **answer}))
        reply = desk.sent[-1][1]
        assert (reply["error"]["code"] if op == "get" else reply["state"]) in ("message-unknown", "unknown")


def test_explain_says_what_became_of_a_message(desk: ControlHouse) -> None:
    """A state for programs and a sentence for people, for each there is."""
    (shown,) = desk.add(1, message(ALICE, 1))
    (odd,) = desk.add(1, message(ALICE, 2), marks=HIDDEN_BY_ORDER)
    desk.fates = {
        b"w" * 32: {"waits": True, "awaited": "kind"},
        b"r" * 32: {"refused": "payload-size"},
    }

    def explain(message_id: bytes) -> dict[str, Any]:
        reply = desk.look_up("explain", community="chat", message_id=message_id)
        assert reply["text"]
        assert reply["community"] == CHAT
        return reply

    told = explain(shown.message_id)
    assert (told["state"], told["held"], told["cursor"], told["hidden"]) == ("shown", True, shown.cursor, [])
    told = explain(odd.message_id)
    assert (told["state"], told["held"], told["hidden"]) == ("hidden", True, ["order"])
    assert "sequence" in told["text"]
    assert explain(b"w" * 32)["state"] == "waiting"
    told = explain(b"r" * 32)
    assert (told["state"], told["held"], told["reason"]) == ("refused", False, "payload-size")
    assert "payload-size" in told["text"]
    told = explain(bytes(32))
    assert (told["state"], told["cursor"], told["reason"]) == ("unknown", None, "")


def test_what_governs_is_not_counted_as_published(desk: ControlHouse) -> None:
    """However many authorizes there are, and whichever of them do not count; they are live all the same."""
    desk.add(1, message(ALICE, 1), message(ALICE, 2))
    before = desk.ask("count", community="chat")
    assert (before["count"], before["live"]) == (2, 3)
    unsigned = [encode_message(1, 0, ALICE, b"", 3, number, bytes(32), b"", [b"x"]) for number in (1, 2)]
    _, denied = desk.add(1, *(each + bytes(64) for each in unsigned))
    told = desk.ask("count", community="chat")
    assert (told["count"], told["live"]) == (2, 5)
    desk.store.commit(Batch(unlive=[denied.cursor]))
    told = desk.ask("count", community="chat")
    assert (told["count"], told["live"]) == (2, 4)


BY = {"message_id": b"p" * 32, "kind": 1, "author": CHAT, "global_time": 2}


@pytest.mark.parametrize(
    ("fate", "marks", "state", "reason", "words"),
    [
        ({"proof": [BY]}, 0, "shown", "", "it counts"),
        ({"against": [BY | {"kind": 3, "index": 1}]}, UNDONE, "hidden", "", "taken back"),
        ({"against": [BY | {"kind": 3, "index": None}]}, ERASED, "hidden", "", "payloads are gone"),
        ({"reason": "revoked", "against": [BY | {"kind": 2}]}, DENIED, "denied", "revoked", "revoked"),
        ({"reason": "policy", "against": [BY | {"kind": 4}]}, DENIED, "denied", "policy", "permitted"),
        ({"reason": "frozen"}, DENIED, "denied", "frozen", "no more messages"),
        ({"counts": False, "against": [BY | {"kind": 2}]}, 0, "idle", "", "no power"),
        ({"waits": True, "awaited": "permission"}, None, "waiting", "permission", "permits"),
        ({"waits": True, "awaited": "power"}, None, "waiting", "power", "no power"),
        ({"waits": True, "awaited": "sequence"}, None, "waiting", "sequence", "come before"),
        ({"refused": "destroyed"}, None, "refused", "destroyed", "ended"),
    ],
)
def test_explain_tells_what_speaks_for_and_against_a_message(
    desk: ControlHouse, fate: dict[str, Any], marks: int | None, state: str, reason: str, words: str
) -> None:
    """Each with its kind, author and time, so that a person can go on asking; None: it is not in the log."""
    message_id = b"m" * 32
    if marks is not None:
        (entry,) = desk.add(1, message(ALICE, 1), marks=marks)
        message_id, fate = entry.message_id, {**fate, "cursor": entry.cursor}
    desk.fates[message_id] = fate
    told = desk.look_up("explain", community="chat", message_id=message_id)
    assert (told["state"], told["reason"], told["held"]) == (state, reason, marks in (0, UNDONE, ERASED))
    assert words in told["text"]
    names = {1: "authorize", 2: "revoke", 3: "undo", 4: "settings"}
    for side in ("proof", "against"):
        rows = fate.get(side, [])
        assert told[side] == [{**row, "kind": names[row["kind"]]} for row in rows]


def test_as_goes_to_the_writer(desk: ControlHouse) -> None:
    """Whose key it is, the writer alone can tell."""
    fields = {"community": "chat", "kind": "text", "request_id": bytes(16), "payloads": [b"x"]}
    desk.request("publish", **fields)
    desk.request("publish-many", **fields, **{"as": "work"})
    desk.request("create", name="other", **{"as": "work"})
    desk.request("join", community=bytes(32), **{"as": "work"})
    assert [order["as_key"] for order in desk.orders] == ["", "work", "work", "work"]


def test_a_blocked_author_is_named_as_such(desk: ControlHouse) -> None:
    """Who asks for the message by name learns why it is not given; of two in a slot the other is."""
    (entry,) = desk.add(1, message(BOB, 3))
    desk.add(1, message(ALICE, 4))
    desk.store.commit(Batch(blocked=[BlockedRecord(1, BOB, "")]))
    desk.control.view.expire()
    reply = desk.look_up("get", community="chat", message_id=entry.message_id)
    assert reply["error"]["code"] == "blocked"
    told = desk.look_up("explain", community="chat", message_id=entry.message_id)
    assert (told["state"], told["held"], told["hidden"]) == ("blocked", True, [])
    assert times(all_pages(desk, community="chat")) == [4]
    desk.store.commit(Batch(blocked=[BlockedRecord(2, BOB, "")]))
    desk.control.view.expire()
    assert desk.look_up("get", community="chat", message_id=entry.message_id)["ok"]
    assert desk.look_up("explain", community="chat", message_id=entry.message_id)["state"] == "shown"
