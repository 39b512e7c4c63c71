"""Whether a node is whole: asked of its own gateway, as any client would ask."""

from __future__ import annotations

from typing import Any

import msgspec
import zmq

from dispersy.bus.settings import RoleSettings
from dispersy.bus.sockets import connected, send_or_drop
from dispersy.service.interface.requests import INTERFACE_VERSION

ASK_INTERVAL_S = 0.1


class Readiness:
    """A question that is repeated until the answer is yes; `socket` is to be watched."""

    def __init__(self, context: zmq.Context[zmq.Socket[bytes]], settings: RoleSettings) -> None:
        self.socket = connected(context, zmq.DEALER, settings.socket("control"), queued_max=4)
        self.due = 0.0
        self.state = ""

    def ask(self, now: float) -> None:
        """Ask when it is time to."""
        if now >= self.due:
            self.due = now + ASK_INTERVAL_S
            question = {"v": INTERFACE_VERSION, "id": 0, "op": "status", "brief": True}
            send_or_drop(self.socket, [msgspec.msgpack.encode(question)])

    def answered(self) -> str:
        """Where the node listens, once it is whole; empty until then, with what it waits for in `state`."""
        while self.socket.poll(0, zmq.POLLIN):
            answer: dict[str, Any] = msgspec.msgpack.decode(self.socket.recv())
            self.state = answer.get("state", "")
            if answer.get("ready"):
                return str(answer["listen"])
        return ""
