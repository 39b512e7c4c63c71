"""Goal: every request gets its answer, every follow its stream; the writer is a fake."""

from __future__ import annotations

import os
import re
import threading
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from textwrap import dedent
from time import monotonic
from typing import Any

import lmdb
import msgspec
import pytest
import zmq
from hypothesis import given, settings
from hypothesis import strategies as st

from dispersy.bus.frames import COMMIT, CommitNote, encode
from dispersy.bus.settings import RoleSettings
from dispersy.client import Client, Event, new_request_id
from dispersy.errors import DispersyError, UsageError
from dispersy.ext.digest import identify_many
from dispersy.ext.wire import DROP_REASONS, encode_message, pack, parse_messages
from dispersy.protocol.definition import Definition, Kind, default_definition, encode_definition
from dispersy.protocol.marks import HIDDEN_BY_ORDER
from dispersy.service.gateway import GatewayRole
from dispersy.service.requests import CREDIT_MAX, decode_header, decoder
from dispersy.storage.lmdb_store import LmdbStore
from dispersy.storage.store import Batch, CommunityRecord, EntryType, EventEntry, MessageBlock
from dispersy.workers.loop import Loop

LIMIT_S = 10.0
CHAT = bytes([1]) * 32
NEWS = bytes([1, 2]) * 16
AUTHOR = bytes([7]) * 32
UNSEEN = {
    "config", "home-in-use", "invite-malformed", "key-foreign", "listen", "message", "passphrase",
    "permissions",
}  # fmt: skip
"""Of the command line and of starts, or told inside another one: no client is answered with these."""


def _create(defined_name: str, *kinds: Kind) -> bytes:
    definition = encode_definition(Definition(defined_name, kinds))
    return encode({"v": 1, "id": 7, "op": "create", "name": "chat", "definition": definition})


class House:
    """A gateway with a store that the test writes and orders that the test answers."""

    def __init__(self, folder: Path) -> None:
        home, runtime = folder / "home", folder / "run"
        home.mkdir()
        runtime.mkdir()
        self.settings = RoleSettings(str(home), str(runtime), "127.0.0.1:0", 1)
        self.store = LmdbStore(self.settings.store_path)
        self.context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        self.orders = self.context.socket(zmq.ROUTER)
        self.orders.bind(self.settings.socket("orders"))
        self.notes = self.context.socket(zmq.PUB)
        self.notes.bind(self.settings.socket("notes"))
        self.pushes: list[zmq.Socket[bytes]] = []
        self.sequence = 0
        self.silent = False

    def client(self) -> Client:
        return Client(self.settings.home, endpoint=self.settings.socket("control"), timeout_s=LIMIT_S)

    def join(self, number: int, community_id: bytes, name: str, *, defined: bool = True) -> None:
        definition = b""
        if defined:
            payload = encode_definition(default_definition(name))
            definition = encode_message(0, 0, AUTHOR, b"", 1, 1, bytes(32), b"", [payload]) + bytes(64)
        record = CommunityRecord(number, community_id, name, AUTHOR, definition)
        blocks = [self._block(number, community_id, [definition])] if defined else []
        self.commit(Batch(communities=[record], blocks=blocks))

    def publish(self, number: int, *groups: list[bytes], marks: int = 0) -> int:
        """Store messages as the writer would; the first cursor."""
        messages = []
        for payloads in groups:
            self.sequence += 1
            unsigned = encode_message(64, 0, AUTHOR, b"", self.sequence, self.sequence, b"", b"", payloads)
            messages.append(unsigned + bytes(64))
        return self.commit(Batch(blocks=[self._block(number, CHAT, messages, marks)]))

    def _block(self, number: int, community_id: bytes, messages: list[bytes], marks: int = 0) -> MessageBlock:
        ((_, area),) = pack(messages, 1 << 20)
        records = parse_messages(area, bytearray(4 * len(DROP_REASONS)))
        identify_many(records, area, community_id)
        return MessageBlock(number, bytes(records), area, bytes([marks]) * len(messages), 1_000)

    def commit(self, batch: Batch) -> int:
        first, last = self.store.commit(batch)
        if not self.silent:
            self.notes.send_multipart([COMMIT, encode(CommitNote(last, last, {}, {}))])
        return first

    def answer_order(self, reply: Callable[[dict[str, Any]], dict[str, Any]]) -> dict[str, Any]:
        """Take one order and answer it."""
        assert self.orders.poll(int(LIMIT_S * 1000))
        asker, frame = self.orders.recv_multipart()
        order: dict[str, Any] = msgspec.msgpack.decode(frame)
        self.orders.send_multipart([asker, msgspec.msgpack.encode({"id": order["id"], **reply(order)})])
        return order

    def play(self, scene: Callable[[], None]) -> None:
        """Run the gateway here and the scene beside it, until the scene ends."""
        failures: list[Exception] = []
        ended: list[bool] = []
        loop = Loop()

        def act() -> None:
            try:
                scene()
                ended.append(True)
            except (AssertionError, DispersyError, zmq.ZMQError, LookupError, TypeError) as failure:
                failures.append(failure)
            finally:
                loop.stop()

        thread = threading.Thread(target=act, daemon=True)
        thread.start()
        loop.run(GatewayRole(self.settings))
        thread.join(LIMIT_S)
        if failures:
            raise failures[0]
        assert ended, "the scene did not come to its end"

    def reports(self) -> zmq.Socket[bytes]:
        """Where roles push their reports."""
        socket = self.context.socket(zmq.PUSH)
        socket.connect(self.settings.socket("reports"))
        self.pushes.append(socket)
        return socket

    def close(self) -> None:
        self.context.destroy(linger=0)
        self.store.close()


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    made = House(tmp_path)
    yield made
    made.close()


