"""What the control socket offers, without the socket: requests in, replies and streams out.

One request is one frame, a MessagePack map (requests.py, docs/interface.md); whatever comes that is none is
answered with an error, never with an exception. A client is a name. Nothing that a client does makes anybody
wait: an event that cannot be sent now stays in its follow, within its credit; a reply that cannot be sent is
dropped. The operations are methods of the groups: Reading, Writing, Communities, Follows.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from time import monotonic
from typing import Any

import msgspec

from dispersy.bus.frames import AskedSignature, CommitNote, HeardMessage
from dispersy.bus.settings import RoleSettings
from dispersy.errors import UsageError
from dispersy.service.interface import requests
from dispersy.service.interface.holders import Holder, each_for_itself
from dispersy.service.interface.node_state import NodeState
from dispersy.service.interface.orders import Orders
from dispersy.service.interface.replies import ClientSend, Replies
from dispersy.service.interface.view import View
from dispersy.service.operations.blocking import Blocking
from dispersy.service.operations.carrying import Carrying
from dispersy.service.operations.communities import Communities
from dispersy.service.operations.follows import Follows
from dispersy.service.operations.governing import Governing
from dispersy.service.operations.membership import Membership
from dispersy.service.operations.overview import Overview
from dispersy.service.operations.permissions import Permissions
from dispersy.service.operations.reading import Reading
from dispersy.service.operations.signatures import Signatures
from dispersy.service.operations.status import Reports
from dispersy.service.operations.writing import Writing
from dispersy.storage.store import StoreReader

_LENGTH_WRONG = "Expected `array` of length"
"""How msgspec begins what it says of a list that is too short or too long; a test would see it change."""

Operation = Callable[[bytes, Any], dict[str, Any] | None]
"""Takes the client and its request; the reply, or None when it comes later, or not at all."""


_TWO_FRAMES = UsageError(
    "a request is one frame",
    code="malformed",
    hint="send the map alone from a DEALER socket (REQ puts an empty frame before it)",
)


class Control:
    """One a node. Whoever drives it refreshes it before it receives, and pumps it at the end of every turn.

    send     takes a client's name and a frame for it; False: not now, or the client is gone
    order    takes a frame for the writer; False: not now
    holder   what a client's limits are counted for
    now      the clock by which the node's network role reports
    """

    def __init__(
        self,
        settings: RoleSettings,
        *,
        send: ClientSend,
        order: Callable[[bytes], bool],
        holder: Holder = each_for_itself,
        now: Callable[[], float] = monotonic,
    ) -> None:
        self.counters: Counter[str] = Counter()
        self.view = View()
        self.reports = Reports()
        self._replies = Replies(send, self.counters)
        self.orders = Orders(self._replies, order, holder)
        self._follows = Follows(self.view, send, holder)
        self._pump_due = False
        self._signatures = signatures = Signatures(self.view, self.orders, self._replies)
        self._overview = overview = Overview(settings, self.reports, self.view.directory, now)
        reading = Reading(self.view, self.orders, overview)
        writing = Writing(self.view, self.orders, self.reports)
        communities = Communities(self.view, self.orders, overview)
        membership = Membership(self.view, self.orders)
        blocking = Blocking(self.view, self.orders)
        carrying = Carrying(self.view, self.orders)
        governing = Governing(self.view, self.orders, overview)
        permissions = Permissions(self.view, self.orders)
        self._operations: dict[type, Operation] = {
            requests.Authorize: governing.authorize,
            requests.Autoload: membership.autoload,
            requests.Block: blocking.change,
            requests.Blocked: blocking.blocked,
            requests.Cancel: self._follows.cancel,
            requests.Communities: communities.all,
            requests.Count: reading.count,
            requests.Create: communities.create,
            requests.CreditGrant: self._follows.grant,
            requests.Define: governing.define,
            requests.Destroy: governing.destroy,
            requests.Explain: reading.explain,
            requests.Export: carrying.export,
            requests.Follow: self._follows.begin,
            requests.Get: reading.get,
            requests.Import: carrying.take,
            requests.Join: communities.join,
            requests.Last: reading.last,
            requests.ListMessages: reading.page,
            requests.Leave: membership.leave,
            requests.Load: membership.load,
            requests.MemberList: permissions.members,
            requests.Peers: reading.peers,
            requests.Permissions: permissions.all,
            requests.Policy: governing.policy,
            requests.Publish: writing.publish,
            requests.PublishMany: writing.publish,
            requests.Revoke: governing.revoke,
            requests.Sign: signatures.sign,
            requests.SignatureRequests: signatures.poll,
            requests.Status: reading.status,
            requests.Unblock: blocking.change,
            requests.Undo: governing.undo,
            requests.Unload: membership.load,
        }

    def attach(self, reader: StoreReader) -> None:
        """The store is there; close() closes the reader."""
        self.view.attach(reader)

    def close(self) -> None:
        self.view.close()

    def refresh(self) -> None:
        """See what has been committed; once a turn."""
        self.view.refresh()

    def receive_request(self, client: bytes, frame: bytes) -> None:
        """Answer, now or when the writer has; a follow's events come with pump()."""
        self._pump_due = True
        try:
            request = requests.decode(frame)
        except (msgspec.MsgspecError, RecursionError, ValueError) as error:
            header = requests.decode_header(frame)
            self._replies.fail(client, header.request_id(), _refusal(header, str(error)))
            return
        try:
            reply = self._operations[type(request)](client, request)
        except UsageError as error:
            self._replies.fail(client, request.id, error)
            return
        if reply is not None:
            self._replies.answer(client, request.id, reply)

    def refuse(self, client: bytes) -> None:
        """Answer what is not even one frame."""
        self._replies.fail(client, None, _TWO_FRAMES)

    def receive_answer(self, frame: bytes) -> None:
        """What the writer says to an order."""
        if self.orders.receive_answer(frame):
            # Its client may name the community before the note of the commit is here.
            self.view.expire()

    def receive_note(self, note: CommitNote) -> None:
        """The writer has committed something."""
        self.view.note_version(note.communities_version)
        self._pump_due = True

    def receive_heard(self, number: int, heard: Sequence[HeardMessage]) -> None:
        """The writer has accepted messages that it does not store."""
        self.counters["events-missed"] += self._follows.hear(number, heard)
        self._pump_due = True

    def receive_asked(self, number: int, asked: Sequence[AskedSignature]) -> None:
        """The writer was asked to sign what other members have drafted."""
        self._signatures.receive_asked(number, asked)

    def receive_report(self, frame: bytes) -> None:
        """What a role tells of itself each second."""
        report = self.reports.receive(frame)
        if report is None:
            self.counters["report-malformed"] += 1
        elif report["role"] == "writer":
            self.orders.note_writer(report.get("pid"))

    def brief_status(self) -> dict[str, Any]:
        """What `status` answers without the processes, for other roles of this process."""
        self.view.refresh()
        status = self._overview.status(self.view.reader, brief=True)
        self.view.release()
        return status

    def node_state(self) -> NodeState:
        """How the node is as a whole."""
        return self._overview.node_state(self.view.reader)

    def handle_second(self) -> None:
        """A note may be lost, a client gone, a writer silent."""
        self.view.refresh()
        self.orders.expire(monotonic())
        self._follows.heartbeat()
        self._signatures.handle_second()
        self._pump_due = True

    def forget(self, client: bytes) -> None:
        """The client is gone: what it had asked for ends here."""
        self._follows.forget(client)
        self._signatures.forget(client)
        self.counters["client-gone"] += 1

    def pump(self) -> bool:
        """Let the follows send what is due, then let the snapshot go; True: call again soon."""
        if self.view.reader is None or not self._pump_due:
            return False
        self._pump_due = self._follows.pump()
        self.view.release()
        return self._pump_due


def _refusal(header: requests.Header, why: str) -> UsageError:
    """What to tell about a request that did not decode."""
    op, known = header.op, ", ".join(sorted(requests.OPS))
    if header.v not in (None, requests.INTERFACE_VERSION):
        # Before anything else: what another version asks for may well be wrong in this one.
        return UsageError(
            f"this node speaks version {requests.INTERFACE_VERSION} of the interface, not {header.v!r}"[:200],
            code="malformed",
            hint=f"send v: {requests.INTERFACE_VERSION}, or take a client that does",
        )
    if isinstance(op, str) and op not in requests.OPS:
        return UsageError(f"no operation is called {op[:64]!r}", code="op-unknown", hint=f"there are {known}")
    what = f"{op}: {why}" if isinstance(op, str) else why
    if why.startswith(_LENGTH_WRONG):
        return UsageError(what, code="count")
    return UsageError(what, code="malformed", hint="docs/interface.md lists the fields of every operation")
