"""Drives client.py by lines, see tests/integration/conformance/README.md."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from typing import Any

from client import Connection, Follow, Refused, Subscription


def main(control: str, events: str) -> None:
    """Answer every line with a line."""
    driver = Driver(control, events)
    for line in sys.stdin:
        fields = json.loads(line, object_hook=from_json)
        answer = getattr(driver, "do_" + fields.pop("do"))(**fields)
        print(json.dumps(answer, default=to_json), flush=True)


class Driver:
    """One method for each thing to do."""

    def __init__(self, control: str, events: str) -> None:
        self.control = control
        self.events = events
        self.connection = Connection(control)

    def do_request(self, request: dict[str, Any]) -> dict[str, Any]:
        return answer_of(lambda: self.connection.request(**request))

    def do_publish(self, **fields: Any) -> dict[str, Any]:
        return answer_of(lambda: self.connection.publish(**fields))

    def do_send(self, request: dict[str, Any]) -> dict[str, Any]:
        return {"id": self.connection.send(request)}

    def do_frame(self, frame: bytes) -> dict[str, Any]:
        self.connection.socket.send(frame)
        return {}

    def do_receive(self, count: int, limit_ms: int) -> dict[str, Any]:
        return {"frames": take(self.connection.receive, count, limit_ms)}

    def do_follow(self, **fields: Any) -> dict[str, Any]:
        self.follow = Follow(self.control, **fields)
        return {}

    def do_next(self, count: int, limit_ms: int) -> dict[str, Any]:
        return answer_of(lambda: {"events": take(self.follow.next, count, limit_ms)})

    def do_subscribe(self, topics: list[str]) -> dict[str, Any]:
        self.subscription = Subscription(self.events, *(topic.encode() for topic in topics))
        return {}

    def do_hear(self, count: int, limit_ms: int) -> dict[str, Any]:
        heard = take(self.subscription.next, count, limit_ms)
        return {"events": [[topic.decode(), *rest] for topic, *rest in heard]}


def answer_of(call: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """What the call gives, or the error that it was refused with."""
    try:
        return call()
    except Refused as refused:
        return {"ok": False, "error": refused.error}


def take(receive: Callable[[float], Any], count: int, limit_ms: int) -> list[Any]:
    """Up to so many of what comes by the limit."""
    limit = time.monotonic() + limit_ms / 1000
    taken: list[Any] = []
    while len(taken) < count and (one := receive(max(0.0, limit - time.monotonic()))) is not None:
        taken.append(one)
    return taken


def from_json(value: dict[str, Any]) -> Any:
    return bytes.fromhex(value["hex"]) if value.keys() == {"hex"} else value


def to_json(value: bytes) -> dict[str, str]:
    return {"hex": value.hex()}


if __name__ == "__main__":
    main(*sys.argv[1:])