def _payloads(events: list[Event]) -> list[bytes]:
    return [event.payload for event in events if event.event == "message"]


def _take(events: Iterator[Event], count: int) -> list[Event]:
    taken = list(islice(events, count))
    assert len(taken) == count, f"the stream ended after {taken}"
    return taken


def test_a_follow_replays_then_lives(house: House) -> None:
    """Stored messages in order, once caught-up, then what comes: no gap and nothing twice."""
    house.join(1, CHAT, "chat")
    house.publish(1, [b"a"], [b"b", b"c"])

    def scene() -> None:
        with house.client() as client:
            events = client.follow(["chat"], since="begin", idle_s=LIMIT_S)
            seen = _take(events, 4)
            assert [event.event for event in seen] == ["message", "message", "message", "caught-up"]
            assert _payloads(seen) == [b"a", b"b", b"c"]
            assert [event.index for event in seen[:3]] == [0, 0, 1]
            assert [event.cursor for event in seen[:3]] == [seen[0].cursor + step for step in range(3)]
            assert (seen[0].kind, seen[0].author, seen[0].community) == ("text", AUTHOR, CHAT)
            house.publish(1, [b"d"])
            assert _payloads(_take(events, 1)) == [b"d"]

    house.play(scene)


def test_a_follow_goes_on_in_the_middle_of_a_message(house: House) -> None:
    """Every payload has a cursor of its own, and a client may stop after any of them."""
    house.join(1, CHAT, "chat")
    first = house.publish(1, [b"a"], [b"b", b"c", b"d"], [b"e"])

    def scene() -> None:
        with house.client() as client:
            events = client.follow(["chat"], since=first + 2, idle_s=LIMIT_S)
            assert _payloads(_take(events, 3)) == [b"d", b"e"]

    house.play(scene)


