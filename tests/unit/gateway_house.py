"""A gateway under test: a store that the test writes, orders that the test answers, scenes beside it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import msgspec
import pytest
import zmq

from dispersy.bus.frames import ASKED, COMMIT, HEARD, CommitNote, encode
from dispersy.bus.settings import RoleSettings
from dispersy.client import Client, Event
from dispersy.errors import DispersyError
from dispersy.ext.digest import identify_many
from dispersy.ext.wire import DROP_REASONS, encode_message, pack, parse_messages
from dispersy.protocol.definitions.definition import default_definition, encode_definition
from dispersy.service.gateway.gateway import GatewayRole
from dispersy.storage.lmdb_store import LmdbStore
from dispersy.storage.store import Batch, CommunityRecord, MessageBlock
from dispersy.workers.loop import Loop
from tests.sockets import bounded_context

LIMIT_S = 30.0
CHAT = bytes([1]) * 32
NEWS = bytes([1, 2]) * 16
AUTHOR = bytes([7]) * 32


class House:
    """A gateway with a store that the test writes and orders that the test answers."""

    def __init__(self, folder: Path) -> None:
        home, runtime = folder / "home", folder / "run"
        home.mkdir()
        runtime.mkdir()
        self.settings = RoleSettings(str(home), str(runtime), "127.0.0.1:0", 1)
        self.store = LmdbStore(self.settings.store_path)
        self.context = bounded_context()
        self.orders = self.context.socket(zmq.ROUTER)
        self.orders.bind(self.settings.socket("orders"))
        self.notes = self.context.socket(zmq.XPUB)
        self.notes.setsockopt(zmq.XPUB_VERBOSE, 1)
        self.notes.bind(self.settings.socket("notes"))
        self.sockets: list[zmq.Socket[bytes]] = []
        self._clients: list[Client] = []
        self.sequence = 0
        self.silent = False

    def client(self) -> Client:
        """Closed with the house at the latest: what a failed scene left open would fail other tests."""
        made = Client(self.settings.home, endpoint=self.settings.socket("control"), timeout_s=LIMIT_S)
        self._clients.append(made)
        return made

    def dealer(self, received_max: int = 2_000) -> zmq.Socket[bytes]:
        """A client of no library: frames as a test writes them."""
        socket = self.context.socket(zmq.DEALER)
        socket.setsockopt(zmq.RCVHWM, received_max)
        socket.connect(self.settings.socket("control"))
        self.sockets.append(socket)
        return socket

    def join(self, number: int, community_id: bytes, name: str, *, defined: bool = True) -> None:
        definition = encode_definition(default_definition(name)) if defined else b""
        record, blocks = record_of(number, community_id, name, definition)
        self.commit(Batch(communities=[record], blocks=blocks))

    def publish(self, number: int, *groups: list[bytes], marks: int = 0) -> int:
        """Store messages as the writer would; the first cursor."""
        messages = []
        for payloads in groups:
            self.sequence += 1
            unsigned = encode_message(64, 0, AUTHOR, b"", self.sequence, self.sequence, b"", b"", payloads)
            messages.append(unsigned + bytes(64))
        return self.commit(Batch(blocks=[block_of(number, CHAT, messages, marks)]))

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
        failures: list[BaseException] = []
        ended: list[bool] = []
        loop = Loop()

        def act() -> None:
            try:
                self._await_subscriptions()
                scene()
                ended.append(True)
            except (
                AssertionError,
                DispersyError,
                zmq.ZMQError,
                LookupError,
                TypeError,
                pytest.fail.Exception,
            ) as failure:
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

    def _await_subscriptions(self) -> None:
        """What is told before the gateway hears is lost: the writer tells it again, this house does not."""
        awaited = {b"\1" + topic for topic in (COMMIT, HEARD, ASKED)}
        while awaited:
            assert self.notes.poll(int(LIMIT_S * 1000)), f"the gateway has not subscribed to {awaited}"
            awaited.discard(self.notes.recv())

    def reports(self) -> zmq.Socket[bytes]:
        """Where roles push their reports."""
        socket = self.context.socket(zmq.PUSH)
        socket.connect(self.settings.socket("reports"))
        self.sockets.append(socket)
        return socket

    def close(self) -> None:
        for client in self._clients:
            client.close()
        self.context.destroy(linger=0)
        self.store.close()


def record_of(
    number: int, community_id: bytes, name: str, definition: bytes
) -> tuple[CommunityRecord, list[MessageBlock]]:
    """A community, and the message that defines it, as it is stored; without a definition nothing is."""
    if not definition:
        return CommunityRecord(number, community_id, name, AUTHOR), []
    unsigned = encode_message(0, 0, community_id, b"", 1, 1, bytes(32), b"", [definition])
    message = unsigned + bytes(64)
    record = CommunityRecord(number, community_id, name, AUTHOR, message)
    return record, [block_of(number, community_id, [message])]


def block_of(number: int, community_id: bytes, messages: list[bytes], marks: int = 0) -> MessageBlock:
    """Messages as verified ones come to the writer."""
    ((_, area),) = pack(messages, 1 << 24)
    records = parse_messages(area, bytearray(4 * len(DROP_REASONS)))
    identify_many(records, area, community_id)
    return MessageBlock(number, bytes(records), area, bytes([marks]) * len(messages), 1_000)


def payloads_of(events: list[Event]) -> list[bytes]:
    """The payloads of its message events."""
    return [event.payload for event in events if event.event == "message"]


def take(events: Iterator[Event], count: int) -> list[Event]:
    """Exactly so many events."""
    taken = list(islice(events, count))
    assert len(taken) == count, f"the stream ended after {taken}"
    return taken


def receive(socket: zmq.Socket[bytes]) -> dict[str, Any]:
    assert socket.poll(int(LIMIT_S * 1000)), "no answer came"
    frame: dict[str, Any] = msgspec.msgpack.decode(socket.recv())
    return frame
