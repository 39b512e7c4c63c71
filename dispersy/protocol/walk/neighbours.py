"""What a walker knows of others: who is where, what sets they hold, and where they see us."""

from __future__ import annotations

from dispersy.constants import VOTE_COUNT_S
from dispersy.protocol.address import Address
from dispersy.protocol.identifiers import MemberId
from dispersy.protocol.walk.candidate import NEVER, Candidate, Candidates, Category
from dispersy.protocol.walk.reachability import OwnAddresses
from dispersy.protocol.walk.settling import Settling
from dispersy.protocol.walk.walk_events import CandidateFound, OwnAddress, SummaryHeard, WalkEvent
from dispersy.protocol.wire.introductions import IntroductionRequest, IntroductionResponse
from dispersy.protocol.wire.numbers import Capability
from dispersy.protocol.wire.summary import Summary


class Neighbours:
    """The candidates of one community and what introductions and pings say.

    summary  what we say of our own live set; None: nothing yet
    """

    def __init__(self, *, candidates: Candidates, own: OwnAddresses, settling: Settling) -> None:
        self.summary: Summary | None = None
        self._candidates = candidates
        self._own = own
        self._settling = settling
        self._votes_counted_at = NEVER
        self.votes_at: float | None = None
        self._events: list[WalkEvent] = []

    def set_summary(self, summary: Summary | None, now: float) -> None:
        """Our live set is another one, perhaps."""
        if summary is None or self.summary is None or not summary.same_set(self.summary):
            self._settling.differ(now)
        self.summary = summary

    def tell(self, candidate: Candidate | None) -> None:
        """It is being told what we say of our own live set."""
        if candidate is not None:
            candidate.told = self.summary

    def stays_at(
        self, source: Address, frame: IntroductionRequest | IntroductionResponse, now: float
    ) -> Candidate | None:
        """Where the signer of this introduction is taken to be still; None: it may be at its source.

        Who stands in between may pass on what both sides sign, tokens and all, from where the member is not.
        So it moves only to where it says that it is, in a word meant for us (another's might be passed on to
        us). One that moved and does not know its new address moves when its former one has lapsed.
        """
        elsewhere = self._candidates.verified_elsewhere(frame.member, source, now)
        is_its_word = frame.covers_receiver and source in (frame.lan, frame.wan)
        return None if is_its_word else elsewhere

    def prove(
        self,
        source: Address,
        frame: IntroductionRequest | IntroductionResponse,
        category: Category,
        now: float,
    ) -> Candidate:
        """Take what a signed introduction of another member says, who is at its source."""
        known = self.at(source, now)
        # What was a tracker's address may be a member's now.
        is_met = known is not None and not known.is_tracker
        candidate = self._candidates.prove(source, frame.member, category, now)
        candidate.lan = frame.lan
        candidate.wan = frame.wan
        candidate.connection = frame.connection
        candidate.asks_announcements = frame.asks_announcements
        candidate.is_metered = bool(frame.capabilities & Capability.METERED)
        candidate.is_tracker = bool(frame.capabilities & Capability.TRACKER)
        if not (is_met or candidate.is_tracker):
            self._settling.meet(now)
            self._events.append(CandidateFound(source, frame.member))
        self._hear_summary(candidate, frame.member, frame.summary, now)
        if candidate.vote != frame.receiver:
            candidate.vote = frame.receiver
            if self.votes_at is None:
                self.votes_at = self._votes_counted_at + VOTE_COUNT_S * len(self._candidates)
            self.count_votes(now)
        return candidate

    def meeting_places(self, frame: IntroductionResponse, *, told_by: Address, now: float) -> list[Address]:
        """Where to walk to whom a neighbour introduces."""
        places = self._own.ways_to(lan=frame.introduced_lan, wan=frame.introduced_wan)
        believed = [place for place in places if self._own.may_meet(place, told_by=told_by)]
        # Where it has answered is enough: at its other address it would only be moved back and forth.
        return [place for place in believed if self.at(place, now) is not None] or believed

    def keep(self, candidate: Candidate, category: Category, summary: Summary, now: float) -> None:
        """A neighbour has given a sign of life."""
        assert candidate.member is not None
        candidate.answers_pings = True
        candidate.is_silent = False
        candidate.failures = 0
        candidate.hear(category, now)
        self._hear_summary(candidate, candidate.member, summary, now)

    def at(self, source: Address, now: float) -> Candidate | None:
        """The verified neighbour at this address."""
        candidate = self._candidates.get(source)
        return candidate if candidate is not None and candidate.is_verified(now) else None

    def count_votes(self, now: float) -> None:
        """Take changed votes when it is time: a flood of other votes must not bring as many counts."""
        if self.votes_at is None or now < self.votes_at:
            return
        self.votes_at = None
        self._votes_counted_at = now
        if self._own.count_votes(self._candidates.verified(now)):
            self._events.append(OwnAddress(self._own.voted))

    def review(self, now: float) -> None:
        """See whether the community has settled."""
        members = [each for each in self._candidates.verified(now) if not each.is_tracker]
        self._settling.review(members, self.summary, now)

    def drain(self) -> list[WalkEvent]:
        """What has been found and heard."""
        events, self._events = self._events, []
        return events

    def _hear_summary(
        self, candidate: Candidate, member: MemberId, summary: Summary | None, now: float
    ) -> None:
        if candidate.is_tracker:
            # There is nothing to compare with it, nor to ask of it.
            candidate.summary = None
            return
        candidate.summary = summary
        candidate.summary_at = now
        if summary is None or self.summary is None or not summary.same_set(self.summary):
            self._settling.differ(now)
        self._events.append(SummaryHeard(candidate.address, member, summary))