def test_a_follow_sends_no_more_than_its_credit(house: House) -> None:
    """A client that reads nothing costs what it was granted, and goes on where it stopped."""
    house.join(1, CHAT, "chat")
    house.publish(1, *([b"%d" % number] for number in range(300)))

    def scene() -> None:
        with house.client() as client:
            socket = client._connector.open()
            follow = {
                "v": 1,
                "id": "f",
                "op": "follow",
                "communities": ["chat"],
                "since": "begin",
                "credit": 5,
            }
            socket.send(encode(follow))
            frames = [_receive(socket) for _ in range(6)]
            assert frames[0]["ok"]
            assert [frame["payload"] for frame in frames[1:]] == [b"%d" % number for number in range(5)]
            socket.send(encode({"v": 1, "id": 2, "op": "count", "community": "chat"}))
            assert _receive(socket)["id"] == 2
            socket.send(encode({"v": 1, "id": "f", "op": "credit", "count": CREDIT_MAX}))
            rest = [_receive(socket) for _ in range(296)]
            assert [frame.get("payload") for frame in rest[:-1]] == [
                b"%d" % number for number in range(5, 300)
            ]
            assert rest[-1]["event"] == "caught-up"
            socket.send(encode({"v": 1, "id": "f", "op": "cancel"}))
            assert _receive(socket)["ok"]

    house.play(scene)


def test_filters_choose_by_community_and_kind(house: House) -> None:
    """What was not asked for is not sent; no filter means everything."""
    house.join(1, CHAT, "chat")
    house.join(2, NEWS, "news")
    house.publish(1, [b"c"])
    house.publish(2, [b"n"])

    def scene() -> None:
        with house.client() as client:
            assert _payloads(_take(client.follow(["news"], since="begin", idle_s=LIMIT_S), 2)) == [b"n"]
            assert _payloads(_take(client.follow(since="begin", idle_s=LIMIT_S), 3)) == [b"c", b"n"]
            assert _payloads(_take(client.follow(kinds=["other"], since="begin", idle_s=LIMIT_S), 1)) == []
            assert _payloads(_take(client.follow(since="now", idle_s=LIMIT_S), 1)) == []

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
                seen = _take(events, 2)
                assert (_payloads(seen), seen[1].event) == ([b"c"], "caught-up")
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
            assert _payloads(_take(events, 2)) == [b"a", b"b"]

        def after() -> None:
            assert _payloads(_take(followed[0], 3)) == [b"c", b"d"]
            house.publish(1, [b"e"])
            assert _payloads(_take(followed[0], 1)) == [b"e"]
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
            assert _take(followed[0], 1)[0].event == "caught-up"

        house.play(follow)
        with pytest.raises(UsageError) as caught:
            next(followed[0])
    assert caught.value.code == "not-running"
    assert "dispersy run --home" in caught.value.hint


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
            assert _payloads(_take(client.follow(since="begin", idle_s=LIMIT_S), 2)) == [b"a"]

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
            seen = _take(client.follow(["chat"], since="begin", idle_s=LIMIT_S), 2)
            assert [event.event for event in seen] == ["restored", "caught-up"]
            assert (seen[0].message_id, seen[0].payloads, seen[0].reason) == (message_id, (b"late",), "order")

    house.play(scene)


def test_a_publication_goes_to_the_writer_and_its_answer_back(house: House) -> None:
    """The writer gets numbers, not names; the client gets the writer's answer."""
    house.join(3, CHAT, "chat")
    request_id = new_request_id()

    def scene() -> None:
        orders = []

        def accept(order: dict[str, Any]) -> dict[str, Any]:
            orders.append(order)
            return {"ok": True, "first_cursor": 5, "last_cursor": 6, "ids": [bytes(32)], "repeated": False}

        writer = threading.Thread(target=lambda: house.answer_order(accept))
        writer.start()
        with house.client() as client:
            done = client.publish("chat", [b"a", b"b"], request_id=request_id)
        writer.join(LIMIT_S)
        assert (done.first_cursor, done.last_cursor, done.repeated) == (5, 6, False)
        order = orders[0]
        assert (order["op"], order["community"], order["kind"]) == ("publish", 3, 64)
        assert (order["groups"], order["request_id"]) == ([[b"a", b"b"]], request_id)

    house.play(scene)


