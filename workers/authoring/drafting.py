"""The first author's side of a double signature: drafts of ours wait for the second author's answer.

Nothing of a draft is stored: where the writer ends before the answer, whoever asked asks again. Of two
authors and a kind one draft is under way at a time, for the next has the sequence behind it. The request is
repeated until it is answered, as datagrams get lost; the answer to each is the same.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

from dispersy.bus.frames import SignatureFrame
from dispersy.errors import UsageError, WireError
from dispersy.ext.verify import sign_many, verify_many
from dispersy.protocol.definitions.kind import Kind
from dispersy.protocol.identifiers import CommunityId, MemberId, lane_name
from dispersy.protocol.wire.message import Draft, MessageView, draft_message
from dispersy.protocol.wire.numbers import SignatureOutcome
from dispersy.protocol.wire.signatures import (
    SignatureRequest,
    SignatureResponse,
    draft_of,
    read_draft,
    refusal_signed_bytes,
    request_signed_bytes,
)
from dispersy.storage.keyring import Key
from dispersy.storage.store import StoreWriter
from dispersy.workers.authoring.orders import Outcome, Ticket
from dispersy.workers.keeping.communities import Communities, Community

SIGNATURE_WAIT_S = 30.0
"""For the second author, and then again for our own application where payloads were appended. Shorter than
what the gateway waits for the writer, so that whoever asked hears what became of it."""
REPEAT_S = 2.0
DRAFTS_MAX = 256
"""Under way at once on one node."""
DRAFTS_PER_REQUEST_MAX = 4
"""Drafts of one request, each with the sequence after the one that the second author says is taken."""


@dataclass(slots=True)
class Drafted:
    """A message of ours that waits for its second author.

    number    of the request, repeated by its answer
    since     when it was first looked at by the clock since it was sent; None: not yet
    sent_at   the last time
    answered  the draft as the second author has signed it, with its signature, while our application decides
    """

    request_id: bytes
    tickets: list[Ticket]
    community_number: int
    community_id: CommunityId
    kind: Kind
    key: Key
    second: MemberId
    payloads: tuple[bytes, ...]
    draft: Draft
    view: MessageView
    attempts: int = 1
    since: float | None = None
    sent_at: float | None = None
    answered: tuple[Draft, MessageView, bytes] | None = None

    @property
    def number(self) -> int:
        # Another one for the same draft when it is asked for anew: a refusal may not stand for ever. And
        # nobody but the second author, who was told it, can say one that fits.
        return int.from_bytes(sha256(self.draft.id + self.request_id).digest()[:4], "big")

    @property
    def lane(self) -> tuple[int, bytes, int]:
        return self.community_number, lane_name(self.draft.unsigned), self.kind.number


class Drafting:
    """One a node, in the writer.

    finish    takes a message that both have signed into the batch, and answers its tickets with the commit
    counters  outcomes by name
    """

    def __init__(
        self,
        store: StoreWriter,
        communities: Communities,
        *,
        counters: Counter[str],
        finish: Callable[[Drafted, bytes], None],
    ) -> None:
        self._store = store
        self._communities = communities
        self._counters = counters
        self._finish = finish
        self._drafts: dict[bytes, Drafted] = {}
        self._frames: dict[int, list[SignatureFrame]] = {}
        self._outcomes: list[Outcome] = []

    def find(self, request_id: bytes, ticket: Ticket) -> bool:
        """Whether this request is under way; then its outcome is this ticket's, too."""
        drafted = self._drafts.get(request_id)
        if drafted is None:
            return False
        if drafted.answered is not None:
            self._outcomes.append((ticket, _appended(drafted)))
        else:
            drafted.tickets.append(ticket)
        return True

    def begin(
        self,
        ticket: Ticket,
        community: Community,
        kind: Kind,
        key: Key,
        second: bytes,
        payloads: Sequence[bytes],
        request_id: bytes,
    ) -> None:
        """Draft a message of two authors, and ask the second for its signature.

        raises  UsageError: signature-pending, busy, MessageTooLong; not-permitted is the caller's to see
        """
        if len(self._drafts) >= DRAFTS_MAX:
            raise UsageError(
                f"{DRAFTS_MAX} messages wait for their second authors",
                code="signature-pending",
                hint="publish it again when some of them are done",
            )
        draft, view = self._draft(community, kind, key, MemberId(second), payloads, sequence_min=1)
        drafted = Drafted(
            request_id,
            [ticket],
            community.record.number,
            CommunityId(community.record.community_id),
            kind,
            key,
            MemberId(second),
            tuple(payloads),
            draft,
            view,
        )
        if any(other.lane == drafted.lane for other in self._drafts.values()):
            raise UsageError(
                f"another message of kind '{kind.name}' waits for this member's signature",
                code="signature-pending",
                hint="wait for it: each has its place behind the one before",
            )
        self._drafts[request_id] = drafted
        self._ask(drafted)

    def _draft(
        self,
        community: Community,
        kind: Kind,
        key: Key,
        second: MemberId,
        payloads: Sequence[bytes],
        *,
        sequence_min: int,
    ) -> tuple[Draft, MessageView]:
        number, community_id = community.record.number, CommunityId(community.record.community_id)
        authors = (MemberId(key.public), second)
        placed = draft_message(
            community_id, kind=kind.number, authors=authors, global_time=1, sequence=1, payloads=payloads
        )
        head = self._store.heads.get(number, lane_name(placed.unsigned), kind.number) or (0, 0, False)
        draft = draft_message(
            community_id,
            kind=kind.number,
            authors=authors,
            global_time=max(community.clock, head[1]) + 1,
            sequence=max(head[0] + 1, sequence_min),
            payloads=payloads,
        )
        return read_draft(community_id, draft.unsigned)

    def receive_response(self, number: int, body: bytes) -> None:
        """Take an answer; one that nobody has asked for, or that is not the second author's, is counted."""
        try:
            response = SignatureResponse.decode(body)
            drafted = self._asked(number, response)
            if drafted is None:
                self._counters["signature-response-unasked"] += 1
                return
            if response.outcome is SignatureOutcome.SIGNED:
                self._receive_signed(drafted, response)
            else:
                self._receive_refusal(drafted, response)
        except WireError as error:
            self._counters[error.reason] += 1
        except UsageError as error:
            self._counters[error.code] += 1

    def _asked(self, number: int, response: SignatureResponse) -> Drafted | None:
        for drafted in self._drafts.values():
            fits = drafted.community_number == number and drafted.number == response.number
            if fits and drafted.answered is None:
                return drafted
        return None

    def _receive_signed(self, drafted: Drafted, response: SignatureResponse) -> None:
        draft, view = read_draft(drafted.community_id, response.draft)
        asked = drafted.view
        # It may have appended; everything else is as we have drafted it.
        same = draft_of(drafted.community_id, view, asked.payloads)
        begins_so = view.payloads[: len(asked.payloads)] == asked.payloads
        holds = verify_many(drafted.second, response.signature, [draft.signed]) == b"\1"
        if same != drafted.draft or not begins_so or not holds:
            raise WireError("signature-response-wrong")
        if view.payloads == asked.payloads:
            self._complete(drafted, draft, response.signature)
            return
        community = self._communities.joined(drafted.community_number)
        if community.intake.refusal(view.kind, [view.payloads]) is not None:
            raise WireError("signature-response-wrong")
        drafted.answered = (draft, view, response.signature)
        drafted.since = None
        self._outcomes += [(ticket, _appended(drafted)) for ticket in drafted.tickets]
        drafted.tickets = []

    def _receive_refusal(self, drafted: Drafted, response: SignatureResponse) -> None:
        said = refusal_signed_bytes(
            drafted.community_id, response.number, response.outcome, drafted.draft.unsigned
        )
        if verify_many(drafted.second, response.signature, [said]) != b"\1":
            raise WireError("signature-response-wrong")
        if response.outcome is SignatureOutcome.SEQUENCE_TAKEN and drafted.attempts < DRAFTS_PER_REQUEST_MAX:
            # It has signed a draft of ours for this place that we know no more of: the next place is free.
            drafted.attempts += 1
            drafted.draft, drafted.view = self._draft(
                self._communities.joined(drafted.community_number),
                drafted.kind,
                drafted.key,
                drafted.second,
                drafted.payloads,
                sequence_min=drafted.view.sequence + 1,
            )
            self._ask(drafted)
            return
        self._end(
            drafted,
            UsageError(
                f"member {drafted.second.hex()[:16]} does not sign this message",
                code="signature-refused",
                hint="nothing was published; ask it why, it may have no application that decides",
            ),
        )

    def knows(self, message_id: bytes) -> bool:
        """Whether this message waits for our decision, for its second author has appended."""
        return self._appended_to(message_id) is not None

    def decide(self, ticket: Ticket, message_id: bytes, *, accept: bool) -> None:
        """Add our signature to what the second author has appended to, or drop it."""
        drafted = self._appended_to(message_id)
        assert drafted is not None
        assert drafted.answered is not None
        if accept:
            draft, _, signature = drafted.answered
            drafted.tickets = [ticket]
            self._complete(drafted, draft, signature)
            return
        del self._drafts[drafted.request_id]
        self._outcomes.append((ticket, {"ids": [], "first_cursor": 0, "last_cursor": 0, "repeated": False}))

    def _appended_to(self, message_id: bytes) -> Drafted | None:
        for drafted in self._drafts.values():
            if drafted.answered is not None and drafted.answered[0].id == message_id:
                return drafted
        return None

    def _complete(self, drafted: Drafted, draft: Draft, second_signature: bytes) -> None:
        del self._drafts[drafted.request_id]
        own_signature = sign_many(drafted.key.secret, [draft.signed])
        self._counters["signatures-gathered"] += 1
        self._finish(drafted, draft.complete((own_signature, second_signature)))

    def handle_timer(self, now: float) -> None:
        """Repeat requests, and end those that have waited long enough; `now` in monotonic seconds."""
        for drafted in list(self._drafts.values()):
            drafted.since = now if drafted.since is None else drafted.since
            if now >= drafted.since + SIGNATURE_WAIT_S:
                if drafted.answered is not None:
                    del self._drafts[drafted.request_id]
                    continue
                self._end(
                    drafted,
                    UsageError(
                        f"member {drafted.second.hex()[:16]} did not answer within {SIGNATURE_WAIT_S:.0f} s",
                        code="signature-unanswered",
                        hint="nothing was published; ask again when it is there",
                    ),
                )
            elif drafted.answered is None and now >= (drafted.sent_at or drafted.since) + REPEAT_S:
                drafted.sent_at = now
                self._ask(drafted)

    def _ask(self, drafted: Drafted) -> None:
        signed = request_signed_bytes(drafted.community_id, drafted.number, drafted.draft.unsigned)
        request = SignatureRequest(
            number=drafted.number,
            wait_s=int(SIGNATURE_WAIT_S),
            signature=sign_many(drafted.key.secret, [signed]),
            draft=drafted.draft.unsigned,
        )
        frame = SignatureFrame(request.type, request.encode(), member=drafted.second)
        self._frames.setdefault(drafted.community_number, []).append(frame)

    def _end(self, drafted: Drafted, error: UsageError) -> None:
        del self._drafts[drafted.request_id]
        self._outcomes += [(ticket, error) for ticket in drafted.tickets]

    def drain_frames(self) -> dict[int, list[SignatureFrame]]:
        """Requests to send, by community."""
        frames, self._frames = self._frames, {}
        return frames

    def drain_outcomes(self) -> list[Outcome]:
        """Of requests that came to nothing, or to a question for our own application."""
        outcomes, self._outcomes = self._outcomes, []
        return outcomes


def _appended(drafted: Drafted) -> dict[str, Any]:
    """What our application is asked: the payloads that stand behind its own."""
    assert drafted.answered is not None
    draft, view, _ = drafted.answered
    appended = list(view.payloads[len(drafted.view.payloads) :])
    nothing_yet = {"first_cursor": 0, "last_cursor": 0, "ids": [], "repeated": False}
    return {**nothing_yet, "request": draft.id, "appended": appended}
