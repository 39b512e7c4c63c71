"""The gateway: applications' requests in, the writer's answers and ordered streams of messages out.

One request is one frame, a MessagePack map (requests.py, docs/interface.md); whatever comes that is none is
answered with an error, never with an exception. Nothing that a client does makes this role wait: an event
that cannot be sent now stays in its follow, within its credit; a reply that cannot be sent is dropped.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from functools import partial
from time import monotonic
from typing import Any

import msgspec
import zmq

from dispersy.bus.frames import COMMIT, commit_decoder
from dispersy.bus.settings import RoleSettings
from dispersy.bus.sockets import bound, connected, receive_all, send_or_drop
from dispersy.errors import StorageError, UsageError
from dispersy.protocol.address import format_address, parse_address
from dispersy.service import requests
from dispersy.service.directory import Directory
from dispersy.service.follow import Follow
from dispersy.service.invite import is_own
from dispersy.service.overview import Overview
from dispersy.service.publication import check_name, check_publication, new_definition
from dispersy.service.requests import INTERFACE_VERSION, AnyRequest, RequestId
from dispersy.service.status import Reports
from dispersy.storage.lmdb_reader import LmdbReader
from dispersy.storage.store import StoreReader
from dispersy.workers.loop import Loop

REQUESTS_PER_TURN_MAX = 64
REQUEST_SIZE_MAX = 4 << 20
REPLIES_QUEUED_MAX = 2 * requests.CREDIT_MAX
FOLLOWS_MAX = 256
FOLLOWS_PER_CLIENT_MAX = 16
ORDERS_MAX = 1_024
ORDERS_PER_CLIENT_MAX = 64
PUMP_SLICE_S = 0.02
"""All follows together hold a turn no longer than this, and one portion: requests are waiting, too."""
ORDER_LIMIT_S = 30.0
"""After this the client is told that no answer came: the writer may be waiting for a disk."""


@dataclass(slots=True)
class Order:
    """A request that the writer has to answer.

    repeatable    whether asking the writer again gives the first answer (publish and join, not create)
    """

    client: bytes
    id: RequestId
    frame: bytes
    limit: float
    repeatable: bool


class GatewayRole:
    """Binds `control` and `reports`, orders from the writer, reads the store."""

    name = "gateway"

    def __init__(self, settings: RoleSettings) -> None:
        self._settings = settings
        self.reports = Reports()
        self.directory = Directory()
        self._overview = Overview(settings, self.reports, self.directory)
        self._follows: dict[tuple[bytes, RequestId], Follow] = {}
        self._orders: dict[int, Order] = {}
        self._order_number = 0
        self._communities_version = -1
        self._stale = True
        self._pump_due = False
        self._writer_pid: object = None
        self._reader: StoreReader | None = None
        self.counters: Counter[str] = Counter()

    def open(self, loop: Loop) -> None:
        """Bind and connect; the store is opened when the writer has made it."""
        endpoint = self._settings.socket
        self._loop = loop
        self._control = bound(
            loop.context,
            zmq.ROUTER,
            endpoint("control"),
            queued_max=REPLIES_QUEUED_MAX,
            size_max=REQUEST_SIZE_MAX,
        )
        self._report_socket = bound(loop.context, zmq.PULL, endpoint("reports"), queued_max=100)
        self._order_socket = connected(loop.context, zmq.DEALER, endpoint("orders"), queued_max=ORDERS_MAX)
        self._notes = connected(loop.context, zmq.SUB, endpoint("notes"), queued_max=1_000)
        loop.watch(self._control, self._on_control)
        loop.watch(self._report_socket, self._on_reports)
        loop.watch(self._order_socket, self._on_answers)
        loop.watch(self._notes, self._on_notes)
        loop.every(1.0, self._on_second)
        loop.flush(self._pump)
        self._on_second()

    def close(self) -> None:
        if self._reader is not None:
            self._reader.close()

    def _on_control(self) -> None:
        self._refresh()
        for parts in receive_all(self._control, count_max=REQUESTS_PER_TURN_MAX):
            client, frame = parts[0], parts[-1]
            if len(parts) != 2:
                self._fail(client, None, UsageError("a request is one frame", code="malformed"))
                continue
            self._request(client, frame)
        self._pump_due = True

    def _request(self, client: bytes, frame: bytes) -> None:
        try:
            request = requests.decoder.decode(frame)
        except (msgspec.MsgspecError, RecursionError, ValueError) as error:
            request_id, op = requests.decode_header(frame)
            self._fail(client, request_id, _refusal(op, str(error)))
            return
        try:
            self._perform(client, request)
        except UsageError as error:
            self._fail(client, request.id, error)

    def _perform(self, client: bytes, request: AnyRequest) -> None:
        match request:
            case requests.CreditGrant():
                follow = self._follows.get((client, request.id))
                if follow is not None:
                    follow.grant(request.count)
            case requests.Cancel():
                self._follows.pop((client, request.id), None)
                self._answer(client, request.id, {})
            case requests.Status():
                self._answer(client, request.id, self._overview.status(self._reader, brief=request.brief))
            case requests.Follow():
                self._follow(client, request)
            case requests.Publish() | requests.PublishMany():
                self._publish(client, request)
            case requests.Create():
                definition = new_definition(request.name, request.definition)
                order = {"op": "create", "name": request.name, "definition": definition}
                self._order(client, request.id, order, repeatable=False)
            case requests.Join():
                if request.name:
                    check_name(request.name)
                order = {
                    "op": "join",
                    "community_id": request.community,
                    "name": request.name,
                    "peers": self._foreign(request.peers),
                }
                self._order(client, request.id, order, repeatable=True)
            case requests.Count():
                record = self.directory.resolve(request.community)
                self._answer(client, request.id, self._overview.count(self._store(), record))
            case requests.Communities():
                self._answer(client, request.id, {"communities": self._overview.communities(self._store())})
            case requests.Peers():
                of = self.directory.resolve(request.community) if request.community else None
                self._answer(client, request.id, {"peers": self._overview.peers(of)})

    def _foreign(self, peers: list[str]) -> list[str]:
        """Peers as the network role reads them, which will find them in the store at every start."""
        addresses = [format_address(parse_address(peer)) for peer in peers]
        told = self._overview.status(None, brief=True)
        # One's own invite names oneself: walking there is a waste at every start.
        return [address for address in addresses if not is_own(address, told["listen"], told["addresses"])]

    def _publish(self, client: bytes, request: requests.Publish | requests.PublishMany) -> None:
        self._store()
        record = self.directory.resolve(request.community)
        name = self.directory.name(record)
        definition = self.directory.definition(record)
        together = isinstance(request, requests.Publish)
        refusal = self.directory.refusal(record)
        kind = check_publication(
            name, definition, request.kind, request.payloads, together=together, refusal=refusal
        )
        order = {
            "op": "publish",
            "community": record.number,
            "kind": kind,
            "groups": [request.payloads] if together else [[payload] for payload in request.payloads],
            "request_id": request.request_id,
        }
        self._order(client, request.id, order, repeatable=True)

    def _follow(self, client: bytes, request: requests.Follow) -> None:
        reader = self._store()
        own = sum(1 for holder, _ in self._follows if holder == client)
        if (client, request.id) in self._follows:
            raise UsageError(
                f"a follow with id {request.id!r} is running", code="follow-exists", hint="cancel it first"
            )
        if own >= FOLLOWS_PER_CLIENT_MAX or len(self._follows) >= FOLLOWS_MAX:
            raise UsageError(
                f"at most {FOLLOWS_PER_CLIENT_MAX} follows a client and {FOLLOWS_MAX} in all",
                code="too-many",
                hint="one follow may name many communities",
            )
        numbers = frozenset(self.directory.resolve(text).number for text in request.communities)
        last = reader.last_cursor()
        if isinstance(request.since, int):
            position = request.since
        else:
            position = 0 if request.since == "begin" else last
        self._follows[client, request.id] = Follow(
            id=request.id,
            communities=numbers if request.communities else None,
            kinds=frozenset(request.kinds),
            position=position,
            credit=request.credit,
            aligned=isinstance(request.since, str),
        )
        self._answer(client, request.id, {"since": position, "last_cursor": last})

    def _order(
        self, client: bytes, request_id: RequestId, order: dict[str, Any], *, repeatable: bool
    ) -> None:
        own = sum(1 for waiting in self._orders.values() if waiting.client == client)
        if own >= ORDERS_PER_CLIENT_MAX or len(self._orders) >= ORDERS_MAX:
            raise UsageError(
                f"at most {ORDERS_PER_CLIENT_MAX} writing requests of a client may wait, {ORDERS_MAX} in all",
                code="busy",
                hint="wait for an answer, then send this again",
            )
        self._order_number += 1
        frame = msgspec.msgpack.encode({**order, "id": self._order_number})
        if not send_or_drop(self._order_socket, [frame]):
            raise UsageError(
                "the writer takes nothing just now", code="busy", hint="send this again in a moment"
            )
        limit = monotonic() + ORDER_LIMIT_S
        self._orders[self._order_number] = Order(client, request_id, frame, limit, repeatable)

    def _on_answers(self) -> None:
        for parts in receive_all(self._order_socket, count_max=REQUESTS_PER_TURN_MAX):
            answer = msgspec.msgpack.decode(parts[-1])
            order = self._orders.pop(answer.pop("id"), None)
            if order is None:
                continue
            if answer.pop("ok"):
                answer.pop("op", None)
                # Its client may name the community before the note of the commit is here.
                self._stale = True
                self._answer(order.client, order.id, answer)
            else:
                error = UsageError(answer["message"], code=answer["code"], hint=answer.get("hint", ""))
                self._fail(order.client, order.id, error)

    def _on_reports(self) -> None:
        for parts in receive_all(self._report_socket, count_max=REQUESTS_PER_TURN_MAX):
            report = self.reports.receive(parts[-1])
            if report is None:
                self.counters["report-malformed"] += 1
            elif report["role"] == "writer" and report.get("pid") != self._writer_pid:
                if self._writer_pid is not None:
                    self._ask_again()
                self._writer_pid = report.get("pid")

    def _ask_again(self) -> None:
        """What a dead writer was asked is gone with it: its successor is asked, where that is safe."""
        for number, order in list(self._orders.items()):
            if order.repeatable:
                send_or_drop(self._order_socket, [order.frame])
                continue
            del self._orders[number]
            error = UsageError(
                "the writer was restarted before it answered",
                code="no-answer",
                hint="look whether it was done (`dispersy community list`) before you repeat it",
            )
            self._fail(order.client, order.id, error)

    def _on_notes(self) -> None:
        for parts in receive_all(self._notes, count_max=REQUESTS_PER_TURN_MAX):
            if parts[0] == COMMIT:
                version = commit_decoder.decode(parts[1]).communities_version
                if version != self._communities_version:
                    self._communities_version = version
                    self._stale = True
        self._refresh()
        self._pump_due = True

    def _on_second(self) -> None:
        """A note may be lost, a client gone, a writer silent."""
        now = monotonic()
        self._stale = True
        self._refresh()
        for number in [number for number, order in self._orders.items() if order.limit < now]:
            order = self._orders.pop(number)
            error = UsageError(
                f"the writer did not answer within {ORDER_LIMIT_S:.0f} s",
                code="no-answer",
                hint="repeat it with the same request id: it will not be done twice",
            )
            self._fail(order.client, order.id, error)
        for (client, _), follow in list(self._follows.items()):
            follow.heartbeat(partial(self._send, client))
        self._pump_due = True

    def _refresh(self) -> None:
        """See what has been committed; one snapshot a turn."""
        if self._reader is None:
            if not (self._settings.store_path / "data.mdb").exists():
                return
            try:
                self._reader = LmdbReader(self._settings.store_path)
            except StorageError:
                # The writer makes the file before it stamps it. If it cannot, its own error tells why.
                self.counters["store-not-ready"] += 1
                return
        self._reader.refresh()
        if self._stale:
            self.directory.update(self._reader)
            self._stale = False

    def _store(self) -> StoreReader:
        if self._reader is None:
            raise UsageError("the node is starting", code="starting", hint="send this again in a moment")
        return self._reader

    def _pump(self) -> None:
        """Let the follows send what is due, in turn, then let the snapshot go."""
        if self._reader is None or not self._pump_due:
            return
        self._pump_due = False
        until = monotonic() + PUMP_SLICE_S
        for key in list(self._follows):
            if monotonic() >= until:
                self._pump_due = True
                break
            # To the end of the line: those that this turn has no time for are the first of the next.
            follow = self._follows.pop(key, None)
            if follow is None:
                continue
            self._follows[key] = follow
            if follow.pump(self._reader, self.directory, partial(self._send, key[0])):
                self._pump_due = True
        self._reader.release()
        if self._pump_due:
            self._loop.again()

    def _answer(self, client: bytes, request_id: RequestId, values: dict[str, Any]) -> None:
        reply = {"v": INTERFACE_VERSION, "id": request_id, "ok": True, **values}
        if not self._send(client, msgspec.msgpack.encode(reply)):
            self.counters["reply-dropped"] += 1

    def _fail(self, client: bytes, request_id: RequestId, error: UsageError) -> None:
        described = {"code": error.code, "message": str(error), "hint": error.hint}
        reply = {"v": INTERFACE_VERSION, "id": request_id, "ok": False, "error": described}
        if not self._send(client, msgspec.msgpack.encode(reply)):
            self.counters["reply-dropped"] += 1

    def _send(self, client: bytes, frame: bytes) -> bool:
        """False: not now. What a client that is gone had asked for ends here."""
        try:
            self._control.send_multipart([client, frame], zmq.NOBLOCK)
        except zmq.Again:
            return False
        except zmq.ZMQError as error:
            if error.errno != zmq.EHOSTUNREACH:
                raise
            for key in [key for key in self._follows if key[0] == client]:
                del self._follows[key]
            self.counters["client-gone"] += 1
            return False
        return True


def _refusal(op: object, why: str) -> UsageError:
    """What to tell about a request that did not decode."""
    known = ", ".join(sorted(requests.OPS))
    if isinstance(op, str) and op not in requests.OPS:
        return UsageError(f"no operation is called {op[:64]!r}", code="op-unknown", hint=f"there are {known}")
    what = f"{op}: {why}" if isinstance(op, str) else why
    return UsageError(what, code="malformed", hint="docs/interface.md lists the fields of every operation")