def test_a_node_is_not_led_back_to_itself(house: House) -> None:
    """Who joins by an own invite, to be sure, would walk to itself at every start."""
    peers = ["192.0.2.1:6421", "127.0.0.1:6421", "192.0.2.7:6421", "[::1]:6421"]
    orders = []

    def scene() -> None:
        def accept(order: dict[str, Any]) -> dict[str, Any]:
            orders.append(order)
            return {"ok": True, "number": 1, "member_id": AUTHOR, "already": True, "keys_made": []}

        network = {"role": "network", "listen": "[::]:6421", "addresses": ["192.0.2.1:6421"]}
        house.reports().send(encode(network))
        with house.client() as client:
            client.wait_for_status(lambda status: bool(status["listen"]), timeout_s=LIMIT_S)
            writer = threading.Thread(target=lambda: house.answer_order(accept))
            writer.start()
            client.join(CHAT, peers=peers)
            writer.join(LIMIT_S)

    house.play(scene)
    assert orders[0]["peers"] == ["192.0.2.7:6421"]


def test_the_documented_example_runs(house: House, capsys: pytest.CaptureFixture[str]) -> None:
    """With what is installed, as it stands there but for the path."""
    house.join(1, CHAT, "chat")
    text = (Path(__file__).parents[2] / "docs" / "interface.md").read_text(encoding="utf-8")
    block = text.partition("## An example\n")[2]
    example = dedent("\n".join(line for line in block.splitlines() if line.startswith("    ")))
    path = "ipc:///run/user/1000/dispersy/1a2b3c4d/control"
    assert path in example
    reply = {"ok": True, "first_cursor": 5, "last_cursor": 5, "ids": [bytes(32)], "repeated": False}

    def scene() -> None:
        writer = threading.Thread(target=lambda: house.answer_order(lambda _: reply))
        writer.start()
        names: dict[str, Any] = {}
        exec(example.replace(path, house.settings.socket("control")), names)
        names["socket"].context.destroy(linger=0)
        writer.join(LIMIT_S)

    house.play(scene)
    assert "'first_cursor': 5" in capsys.readouterr().out


def test_a_restarted_writer_is_asked_again(house: House) -> None:
    """What a dead writer was asked is gone with it; the request id keeps the answer the same."""
    house.join(1, CHAT, "chat")

    def scene() -> None:
        reports = house.reports()
        orders: list[dict[str, Any]] = []

        def write() -> None:
            reports.send(encode({"role": "writer", "pid": 100}))
            assert house.orders.poll(int(LIMIT_S * 1000))
            orders.append(msgspec.msgpack.decode(house.orders.recv_multipart()[1]))
            reports.send(encode({"role": "writer", "pid": 101}))
            reply = {"ok": True, "first_cursor": 1, "last_cursor": 1, "ids": [bytes(32)], "repeated": True}
            orders.append(house.answer_order(lambda _: reply))

        writer = threading.Thread(target=write)
        writer.start()
        with house.client() as client:
            assert client.publish("chat", [b"a"]).repeated
        writer.join(LIMIT_S)
        assert orders[0] == orders[1]

    house.play(scene)


@pytest.mark.parametrize(
    ("community", "kind", "payloads", "code", "parts"),
    [
        ("chat", "text", [b"x" * 973], "payload-size", ["payload 1", "973", "970"]),
        ("chat", "text", [b"ok", b"\xff"], "payload-format", ["payload 2", "utf-8"]),
        ("chat", "text", [b"x" * 500] * 2, "message-size", ["1004", "972"]),
        ("chat", "image", [b"x"], "kind-unknown", ["image", "text"]),
        ("nowhere", "text", [b"x"], "community-unknown", ["nowhere", "chat", "news"]),
        ("010", "text", [b"x"], "community-unknown", ["010"]),
        ("waits", "text", [b"x"], "definition-unknown", ["waits"]),
        ("0303", "text", [b"x"], "community-ambiguous", ["2 communities", "waits", "more"]),
    ],
)
def test_what_cannot_be_published_is_refused_by_the_gateway(
    house: House, community: str, kind: str, payloads: list[bytes], code: str, parts: list[str]
) -> None:
    """The error names what was wrong and the limit; the writer never hears of it."""
    house.join(1, CHAT, "chat")
    house.join(2, NEWS, "news")
    house.join(3, b"\3" * 32, "waits", defined=False)
    house.join(4, b"\3" * 31 + b"\4", "more", defined=False)

    def scene() -> None:
        with house.client() as client, pytest.raises(UsageError) as caught:
            client.publish(community, payloads, kind=kind)
        assert caught.value.code == code
        for part in parts:
            assert part in str(caught.value)
        assert not house.orders.poll(0)

    house.play(scene)


