"""Goal: over tcp only clients of the list use a node, encrypted, and only for as long as they are in it."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
import zmq

from dispersy.aio import AsyncClient
from dispersy.certificate import Certificate, read_certificate
from dispersy.client import Client
from dispersy.errors import UsageError
from dispersy.service.operations.follows import FOLLOWS_PER_CLIENT_MAX
from tests.integration.node import Node
from tests.sockets import bounded_context

pytestmark = pytest.mark.long

LIMIT_S = 60.0
REFUSED_S = 1.5
"""How long a client that is to be refused tries: on loopback an allowed one needs milliseconds."""


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


class Served:
    """A running node with both sockets on tcp, and what its owner does."""

    def __init__(self, node: Node, folder: Path) -> None:
        self.node = node
        self._folder = folder
        node.home.mkdir()
        addresses = [f"127.0.0.1:{free_port()}" for _ in range(2)]
        (node.home / "config.toml").write_text(
            f'[tcp]\ncontrol = "{addresses[0]}"\nevents = "{addresses[1]}"\n', encoding="utf-8"
        )
        self.client = node.start()
        self.client.create("chat")

    def add(self, name: str) -> Path:
        file = self._folder / f"{name}.toml"
        told = self.node.command("client", "add", name, "--file", str(file))
        assert told.returncode == 0, told.stderr
        assert file.stat().st_mode & 0o777 == 0o600
        return file

    def wait_for_counted(self, name: str) -> None:
        self.client.wait_for_status(lambda status: counted(status, name) > 0, timeout_s=LIMIT_S)


def counted(status: dict[str, Any], name: str) -> int:
    """By all processes."""
    return sum(process.get("counters", {}).get(name, 0) for process in status["processes"])


@pytest.fixture(params=["full", "compact"])
def served(
    make_node: Callable[..., Node], short_folder: Path, request: pytest.FixtureRequest
) -> Iterator[Served]:
    node = make_node("a", "--listen", "127.0.0.1:0", "--placement", request.param)
    made = Served(node, short_folder)
    with made.client:
        yield made


def is_answered(certificate: Path | None = None, endpoint: str | None = None) -> bool:
    """Whether somebody with this gets an answer."""
    try:
        with Client(certificate=certificate, endpoint=endpoint, timeout_s=REFUSED_S) as client:
            client.status(brief=True)
    except UsageError as error:
        if error.code != "timeout":
            raise
        return False
    return True


def test_an_allowed_client_publishes_follows_and_subscribes(served: Served) -> None:
    """All that a local program can; blocking and asyncio."""
    file = served.add("phone")
    certificate = read_certificate(file)
    for name, endpoint in (("control", certificate.control), ("events", certificate.events)):
        assert f"  {name} socket for clients of the list on {endpoint}" in served.node.lines
    with Client(certificate=file, timeout_s=LIMIT_S) as client, bounded_context() as context:
        with context.socket(zmq.SUB) as events:
            certificate.protect(events)
            events.connect(certificate.events)
            events.subscribe(b"")
            follow = client.follow(["chat"], since="begin")
            number = 0
            payload = b""
            # A subscription that is under way is in time for a later message; heartbeats carry no payload.
            while not payload:
                client.publish("chat", [b"%d" % number])
                number += 1
                assert number < LIMIT_S * 5
                payload = events.recv_multipart()[-1] if events.poll(200) else b""
            assert payload.isdigit()
        assert next(event for event in follow if event.event == "message").payload == b"0"

    async def ask() -> int:
        async with AsyncClient(certificate=file, timeout_s=LIMIT_S) as client:
            return await client.count("chat")

    assert asyncio.run(ask()) == number


def test_a_key_that_is_not_listed_is_refused(served: Served, tmp_path: Path) -> None:
    """It knows the server's key and all, and gets nothing; it is counted."""
    good = read_certificate(served.add("phone"))
    public, secret = (key.decode() for key in zmq.curve_keypair())
    bad = tmp_path / "bad.toml"
    bad.write_text(Certificate(good.control, good.events, good.server_key, public, secret).to_toml())
    assert not is_answered(bad)
    served.wait_for_counted("client-refused")


