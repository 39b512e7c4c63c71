"""The simple way to hear of messages, and to know when some were missed: docs/interface.md, events."""

from __future__ import annotations

from typing import Any

import msgpack
import zmq


class Subscription:
    """What the events socket says; topics are beginnings, b"" is everything."""

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
