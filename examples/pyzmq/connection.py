"""Requests to a Dispersy node and their replies, in plain pyzmq and msgpack: docs/interface.md, Control."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

import msgpack
import zmq

REPLY_LIMIT_S = 2.0
PUBLISH_TRIES_MAX = 30
PASSING = {"no-answer", "starting", "busy", "timeout"}
"""Codes after which the same request is sent again; timeout is our own."""


class Refused(Exception):  # noqa: N818 - it is the node's answer
    """What the node said instead; the whole error is in `error`: code, message, hint."""

    def __init__(self, error: dict[str, str]) -> None:
        super().__init__(f"{error['code']}: {error['message']} ({error['hint']})")
        self.error = error


class Connection:
    """One DEALER, which is one client in the eyes of the node."""

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
        for _ in range(PUBLISH_TRIES_MAX - 1):
            try:
                return self.request(op, **fields)
            except Refused as refused:
                if refused.error["code"] not in PASSING:
                    raise
                time.sleep(0.1)
        return self.request(op, **fields)
