"""Publishing: a request becomes signed messages of the batch being gathered, and is answered once they are
durable."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from dispersy.bus.frames import Pushed
from dispersy.errors import UsageError
from dispersy.ext.wire import split_payloads
from dispersy.protocol.definitions.kind import Kind
from dispersy.protocol.identifiers import CommunityId
from dispersy.protocol.wire.message import create_many
from dispersy.protocol.wire.records import MESSAGE
from dispersy.storage.keyring import Key, Keyring
from dispersy.storage.store import Batch, EntryType, MessageBlock, RequestRecord, StoreWriter
from dispersy.workers.authoring.drafting import Drafted, Drafting
from dispersy.workers.authoring.orders import Outcome, Ticket
from dispersy.workers.authoring.requests import Requests
from dispersy.workers.keeping.communities import Communities, Community
from dispersy.workers.keeping.following import clock_after_own
from dispersy.workers.keeping.passing import NOWHERE, Destination, Passing
from dispersy.workers.membership.naming import chosen_key

PUBLISH_MESSAGES_MAX = 1_000
PUSHED_PER_REQUEST_MAX = 64
"""Stored messages of one request that are pushed; synchronisation brings the others, and better."""
SENT_KEPT = 10_000
"""Requests whose messages are not stored of which it is known that they were done."""
PAYLOAD_COUNT_INDEX = 7
ID_INDEX = 11
"""Of these fields in an unpacked message_record."""


@dataclass(slots=True)
class _Request:
    """A publish request whose messages are in the batch being gathered."""

    ids: list[bytes]
    refused: Callable[[], UsageError]
    tickets: list[Ticket] = field(default_factory=list)
    is_stored: bool = True


class Publishing:
    """The publish requests of the batch being gathered, and those that were answered before."""

    def __init__(
        self, store: StoreWriter, keyring: Keyring, communities: Communities, passing: Passing
    ) -> None:
        self._store = store
        self._keyring = keyring
        self._communities = communities
        self._passing = passing
        self.drafting = Drafting(store, communities, counters=passing.counters, finish=self._take_signed)
        self._sent: dict[bytes, dict[str, Any]] = {}
        self.read_store()

    def read_store(self) -> None:
        """Forget the batch; what was answered before is in the store."""
        self._requests = Requests(self._store.requests())
        self._publishing: dict[bytes, _Request] = {}

    def clear_batch(self) -> None:
        """Its messages are durable, its requests remembered."""
        self._publishing.clear()

    def tickets(self) -> list[Ticket]:
        """Of all requests in the batch."""
        return [ticket for request in self._publishing.values() for ticket in request.tickets]

    def ids(self) -> set[bytes]:
        """Of all messages in the batch that were published here."""
        return {message_id for request in self._publishing.values() for message_id in request.ids}

    def publish(
        self,
        ticket: Ticket,
        *,
        number: int,
        kind: int,
        groups: Sequence[Sequence[bytes]],
        request_id: bytes,
        as_key: str,
        destination: Destination = NOWHERE,
        now_ms: int,
    ) -> Outcome | None:
        """Give global times and sequences, sign, and put into the batch: one message a group of payloads.

        as_key       the key that signs, as chosen_key() takes it; empty: our own in this community
        destination  whom it is sent to at once, besides what its kind says, and who signs it, too
        returns      the outcome of a request that was answered before
        raises  UsageError: unknown community, a request id that is none, too old or too new, a message too
                long
        """
        is_begun, outcome = self.begun(ticket, request_id, now_ms=now_ms)
        if is_begun:
            return outcome
        community = self._communities.serving(number)
        if not 1 <= len(groups) <= PUBLISH_MESSAGES_MAX or not all(groups):
            raise UsageError(
                f"a request publishes 1 to {PUBLISH_MESSAGES_MAX} messages with payloads", code="count"
            )
        # All of a request or nothing: a message refused later would leave the others of it published.
        refusal = community.intake.refusal(kind, groups)
        if refusal is not None:
            raise _refused(refusal)
        key = self._key(community, as_key)
        rules = community.intake.definitions.kind(kind)
        assert rules is not None  # Or it would have been refused above.
        _check_second(rules, destination, groups, key)
        if destination.second:
            _require_permission(community, key, kind, community.clock + 1, now_ms, destination.second)
            self.drafting.begin(ticket, community, rules, key, destination.second, groups[0], request_id)
        elif community.intake.definitions.is_stored(kind):
            messages = self._sign(community, key, kind, groups)
            self.take(ticket, request_id, community, messages, refused=_slot_taken)
            self._push(number, rules, messages, destination)
        else:
            # It is sent under a time and a sequence that nothing held has; so no cut can have named it.
            _require_permission(community, key, kind, community.clock + 1, now_ms)
            ids = self._passing.send(community, rules, groups, destination, secret=key.secret, now_ms=now_ms)
            self._publishing[request_id] = _Request(ids, _slot_taken, [ticket], is_stored=False)
            self._communities.touched.add(number)
        return None

    def _key(self, community: Community, as_key: str) -> Key:
        if as_key:
            return chosen_key(self._keyring, as_key)
        return self._keyring.by_public(community.record.member_id)

    def _push(self, number: int, rules: Kind, messages: Sequence[bytes], destination: Destination) -> None:
        """Send stored messages at once to whom their kind or their author wants them sent."""
        fan_out = rules.destination.number("fan_out")
        if fan_out or destination.members or destination.addresses:
            for message in messages[:PUSHED_PER_REQUEST_MAX]:
                pushed = Pushed(message, fan_out, [*destination.members], [*destination.addresses])
                self._passing.push(number, pushed)

    def _take_signed(self, drafted: Drafted, message: bytes) -> None:
        """Put a message that both authors have signed into the batch: whoever waits for it hears with it."""
        community = self._communities.joined(drafted.community_number)
        first, *others = drafted.tickets
        self.take(first, drafted.request_id, community, [message], refused=_slot_taken)
        self._publishing[drafted.request_id].tickets += others
        # Its second author shall not have to ask for what it has signed.
        destination = Destination(members=(drafted.second,))
        self._push(drafted.community_number, drafted.kind, [message], destination)

    def _sign(
        self, community: Community, key: Key, kind: int, groups: Sequence[Sequence[bytes]]
    ) -> list[bytes]:
        """Messages of a stored kind."""
        # A node on a restored home may have written more than its clock tells.
        head = self._store.heads.get(community.record.number, key.public, kind) or (0, 0, False)
        first_global_time = max(community.clock, head[1]) + 1
        for index in range(len(groups)):
            _require_permission(community, key, kind, first_global_time + index, head[0] + 1 + index)
        messages = create_many(
            CommunityId(community.record.community_id),
            key.secret,
            kind=kind,
            first_global_time=first_global_time,
            first_sequence=head[0] + 1,
            payload_groups=groups,
        )
        last = first_global_time + len(messages) - 1
        community.clock = clock_after_own(self._store, community, kind, last)
        return messages

    def begun(self, ticket: Ticket, request_id: bytes, *, now_ms: int) -> tuple[bool, Outcome | None]:
        """Whether this request was made before, and then its outcome, unless that comes with the batch.

        raises  UsageError for a request id that is none, too old or too new
        """
        pending = self._publishing.get(request_id)
        if pending is not None:
            pending.tickets.append(ticket)
            return True, None
        if self.drafting.find(request_id, ticket):
            return True, None
        if request_id in self._sent:
            return True, (ticket, {**self._sent[request_id], "repeated": True})
        known = self._requests.find(request_id, now_ms=now_ms)
        if known is None:
            return False, None
        return True, (ticket, self._answer(known, repeated=True))

    def take(
        self,
        ticket: Ticket,
        request_id: bytes,
        community: Community,
        messages: Sequence[bytes],
        *,
        refused: Callable[[], UsageError],
    ) -> None:
        """Put messages that we have signed into the batch; refused: what to tell if none is taken."""
        records = self._communities.receive_own(community, messages)
        ids = [fields[ID_INDEX] for fields in MESSAGE.iter_unpack(records)]
        self._publishing[request_id] = _Request(ids, refused, [ticket])

    def place(self, batch: Batch, outcomes: list[Outcome]) -> dict[bytes, list[Ticket]]:
        """Find the cursors that the requests of this batch will get; request id -> tickets."""
        answered: dict[bytes, list[Ticket]] = {}
        if not self._publishing:
            return answered
        cursors = cursors_of(batch.blocks, self._store.last_cursor() + 1)
        for request_id, request in self._publishing.items():
            if not request.is_stored:
                continue
            stored = [message_id for message_id in request.ids if message_id in cursors]
            if stored:
                # Fewer than were asked for only where somebody else signs with our key, and took a slot in
                # this very batch; the answer names those that are there.
                batch.requests.append(RequestRecord(request_id, cursors[stored[0]], len(stored)))
                answered[request_id] = request.tickets
            else:
                outcomes += [(ticket, request.refused()) for ticket in request.tickets]
        return answered

    def committed(self, batch: Batch, answered: dict[bytes, list[Ticket]]) -> Iterable[Outcome]:
        """Remember the requests of a batch that is durable; the outcomes of those who wait for them."""
        for request_id, sent in self._publishing.items():
            if not sent.is_stored:
                answer = self._answer_sent(request_id, sent)
                yield from ((ticket, answer) for ticket in sent.tickets)
        for request in batch.requests:
            self._requests.add(request)
            for ticket in answered[request.request_id]:
                yield ticket, self._answer(request, repeated=False)

    def _answer_sent(self, request_id: bytes, request: _Request) -> dict[str, Any]:
        """The answer to a request whose messages are in no log: it is remembered until the writer ends."""
        if len(self._sent) >= SENT_KEPT:
            del self._sent[next(iter(self._sent))]
        answer = {"first_cursor": 0, "last_cursor": 0, "ids": request.ids, "repeated": False}
        self._sent[request_id] = answer
        return answer

    def _answer(self, request: RequestRecord, *, repeated: bool) -> dict[str, Any] | UsageError:
        entries = self._store.log(request.first_cursor, request.message_count)
        if any(entry.type != EntryType.MESSAGE for entry in entries):
            return UsageError(
                "what this request published was removed: it was old, or left with its community",
                code="removed",
                hint="publish it under a new id if it shall be there again",
            )
        return {
            "first_cursor": request.first_cursor,
            "last_cursor": entries[-1].cursor + len(split_payloads(entries[-1].message)) - 1,
            "ids": [entry.message_id for entry in entries],
            "repeated": repeated,
        }


def _slot_taken() -> UsageError:
    return _refused("slot taken")


def _check_second(rules: Kind, destination: Destination, groups: Sequence[object], key: Key) -> None:
    """UsageError unless a second author is named exactly where the kind wants one."""
    is_double = rules.authentication.name == "double-member"
    if is_double and not destination.second:
        raise UsageError(
            f"a message of kind '{rules.name}' is signed by two members: the second was not named",
            code="second-missing",
            hint="name a neighbour, by its key or address; `dispersy peers` lists them",
        )
    if destination.second and not is_double:
        raise UsageError(
            f"a message of kind '{rules.name}' is signed by its author alone",
            code="second-refused",
            hint="leave the second author out, or publish a kind with authentication double-member",
        )
    if is_double and len(groups) > 1:
        raise UsageError("messages of two authors are published one by one", code="count")
    if destination.second == key.public:
        raise UsageError(
            "the key that signs was named as the second author, too",
            code="to-self",
            hint="name another member",
        )


def _require_permission(
    community: Community, key: Key, kind: int, global_time: int, sequence: int, second: bytes = b""
) -> None:
    """UsageError where a message that the key, and perhaps a second, would sign is not permitted."""
    authors = (key.public, second) if second else (key.public,)
    reason = community.intake.permission(authors, kind, global_time, sequence)
    if reason:
        raise _not_permitted(reason, community, key.name, kind)


def _not_permitted(reason: str, community: Community, key_name: str, kind: int) -> UsageError:
    name = community.record.name
    row = community.intake.definitions.kind(kind)
    kind_name = row.name if row else str(kind)
    if reason == "frozen":
        return UsageError(
            f"{name} takes no new messages of kind {kind_name}: its definition freezes it",
            code="not-permitted",
            hint="publish another kind (community show), or ask the founder to define it anew",
        )
    return UsageError(
        f"the key {key_name} is not permitted to publish {kind_name} in {name}",
        code="not-permitted",
        hint=f"ask somebody who may authorize it: dispersy permissions {name} --kind {kind_name}",
    )


def cursors_of(blocks: Iterable[MessageBlock], first: int) -> dict[bytes, int]:
    """Message id -> the cursor that a commit will give it. first: of the next entry of the log."""
    cursors: dict[bytes, int] = {}
    for block in blocks:
        for fields in MESSAGE.iter_unpack(block.records):
            cursors[fields[ID_INDEX]] = first
            first += fields[PAYLOAD_COUNT_INDEX]
    return cursors


def _refused(reason: str) -> UsageError:
    return UsageError(
        f"the community's rules refuse a message of this request: {reason}",
        code="refused",
        hint="check the payloads against the definition of their kind (community show)",
    )