def test_an_id_or_its_beginning_names_a_community(house: House) -> None:
    """Names are a node's own; ids hold everywhere."""
    house.join(1, CHAT, "chat")
    house.join(2, NEWS, "news")
    house.publish(2, [b"n"])

    def scene() -> None:
        with house.client() as client:
            assert client.count("news") == client.count(NEWS.hex()) == client.count(NEWS.hex()[:4]) == 1
            assert client.count("chat") == 0
            assert [entry["name"] for entry in client.communities()] == ["chat", "news"]

    house.play(scene)


@pytest.mark.parametrize(
    ("frame", "code"),
    [
        (b"", "malformed"),
        (b"\xc1", "malformed"),
        (encode([1, 2]), "malformed"),
        (encode({"v": 1, "id": 7}), "malformed"),
        (encode({"v": 2, "id": 7, "op": "status"}), "malformed"),
        (encode({"v": 1, "id": 7, "op": "shout"}), "op-unknown"),
        (encode({"v": 1, "id": 7, "op": "count"}), "malformed"),
        (encode({"v": 1, "id": 7, "op": "count", "community": 5}), "malformed"),
        (encode({"v": 1, "id": 7, "op": "status", "extra": 1}), "malformed"),
        (encode({"v": 1, "id": 7, "op": "follow", "credit": CREDIT_MAX + 1}), "malformed"),
        (encode({"v": 1, "id": 7, "op": "join", "community": b"short"}), "malformed"),
        (encode({"v": 1, "id": 7, "op": "create", "name": "No Name"}), "definition-name"),
        (encode({"v": 1, "id": 7, "op": "join", "community": CHAT, "name": "No Name"}), "definition-name"),
        (_create("other", Kind(number=64, name="text")), "definition-name"),
        (_create("chat"), "definition-kinds"),
        (_create("chat", Kind(number=64, name="text", frozen=True)), "definition-not-enforced"),
        (
            encode({"v": 1, "id": 7, "op": "create", "name": "chat", "definition": b"?"}),
            "definition-malformed",
        ),
        (
            encode({"v": 1, "id": 7, "op": "join", "community": CHAT, "peers": ["host:1"]}),
            "address-malformed",
        ),
        (
            encode({"v": 1, "id": 7, "op": "join", "community": CHAT, "peers": ["[fe80::1%eth0]:6421"]}),
            "address-malformed",
        ),
    ],
)
def test_wrong_requests_get_an_error_and_the_next_one_is_served(
    house: House, frame: bytes, code: str
) -> None:
    """No client can stop the gateway for the others."""

    def scene() -> None:
        with house.client() as client:
            socket = client._connector.open()
            socket.send(frame)
            reply = _receive(socket)
            assert not reply["ok"]
            assert reply["error"]["code"] == code
            assert reply["id"] in (7, None)
            socket.send_multipart([b"two", b"parts"])
            assert _receive(socket)["error"]["code"] == "malformed"
            socket.send(encode({"v": 1, "id": 8, "op": "status"}))
            assert _receive(socket)["id"] == 8

    house.play(scene)


@given(frame=st.binary(max_size=64))
@settings(max_examples=300)
def test_any_bytes_are_a_request_or_a_refusal(frame: bytes) -> None:
    """Decoding raises nothing but what the gateway answers."""
    try:
        decoder.decode(frame)
    except (msgspec.MsgspecError, RecursionError, ValueError):
        decode_header(frame)


