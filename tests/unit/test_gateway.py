"""Goal: every request gets its answer; the writer is a fake."""

from __future__ import annotations

import os
import threading
from pathlib import Path
from textwrap import dedent
from typing import Any

import lmdb
import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dispersy.bus.frames import encode
from dispersy.bus.settings import RoleSettings
from dispersy.client import new_request_id
from dispersy.errors import UsageError
from dispersy.ext.wire import encode_message
from dispersy.protocol.definitions.definition import Definition, Kind, encode_definition
from dispersy.service.gateway.gateway import REPLIES_QUEUED_MAX, GatewayRole
from dispersy.service.interface.requests import CREDIT_MAX, ID_SIZE_MAX, decode, decode_header
from dispersy.storage.lmdb_store import LmdbStore
from dispersy.storage.store import Batch, CommunityRecord
from tests.unit.gateway_house import AUTHOR, CHAT, LIMIT_S, NEWS, House, payloads_of, receive, take


def _create(defined_name: str, *kinds: Kind) -> bytes:
    definition = encode_definition(Definition(defined_name, kinds))
    return encode({"v": 1, "id": 7, "op": "create", "name": "chat", "definition": definition})


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
    block = text.partition("## An example\n")[2].partition("\n## ")[0]
    example = dedent("\n".join(line for line in block.splitlines() if line.startswith("    ")))
    path = "ipc:///run/user/1000/dispersy/1a2b3c4d/control"
    assert path in example
    reply = {"ok": True, "first_cursor": 5, "last_cursor": 5, "ids": [bytes(32)], "repeated": False}

    def scene() -> None:
        def answer() -> None:
            house.answer_order(lambda _: {"ok": True, "cursors": [None]})
            house.answer_order(lambda _: reply)

        writer = threading.Thread(target=answer)
        writer.start()
        # Asks until the gateway has found the writer; the example asks once.
        with house.client() as client, pytest.raises(UsageError):
            client.get("chat", bytes(32))
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


@pytest.mark.parametrize("request_id", [b"1" * 16, b""])
def test_a_creation_is_asked_for_again_where_it_has_a_request_id(house: House, request_id: bytes) -> None:
    """Without one the writer that died may have made the community: who asked has to look."""

    def scene() -> None:
        reports = house.reports()
        reports.send(encode({"role": "writer", "pid": 100}))
        socket = house.dealer()
        socket.send(encode({"v": 1, "id": 1, "op": "create", "name": "new", "request_id": request_id}))
        assert house.orders.poll(int(LIMIT_S * 1000))
        first = msgspec.msgpack.decode(house.orders.recv_multipart()[1])
        reports.send(encode({"role": "writer", "pid": 101}))
        if request_id:
            assert house.answer_order(lambda _: {"ok": True, "number": 1}) == first
            assert receive(socket)["ok"]
        else:
            assert receive(socket)["error"]["code"] == "no-answer"
            assert not house.orders.poll(0)

    house.play(scene)


