"""The second author's side of a double signature: drafts of others wait until an application decides on them.

A draft is checked before anybody is asked: it names us, its first author has signed the request, and a
message like it would be taken. Of one lane only one draft a sequence is ever signed: two would prove that
both authors misbehave. So a signature leaves only once it is durable that it was given, and that is
remembered until the message is in the store, which then tells it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from dispersy.bus.frames import AskedSignature, SignatureFrame
from dispersy.constants import CLOCK_AHEAD_MAX
from dispersy.errors import StorageError, UsageError, WireError
from dispersy.ext.verify import sign_many, verify_many
from dispersy.protocol.identifiers import CommunityId, lane_name
from dispersy.protocol.wire.message import MessageView
from dispersy.protocol.wire.numbers import MessageFlag, SignatureOutcome
from dispersy.protocol.wire.signatures import (
    SignatureRequest,
    SignatureResponse,
    authors_of,
    draft_of,
    read_draft,
    refusal_signed_bytes,
    request_signed_bytes,
)
from dispersy.storage.keyring import Keyring
from dispersy.storage.store import Batch, SignedRecord, StoreWriter
from dispersy.workers.authoring.orders import Outcome, Ticket
from dispersy.workers.keeping.communities import Communities, Community

ASKED_MAX = 64
"""Drafts that wait for a decision, or were decided and may be asked for again, on one node."""
ASKED_PER_FIRST_MAX = 4
"""Of them of one first author in one community."""
WAIT_S_LONGEST = 300.0
"""However long the first author says that it waits."""
LANES_SIGNED_MAX = 4_096
"""Lanes of which it is remembered what we have signed and nobody has published yet, some 100 bytes each; when
they are that many no other lane is signed in, for what is forgotten could be signed twice."""

_Lane = tuple[int, bytes, int]
"""Community, name, kind."""


@dataclass(slots=True)
class _Asked:
    """A draft of somebody else.

    id       of the draft: what the application decides on
    since    when it was first looked at by the clock; None: not yet
    answer   what was said, once it was decided
    """

    id: bytes
    community: int
    source: bytes
    request: SignatureRequest
    view: MessageView
    since: float | None = None
    answer: SignatureResponse | None = None


class Cosigning:
    """One a node, in the writer.

    counters  outcomes by name
    """

    def __init__(
        self, store: StoreWriter, keyring: Keyring, communities: Communities, counters: Counter[str]
    ) -> None:
        self._store = store
        self._keyring = keyring
        self._communities = communities
        self._counters = counters
        self._asked: dict[bytes, _Asked] = {}
        self._given: list[tuple[_Asked, SignatureResponse]] = []
        """In this batch: they leave when it is durable."""
        self._given_outcomes: list[Outcome] = []
        self.read_store()
        self._frames: dict[int, list[SignatureFrame]] = {}
        self._questions: dict[int, list[AskedSignature]] = {}

    def read_store(self) -> None:
        """Forget the batch: what was signed in it has not left, and may be decided on again."""
        self._signed = {
            (each.community, each.lane, each.kind): each.sequence for each in self._store.signed()
        }
        self._changed: set[_Lane] = set()
        self._given.clear()
        self._given_outcomes.clear()

    def receive_request(self, number: int, source: bytes, body: bytes) -> None:
        """Take a request for our signature; what is wrong with it is counted."""
        community = self._communities.served(number)
        if community is None:
            return
        try:
            request = SignatureRequest.decode(body)
            draft, view = read_draft(_id_of(community), request.draft)
            # Without our key there is nothing to say, not even that we do not sign.
            self._secret(community)
        except WireError as error:
            self._counters[error.reason] += 1
            return
        except (StorageError, UsageError):
            self._counters["signature-request-wrong"] += 1
            return
        known = self._asked.get(draft.id)
        if known is not None and known.request.number == request.number:
            # It was repeated: our answer was lost, or nobody has decided yet.
            if known.answer is not None:
                self._send(known)
            else:
                # Those who decide may have been started again, and know of nothing any more.
                self._question(known)
            return
        if not self._is_meant(community, request, view):
            self._counters["signature-request-wrong"] += 1
            return
        if known is not None:
            # The same draft is asked for anew: what was signed stays so, what was refused is looked at again.
            if known.answer is not None and known.answer.outcome is SignatureOutcome.SIGNED:
                known.request, known.source = request, source
                known.answer = replace(known.answer, number=request.number)
                self._send(known)
                return
            del self._asked[draft.id]
        asked = _Asked(draft.id, number, source, request, view)
        if not self._has_room(asked):
            self._counters["signature-request-full"] += 1
            return
        self._asked[draft.id] = asked
        refusal = self._refusal(community, view)
        if refusal is not None:
            self._answer_refused(community, asked, refusal)
            return
        self._question(asked)

    def _question(self, asked: _Asked) -> None:
        view = asked.view
        question = AskedSignature(
            asked.id,
            authors_of(view)[0],
            view.kind,
            list(view.payloads),
            view.global_time,
            view.sequence,
            int(min(asked.request.wait_s, WAIT_S_LONGEST)),
        )
        self._questions.setdefault(asked.community, []).append(question)

    def knows(self, asked_id: bytes) -> bool:
        """Whether this draft waits for our decision."""
        asked = self._asked.get(asked_id)
        return (
            asked is not None and asked.answer is None and all(each is not asked for each, _ in self._given)
        )

    def decide(
        self, ticket: Ticket, asked_id: bytes, *, accept: bool, payloads: Sequence[bytes]
    ) -> dict[str, Any] | None:
        """Sign a draft, with payloads of ours behind the first author's, or refuse to.

        returns  `message_id`, empty, where it was refused; None: that of what was signed comes with the
                 commit, under the ticket
        raises   UsageError: busy, what is wrong with the payloads
        """
        asked = self._asked[asked_id]
        community = self._communities.joined(asked.community)
        if not accept:
            self._answer_refused(community, asked, SignatureOutcome.REFUSED)
            return {"message_id": b""}
        # Since it was asked another one may have been signed, or have come.
        outcome = self._refusal(community, asked.view)
        if outcome is not None:
            self._answer_refused(community, asked, outcome)
            raise UsageError(
                "the community's rules, or what was signed meanwhile, do not let this message be signed",
                code="refused",
                hint="its first author may ask again with a new draft",
            )
        whole = (*asked.view.payloads, *payloads)
        reason = community.intake.refusal(asked.view.kind, [whole])
        if reason is not None:
            raise UsageError(
                f"the community's rules refuse this message with the payloads to append: {reason}",
                code="refused",
                hint="append other payloads, or none",
            )
        draft = draft_of(_id_of(community), asked.view, whole)
        self._make_room((asked.community, lane_name(draft.unsigned), asked.view.kind))
        signature = sign_many(self._secret(community), [draft.signed])
        self._remember((asked.community, lane_name(draft.unsigned), asked.view.kind), asked.view.sequence)
        response = SignatureResponse(
            number=asked.request.number,
            outcome=SignatureOutcome.SIGNED,
            signature=signature,
            draft=draft.unsigned,
        )
        self._given.append((asked, response))
        self._given_outcomes.append((ticket, {"message_id": draft.id}))
        return None

    def _remember(self, lane: _Lane, sequence: int) -> None:
        self._signed[lane] = sequence
        self._changed.add(lane)

    def _make_room(self, lane: _Lane) -> None:
        """Forget what the store tells by now, where nothing else can be remembered.

        raises  UsageError: busy
        """
        if lane in self._signed or len(self._signed) < LANES_SIGNED_MAX:
            return
        for known, sequence in list(self._signed.items()):
            if self._published_to(known) >= sequence:
                del self._signed[known]
                self._changed.add(known)
        if len(self._signed) >= LANES_SIGNED_MAX:
            raise UsageError(
                f"what this node has signed for {LANES_SIGNED_MAX:,} others has not been published yet",
                code="busy",
                hint="sign again when some of it has been, or refuse",
            )

    def _published_to(self, lane: _Lane) -> int:
        head = self._store.heads.get(*lane)
        return head[0] if head is not None else 0

    # -- commit ----------------------------------------------------------------------------------------------

    def drain_outcomes(self) -> list[Outcome]:
        """Of what was signed: they are told with the commit."""
        outcomes, self._given_outcomes = self._given_outcomes, []
        return outcomes

    def add_to(self, batch: Batch) -> None:
        """What was signed, and what need not be remembered any more."""
        batch.signed += [SignedRecord(*lane, self._signed.get(lane, 0)) for lane in sorted(self._changed)]

    def committed(self) -> None:
        """What was signed may leave."""
        for asked, response in self._given:
            asked.answer = response
            self._send(asked)
            self._counters["signatures-given"] += 1
        self._given.clear()
        self._changed.clear()

    def handle_timer(self, now: float) -> None:
        """Forget drafts that their first author waits for no more; `now` in monotonic seconds."""
        for asked in list(self._asked.values()):
            asked.since = now if asked.since is None else asked.since
            if now >= asked.since + min(asked.request.wait_s, WAIT_S_LONGEST):
                del self._asked[asked.id]

    def drain_frames(self) -> dict[int, list[SignatureFrame]]:
        """Responses to send, by community."""
        frames, self._frames = self._frames, {}
        return frames

    def drain_questions(self) -> dict[int, list[AskedSignature]]:
        """What applications are to decide, by community."""
        questions, self._questions = self._questions, {}
        return questions

    def _is_meant(self, community: Community, request: SignatureRequest, view: MessageView) -> bool:
        """Whether the draft names us and its first author asks."""
        first, second = authors_of(view)
        if second != community.record.member_id or first == second:
            return False
        signed = request_signed_bytes(_id_of(community), request.number, request.draft)
        return verify_many(first, request.signature, [signed]) == b"\1"

    def _has_room(self, asked: _Asked) -> bool:
        first = asked.view.author
        own = sum(
            each.community == asked.community and each.view.author == first for each in self._asked.values()
        )
        return len(self._asked) < ASKED_MAX and own < ASKED_PER_FIRST_MAX

    def _refusal(self, community: Community, view: MessageView) -> SignatureOutcome | None:
        """Why a draft cannot be signed, whoever asks; None if it can."""
        intake, number = community.intake, community.record.number
        if (
            intake.definitions.shapes(view.kind) != {MessageFlag.TWO_AUTHORS}
            or intake.refusal(view.kind, [view.payloads]) is not None
            # Or one message could end the lane, and our clock would not follow it.
            or view.global_time > community.clock + CLOCK_AHEAD_MAX
            or intake.permission(authors_of(view), view.kind, view.global_time, view.sequence)
        ):
            return SignatureOutcome.REFUSED
        lane = lane_name(view.raw)
        place = (number, lane, view.kind)
        if view.sequence <= max(self._published_to(place), self._signed.get(place, 0)):
            return SignatureOutcome.SEQUENCE_TAKEN
        return None

    def _answer_refused(self, community: Community, asked: _Asked, outcome: SignatureOutcome) -> None:
        number, draft = asked.request.number, asked.request.draft
        said = refusal_signed_bytes(_id_of(community), number, outcome, draft)
        signature = sign_many(self._secret(community), [said])
        asked.answer = SignatureResponse(number=number, outcome=outcome, signature=signature)
        self._send(asked)
        self._counters["signatures-refused"] += 1

    def _secret(self, community: Community) -> bytes:
        return self._keyring.by_public(community.record.member_id).secret

    def _send(self, asked: _Asked) -> None:
        assert asked.answer is not None
        frame = SignatureFrame(asked.answer.type, asked.answer.encode(), address=asked.source)
        self._frames.setdefault(asked.community, []).append(frame)


def _id_of(community: Community) -> CommunityId:
    return CommunityId(community.record.community_id)
