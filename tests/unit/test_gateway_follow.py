"""Goal: every follow gets its stream: whole, in order, within its credit, and across a restart."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from time import monotonic

import pytest

from dispersy.bus.frames import encode
from dispersy.client import Event
from dispersy.errors import UsageError
from dispersy.protocol.intake.marks import HIDDEN_BY_ORDER
from dispersy.service.interface.requests import CREDIT_MAX
from dispersy.service.operations.follows import FOLLOWS_MAX
from dispersy.storage.store import Batch, EntryType, EventEntry
from tests.unit.gateway_house import AUTHOR, CHAT, LIMIT_S, NEWS, House, payloads_of, receive, take


def test_a_follow_replays_then_lives(house: House) -> None:
    """Stored messages in order, once caught-up, then what comes: no gap and nothing twice."""
    house.join(1, CHAT, "chat")
    house.publish(1, [b"a"], [b"b", b"c"])

    def scene() -> None:
        with house.client() as client:
            events = client.follow(["chat"], since="begin", idle_s=LIMIT_S)
            seen = take(events, 4)
            assert [event.event for event in seen] == ["message", "message", "message", "caught-up"]
            assert payloads_of(seen) == [b"a", b"b", b"c"]
            assert [event.index for event in seen[:3]] == [0, 0, 1]
            assert [event.cursor for event in seen[:3]] == [seen[0].cursor + step for step in range(3)]
            assert (seen[0].kind, seen[0].author, seen[0].community) == ("text", AUTHOR, CHAT)
            house.publish(1, [b"d"])
            assert payloads_of(take(events, 1)) == [b"d"]

    house.play(scene)


def test_a_follow_goes_on_in_the_middle_of_a_message(house: House) -> None:
    """Every payload has a cursor of its own, and a client may stop after any of them."""
    house.join(1, CHAT, "chat")
    first = house.publish(1, [b"a"], [b"b", b"c", b"d"], [b"e"])

    def scene() -> None:
        with house.client() as client:
            events = client.follow(["chat"], since=first + 2, idle_s=LIMIT_S)
            assert payloads_of(take(events, 3)) == [b"d", b"e"]

    house.play(scene)


def test_a_follow_sends_no_more_than_its_credit(house: House) -> None:
    """A client that reads nothing costs what it was granted, and goes on where it stopped."""
    house.join(1, CHAT, "chat")
    house.publish(1, *([b"%d" % number] for number in range(300)))

    def scene() -> None:
        socket = house.dealer()
        follow = {
            "v": 1,
            "id": "f",
            "op": "follow",
            "communities": ["chat"],
            "since": "begin",
            "credit": 5,
        }
        socket.send(encode(follow))
        frames = [receive(socket) for _ in range(6)]
        assert frames[0]["ok"]
        assert [frame["payload"] for frame in frames[1:]] == [b"%d" % number for number in range(5)]
        socket.send(encode({"v": 1, "id": 2, "op": "count", "community": "chat"}))
        assert receive(socket)["id"] == 2
        socket.send(encode({"v": 1, "id": "f", "op": "credit", "count": CREDIT_MAX}))
        rest = [receive(socket) for _ in range(296)]
        assert [frame.get("payload") for frame in rest[:-1]] == [b"%d" % number for number in range(5, 300)]
        assert rest[-1]["event"] == "caught-up"
        socket.send(encode({"v": 1, "id": "f", "op": "cancel"}))
        assert receive(socket)["ok"]

    house.play(scene)


def test_filters_choose_by_community_and_kind(house: House) -> None:
    """What was not asked for is not sent; no filter means everything."""
    house.join(1, CHAT, "chat")
    house.join(2, NEWS, "news")
    house.publish(1, [b"c"])
    house.publish(2, [b"n"])

    def scene() -> None:
        with house.client() as client:
            assert payloads_of(take(client.follow(["news"], since="begin", idle_s=LIMIT_S), 2)) == [b"n"]
            assert payloads_of(take(client.follow(since="begin", idle_s=LIMIT_S), 3)) == [b"c", b"n"]
            assert payloads_of(take(client.follow(kinds=["other"], since="begin", idle_s=LIMIT_S), 1)) == []
            assert payloads_of(take(client.follow(since="now", idle_s=LIMIT_S), 1)) == []

    house.play(scene)


def test_a_follow_does_not_crawl_through_what_others_said(house: House) -> None:
    """A long log of another community is passed without waiting for anything to happen at the node."""
    house.join(1, CHAT, "chat")
    house.join(2, NEWS, "news")
    for _ in range(15):
        house.publish(2, *([b"n"] for _ in range(1_000)))
    house.publish(1, [b"c"])
    caught_up: list[float] = []

    def scene() -> None:
        with house.client() as client:
            began = monotonic()
            follows = [client.follow(["chat"], since="begin", idle_s=LIMIT_S) for _ in range(3)]
            for events in follows:
                seen = take(events, 2)
                assert (payloads_of(seen), seen[1].event) == ([b"c"], "caught-up")
            caught_up.append(monotonic() - began)

    house.play(scene)
    # A share a second would take 15 s.
    assert caught_up[0] < 5.0


def test_a_follow_goes_on_when_the_node_comes_back(house: House) -> None:
    """Every gateway ends some day; who follows sees neither a gap nor anything twice, and is not deaf."""
    house.join(1, CHAT, "chat")
    house.publish(1, [b"a"], [b"b", b"c"])
    absences: list[bool] = []
    with house.client() as client:
        followed: list[Iterator[Event]] = []

        def before() -> None:
            events = client.follow(
                ["chat"], since="begin", idle_s=1.0, on_absence=lambda: absences.append(True)
            )
            followed.append(events)
            assert payloads_of(take(events, 2)) == [b"a", b"b"]

        def after() -> None:
            assert payloads_of(take(followed[0], 3)) == [b"c", b"d"]
            house.publish(1, [b"e"])
            assert payloads_of(take(followed[0], 1)) == [b"e"]
            assert list(followed[0]) == [], "it ends when it is idle, and not before"

        house.play(before)
        house.publish(1, [b"d"])
        house.play(after)
    assert absences == [True]


def test_a_follow_says_that_the_node_stays_away(house: House) -> None:
    """Not being caught up is no idleness: the end of the node is an error, not an end of the stream."""
    house.join(1, CHAT, "chat")
    with house.client() as client:
        followed: list[Iterator[Event]] = []

        def follow() -> None:
            followed.append(client.follow(["chat"], idle_s=LIMIT_S, absence_s=0.1))
            assert take(followed[0], 1)[0].event == "caught-up"

        house.play(follow)
        with pytest.raises(UsageError) as caught:
            next(followed[0])
    assert caught.value.code == "not-running"
    # The house is told where the socket is, and not whose home that is.
    assert "ipc://" in str(caught.value)
    assert "see there whether it is running" in caught.value.hint


def test_what_is_no_list_of_names_is_refused_by_the_client(house: House) -> None:
    """A text is a sequence of letters, and following those would find nothing."""
    with house.client() as client, pytest.raises(UsageError) as caught:
        client.follow("chat")
    assert "['chat']" in str(caught.value)


def test_a_definition_that_comes_with_its_first_messages_hides_none(house: House) -> None:
    """What a commit brought may be read before the note of it is: the names of its kinds too."""

    def scene() -> None:
        with house.client() as client:
            assert client.communities() == []
            house.silent = True
            house.join(1, CHAT, "chat")
            house.publish(1, [b"a"])
            assert payloads_of(take(client.follow(since="begin", idle_s=LIMIT_S), 2)) == [b"a"]

    house.play(scene)


def test_hidden_messages_come_when_they_are_restored(house: House) -> None:
    """A follower that adds and takes away by message id ends where the node is."""
    house.join(1, CHAT, "chat")
    cursor = house.publish(1, [b"late"], marks=HIDDEN_BY_ORDER)
    message_id = house.store.log(cursor, 1)[0].message_id
    change = EventEntry(EntryType.RESTORED, 1, message_id, cursor, "order")
    house.commit(Batch(events=[change]))

    def scene() -> None:
        with house.client() as client:
            seen = take(client.follow(["chat"], since="begin", idle_s=LIMIT_S), 2)
            assert [event.event for event in seen] == ["restored", "caught-up"]
            assert (seen[0].message_id, seen[0].payloads, seen[0].reason) == (message_id, (b"late",), "order")

    house.play(scene)


def test_a_change_of_one_payload_names_it(house: House) -> None:
    """Who shows payloads one by one knows which to take away; the whole message has no index."""
    house.join(1, CHAT, "chat")
    cursor = house.publish(1, [b"a", b"b"])
    message_id = house.store.log(cursor, 1)[0].message_id
    changes = [
        EventEntry(type_, 1, message_id, cursor, reason)
        for type_, reason in (
            (EntryType.UNDONE, "payload-0"),
            (EntryType.RESTORED, "payload-0"),
            (EntryType.UNDONE, "message"),
        )
    ]
    house.commit(Batch(events=changes))

    def scene() -> None:
        with house.client() as client:
            seen = take(client.follow(["chat"], since=cursor + 1, idle_s=LIMIT_S), 3)
            assert [(event.event, event.index) for event in seen] == [
                ("undone", 0),
                ("restored", 0),
                ("undone", None),
            ]
            assert [event.payloads for event in seen] == [(), (b"a",), ()]
            assert {event.message_cursor for event in seen} == {cursor}

    house.play(scene)


def test_a_cursor_of_another_home_is_told(house: House) -> None:
    """Whoever goes on behind the log's end would be sent nothing, and miss what comes under lower cursors."""
    house.join(1, CHAT, "chat")
    last = house.publish(1, [b"a"])

    def scene() -> None:
        with house.client() as client:
            with pytest.raises(UsageError, match=f"log ends at {last}, before {last + 5}") as refused:
                client.follow(["chat"], since=last + 5)
            assert refused.value.code == "cursor-ahead"
            assert [event.event for event in take(client.follow(["chat"], since=last), 1)] == ["caught-up"]

    house.play(scene)


ASK = """
import sys, msgspec, zmq
socket = zmq.Context().socket(zmq.DEALER)
socket.linger = 0
socket.connect(sys.argv[1])
socket.send(msgspec.msgpack.encode({"v": 1, "id": 1, "op": "follow", "since": "now"}))
assert socket.poll(30_000)
print(msgspec.msgpack.decode(socket.recv())["ok"])
"""


def test_another_program_gets_a_follow_where_one_has_taken_all(house: House) -> None:
    """The kernel tells who is behind a connection: many connections of one program are no many programs."""
    follow = encode({"v": 1, "id": 1, "op": "follow", "since": "now", "credit": 1})

    def scene() -> None:
        for _ in range(FOLLOWS_MAX):
            socket = house.dealer()
            socket.send(follow)
            assert receive(socket)["ok"]
        socket = house.dealer()
        socket.send(follow)
        assert receive(socket)["error"]["code"] == "too-many"
        another = [sys.executable, "-c", ASK, house.settings.socket("control")]
        answered = subprocess.run(another, capture_output=True, text=True, timeout=2 * LIMIT_S, check=True)
        assert answered.stdout == "True\n"

    house.play(scene)
