"""Goal: what comes in bulk is committed in few commits, and an order waits for none of it."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from time import monotonic

import pytest
import zmq

from dispersy.bus import frames as bus
from dispersy.bus.settings import RoleSettings
from dispersy.bus.sockets import connected
from dispersy.ext.digest import identify_many
from dispersy.ext.verify import public_key
from dispersy.ext.wire import DROP_REASONS, parse_messages, split_payloads
from dispersy.protocol.definitions.definition import default_definition, encode_definition
from dispersy.protocol.identifiers import CommunityId
from dispersy.protocol.ways import Way
from dispersy.protocol.wire.message import create_message
from dispersy.protocol.wire.packing import encode_uvarint
from dispersy.storage.keyring import Keyring
from dispersy.storage.lmdb_store import LmdbStore
from dispersy.workers import writer as writer_module
from dispersy.workers.ledger import Ledger
from dispersy.workers.loop import Loop
from dispersy.workers.writer import BULK_MIN, WriterRole

LIMIT_S = 60.0
BATCHES = 8
SECRET = bytes(range(32)) + public_key(bytes(range(32)))


class Workers:
    """Delivers one batch after another in the writer's own loop, then `order`; ends the loop when everything
    is committed."""

    name = "workers"

    def __init__(self, writer: WriterRole, batches: list[list[bytes]], order: bytes) -> None:
        self._writer = writer
        self._batches = batches
        self._order = order
        self._count = len(batches) * BULK_MIN
        self.commits = 0

    def open(self, loop: Loop) -> None:
        self._loop = loop
        self._limit = monotonic() + LIMIT_S
        self._first = self._writer._last_cursor
        settings = self._writer._settings
        self._intake = connected(loop.context, zmq.PUSH, settings.socket("intake"), queued_max=100)
        self._orders = connected(loop.context, zmq.DEALER, settings.socket("orders"), queued_max=100)
        loop.every(0.002, self._deliver)

    def _deliver(self) -> None:
        assert monotonic() < self._limit, "what was delivered is not committed"
        if self._batches:
            self._intake.send_multipart(self._batches.pop(0))
        elif self._order:
            self._orders.send(self._order)
            self._order = b""
        elif self._writer._last_cursor - self._first >= self._count:
            self.commits = self._writer._reporter.counters["commits"]
            self._loop.stop()

    def close(self) -> None:
        pass


@pytest.fixture
def settings(tmp_path: Path) -> RoleSettings:
    return RoleSettings(str(tmp_path), str(tmp_path), "127.0.0.1:0", 1)


@pytest.fixture
def batches(settings: RoleSettings) -> list[list[bytes]]:
    """As a verifier sends them, of a community that the store has joined."""
    store = LmdbStore(settings.store_path)
    ledger = Ledger(store, Keyring(settings.keys_path), now_ms=0)
    ledger.create(None, name="test", definition=encode_definition(default_definition("test")))
    ledger.commit(now_ms=0)
    (record,) = store.communities()
    store.close()
    made = []
    for batch in range(BATCHES):
        numbers = range(batch * BULK_MIN, (batch + 1) * BULK_MIN)
        messages = [
            create_message(
                CommunityId(record.community_id),
                SECRET,
                kind=64,
                global_time=2 + number,
                sequence=1 + number,
                payloads=[b"%d" % number],
            )
            for number in numbers
        ]
        area = b"".join(encode_uvarint(len(message)) + message for message in messages)
        records = parse_messages(area, bytearray(4 * len(DROP_REASONS)))
        identify_many(records, area, record.community_id)
        header = bus.MESSAGES_HEADER.pack(record.number, len(messages), Way.RANGES)
        made.append([bus.MESSAGES, header, bytes(records), area])
    return made


def test_what_comes_after_a_large_commit_gathers(
    settings: RoleSettings, batches: list[list[bytes]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writer_module, "BULK_PAUSE_S", 1.0)
    writer = WriterRole(settings)
    workers = Workers(writer, batches, b"")
    Loop().run(writer, workers)
    assert workers.commits < BATCHES // 2


def test_an_order_ends_the_gathering(
    settings: RoleSettings, batches: list[list[bytes]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever publishes is not kept waiting by what others bring."""
    monkeypatch.setattr(writer_module, "BULK_PAUSE_S", 2 * LIMIT_S)
    writer = WriterRole(settings)
    order = bus.encode({"op": "find", "id": 1, "community": 1, "ids": [bytes(32)]})
    Loop().run(writer, Workers(writer, batches, order))


def test_what_gathers_is_decided_by_rising_times(
    settings: RoleSettings, batches: list[list[bytes]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Verifiers are done with their batches in any order; in its own the log has them."""
    monkeypatch.setattr(writer_module, "BULK_PAUSE_S", 1.0)
    writer = WriterRole(settings)
    Loop().run(writer, Workers(writer, batches[::-1], b""))
    store = LmdbStore(settings.store_path)
    messages = [entry.message for entry in store.log(1, 10_000) if entry.message[0] == 64]
    payloads = [int(split_payloads(message)[0]) for message in messages]
    store.close()
    falls = sum(later < before for before, later in pairwise(payloads))
    assert len(payloads) == BATCHES * BULK_MIN
    assert falls < BATCHES // 2
