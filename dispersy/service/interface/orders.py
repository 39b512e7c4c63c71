"""What the writer was asked on behalf of clients, until it answers, is restarted or stays silent too long."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from time import monotonic
from typing import Any

import msgspec

from dispersy.errors import UsageError
from dispersy.service.interface.holders import Holder, each_for_itself, program_of, user_of
from dispersy.service.interface.replies import Replies
from dispersy.service.interface.requests import RequestId

ORDERS_MAX = 1_024
ORDERS_PER_CLIENT_MAX = 64
ORDERS_SIZE_MAX = 32 << 20
"""Bytes of all that wait: some thirty publish-many requests of the most there may be in one."""
ORDERS_SIZE_PER_CLIENT_MAX = 8 << 20
ORDER_LIMIT_S = 40.0
"""After this the client is told that no answer came: the writer may be waiting for a disk. On a home that was
restored it waits for neighbours, up to 30 s, and that is no failure."""
RESEND_S = 0.02
"""Until an order that a new writer does not take yet is given to it again: what it says may come before the
connection for orders stands.
"""

_LOOK_FIRST = "look whether it was done (`dispersy community list`, `dispersy list`) before you repeat it"

MakeReply = Callable[[dict[str, Any]], dict[str, Any]]


@dataclass(slots=True)
class Order:
    """A request that the writer has to answer.

    repeatable    whether asking the writer again gives the first answer (not of sign, nor of a create without
                  a request id)
    reply         makes the client's reply of the writer's answer; may raise UsageError
    """

    client: bytes
    id: RequestId
    frame: bytes
    limit: float
    repeatable: bool
    reply: MakeReply | None


class Orders:
    """Sends orders by `send` (False: the writer takes nothing just now) and passes the answers on."""

    def __init__(
        self, replies: Replies, send: Callable[[bytes], bool], holder: Holder = each_for_itself
    ) -> None:
        self._replies = replies
        self._holder = holder
        self._send = send
        self._waiting: dict[int, Order] = {}
        self._lost: deque[int] = deque()
        self._number = 0
        self.resend_due: float | None = None
        self._writer_pid: object = None

    def place(
        self,
        client: bytes,
        request_id: RequestId,
        order: dict[str, Any],
        *,
        repeatable: bool,
        reply: MakeReply | None = None,
    ) -> None:
        """Ask the writer; its answer becomes the reply, or what `reply` makes of it. UsageError `busy`."""
        self._number += 1
        frame = msgspec.msgpack.encode({**order, "id": self._number})
        self._refuse_excess(client, len(frame))
        if not self._send(frame):
            raise UsageError(
                "the writer takes nothing just now", code="busy", hint="send this again in a moment"
            )
        limit = monotonic() + ORDER_LIMIT_S
        self._waiting[self._number] = Order(client, request_id, frame, limit, repeatable, reply)

    def tell(self, order: dict[str, Any]) -> None:
        """Tell the writer what nobody waits for; where it takes nothing just now it is not told."""
        self._number += 1
        self._send(msgspec.msgpack.encode({**order, "id": self._number}))

    def _refuse_excess(self, client: bytes, size: int) -> None:
        """UsageError `busy` when one more order of this size is too much, of its client or of all.

        A user takes no more of what there is for all than it leaves to others, and a program no more of what
        there is for its user: there is always some left for one that comes new.
        """
        every = [len(waiting.frame) for waiting in self._waiting.values()]
        own, together, of_user = (
            [len(each.frame) for each in self._waiting.values() if whose(each.client) == whose(client)]
            for whose in (self._holder, program_of, user_of)
        )
        for waiting, count_max, size_max, owners in (
            (own, ORDERS_PER_CLIENT_MAX, ORDERS_SIZE_PER_CLIENT_MAX, "a client"),
            (every + of_user, ORDERS_MAX, ORDERS_SIZE_MAX, "all clients, half of them of one user,"),
            (
                of_user + together,
                ORDERS_MAX // 2,
                ORDERS_SIZE_MAX // 2,
                "a user, half of them of one program,",
            ),
        ):
            if len(waiting) >= count_max or sum(waiting) + size > size_max:
                raise UsageError(
                    f"{count_max} requests of {owners} may wait for the writer, of {size_max} bytes together",
                    code="busy",
                    hint="wait for an answer, then send this again",
                )

    def receive_answer(self, frame: bytes) -> bool:
        """Pass an answer of the writer on; whether something was done."""
        answer = msgspec.msgpack.decode(frame)
        order = self._waiting.pop(answer.pop("id"), None)
        if order is None:
            return False
        if not answer.pop("ok"):
            error = UsageError(answer["message"], code=answer["code"], hint=answer.get("hint", ""))
            self._replies.fail(order.client, order.id, error)
            return False
        answer.pop("op", None)
        try:
            self._replies.answer(order.client, order.id, order.reply(answer) if order.reply else answer)
        except UsageError as error:
            self._replies.fail(order.client, order.id, error)
        return True

    def note_writer(self, pid: object) -> None:
        """What a dead writer was asked is gone with it: its successor is asked, where that is safe."""
        before, self._writer_pid = self._writer_pid, pid
        if before == pid:
            return
        self._lost.clear()
        for number, order in list(self._waiting.items()):
            if order.repeatable:
                # Also at the first word of a writer: the one that was asked may have died before its own.
                self._lost.append(number)
                continue
            if before is None:
                continue
            del self._waiting[number]
            error = UsageError(
                "the writer was restarted before it answered",
                code="no-answer",
                hint=_LOOK_FIRST,
            )
            self._replies.fail(order.client, order.id, error)
        self.resend()

    def resend(self) -> None:
        """Give the new writer what the one before has not answered; what it does not take, at resend_due."""
        while self._lost:
            order = self._waiting.get(self._lost[0])
            if order is not None and not self._send(order.frame):
                self.resend_due = monotonic() + RESEND_S
                return
            self._lost.popleft()
        self.resend_due = None

    def expire(self, now: float) -> None:
        """Tell the clients of those that the writer has been silent on for too long."""
        for number in [number for number, order in self._waiting.items() if order.limit < now]:
            order = self._waiting.pop(number)
            error = UsageError(
                f"the writer did not answer within {ORDER_LIMIT_S:.0f} s",
                code="no-answer",
                hint="send the same again: it will not be done twice" if order.repeatable else _LOOK_FIRST,
            )
            self._replies.fail(order.client, order.id, error)
