"""Double signatures: which clients decide on drafts of other members, and what they decide.

A client that decides asks for what waits, and is answered as soon as something does; while it goes on asking
it answers for its communities and kinds. A draft that no client answers for is refused at once, so that its
first author need not wait in vain.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from dispersy.bus.frames import AskedSignature
from dispersy.errors import UsageError
from dispersy.service.interface import requests
from dispersy.service.interface.orders import Orders
from dispersy.service.interface.replies import Replies
from dispersy.service.interface.requests import RequestId
from dispersy.service.interface.view import View

POLL_S = 10
"""After this a client that asks is told that nothing waits, and asks again: so it is known to be there."""
ANSWERS_FOR_S = 30
"""How long a client answers for its kinds after it has last asked: it may be asking a person."""
DECIDERS_MAX = 64
PENDING_MAX = 64


@dataclass(slots=True)
class _Decider:
    """A client, and what it answers for; until: when it counts as gone unless it asks again.

    waiting   its request that has no answer yet, which drafts it knows, and when it is answered in any case
    """

    communities: frozenset[int] | None
    kinds: frozenset[str]
    until: int
    waiting: tuple[RequestId, frozenset[bytes], int] | None = None


@dataclass(frozen=True, slots=True)
class _Pending:
    """A draft that waits for a decision."""

    number: int
    kind: str
    asked: AskedSignature
    expires_at: int


class Signatures:
    """signature-requests and sign."""

    def __init__(self, view: View, orders: Orders, replies: Replies) -> None:
        self._view = view
        self._orders = orders
        self._replies = replies
        self._deciders: dict[bytes, _Decider] = {}
        self._pending: dict[bytes, _Pending] = {}
        self._seconds = 0

    def poll(self, client: bytes, request: requests.SignatureRequests) -> dict[str, Any] | None:
        """What waits for a decision that this client may make; None while there is nothing that it does not
        know."""
        self._view.store()
        directory, now = self._view.directory, self._seconds
        if client not in self._deciders and len(self._deciders) >= DECIDERS_MAX:
            raise UsageError(
                f"{DECIDERS_MAX} clients answer for signatures already",
                code="too-many",
                hint="end one of them",
            )
        numbers = frozenset(directory.resolve(text).number for text in request.communities)
        before = self._deciders.get(client)
        decider = self._deciders[client] = _Decider(
            numbers if request.communities else None, frozenset(request.kinds), now + ANSWERS_FOR_S
        )
        limit = now + POLL_S
        if before is not None and before.waiting is not None and before.waiting[0] == request.id:
            # Sent again, as clients do that have no answer yet: it shall not wait for ever.
            limit = before.waiting[2]
        decider.waiting = (request.id, frozenset(request.known), limit)
        self._tell(client, decider, now)
        return None

    def sign(self, client: bytes, request: requests.Sign) -> None:
        """Repeatable while the writer lives: a decision is made once, and then unknown."""
        if not request.accept and request.payloads:
            raise UsageError("payloads are appended to what is accepted", code="malformed")
        order = {
            "op": "sign",
            "ids": [request.request],
            "accept": request.accept,
            "payloads": request.payloads,
        }
        self._orders.place(client, request.id, order, repeatable=False)
        # Where the decision is refused, the first author's next request brings the draft back.
        self._pending.pop(request.request, None)

    def receive_asked(self, number: int, asked: Sequence[AskedSignature]) -> None:
        """The writer was asked for our signature."""
        now = self._seconds
        for each in asked:
            kind = self._view.directory.kind_name(number, each.kind)
            known = self._pending.get(each.id)
            expires_at = now + each.wait_s if known is None else known.expires_at
            pending = _Pending(number, kind, each, expires_at)
            if not any(_answers_for(decider, pending) for decider in self._deciders.values()):
                self._refuse(each.id)
            elif known is not None or len(self._pending) < PENDING_MAX:
                self._pending[each.id] = pending
        for client, decider in list(self._deciders.items()):
            self._tell(client, decider, now)

    def handle_second(self) -> None:
        """Forget whoever asks no more, and what is waited for no more."""
        self._seconds += 1
        now = self._seconds
        for draft_id in [key for key, each in self._pending.items() if each.expires_at <= now]:
            del self._pending[draft_id]
        for client, decider in list(self._deciders.items()):
            if decider.until <= now:
                self.forget(client)
            elif decider.waiting is not None and decider.waiting[2] <= now:
                self._answer(client, decider, [])

    def forget(self, client: bytes) -> None:
        """The client is gone; what nobody else answers for is refused."""
        if self._deciders.pop(client, None) is None:
            return
        for draft_id, pending in list(self._pending.items()):
            if not any(_answers_for(decider, pending) for decider in self._deciders.values()):
                del self._pending[draft_id]
                self._refuse(draft_id)

    def _refuse(self, draft_id: bytes) -> None:
        self._orders.tell({"op": "sign", "ids": [draft_id], "accept": False})

    def _tell(self, client: bytes, decider: _Decider, now: int) -> None:
        """Answer a client that waits, if there is something that it does not know."""
        if decider.waiting is None:
            return
        found = [pending for pending in self._pending.values() if _answers_for(decider, pending)]
        if any(pending.asked.id not in decider.waiting[1] for pending in found):
            self._answer(client, decider, [self._described(pending, now) for pending in found])

    def _answer(self, client: bytes, decider: _Decider, found: list[dict[str, Any]]) -> None:
        assert decider.waiting is not None
        request_id, _, _ = decider.waiting
        decider.waiting = None
        self._replies.answer(client, request_id, {"requests": found})

    def _described(self, pending: _Pending, now: int) -> dict[str, Any]:
        asked = pending.asked
        return {
            "request": asked.id,
            "community": self._view.directory.community_id(pending.number),
            "kind": pending.kind,
            "author": asked.first,
            "payloads": asked.payloads,
            "global_time": asked.global_time,
            "sequence": asked.sequence,
            "remaining_s": pending.expires_at - now,
        }


def _answers_for(decider: _Decider, pending: _Pending) -> bool:
    if decider.communities is not None and pending.number not in decider.communities:
        return False
    return not decider.kinds or pending.kind in decider.kinds
