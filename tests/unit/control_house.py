"""Control under test without a socket: a store in memory, the writer's finding, and replies in a list."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec

from dispersy.bus.frames import encode
from dispersy.bus.settings import RoleSettings
from dispersy.ext.wire import encode_message
from dispersy.protocol.definitions.definition import Definition, Kind, encode_definition
from dispersy.protocol.wire.numbers import MessageFlag
from dispersy.service.gateway.control import Control
from dispersy.storage.memory_store import MemoryStore
from dispersy.storage.store import Batch, LogEntry
from dispersy.workers.keeping.finding import find_ids, find_newest, find_slot
from tests.unit.gateway_house import block_of, record_of

CHAT, NEWS = bytes([1]) * 32, bytes([2]) * 32
ALICE, BOB = bytes([11]) * 32, bytes([12]) * 32
ME = b"a client"
TEXT, IMAGE = 64, 65
NOTHING_KNOWN: dict[str, Any] = {
    "cursor": None,
    "waits": False,
    "awaited": "",
    "refused": "",
    "reason": "",
    "counts": True,
    "came_by": "",
    "proof": [],
    "against": [],
}
"""What the writer says to `explain` of a message that it never saw."""


def message(
    author: bytes,
    time: int,
    *,
    second: bytes = b"",
    sequence: int = 0,
    kind: int = TEXT,
    payloads: tuple[bytes, ...] = (b"x",),
) -> bytes:
    """One as it is stored; no store looks at its signatures. Without a sequence: that of its time."""
    flags = MessageFlag.TWO_AUTHORS if second else 0
    authors = author + second
    unsigned = encode_message(kind, flags, authors, b"", time, sequence or time, b"", b"", list(payloads))
    return unsigned + bytes(2 * len(authors))


class ControlHouse:
    """Answers find and explain orders as the writer would; other orders wait in `orders`."""

    def __init__(self, home: Path) -> None:
        self.store = MemoryStore()
        self.sent: list[tuple[bytes, dict[str, Any]]] = []
        self.orders: list[dict[str, Any]] = []
        self.fates: dict[bytes, dict[str, Any]] = {}
        self.takes: Callable[[bytes], bool] = bool
        """Whether a client's socket has room for a frame."""
        self.control = Control(
            RoleSettings(str(home), str(home), "127.0.0.1:0", 1), send=self._send, order=self._order
        )
        self.control.attach(self.store)
        self._number = 0
        self._ids: dict[int, bytes] = {}

    def join(self, number: int, community_id: bytes, name: str, *, defined: bool = True) -> None:
        """A community with the kinds text and image."""
        kinds = (Kind(number=TEXT, name="text"), Kind(number=IMAGE, name="image"))
        definition = encode_definition(Definition(name, kinds)) if defined else b""
        record, blocks = record_of(number, community_id, name, definition)
        self.store.commit(Batch(communities=[record], blocks=blocks))
        self._ids[number] = community_id
        self.control.view.expire()

    def add(self, community: int, *messages: bytes, marks: int = 0) -> list[LogEntry]:
        """Store messages as an intake would; their entries."""
        made = block_of(community, self._ids[community], list(messages), marks)
        self.store.heads.advance_many(made.records, made.arena, community, b"\1" * len(messages))
        cursor, _ = self.store.commit(Batch(blocks=[made]))
        return self.store.log(cursor, len(messages))

    def ask(self, op: str, client: bytes = ME, **fields: Any) -> dict[str, Any]:
        """The one reply to a request."""
        before = len(self.sent)
        self.request(op, client, **fields)
        replies = [frame for _, frame in self.sent[before:] if "ok" in frame]
        assert len(replies) == 1, replies
        return replies[0]

    def request(self, op: str, client: bytes = ME, **fields: Any) -> None:
        self._number += 1
        self.control.refresh()
        self.control.receive_request(client, encode({"v": 1, "id": self._number, "op": op, **fields}))

    def _send(self, client: bytes, frame: bytes) -> bool:
        if not self.takes(frame):
            return False
        self.sent.append((client, msgspec.msgpack.decode(frame)))
        return True

    def _order(self, frame: bytes) -> bool:
        order = msgspec.msgpack.decode(frame)
        self.orders.append(order)
        return True

    def write(self) -> None:
        """Answer the orders that look something up."""
        for order in self.orders:
            self.control.receive_answer(encode({"id": order["id"], "ok": True, **self._answer(order)}))
        self.orders.clear()

    def _answer(self, order: dict[str, Any]) -> dict[str, Any]:
        number = order["community"]
        if order["op"] == "explain":
            (cursor,) = find_ids(self.store, number, order["ids"])
            return {**NOTHING_KNOWN, "cursor": cursor, **self.fates.get(order["ids"][0], {})}
        if "ids" in order:
            return {"cursors": find_ids(self.store, number, order["ids"])}
        if "sequence" in order:
            lane = (order["author"], order["kind"], order["sequence"])
            return {"cursors": find_slot(self.store, number, *lane)}
        return {"cursors": find_newest(self.store, number, order["author"])}

    def look_up(self, op: str, **fields: Any) -> dict[str, Any]:
        """The reply to a request for which the writer is asked."""
        before = len(self.sent)
        self.request(op, **fields)
        self.write()
        replies = [frame for _, frame in self.sent[before:]]
        assert len(replies) == 1, replies
        return replies[0]