@pytest.mark.parametrize(
    ("community", "kind", "payloads", "code", "parts"),
    [
        ("chat", "text", [b"x" * 973], "payload-size", ["payload 1", "973", "971"]),
        ("chat", "text", [b"ok", b"\xff"], "payload-format", ["payload 2", "utf-8"]),
        ("chat", "text", [b"x" * 971] * 70, "message-size", ["68110", "65419"]),
        ("chat", "text", [b"x" * 600] * 150, "message-size", ["90300", "65418"]),
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


def test_a_name_counts_before_the_digits_of_an_id(house: House) -> None:
    """Goal: no community that is joined later takes a name away, by an id that begins so."""
    later = b"\xab\xcd" * 16
    house.join(1, CHAT, "abcd")
    house.join(2, later, "news")

    def scene() -> None:
        with house.client() as client:
            assert client.community("abcd")["community"] == CHAT
            assert client.community("abcda")["community"] == later

    house.play(scene)


def test_another_version_is_told_which_one_this_is(house: House) -> None:
    """Whatever else it asks for; a request without a version is just wrong."""

    def scene() -> None:
        socket = house.dealer()
        for version, told in ((2, "not 2"), ("2", "not '2'"), (None, "`v`")):
            asked = {"v": version, "id": 7, "op": "shout"} if version else {"id": 7, "op": "count"}
            socket.send(encode(asked))
            reply = receive(socket)
            assert (reply["id"], reply["error"]["code"]) == (7, "malformed")
            assert told in reply["error"]["message"]
            assert ("version 1" in reply["error"]["message"]) == bool(version)

    house.play(scene)


@pytest.mark.parametrize("request_id", [0, -5, 1.5, (1 << 64) - 1, "x" * ID_SIZE_MAX])
def test_a_reply_repeats_the_id(house: House, request_id: object) -> None:
    """Whatever number or text it is; a field that is nil is as good as left out."""

    def scene() -> None:
        socket = house.dealer()
        socket.send(encode({"v": 1, "id": request_id, "op": "status", "brief": None}))
        reply = receive(socket)
        assert (reply["id"], reply["ok"]) == (request_id, True)

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
        (encode({"v": 1, "id": 7, "op": "count", "community": None}), "malformed"),
        (encode({"v": 1, "op": "status"}), "malformed"),
        (encode({"v": 1, "id": None, "op": "status"}), "malformed"),
        (encode({"v": 1, "id": True, "op": "status"}), "malformed"),
        (encode({"v": 1, "id": b"7", "op": "status"}), "malformed"),
        (encode({"v": 1, "id": "x" * (ID_SIZE_MAX + 1), "op": "status"}), "malformed"),
        (encode({"v": 1, "id": 7, "op": "follow", "credit": CREDIT_MAX + 1}), "malformed"),
        (encode({"v": 1, "id": 7, "op": "join", "community": b"short"}), "malformed"),
        (encode({"v": 1, "id": 7, "op": "create", "name": "No Name"}), "definition-name"),
        (encode({"v": 1, "id": 7, "op": "join", "community": CHAT, "name": "No Name"}), "definition-name"),
        (_create("other", Kind(number=64, name="text")), "definition-name"),
        (_create("chat"), "definition-kinds"),
        (
            _create(
                "chat",
                Kind(number=64, name="text", batch_window_ms=60_000),
            ),
            "definition-not-enforced",
        ),
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
        socket = house.dealer()
        socket.send(frame)
        reply = receive(socket)
        assert not reply["ok"]
        assert reply["error"]["code"] == code
        assert reply["id"] in (7, None)
        socket.send_multipart([b"two", b"parts"])
        assert receive(socket)["error"]["code"] == "malformed"
        socket.send(encode({"v": 1, "id": 8, "op": "status"}))
        assert receive(socket)["id"] == 8

    house.play(scene)


@given(frame=st.binary(max_size=64))
@settings(max_examples=300)
def test_any_bytes_are_a_request_or_a_refusal(frame: bytes) -> None:
    """Decoding raises nothing but what the gateway answers."""
    try:
        decode(frame)
    except (msgspec.MsgspecError, RecursionError, ValueError):
        decode_header(frame)


def test_replies_that_nobody_reads_are_dropped_and_nobody_else_waits(house: House) -> None:
    """Beyond those that wait; whoever reads then gets what was kept, and its next request is answered."""
    house.join(1, CHAT, "chat")
    count = 4 * REPLIES_QUEUED_MAX

    def scene() -> None:
        lazy = house.dealer(received_max=1)
        with house.client() as other:
            for number in range(count):
                lazy.send(encode({"v": 1, "id": number, "op": "count", "community": "chat"}))
                if number % 1_000 == 0:
                    assert other.count("chat") == 0
            assert other.count("chat") == 0
            got: list[bytes] = []

            def all_told(status: dict[str, Any]) -> bool:
                while lazy.poll(0):
                    got.append(lazy.recv())
                return len(got) + _counted(status, "reply-dropped") == count

            other.wait_for_status(all_told, timeout_s=LIMIT_S)
            assert REPLIES_QUEUED_MAX <= len(got) < count
            assert all(msgspec.msgpack.decode(reply)["ok"] for reply in got)
        lazy.send(encode({"v": 1, "id": "again", "op": "count", "community": "chat"}))
        assert receive(lazy)["id"] == "again"

    house.play(scene)


def _counted(status: dict[str, Any], name: str) -> int:
    return sum(process.get("counters", {}).get(name, 0) for process in status["processes"])


def test_reports_show_in_status(house: House) -> None:
    """Each process with its role's last report, the supervisor's view of it, and its memory."""

    def scene() -> None:
        reports = house.reports()
        reports.send(b"\xc1 no report")
        processes = {"network": {"pid": os.getppid(), "restarts": 2, "state": "running"}}
        reports.send(encode({"role": "supervisor", "pid": 1, "processes": processes}))
        peer = {"address": "192.0.2.1:6421"}
        verified = {"peers_verified": 2, "peers_in_sync": 1, "peers_differing": 0, "messages_claimed": 9}
        about = {"listen": "127.0.0.1:4000", "communities": {1: {"peers": [peer], **verified}}}
        reports.send(encode({"role": "network", "pid": os.getppid(), "cpu_seconds": 1.5, **about}))
        with house.client() as client:
            status = client.wait_for_status(lambda s: bool(s["listen"]), timeout_s=LIMIT_S)
            assert status["addresses"] == ["127.0.0.1:4000"]
            assert not status["ready"]
            rows = {process["role"]: process for process in status["processes"]}
            assert (rows["network"]["restarts"], rows["network"]["cpu_seconds"]) == (2, 1.5)
            assert rows["network"]["anonymous_bytes"] > 0
            # What the gateway counts itself is told, too.
            client.wait_for_status(
                lambda status: _counted(status, "report-malformed") == 1, timeout_s=LIMIT_S
            )
            for role in ("writer", "worker-0"):
                reports.send(encode({"role": role, "pid": os.getppid()}))
            assert client.wait_for_ready(timeout_s=LIMIT_S)["ready"]
            assert client.peers() == [{"community": CHAT, "name": "chat", **peer}]
            assert client.community("chat")["state"] == "in sync with 1 of 2 neighbours"
            told = [client.community("chat")[name] for name in ("peers", "peers_in_sync", "messages_claimed")]
            assert told == [2, 1, 9]

    house.join(1, CHAT, "chat")
    house.play(scene)


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
        gateway.control.view.store()
    made = LmdbStore(store)
    gateway._refresh()
    assert gateway.control.view.store().last_cursor() == 0
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
            assert payloads_of(take(client.follow(since="begin", idle_s=LIMIT_S), 1)) == [b"a"]

    house.play(scene)
