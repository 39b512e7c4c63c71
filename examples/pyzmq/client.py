"""A client of a Dispersy node in plain pyzmq and msgpack, from docs/interface.md alone.

python client.py publish chat hello
python client.py follow chat
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

import msgpack
import zmq

REPLY_LIMIT_S, QUIET_S, TRIES_MAX, FOLLOW_ID = 2.0, 2.0, 30, 1
PASSING = {"no-answer", "starting", "busy", "timeout"}
"""Codes after which the same request is sent again; timeout is our own."""


class Refused(Exception):  # noqa: N818 - it is the node's answer
    """What the node said instead; the whole error is in `error`: code, message, hint."""

    def __init__(self, error: dict[str, str]) -> None:
        super().__init__(f"{error['code']}: {error['message']} ({error['hint']})")
        self.error = error


class Connection:
    """Requests and their replies: one DEALER, which is one client in the eyes of the node."""

    def __init__(self, endpoint: str) -> None:
        self.socket = zmq.Context.instance().socket(zmq.DEALER)
        self.socket.linger = 0
        self.socket.connect(endpoint)
        self._number = 0

    def send(self, fields: dict[str, Any]) -> Any:
        """Send a request, and wait for nothing; its id."""
        self._number += 1
        request = {"v": 1, "id": self._number, **fields}
        # A node that has been away for long has a thousand of ours waiting; no room is as good as no answer.
        with suppress(zmq.Again):
            self.socket.send(msgpack.packb(request), zmq.NOBLOCK)
        return request["id"]

    def receive(self, limit_s: float) -> dict[str, Any] | None:
        """The next reply or event; None when none comes."""
        if not self.socket.poll(max(0, int(limit_s * 1000))):
            return None
        frame: dict[str, Any] = msgpack.unpackb(self.socket.recv())
        return frame

    def request(self, op: str, **fields: Any) -> dict[str, Any]:
        """Send a request and wait for its reply; answers to requests that were given up are passed over."""
        number = self.send({"op": op, **fields})
        limit = time.monotonic() + REPLY_LIMIT_S
        while (frame := self.receive(limit - time.monotonic())) is not None:
            if frame["id"] == number and "ok" in frame:
                if not frame["ok"]:
                    raise Refused(frame["error"])
                return frame
        raise Refused({"code": "timeout", "message": "the node is silent", "hint": "is it running?"})

    def publish(
        self, op: str, community: str, kind: str, payloads: Sequence[bytes], request_id: bytes = b""
    ) -> dict[str, Any]:
        """Publish once, however often it has to be asked: all tries carry the same request_id."""
        request_id = request_id or int(time.time() * 1000).to_bytes(6, "big") + os.urandom(10)
        fields = {"community": community, "kind": kind, "payloads": payloads, "request_id": request_id}
        for _ in range(TRIES_MAX - 1):
            try:
                return self.request(op, **fields)
            except Refused as refused:
                if refused.error["code"] not in PASSING:
                    raise
                time.sleep(0.1)
        return self.request(op, **fields)


class Follow(Connection):
    """All events after `since`, in order, each once, over restarts; on a connection of its own."""

    def __init__(self, endpoint: str, *, since: str | int = "now", credit: int = 100, **filters: Any) -> None:
        super().__init__(endpoint)
        self.since = since
        self._credit = credit
        self._filters = filters
        self._dealt_with = 0
        self._ask()

    def next(self, limit_s: float) -> dict[str, Any] | None:
        """The next event, which then counts as dealt with; None when none comes."""
        limit = time.monotonic() + limit_s
        while (left := limit - time.monotonic()) > 0:
            frame = self.receive(min(left, QUIET_S))
            if frame is None:
                # Silence, or a new gateway that does not know us: `follow-exists` tells that all is well.
                self._ask()
            elif frame.get("ok"):
                self.since, self._dealt_with = frame["since"], 0
            elif "ok" in frame:
                if frame["error"]["code"] not in PASSING | {"follow-exists"}:
                    raise Refused(frame["error"])
            elif isinstance(self.since, str) or frame["cursor"] > self.since or frame["event"] == "caught-up":
                self.since = frame["cursor"]
                self._grant(frame["event"])
                return frame
        return None

    def _ask(self) -> None:
        fields = {"since": self.since, "credit": self._credit, **self._filters}
        self.send({"id": FOLLOW_ID, "op": "follow", **fields})

    def _grant(self, event: str) -> None:
        self._dealt_with += event != "caught-up"
        if self._dealt_with * 2 >= self._credit:
            self.send({"id": FOLLOW_ID, "op": "credit", "count": self._dealt_with})
            self._dealt_with = 0


class Subscription:
    """The simple way: what the events socket says, and whether something was missed. b"" is every topic."""

    def __init__(self, endpoint: str, *topics: bytes) -> None:
        self._socket = zmq.Context.instance().socket(zmq.SUB)
        self._socket.linger = 0
        self._socket.connect(endpoint)
        for topic in topics:
            self._socket.subscribe(topic)
        self._last: dict[bytes, int] = {}

    def next(self, limit_s: float) -> tuple[bytes, dict[str, Any], bytes, bool] | None:
        """(topic, header, payload, whether something before it may be lost); None when nothing comes."""
        if not self._socket.poll(int(limit_s * 1000)):
            return None
        topic, packed, payload = self._socket.recv_multipart()
        header = msgpack.unpackb(packed)
        is_lost = header["previous"] != self._last.get(topic, header["previous"])
        self._last[topic] = header["previous"] if header["event"] == "heartbeat" else header["cursor"]
        return topic, header, payload, is_lost


def main(command: str, community: str, *texts: str) -> None:
    """What a person types: publish COMMUNITY TEXT..., or follow COMMUNITY."""
    control = json.loads(subprocess.check_output(["dispersy", "status", "--json"]))["sockets"]["control"]
    if command == "publish":
        payloads = [text.encode() for text in texts]
        print(Connection(control).publish("publish-many", community, "text", payloads))
        return
    follow = Follow(control, since="begin", communities=[community])
    while True:
        event = follow.next(60)
        if event is not None and event["event"] == "message":
            print(event["author"].hex()[:8], event["payload"].decode(), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