def test_without_curve_nobody_is_heard(served: Served) -> None:
    """Neither on control nor on events, also while others are allowed."""
    certificate = read_certificate(served.add("phone"))
    assert not is_answered(endpoint=certificate.control)
    with bounded_context() as context, context.socket(zmq.SUB) as events:
        events.connect(certificate.events)
        events.subscribe(b"")
        for _ in range(5):
            served.client.publish("chat", [b"hello"])
            assert not events.poll(200)
    assert counted(served.client.status(), "client-allowed") == 0


def test_a_client_that_is_removed_is_cut_off_and_the_others_go_on(served: Served) -> None:
    """Without a restart; the one that stays loses no event."""
    gone, stays = served.add("gone"), served.add("stays")
    assert "gone" in served.node.command("client", "list").stdout
    with (
        Client(certificate=gone, timeout_s=REFUSED_S) as cut,
        Client(certificate=stays, timeout_s=LIMIT_S) as kept,
    ):
        cut.publish("chat", [b"0"])
        follow = kept.follow(["chat"], since="begin")
        assert next(follow).payload == b"0"
        removed = served.node.command("client", "remove", "gone", "--json")
        assert (removed.returncode, json.loads(removed.stdout)) == (0, {"name": "gone"})
        served.wait_for_counted("client-removed")
        with pytest.raises(UsageError) as caught:
            cut.status(brief=True)
        assert caught.value.code == "timeout"
        served.client.publish("chat", [b"1"])
        payloads = (event.payload for event in follow if event.event == "message")
        assert next(payloads) == b"1"
        assert kept.count("chat") == 2
    assert not is_answered(gone)


def test_certificates_are_printed_once_and_names_are_taken_once(served: Served) -> None:
    """What a program in another language needs is there as JSON."""
    told = served.node.command("client", "add", "tool", "--json")
    values = json.loads(told.stdout)
    assert set(values) == {"control", "events", "server_key", "public_key", "secret_key"}
    assert values["secret_key"] not in (served.node.home / "clients" / "tool.key").read_text()
    again = served.node.command("client", "add", "tool")
    assert again.returncode != 0
    assert "already" in again.stderr
    unknown = served.node.command("client", "remove", "none")
    assert (unknown.returncode != 0, "tool" in unknown.stderr) == (True, True)
    assert (served.node.home / "server.key").stat().st_mode & 0o777 == 0o600


def test_a_client_with_many_connections_is_held_to_the_limits_of_one(served: Served) -> None:
    """It cannot take every follow that there is: another one still gets its own."""
    phone, tablet = (read_certificate(served.add(name)) for name in ("phone", "tablet"))
    with bounded_context() as context:

        def follow(certificate: Certificate) -> dict[str, Any]:
            socket: zmq.Socket[bytes] = context.socket(zmq.DEALER)
            socket.linger = 0
            certificate.protect(socket)
            socket.connect(certificate.control)
            socket.send(
                msgspec.msgpack.encode({"v": 1, "id": 1, "op": "follow", "since": "now", "credit": 1})
            )
            sockets.append(socket)
            assert socket.poll(int(LIMIT_S * 1000))
            reply: dict[str, Any] = msgspec.msgpack.decode(socket.recv())
            return reply

        sockets: list[zmq.Socket[bytes]] = []
        try:
            replies = [follow(phone) for _ in range(FOLLOWS_PER_CLIENT_MAX + 1)]
            assert [reply["ok"] for reply in replies] == [True] * FOLLOWS_PER_CLIENT_MAX + [False]
            assert replies[-1]["error"]["code"] == "too-many"
            assert follow(tablet)["ok"]
        finally:
            for socket in sockets:
                socket.close()
