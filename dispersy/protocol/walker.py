"""The walk: every few seconds one introduction-request to one candidate, whose answer introduces another.

A request goes through two states. It first waits for the receiver's token (a token frame goes out under a
header token of zeros; the answer, under ours, brings theirs); then it is sent under that token and waits
for its response. So whoever answers has proven its address to us, and we ours to it. An address that has
proven nothing is never sent more than a token frame, 28 bytes, for each datagram that it sent.

Beside the walk stands the nudge: when our live set has changed, a few neighbours hear our new summary at
once, in an introduction-request that asks for no introduction.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from random import Random

from dispersy.constants import (
    BOOTSTRAP_ADDRESSES_MAX,
    CANDIDATES_MAX,
    EARLY_STEP_INTERVAL_S,
    EARLY_STEPS_MAX,
    INTRODUCTIONS_PER_SECOND_MAX,
    LONELY_INTERVALS_S,
    NUDGE_INTERVAL_S,
    NUDGED_MAX,
    NUDGES_MAX,
    PUNCTURE_TARGETS_MAX,
    PUNCTURES_PER_REQUEST_MAX,
    REVISIT_S,
    STEP_INTERVAL_S,
    VOTE_COUNT_S,
    WALK_FAILURES_MAX,
    WALK_REQUESTS_MAX,
    WALK_RETRIES_MAX,
    WALK_RETRY_S,
)
from dispersy.protocol.address import NO_ADDRESS, Address, usable_as_peer
from dispersy.protocol.admission import Admission
from dispersy.protocol.candidate import NEVER, Candidate, Candidates, Category
from dispersy.protocol.frames import NO_TOKEN, IntroductionRequest, IntroductionResponse, PunctureRequest
from dispersy.protocol.identifiers import MemberId
from dispersy.protocol.reachability import OwnAddresses
from dispersy.protocol.records import TOKEN_CURRENT, TOKEN_PREVIOUS
from dispersy.protocol.summary import Summary
from dispersy.protocol.token import TokensHeld
from dispersy.protocol.walk_events import (
    CandidateFound,
    CandidateView,
    OwnAddress,
    SameKeyElsewhere,
    SendFrame,
    SendIntroduction,
    SendToken,
    SummaryHeard,
    WalkEvent,
)
from dispersy.protocol.walk_request import WalkRequest

SOON_S = 0.1
"""After which a request is repeated where something has changed, unless its answer is here by then."""


class Walker:
    """The walk of one community, for the network role.

    tag        8 bytes of the community
    member     our key in it
    bootstrap  addresses to walk to while no others are known
    """

    def __init__(
        self,
        *,
        tag: bytes,
        member: MemberId,
        rng: Random,
        bootstrap: Sequence[Address],
        now: float,
        step_interval_s: float = STEP_INTERVAL_S,
        candidates_max: int = CANDIDATES_MAX,
        introductions_per_second: int = INTRODUCTIONS_PER_SECOND_MAX,
    ) -> None:
        self.tag = tag
        self.member = member
        self._rng = rng
        self._step_interval_s = step_interval_s
        self._candidates = Candidates(count_max=candidates_max)
        self._own = OwnAddresses()
        self._summary: Summary | None = None
        self._bootstrap: OrderedDict[Address, float] = OrderedDict(
            (address, NEVER) for address in bootstrap[:BOOTSTRAP_ADDRESSES_MAX] if usable_as_peer(address)
        )
        self._tokens = TokensHeld(keep=self._candidates)
        self._requests: dict[Address, WalkRequest] = {}
        self._admission = Admission(per_second=introductions_per_second)
        self._punctured: OrderedDict[Address, float] = OrderedDict()
        self._nudges: OrderedDict[Address, int] = OrderedDict()
        self._step_at = now
        self._lonely_steps = 0
        self._early_steps = 0
        self._nudged_at = NEVER
        self._nudge_at: float | None = None
        self._votes_counted_at = NEVER
        self._votes_at: float | None = None
        self._events: list[WalkEvent] = []

    # What others sent.

    def receive_token(
        self,
        source: Address,
        token_state: int,
        header_token: bytes,  # noqa: ARG002 the kernel has judged it; callers hand over what they have
        token: bytes,
        now: float,
    ) -> None:
        """A token frame has come; token_state (records.TOKEN_*) is what its datagram's token has proven."""
        request = self._requests.get(source)
        if token_state not in (TOKEN_CURRENT, TOKEN_PREVIOUS):
            self._events.append(SendToken(source, token))
            if request is not None and request.sent_under is None:
                # Perhaps the puncture that we were promised: the way is open now, so ask again for their
                # token.
                request.retry_at = min(request.retry_at, now + SOON_S)
            return
        self._tokens.put(source, token, now)
        if request is None:
            return
        if request.sent_under is None:
            self._attempt(source, request, now)
        elif request.sent_under != token:
            # It may have started again since and not have known our request's token.
            request.retry_at = min(request.retry_at, now + SOON_S)

    def admit_introduction(self, source: Address, now: float) -> bool:
        """Whether an introduction from there is worth checking its signature."""
        return self._admission.admit(source, now, is_candidate=source in self._candidates)

    def receive_introduction_request(self, source: Address, frame: IntroductionRequest, now: float) -> None:
        """A request has come whose token was valid and whose signature holds."""
        candidate = self._prove(source, frame, Category.STUMBLED, now)
        token = self.token_for(source)
        if candidate is None or token is None:
            return
        if not frame.asks_introduction and (
            self._summary is None or (frame.summary is not None and frame.summary.same_set(self._summary))
        ):
            return  # A nudge that tells us nothing, nor we them.
        introduced = self._candidates.introduction_for(candidate, now) if frame.asks_introduction else None
        lan = wan = NO_ADDRESS
        # The requester itself may be known elsewhere still: see _prove().
        if (
            introduced is not None
            and introduced.member != frame.member
            and self.token_for(introduced.address) is not None
        ):
            lan, wan = self._own.addresses_of(introduced)
            walker_lan, walker_wan = self._own.addresses_of(candidate)
            puncture = PunctureRequest(self._new_number(), walker_lan, walker_wan)
            self._events.append(SendFrame(introduced.address, puncture.type, puncture.encode()))
        response = IntroductionResponse(
            number=frame.number,
            member=self.member,
            receiver=source,
            lan=self._own.lan,
            wan=self._own.wan,
            introduced_lan=lan,
            introduced_wan=wan,
            summary=self._summary,
            connection=self._own.connection,
        )
        self._events.append(SendIntroduction(source, token, response.type, response.unsigned(), frame.member))

    def receive_introduction_response(self, source: Address, frame: IntroductionResponse, now: float) -> None:
        """A response has come whose token was valid and whose signature holds; unasked it is nothing."""
        request = self._requests.get(source)
        if request is not None and request.number == frame.number and request.sent_under is not None:
            del self._requests[source]
            candidate = self._prove(source, frame, Category.WALKED, now)
            if candidate is None:
                return
            if request.retries == 0:
                candidate.round_trip_s = now - request.sent_at
            introduced = self._own.nearest(lan=frame.introduced_lan, wan=frame.introduced_wan)
            if self._own.may_meet(introduced, told_by=source):
                self._candidates.hear(introduced, Category.INTRODUCED, now)
            if self._early_steps < EARLY_STEPS_MAX:
                self._step_at = min(self._step_at, now + EARLY_STEP_INTERVAL_S)
        elif self._nudges.get(source) == frame.number:
            del self._nudges[source]
            self._prove(source, frame, Category.WALKED, now)

    def receive_puncture_request(self, source: Address, frame: PunctureRequest, now: float) -> None:
        """Somebody whom we know has introduced us to a walker: open our NAT towards it."""
        while self._punctured and now >= next(iter(self._punctured.values())) + 1.0:
            self._punctured.popitem(last=False)
        targets = {frame.walker_wan, self._own.nearest(lan=frame.walker_lan, wan=frame.walker_wan)}
        for target in sorted(targets)[:PUNCTURES_PER_REQUEST_MAX]:
            if not self._own.may_meet(target, told_by=source) or target in self._punctured:
                continue
            if len(self._punctured) >= PUNCTURE_TARGETS_MAX:
                return
            self._punctured[target] = now
            self._events.append(SendToken(target, self.token_for(target) or NO_TOKEN))

    def receive_discovery(self, address: Address, now: float) -> None:
        """A node of this community has been found in our own network."""
        if usable_as_peer(address) and not self._own.are(address):
            self._candidates.hear(address, Category.DISCOVERED, now)

    # What we are told of ourselves.

    def set_summary(self, summary: Summary | None, now: float) -> None:  # noqa: ARG002 every machine is told the time
        """What our introductions say of our live set; None: nothing, for the definition is not known yet."""
        self._summary = summary

    def set_own_addresses(self, *, lan: Address | None, wan: Address | None) -> None:
        """Where we are reached, as socket and configuration tell; wan None: as neighbours vote."""
        self._own.set(lan=lan, wan=wan)

    def nudge(self, now: float) -> None:
        """Our live set has changed: tell a few neighbours, at most every NUDGE_INTERVAL_S."""
        due = self._nudged_at + NUDGE_INTERVAL_S
        if now >= due:
            self._send_nudges(now)
        else:
            self._nudge_at = due

    # What the network role asks.

    def token_for(self, address: Address) -> bytes | None:
        """The header token for datagrams to this address; None: it has not proven itself lately."""
        return self._tokens.get(address)

    def candidates(self, now: float) -> list[CandidateView]:
        """Everybody in the table, verified ones first and these the freshest first."""
        return [
            CandidateView.of(candidate, category, now)
            for candidate in sorted(self._candidates, key=Candidate.proven_at, reverse=True)
            if (category := candidate.category(now)) is not None
        ]

    # Time.

    def handle_timer(self, now: float) -> None:
        self._tokens.expire(now)
        self._repeat_requests(now)
        if now >= self._step_at:
            self._step(now)
        if self._nudge_at is not None and now >= self._nudge_at:
            self._send_nudges(now)
        self._count_votes(now)

    def next_deadline(self) -> float:
        deadline = self._step_at if self._nudge_at is None else min(self._step_at, self._nudge_at)
        if self._votes_at is not None:
            deadline = min(deadline, self._votes_at)
        for request in self._requests.values():
            deadline = min(deadline, request.retry_at, request.expires_at)
        return deadline

    def drain(self) -> list[WalkEvent]:
        events, self._events = self._events, []
        return events

    # Steps and requests.

    def _step(self, now: float) -> None:
        self._candidates.expire(now)
        lonely = not self._has_verified(now)
        target = None
        if len(self._requests) < WALK_REQUESTS_MAX:
            target = self._choose_lonely(now) if lonely else self._choose(now)
        if target is not None:
            self._walk_to(target, now)
        if lonely:
            rounds = self._lonely_steps // max(1, len(self._bootstrap))
            self._step_at = now + LONELY_INTERVALS_S[min(rounds, len(LONELY_INTERVALS_S) - 1)]
            self._lonely_steps += 1
            return
        self._lonely_steps = 0
        early = target is not None and self._early_steps < EARLY_STEPS_MAX
        self._early_steps += early
        self._step_at = now + (EARLY_STEP_INTERVAL_S if early else self._step_interval_s)

    def _choose(self, now: float) -> Address | None:
        bootstrap = self._next_bootstrap(now)
        candidate = self._candidates.choose(rng=self._rng, now=now, bootstrap=bootstrap is not None)
        return bootstrap if candidate is None else candidate.address

    def _choose_lonely(self, now: float) -> Address | None:
        """Nobody answers: those we heard of and the bootstrap in turn, however lately it was asked."""
        candidate = self._candidates.choose(rng=self._rng, now=now, bootstrap=False)
        if candidate is not None and (not self._bootstrap or self._lonely_steps % 2):
            return candidate.address
        return next(iter(self._bootstrap), None)

    def _next_bootstrap(self, now: float) -> Address | None:
        for address, asked_at in self._bootstrap.items():
            candidate = self._candidates.get(address)
            # One that answered is a candidate as any other, and has its turns as such.
            if now >= asked_at + REVISIT_S and (candidate is None or not candidate.is_verified(now)):
                return address
        return None

    def _walk_to(self, address: Address, now: float) -> None:
        if address in self._bootstrap:
            self._bootstrap[address] = now
            self._bootstrap.move_to_end(address)
        candidate = self._candidates.get(address)
        if candidate is not None:
            candidate.asked_at = now
        request = self._requests.get(address)
        if request is None:
            request = self._requests[address] = WalkRequest(number=self._new_number(), now=now)
        else:
            request.retries += 1
        self._attempt(address, request, now)

    def _attempt(self, address: Address, request: WalkRequest, now: float) -> None:
        token = self.token_for(address)
        if token is None:
            self._events.append(SendToken(address, NO_TOKEN))
            return
        request.sent_under = token
        request.sent_at = now
        self._events.append(
            self._introduction_request(address, token, request.number, asks_introduction=True)
        )

    def _repeat_requests(self, now: float) -> None:
        for address, request in list(self._requests.items()):
            if now >= request.expires_at:
                del self._requests[address]
                self._fail(address, now)
            elif now >= request.retry_at:
                request.retries += 1
                wait = WALK_RETRY_S * 2**request.retries
                request.retry_at = now + wait if request.retries < WALK_RETRIES_MAX else request.expires_at
                self._attempt(address, request, now)

    def _fail(self, address: Address, now: float) -> None:
        candidate = self._candidates.get(address)
        if candidate is None:
            return
        candidate.failures += 1
        if candidate.failures >= WALK_FAILURES_MAX or not candidate.is_verified(now):
            self._candidates.remove(address)
        self._step_at = min(self._step_at, now + SOON_S)

    def _send_nudges(self, now: float) -> None:
        self._nudge_at = None
        if self._summary is None:
            return
        self._nudged_at = now
        for address, token in self._nudged(now):
            number = self._nudges[address] = self._new_number()
            self._nudges.move_to_end(address)
            self._events.append(self._introduction_request(address, token, number, asks_introduction=False))
        while len(self._nudges) > NUDGES_MAX:
            self._nudges.popitem(last=False)

    def _nudged(self, now: float) -> list[tuple[Address, bytes]]:
        """The freshest neighbours that have not said our summary themselves, with their tokens."""
        assert self._summary is not None
        return [
            (candidate.address, token)
            for candidate in self._candidates.verified(now)
            if (token := self.token_for(candidate.address)) is not None
            and not (candidate.summary is not None and candidate.summary.same_set(self._summary))
        ][:NUDGED_MAX]

    def _introduction_request(
        self, address: Address, token: bytes, number: int, *, asks_introduction: bool
    ) -> SendIntroduction:
        candidate = self._candidates.get(address)
        receiver_member = None if candidate is None else candidate.member
        request = IntroductionRequest(
            number=number,
            member=self.member,
            receiver=address,
            lan=self._own.lan,
            wan=self._own.wan,
            summary=self._summary,
            connection=self._own.connection,
            asks_introduction=asks_introduction,
            covers_receiver=receiver_member is not None,
        )
        return SendIntroduction(address, token, request.type, request.unsigned(), receiver_member)

    # What is known of others.

    def _prove(
        self,
        source: Address,
        frame: IntroductionRequest | IntroductionResponse,
        category: Category,
        now: float,
    ) -> Candidate | None:
        """Take what a signed introduction says; None: it is signed with our own key.

        returns  the candidate at its source, proven to be the signer unless that one is known elsewhere
        """
        if frame.member == self.member:
            self._candidates.remove(source)
            if not self._own.are(source):
                self._events.append(SameKeyElsewhere(source))
            return None
        if not frame.covers_receiver and self._candidates.is_verified_elsewhere(frame.member, source, now):
            # Perhaps meant for another, who passes it on to take this member's place here. We may walk
            # there: the answer will be meant for us.
            return self._candidates.hear(source, Category.INTRODUCED, now)
        known = self._candidates.get(source)
        is_new = known is None or not known.is_verified(now)
        candidate = self._candidates.prove(source, frame.member, category, now)
        candidate.lan = frame.lan
        candidate.wan = frame.wan
        candidate.connection = frame.connection
        candidate.summary = frame.summary
        candidate.summary_at = now
        if is_new:
            self._events.append(CandidateFound(source, frame.member))
        self._events.append(SummaryHeard(source, frame.member, frame.summary))
        if candidate.vote != frame.receiver:
            candidate.vote = frame.receiver
            if self._votes_at is None:
                self._votes_at = self._votes_counted_at + VOTE_COUNT_S * len(self._candidates)
            self._count_votes(now)
        return candidate

    def _count_votes(self, now: float) -> None:
        """Take changed votes when it is time: a flood of other votes must not bring as many counts."""
        if self._votes_at is None or now < self._votes_at:
            return
        self._votes_at = None
        self._votes_counted_at = now
        if self._own.count_votes(self._candidates.verified(now)):
            self._events.append(OwnAddress(self._own.voted))

    def _has_verified(self, now: float) -> bool:
        return any(candidate.is_verified(now) for candidate in self._candidates)

    def _new_number(self) -> int:
        """A request's number; 0 means unasked."""
        return self._rng.randrange(1, 1 << 32)
