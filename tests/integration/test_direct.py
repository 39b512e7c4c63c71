"""Goal: real nodes over UDP push, whisper and relay, from the command line to who follows and subscribes."""

from __future__ import annotations

import json
from collections.abc import Callable
from threading import Thread
from typing import Any

import msgspec
import pytest
import zmq

from dispersy.client import Client
from dispersy.errors import UsageError
from dispersy.messages import Event
from dispersy.protocol.definitions.definition import Definition, encode_definition
from tests.integration.node import Node
from tests.scenarios.test_neighbourhood import KINDS
from tests.sockets import bounded_context

LIMIT_S = 60.0
MakeNode = Callable[..., Node]
DEFINITION = encode_definition(Definition("chat", KINDS))


def heard(client: Client, kind: str, count: int) -> tuple[list[Event], Thread]:
    """What a follow hears of a kind from now on, and the thread that ends when there are so many."""
    found: list[Event] = []
    stream = client.follow(["chat"], kinds=[kind], idle_s=LIMIT_S)
    assert next(stream).event == "caught-up"

    def listen() -> None:
        for event in stream:
            found.append(event)
            if len(found) == count:
                return

    thread = Thread(target=listen)
    thread.start()
    return found, thread


def subscribe(context: zmq.Context[zmq.Socket[bytes]], client: Client, kind: str) -> zmq.Socket[bytes]:
    """A subscriber of one kind, from its first heartbeat on."""
    socket = context.socket(zmq.SUB)
    topic = client.community("chat")["community"].hex() + f"/{kind}/"
    socket.setsockopt_string(zmq.SUBSCRIBE, topic)
    socket.connect(client.status(brief=True)["sockets"]["events"])
    assert socket.poll(LIMIT_S * 1000)
    socket.recv_multipart()
    return socket


def next_message(socket: zmq.Socket[bytes]) -> tuple[dict[str, Any], bytes]:
    """(header, payload), past heartbeats."""
    while True:
        assert socket.poll(LIMIT_S * 1000)
        _, header, payload = socket.recv_multipart()
        decoded = msgspec.msgpack.decode(header)
        if decoded["event"] == "message":
            return decoded, payload


def test_messages_that_are_not_stored_reach_who_listens_and_nobody_else(make_node: MakeNode) -> None:
    """From the command line by the beginning of a key; with cursor 0 on both sockets, and in no log."""
    alice_node, bob_node = make_node("alice"), make_node("bob")
    with alice_node.start() as alice, bob_node.start() as bob, bob_node.client() as listener:
        made = alice.create("chat", DEFINITION)
        bob.join(made["community_id"], name="chat", peers=alice.status()["addresses"])
        bob.wait_for_definition("chat", timeout_s=LIMIT_S)
        alice.wait_for_peers("chat", 1, timeout_s=LIMIT_S)
        bob_key = bob.community("chat")["member"]
        found, thread = heard(listener, "whisper", 2)
        with bounded_context() as context, subscribe(context, bob, "whisper") as events:
            told = alice_node.command(
                "publish", "chat", "psst", "--kind", "whisper", "--to", bob_key.hex()[:12]
            )
            assert (told.returncode, told.stdout[:20]) == (0, "sent, and not stored")
            told = alice_node.command(
                "publish", "chat", "again", "--kind", "whisper", "--to", bob_key.hex(), "--json"
            )
            sent = json.loads(told.stdout)
            assert sent["cursor"] == 0
            thread.join(LIMIT_S)
            assert [(event.cursor, event.payload, event.author) for event in found] == [
                (0, b"psst", made["member_id"]),
                (0, b"again", made["member_id"]),
            ]
            header, payload = next_message(events)
            assert (header["cursor"], header["previous"], payload) == (0, 0, b"psst")
        assert found[1].message_id.hex() == sent["id"]
        assert (alice.count("chat"), bob.count("chat")) == (0, 0)
        with pytest.raises(UsageError, match="no neighbour is known"):
            alice.publish("chat", [b"psst"], kind="whisper", to=["0" * 64])
        refused = alice_node.command("publish", "chat", "psst", "--kind", "whisper")
        assert refused.returncode == 1
        assert "dispersy peers" in refused.stderr


def test_a_push_is_stored_and_an_unsigned_message_is_heard(make_node: MakeNode) -> None:
    with make_node("alice").start() as alice, make_node("bob").start() as bob:
        made = alice.create("chat", DEFINITION)
        bob.join(made["community_id"], name="chat", peers=alice.status()["addresses"])
        bob.wait_for_definition("chat", timeout_s=LIMIT_S)
        alice.wait_for_peers("chat", 1, timeout_s=LIMIT_S)
        published = alice.publish("chat", [b"news"], kind="news")
        bob.wait_for_count("chat", 1, timeout_s=LIMIT_S)
        (message,) = bob.get("chat", published.ids[0])
        assert message.payloads == (b"news",)
        counters = bob.wait_for_status(
            lambda status: any(_counter(status, "frames-in-push")), timeout_s=LIMIT_S
        )
        assert _counter(counters, "frames-in-push") == [1]
        found, thread = heard(bob, "beacon", 1)
        alice.publish("chat", [b"here"], kind="beacon")
        thread.join(LIMIT_S)
        assert [(event.author, event.payload) for event in found] == [(b"", b"here")]


def _counter(status: dict[str, Any], name: str) -> list[int]:
    counts = (process.get("counters", {}) for process in status["processes"])
    return [counted[name] for counted in counts if counted.get(name)]
