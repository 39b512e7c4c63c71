"""Goal: a client of any language asks, publishes once, and is told what is wrong, by the document."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from itertools import count

import msgspec
import pytest

from dispersy.client import new_request_id
from tests.integration.conformance.conftest import Shared
from tests.integration.conformance.driver import Driver
from tests.integration.node import FULL, Node

NODE_OPTIONS = FULL

LIMIT_S = 60.0
MakeNode = Callable[..., Node]
StartDriver = Callable[[dict[str, str]], Driver]
_numbers = count()


def unused() -> str:
    """A name that no community of the shared node has yet."""
    return f"c{next(_numbers)}"


def test_publish_repeated_gives_the_first_answer(shared: Shared, driver: Driver) -> None:
    """One message with two payloads, once, whatever bytes they are."""
    name = unused()
    shared.community(name)
    said = {"op": "publish", "community": name, "kind": "text", "request_id": new_request_id()}
    first = driver.call("publish", **said, payloads=["grüße".encode(), b""])
    again = driver.call("publish", **said, payloads=["grüße".encode(), b""])
    assert first["ok"] is True, first
    assert first["last_cursor"] == first["first_cursor"] + 1
    assert [len(each) for each in first["ids"]] == [32]
    assert (first["repeated"], again["repeated"]) == (False, True)
    assert (again["first_cursor"], again["ids"]) == (first["first_cursor"], first["ids"])
    assert shared.client.count(name) == 1


def test_publish_many_makes_a_message_of_each(shared: Shared, driver: Driver) -> None:
    """A thousand at once, in the order in which they were given."""
    name = unused()
    shared.community(name)
    payloads = [b"%d" % number for number in range(1_000)]
    said = {"op": "publish-many", "community": name, "kind": "text", "request_id": new_request_id()}
    reply = driver.call("publish", **said, payloads=payloads)
    assert len(set(reply["ids"])) == 1_000
    assert shared.client.count(name) == 1_000
    seen = []
    for event in shared.client.follow([name], since="begin", idle_s=LIMIT_S):
        if event.event == "caught-up":
            break
        seen.append(event.payload)
    assert seen == payloads


def test_create_count_communities_and_status_are_answered(shared: Shared, driver: Driver) -> None:
    """What a client asks of a node; ids are 32 bytes and names are text."""
    name = unused()
    created = driver.request("create", name=name)
    community_id = created["community_id"]
    assert len(community_id) == 32
    counted = driver.request("count", community=community_id.hex())
    assert (counted["community"], counted["name"], counted["count"]) == (community_id, name, 0)
    (row,) = [each for each in driver.request("communities")["communities"] if each["name"] == name]
    assert (row["community"], row["defined"], row["is_master"]) == (community_id, True, True)
    assert [kind["name"] for kind in row["kinds"]] == ["text"]
    status = driver.request("status", brief=True)
    assert (status["ready"], status["home"], status["processes"]) == (True, shared.home, [])
    assert status["versions"]["interface"] == 1
    assert status["sockets"] == shared.sockets
    assert driver.request("peers", community=name)["peers"] == []
    assert driver.request("join", community=community_id)["already"] is True


PUBLISH = {"community": "chat", "kind": "text", "payloads": [b"x"], "request_id": bytes(range(16))}
# One that a node still remembers to be new: it is made when the tests are.
GOVERN = {"community": "chat", "request_id": new_request_id()}
POWERS = GOVERN | {"members": ["ab" * 32], "kinds": ["text"], "permissions": ["permit"]}
REFUSED = [
    ("count", {"community": "nowhere"}, "community-unknown"),
    ("publish", PUBLISH | {"community": "nowhere"}, "community-unknown"),
    ("publish", PUBLISH | {"kind": "picture"}, "kind-unknown"),
    ("publish", PUBLISH | {"payloads": [b"x" * 972]}, "payload-size"),
    ("publish", PUBLISH | {"payloads": [b"x" * 900] * 80}, "message-size"),
    ("publish", PUBLISH | {"payloads": [b"\xff"]}, "payload-format"),
    ("publish", PUBLISH | {"payloads": []}, "count"),
    ("publish", PUBLISH | {"payloads": ["text is no bytes"]}, "malformed"),
    ("publish", PUBLISH | {"request_id": bytes(15)}, "malformed"),
    ("publish", PUBLISH | {"request_id": bytes(16)}, "request-old"),
    ("publish-many", PUBLISH | {"payloads": [b"x"] * 1_001}, "count"),
    ("follow", {"since": "yesterday"}, "malformed"),
    ("follow", {"credit": 0}, "malformed"),
    ("follow", {"communities": ["nowhere"]}, "community-unknown"),
    ("count", {"community": "chat", "colour": "red"}, "malformed"),
    ("create", {"name": "chat"}, "name-taken"),
    ("dance", {}, "op-unknown"),
    ("authorize", POWERS | {"kinds": ["picture"]}, "kind-unknown"),
    ("authorize", POWERS | {"members": ["nobody"]}, "member-unknown"),
    ("revoke", POWERS, "not-in-sync"),
    ("undo", GOVERN | {"message_id": bytes(32)}, "message-unknown"),
    ("policy", GOVERN | {"kind": "text", "resolution": "public"}, "not-dynamic"),
    ("destroy", GOVERN | {"hard": True}, "malformed"),
]


@pytest.mark.parametrize(("op", "fields", "code"), REFUSED)
def test_errors_have_the_listed_code(
    shared: Shared, driver: Driver, op: str, fields: dict[str, object], code: str
) -> None:
    """A person reads the message and the hint; the client goes on, and nothing was published."""
    before = shared.client.count("chat")
    error = driver.refusal(op, **fields)
    assert error["code"] == code
    assert error["message"]
    assert driver.request("count", community="chat")["count"] == before


MALFORMED = [
    (b"", None),
    (b"GET / HTTP/1.1\r\n\r\n", None),
    (msgspec.msgpack.encode([1, 2]), None),
    (msgspec.msgpack.encode({"id": 7}), 7),
    (msgspec.msgpack.encode({"v": 2, "id": 8, "op": "status"}), 8),
    (msgspec.msgpack.encode({"v": 1, "id": "nine", "op": "status", "brief": 1}), "nine"),
]


@pytest.mark.parametrize(("frame", "number"), MALFORMED)
def test_a_frame_that_is_no_request_is_answered_with_its_id_as_far_as_it_has_one(
    driver: Driver, frame: bytes, number: int | str | None
) -> None:
    """So a client that is being written finds its mistake."""
    driver.call("frame", frame=frame)
    (reply,) = driver.take("receive", 1, limit_s=LIMIT_S)
    assert (reply["v"], reply["id"], reply["ok"]) == (1, number, False)
    assert reply["error"]["code"] == "malformed"
    assert reply["error"]["message"]
    driver.request("status", brief=True)


def test_a_publication_is_the_same_one_after_the_gateway_was_killed(
    make_node: MakeNode, start_driver: StartDriver
) -> None:
    """Answered before, and asked again with the same request_id."""
    node = make_node("a")
    with node.start() as client:
        client.create("chat")
        driver = start_driver(client.status(brief=True)["sockets"])
        said = {"op": "publish", "community": "chat", "kind": "text", "request_id": new_request_id()}
        first = driver.call("publish", **said, payloads=[b"once"])
        node.kill("publisher")
        again = driver.call("publish", **said, payloads=[b"once"])
        assert again["ok"] is True, again
        assert (first["repeated"], again["repeated"]) == (False, True)
        assert (again["first_cursor"], again["ids"]) == (first["first_cursor"], first["ids"])
        assert client.wait_for_count("chat", 1, timeout_s=LIMIT_S) == 1


def test_a_publication_that_nobody_answered_is_repeated_until_it_is(
    make_node: MakeNode, start_driver: StartDriver
) -> None:
    """The gateway is killed with the request unread in its socket: only the client can say it again."""
    node = make_node("a")
    with node.start() as client:
        client.create("chat")
        driver = start_driver(client.status(brief=True)["sockets"])
        driver.request("status", brief=True)
        pid = node.pids()["publisher"]
        os.kill(pid, signal.SIGSTOP)
        said = {"op": "publish", "community": "chat", "kind": "text", "request_id": new_request_id()}
        driver.tell("publish", **said, payloads=[b"once"])
        # It must be in the socket before the end, and nothing tells when it is: a try lasts some seconds.
        assert driver.is_silent(1.0)
        os.kill(pid, signal.SIGKILL)
        reply = driver.answer()
        assert reply["ok"] is True, reply
        assert client.wait_for_count("chat", 1, timeout_s=LIMIT_S) == 1
