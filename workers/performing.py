"""What the gateway may order of the writer, and what the ledger does about it; no sockets here."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import msgspec

from dispersy.errors import StorageError, UsageError
from dispersy.protocol.wire.frames import RequestMissing
from dispersy.storage.store import BlockedRecord, StoreWriter
from dispersy.workers.authoring.orders import ControlOrder
from dispersy.workers.keeping.finding import find_ids, find_missing, find_newest, find_slot
from dispersy.workers.keeping.passing import Destination
from dispersy.workers.ledger import Ledger


class Order(msgspec.Struct, frozen=True):
    """What the gateway asks for; the fields that an op does not need stay empty."""

    op: str
    id: int
    community: int = 0
    kind: int = 0
    groups: list[list[bytes]] = []
    request_id: bytes = b""
    name: str = ""
    definition: bytes = b""
    community_id: bytes = b""
    peers: list[str] = []
    ids: list[bytes] = []
    author: bytes = b""
    sequence: int = 0
    as_key: str = ""
    purge: bool = False
    autoload: str = ""
    member: bytes = b""
    address: str = ""
    to_members: list[bytes] = []
    to_addresses: list[bytes] = []
    second: bytes = b""
    accept: bool = False
    payloads: list[bytes] = []
    stripped: list[bytes] = []
    asked: bytes = b""
    control: ControlOrder = ControlOrder("")
    at: int | None = None
    limit: int = 1_000
    next: bytes = b""


def perform(
    ledger: Ledger, store: StoreWriter, ticket: object, order: Order, *, now_ms: int
) -> dict[str, Any] | None:
    """Do what is ordered: the reply, or None when it comes with the commit, under the ticket.

    raises  UsageError, StorageError, or WireError for a definition
    """
    match order.op:
        case "publish":
            ledger.publish(
                ticket,
                number=order.community,
                kind=order.kind,
                groups=order.groups,
                request_id=order.request_id,
                as_key=order.as_key,
                destination=Destination(tuple(order.to_members), tuple(order.to_addresses), order.second),
                now_ms=now_ms,
            )
        case "govern":
            ledger.govern(
                ticket,
                number=order.community,
                control=order.control,
                request_id=order.request_id,
                as_key=order.as_key,
                now_ms=now_ms,
            )
        case "create":
            ledger.create(
                ticket,
                name=order.name,
                definition=order.definition,
                as_key=order.as_key,
                request_id=order.request_id,
            )
        case "join":
            ledger.join(
                ticket,
                community_id=order.community_id,
                name=order.name,
                peers=order.peers,
                as_key=order.as_key,
            )
        case "sign":
            (asked_id,) = order.ids
            return ledger.signatures.decide(ticket, asked_id, accept=order.accept, payloads=order.payloads)
        case "find":
            return {"cursors": _find(store, order)}
        case "fetch":
            return ledger.fetching.begin(ticket, order.community, order.asked, limit_s=order.limit)
        case "missing":
            return {"cursors": _find_missing(ledger, store, order)}
        case "explain":
            return ledger.explain(order.community, order.ids[0])
        case "members":
            return ledger.members(order.community, limit=order.limit, after=order.next)
        case "permissions":
            return ledger.permissions(
                order.community,
                member=order.name,
                kind=order.kind,
                at=order.at,
                limit=order.limit,
                after=order.next,
            )
        case _:
            ledger.answer(ticket, _change(ledger, order))
    return None


def _change(ledger: Ledger, order: Order) -> dict[str, Any]:
    """Orders about what this node takes part in, serves and listens to."""
    match order.op:
        case "leave":
            return ledger.membership.leave(order.community, purge=order.purge)
        case "load" | "unload":
            return ledger.membership.load(order.community, loaded=order.op == "load")
        case "autoload":
            return ledger.membership.set_autoload(order.community, order.autoload)
        case "block":
            return ledger.blocking.block(BlockedRecord(order.community, order.member, order.address))
        case "unblock":
            return ledger.blocking.unblock(BlockedRecord(order.community, order.member, order.address))
        case _:
            raise UsageError(f"the writer does not know the order '{order.op}'", code="op-unknown")


def reply_of(order_id: int, outcome: dict[str, Any] | StorageError | UsageError) -> dict[str, Any]:
    """What the gateway is told."""
    if isinstance(outcome, dict):
        return {"id": order_id, "ok": True, **outcome}
    code, hint = (outcome.code, outcome.hint) if isinstance(outcome, UsageError) else ("storage", "")
    return {"id": order_id, "ok": False, "code": code, "message": str(outcome), "hint": hint}


def _find(store: StoreWriter, order: Order) -> Sequence[int | None]:
    """By ids, by slot, or the newest of an author: what is committed, as every reader can see it."""
    if not order.author:
        return find_ids(store, order.community, order.ids, inactive=True)
    if order.sequence:
        return find_slot(store, order.community, order.author, order.kind, order.sequence)
    return find_newest(store, order.community, order.author)


def _find_missing(ledger: Ledger, store: StoreWriter, order: Order) -> list[int]:
    """What a neighbour asks for by name."""
    request = RequestMissing.decode(order.asked)
    return find_missing(store, order.community, request, proof=partial(ledger.proof, order.community))
