"""The walk: every few seconds one introduction-request to one candidate, whose answer introduces another.

A request goes through two states. It first waits for the receiver's token (a token frame goes out under a
header token of zeros; the answer, under ours, brings theirs); then it is sent under that token and waits
for its response. So whoever answers has proven its address to us, and we ours to it. An address that has
proven nothing is never sent more than a token frame, 28 bytes, for each datagram that it sent.

Beside the walk stands the nudge: when our live set has changed, a few neighbours hear our new summary at
once, in an introduction-request that asks for no introduction. And where a node has several communities that
have settled, steps are far apart and pings keep the neighbours (shared_pace.py, keep_alive.py).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from operator import attrgetter
from random import Random

from dispersy.constants import (
    CANDIDATES_MAX,
    FORMER_MAX,
    INTRODUCTION_SOURCES_MAX,
    INTRODUCTIONS_PER_SECOND_MAX,
    NUDGED_MAX,
    NUDGES_ANSWERED_MAX,
    NUDGES_ANSWERED_S,
    STEP_INTERVAL_S,
    TOKENS_MAX,
)
from dispersy.protocol.address import Address, usable_as_peer
from dispersy.protocol.flow.per_second import PerSecond
from dispersy.protocol.identifiers import MemberId
from dispersy.protocol.walk.admission import Admission
from dispersy.protocol.walk.announcers import LISTENERS_MAX, Announcers
from dispersy.protocol.walk.bootstrap import Bootstrap
from dispersy.protocol.walk.candidate import NEVER, Candidate, Candidates, Category, Unwanted
from dispersy.protocol.walk.former import Former
from dispersy.protocol.walk.introducer import NOBODY, Introducer
from dispersy.protocol.walk.keep_alive import KeepAlive
from dispersy.protocol.walk.metered import (
    METERED_LIFETIME_SCALE,
    METERED_NUDGED_MAX,
    METERED_PEERS_MAX,
    METERED_UNSETTLED_STEP_S,
)
from dispersy.protocol.walk.neighbours import Neighbours
from dispersy.protocol.walk.nudges import AFTERWARDS_MAX, Nudges
from dispersy.protocol.walk.punctures import Punctures
from dispersy.protocol.walk.reachability import OwnAddresses
from dispersy.protocol.walk.remembered import Remembered, remind
from dispersy.protocol.walk.same_key import OwnNumbers, Twins
from dispersy.protocol.walk.settling import Settling
from dispersy.protocol.walk.shared_pace import SharedPace
from dispersy.protocol.walk.steps import Steps
from dispersy.protocol.walk.targets import DISCOVERED_AT_ONCE_MAX, Targets
from dispersy.protocol.walk.turnover import NAMED_WITHIN_S, Turnover
from dispersy.protocol.walk.walk_events import (
    CandidateView,
    SameKeyElsewhere,
    SendFrame,
    SendToken,
    WalkEvent,
)
from dispersy.protocol.walk.walk_requests import SOON_S, WalkRequests
from dispersy.protocol.wire.frames import (
    NO_TOKEN,
    IntroductionRequest,
    IntroductionResponse,
    Ping,
    Pong,
    PunctureRequest,
)
from dispersy.protocol.wire.numbers import Capability
from dispersy.protocol.wire.records import TOKEN_CURRENT, TOKEN_PREVIOUS
from dispersy.protocol.wire.summary import Summary
from dispersy.protocol.wire.token import TokensHeld


class Walker:
    """The walk of one community, for the network role.

    tag        8 bytes of the community
    member     our key in it
    bootstrap  addresses to walk to while no others are known
    remembered where members answered before this node was started again: asked after the bootstrap
    pace       of all walkers of this node; None: it is the only one
    is_tracker we are no member and hold nothing
    counts     what was done and what came of it, since the start
    """

    def __init__(
        self,
        *,
        tag: bytes,
        member: MemberId,
        rng: Random,
        bootstrap: Sequence[Address],
        now: float,
        remembered: Iterable[Remembered] = (),
        pace: SharedPace | None = None,
        step_interval_s: float = STEP_INTERVAL_S,
        candidates_max: int = CANDIDATES_MAX,
        former_max: int = FORMER_MAX,
        introductions_per_second: int = INTRODUCTIONS_PER_SECOND_MAX,
        is_tracker: bool = False,
    ) -> None:
        self.counts: Counter[str] = Counter()
        self.tag, self.member = tag, member
        self._pace = SharedPace() if pace is None else pace
        metered = self._pace.is_metered
        self._candidates = Candidates(
            count_max=min(candidates_max, METERED_PEERS_MAX) if metered else candidates_max,
            lifetime_scale=METERED_LIFETIME_SCALE if metered else 1.0,
            former=Former(count_max=former_max, wakes=not metered),
        )
        self._own, self._turnover = OwnAddresses(), Turnover()
        self._bootstrap = Bootstrap(bootstrap, now)
        remind(self._candidates.former, remembered, now, has_bootstrap=bool(bootstrap))
        self._numbers = OwnNumbers(rng)
        self._twins = Twins(self._candidates)
        self._settling = Settling(self._pace, now)
        self._neighbours = Neighbours(candidates=self._candidates, own=self._own, settling=self._settling)
        self._tick_at = self._pace.tick_after(now)
        self._tokens = TokensHeld(keep=self._candidates, count_max=min(TOKENS_MAX, 2 * candidates_max))
        self._keep_alive = KeepAlive(
            neighbours=self._neighbours,
            tokens=self._tokens,
            numbers=self._numbers,
            pace=self._pace,
            rng=rng,
            counts=self.counts,
        )
        self._announcers = Announcers(self._candidates, self._bootstrap)
        self._introducer = Introducer(
            member,
            own=self._own,
            neighbours=self._neighbours,
            candidates=self._candidates,
            announcers=self._announcers,
            capabilities=Capability(Capability.METERED * metered | Capability.TRACKER * is_tracker),
        )
        self._admission = Admission(per_second=introductions_per_second)
        self._nudges_answered: PerSecond[Address] = PerSecond(
            limit=NUDGES_ANSWERED_MAX, keys_max=INTRODUCTION_SOURCES_MAX
        )
        self._punctures = Punctures(self._own)
        self._nudges = Nudges(
            neighbours=self._neighbours,
            candidates=self._candidates,
            tokens=self._tokens,
            numbers=self._numbers,
            introducer=self._introducer,
            counts=self.counts,
            nudged_max=METERED_NUDGED_MAX if metered else NUDGED_MAX,
            afterwards_max=0 if metered else AFTERWARDS_MAX,
        )
        interval_s = max(step_interval_s, METERED_UNSETTLED_STEP_S) if metered else step_interval_s
        self._steps = Steps(interval_s=interval_s, settling=self._settling, pace=self._pace, rng=rng, now=now)
        self._requests = WalkRequests(
            candidates=self._candidates,
            tokens=self._tokens,
            numbers=self._numbers,
            introducer=self._introducer,
            bootstrap=self._bootstrap,
            steps=self._steps,
            turnover=self._turnover,
            counts=self.counts,
        )
        self._targets = Targets(self._candidates, self._bootstrap, self._requests, self._pace, rng)
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
        if token_state not in (TOKEN_CURRENT, TOKEN_PREVIOUS):
            self._events.append(SendToken(source, token))
            self._requests.receive_stranger(source, now)
            return
        held = self.token_for(source)
        self._tokens.put(source, token, now)
        if held != token:
            # Without a pong it has started again and does not know us: only an introduction tells.
            self._keep_alive.receive_token(source, now + SOON_S)
        self._requests.receive_token(source, token, now)

    def admit_introduction(self, source: Address, now: float) -> bool:
        """Whether an introduction from there is worth checking its signature."""
        return self._admission.admit(source, now, is_candidate=source in self._candidates)

    def receive_introduction_request(self, source: Address, frame: IntroductionRequest, now: float) -> None:
        """A request has come whose token was valid and whose signature holds."""
        token = self.token_for(source)
        if frame.member == self.member:
            if not self._is_ourselves(source, frame.number) and token is not None:
                self._events.append(SameKeyElsewhere(source))
                # It must hear it, too, and our signature says it all.
                self._events.append(self._introducer.response(source, token, frame, NOBODY, now))
            return
        twin = self._twins.twin_of(frame.member, source, now) if frame.asks_introduction else None
        candidate = self._prove(source, frame, Category.STUMBLED, now)
        if token is None:
            return
        ours = self._neighbours.summary
        says_ours = ours is None or (frame.summary is not None and frame.summary.same_set(ours))
        if not frame.asks_introduction and says_ours and not candidate.is_misled(ours):
            return  # A nudge that tells us nothing, nor we them.
        if not frame.asks_introduction and not self._nudges_answered.admit(source, now / NUDGES_ANSWERED_S):
            return
        introduced = self._introduced_to(candidate, now) if frame.asks_introduction else None
        # The requester itself may be known elsewhere still: see _prove().
        if introduced is not None and introduced.member == frame.member:
            introduced = None
        introduced = introduced if twin is None else twin
        introduced_at = NOBODY
        if introduced is not None and self.token_for(introduced.address) is not None:
            asker = self._introducer.asker(candidate, frame.member, introduced, now)
            puncture = PunctureRequest(self._numbers.new(), *asker)
            self._events.append(SendFrame(introduced.address, puncture.type, puncture.encode()))
            self.counts["punctures-asked"] += 1
            introduced_at = self._own.addresses_of(introduced, to=source if twin is None else twin.address)
        self._events.append(self._introducer.response(source, token, frame, introduced_at, now))

    def receive_introduction_response(self, source: Address, frame: IntroductionResponse, now: float) -> None:
        """A response has come whose token was valid and whose signature holds; unasked it is nothing."""
        request = self._requests.take(source, frame.number, now)
        if request is None and not self._nudges.take(source, frame.number):
            return
        if frame.member == self.member:
            self._candidates.remove(source)
            if not self._own.are(source):
                self._events.append(SameKeyElsewhere(source))
            return
        candidate = self._prove(source, frame, Category.WALKED, now)
        if request is None:
            return
        self.counts["walk-answered"] += 1
        if request.retries == 0:
            candidate.round_trip_s = now - request.sent_at
        for introduced in self._neighbours.meeting_places(frame, told_by=source, now=now):
            is_new = introduced not in self._candidates
            self._candidates.hear(introduced, Category.INTRODUCED, now)
            self.counts["walk-named"] += 1
            if is_new:
                self._turnover.hunger.hope(now)
            if self._is_walked_to_at_once(now) and is_new:
                self._requests.walk_to(introduced, now)
        self._steps.hasten_early(now)

    def receive_ping(self, source: Address, ping: Ping, now: float) -> None:
        """A ping has come whose token was valid."""
        self._keep_alive.receive_ping(source, ping, now)

    def receive_pong(self, source: Address, pong: Pong, now: float) -> None:
        """A pong has come whose token was valid."""
        self._keep_alive.receive_pong(source, pong, now)

    def receive_puncture_request(self, source: Address, frame: PunctureRequest, now: float) -> None:
        """Somebody whom we know has introduced us to a walker: open our NAT towards it."""
        for target in self._punctures.targets(source, frame, now):
            self.counts["punctures-sent"] += 1
            if self._own.is_translated and self._targets.may_be(target, now):
                # Where a NAT gives each way another port nobody reaches us where it was told that we are.
                self._candidates.hear(target, Category.INTRODUCED, now)
                self._requests.walk_to(target, now)
            else:
                self._events.append(SendToken(target, self.token_for(target) or NO_TOKEN))

    def receive_discovery(self, address: Address, now: float) -> None:
        """A node of this community has been found in our own network."""
        if usable_as_peer(address) and not self._own.are(address):
            is_new = address not in self._candidates
            self._candidates.hear(address, Category.DISCOVERED, now)
            if is_new and len(self._requests) < DISCOVERED_AT_ONCE_MAX:
                # It may be the only way to others, and steps take their time to come to it.
                self._requests.walk_to(address, now)

    # What we are told of ourselves.

    def set_summary(self, summary: Summary | None, now: float) -> None:
        """What our introductions say of our live set; None: nothing, for the definition is not known yet."""
        self._neighbours.set_summary(summary, now)

    def set_own_addresses(self, *, lan: Address | None, wan: Address | None) -> None:
        """Where we are reached, as socket and configuration tell; wan None: as neighbours vote."""
        self._own.set(lan=lan, wan=wan)

    def nudge(self, now: float, *, not_before: float = NEVER) -> None:
        """Our live set has changed: tell a few neighbours, at most every NUDGE_INTERVAL_S."""
        self._nudges.ask(now, not_before=not_before)

    # What the network role asks.

    def token_for(self, address: Address) -> bytes | None:
        """The header token for datagrams to this address; None: it has not proven itself lately."""
        return self._tokens.get(address)

    def neighbours(self, now: float) -> list[tuple[Address, MemberId]]:
        """Members that have proven themselves lately and can be sent to at once, the freshest first."""
        speaking = (each for each in self._candidates.speaking(now) if not each.is_tracker)
        return [
            (each.address, each.member)
            for each in speaking
            if each.member is not None and self.token_for(each.address) is not None
        ]

    def answered(self, now: float) -> list[tuple[Address, MemberId]]:
        """Neighbours that have answered us lately where they are, the likeliest to be there again first."""
        return self._candidates.answered(now)

    def unmetered(self, now: float) -> list[tuple[Address, MemberId]]:
        """The same, less those who want to be left alone."""
        metered = {each.address for each in self._candidates if each.is_metered}
        return [each for each in self.neighbours(now) if each[0] not in metered]

    def listeners(self, now: float) -> list[Address]:
        """Neighbours to announce new messages to, the freshest first."""
        asking = (each.address for each in self._candidates.speaking(now) if each.asks_announcements)
        return [address for address in asking if self.token_for(address) is not None][:LISTENERS_MAX]

    def is_announcer(self, address: Address) -> bool:
        """Whether new messages are announced to us from there because we asked for it."""
        return address in self._announcers

    def forget(self, is_unwanted: Unwanted) -> None:
        """Walk no more to these, and introduce them to nobody."""
        self._candidates.forget(is_unwanted)

    def candidates(self, now: float) -> list[CandidateView]:
        """Everybody in the table, verified ones first and these the freshest first."""
        return [
            CandidateView.of(candidate, category, self._neighbours.summary, now)
            for candidate in sorted(self._candidates, key=attrgetter("proven_at"), reverse=True)
            if (category := candidate.category(now)) is not None
        ]

    def look_after(self, address: Address, now: float) -> None:
        """A neighbour has left something else that we asked for unanswered: see whether it is still there."""
        if self._targets.may_be_gone(address, now):
            self._requests.walk_to(address, now)

    # Time.

    def resume(self, now: float) -> None:
        """The machine has slept, for so long that others may have forgotten us, or gone: begin at once."""
        self._candidates.doubt(now)
        self._settling.differ(now)
        self._settling.meet(now)
        self._turnover.isolation.begin_again()
        self._steps.begin_again(now)

    def handle_timer(self, now: float) -> None:
        self._tokens.expire(now)
        self._requests.handle_timer(now)
        self._keep_alive.handle_timer(now)
        if now >= self._tick_at:
            # What is not urgent: all communities of a node do it at the same moment.
            self._tick_at = self._pace.tick_after(now)
            self._neighbours.review(now)
            self._keep_alive.handle_tick(self._candidates.verified(now), now)
        for address in self._keep_alive.to_walk:
            if address not in self._requests:
                self._requests.walk_to(address, now)
        self._keep_alive.to_walk.clear()
        if now >= self._steps.due_at():
            self._step(now)
        for again in self._targets.take_again(now):
            self._requests.walk_to(again, now)
        self._nudges.handle_timer(now)
        self._neighbours.count_votes(now)

    def next_deadline(self) -> float:
        deadline = min(self._steps.due_at(), self._tick_at)
        for other in (
            self._nudges.next_deadline(),
            self._neighbours.votes_at,
            self._keep_alive.next_deadline(),
            self._requests.next_deadline(),
            self._targets.next_deadline(),
        ):
            if other is not None and other < deadline:
                deadline = other
        return deadline

    def drain(self) -> list[WalkEvent]:
        events = self._neighbours.drain()
        events += self._keep_alive.drain()
        events += self._requests.drain()
        events += self._nudges.drain()
        events += self._events
        self._events = []
        return events

    # Steps and requests.

    def _step(self, now: float) -> None:
        self._candidates.expire(now)
        lonely = not self._candidates.verified(now)
        target = self._targets.for_step(now, lonely=self._steps.lonely if lonely else None)
        if target is not None:
            self._requests.walk_to(target, now)
        self._neighbours.review(now)
        if lonely:
            self._steps.take_lonely(now, addresses=len(self._bootstrap))
        else:
            self._steps.take(now, asked=target is not None, is_hurried=self._targets.is_hurried(now))

    def _introduced_to(self, candidate: Candidate, now: float) -> Candidate | None:
        since = now - NAMED_WITHIN_S if self._turnover.is_high(now) else NEVER
        return self._candidates.introduction_for(candidate, now, heard_since=since)

    def _is_walked_to_at_once(self, now: float) -> bool:
        """Whether who is named does not wait for our next step: it would be forgotten, or none is met."""
        would_be_forgotten = self._settling.is_settled and not self._settling.knows_enough
        is_sought = self._own.is_translated and self._targets.name(now)
        return is_sought or would_be_forgotten or self._targets.is_isolated(now)

    # What is known of others.

    def _prove(
        self,
        source: Address,
        frame: IntroductionRequest | IntroductionResponse,
        category: Category,
        now: float,
    ) -> Candidate:
        """Take what a signed introduction of another member says.

        returns  the candidate at its source, proven to be the signer unless that one is known elsewhere
        """
        elsewhere = self._neighbours.stays_at(source, frame, now)
        if elsewhere is not None:
            elsewhere.prove_also(source)
            self._requests.challenge(elsewhere, now)
            # We may walk there: the answer will be meant for us.
            return self._candidates.hear(source, Category.INTRODUCED, now)
        return self._neighbours.prove(source, frame, category, now)

    def _is_ourselves(self, source: Address, number: int) -> bool:
        """Whether a request with our key is one that we made, come back to us: then nobody is there."""
        self._candidates.remove(source)
        return self._own.are(source) or number in self._numbers