def test_reports_show_in_status(house: House) -> None:
    """Each process with its role's last report, the supervisor's view of it, and its memory."""

    def scene() -> None:
        reports = house.reports()
        reports.send(b"\xc1 no report")
        processes = {"network": {"pid": os.getpid(), "restarts": 2, "state": "running"}}
        reports.send(encode({"role": "supervisor", "pid": os.getpid(), "processes": processes}))
        peer = {"address": "192.0.2.1:6421"}
        about = {"listen": "127.0.0.1:4000", "communities": {1: {"peers": [peer]}}}
        reports.send(encode({"role": "network", "pid": os.getpid(), "cpu_seconds": 1.5, **about}))
        with house.client() as client:
            status = client.wait_for_status(lambda s: bool(s["listen"]), timeout_s=LIMIT_S)
            assert status["addresses"] == ["127.0.0.1:4000"]
            assert not status["ready"]
            rows = {process["role"]: process for process in status["processes"]}
            assert (rows["network"]["restarts"], rows["network"]["cpu_seconds"]) == (2, 1.5)
            assert rows["network"]["anonymous_bytes"] > 0
            for role in ("writer", "worker-0"):
                reports.send(encode({"role": role, "pid": os.getpid()}))
            assert client.wait_for_ready(timeout_s=LIMIT_S)["ready"]
            assert client.peers() == [{"community": CHAT, "name": "chat", **peer}]

    house.join(1, CHAT, "chat")
    house.play(scene)


def _receive(socket: zmq.Socket[bytes]) -> dict[str, Any]:
    assert socket.poll(int(LIMIT_S * 1000)), "no answer came"
    frame: dict[str, Any] = msgspec.msgpack.decode(socket.recv())
    return frame


def test_a_store_that_is_being_made_is_waited_for(tmp_path: Path) -> None:
    """The writer makes the file before it stamps it: who looks in between looks again."""
    gateway = GatewayRole(RoleSettings(str(tmp_path), str(tmp_path), "127.0.0.1:0", 1))
    store = tmp_path / "store"
    store.mkdir()
    (store / "data.mdb").write_bytes(b"")
    gateway._refresh()
    lmdb.open(str(store)).close()
    gateway._refresh()
    with pytest.raises(UsageError, match="starting"):
        gateway._store()
    made = LmdbStore(store)
    gateway._refresh()
    assert gateway._store().last_cursor() == 0
    gateway.close()
    made.close()


def test_a_definition_of_newer_software_is_none_and_said_so(house: House) -> None:
    """Its community is listed and takes no publications; the others go on."""
    definition = encode_message(0, 0, AUTHOR, b"", 1, 1, bytes(32), b"", [b"\x93"]) + bytes(64)
    house.commit(Batch(communities=[CommunityRecord(2, NEWS, "news", AUTHOR, definition)]))
    house.join(1, CHAT, "chat")
    house.publish(1, [b"a"])

    def scene() -> None:
        with house.client() as client:
            listed = {entry["name"]: entry for entry in client.communities()}
            assert {name: entry["defined"] for name, entry in listed.items()} == {"news": False, "chat": True}
            refusal = listed["news"]["definition_refused"]
            assert refusal.startswith("definition-")
            assert listed["chat"]["definition_refused"] == ""
            with pytest.raises(UsageError) as caught:
                client.publish("news", [b"n"])
            assert caught.value.code == refusal
            assert _payloads(_take(client.follow(since="begin", idle_s=LIMIT_S), 1)) == [b"a"]

    house.play(scene)


def test_every_error_code_is_documented() -> None:
    """A program can only test a code that docs/interface.md lists: those of all behind an answer."""
    root = Path(__file__).parents[2]
    text = (root / "docs" / "interface.md").read_text(encoding="utf-8").partition("## Error codes")[2]
    listed = set(re.findall(r"`([a-z-]+)`", text))
    assert listed
    behind = [*(root / "dispersy" / "service").glob("*.py"), *(root / "workers").glob("*.py")]
    behind += [root / "dispersy" / "client.py", root / "dispersy" / "connection.py"]
    behind += [
        root / "dispersy" / "protocol" / name for name in ("address.py", "message.py", "definition.py")
    ]
    behind.append(root / "dispersy" / "storage" / "keyring.py")
    for path in behind:
        for code in re.findall(r'code="([a-z-]+)"', path.read_text(encoding="utf-8")):
            assert code in listed | UNSEEN or code.startswith("definition-"), f"{path.name}: {code}"
