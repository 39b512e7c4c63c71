"""What neighbours ask of one process, worked off in turn and within what each may cost.

Everything here holds whatever is asked: so many answers are in work at once, so many requests of each sort
are looked at in a second, and each neighbour is given what an honest one can need (allowance.py). To more
the answer is busy, or nothing. The owner calls receive() for each request, step() while there is work, with
the store as it is then, and sends what they return.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Protocol

from dispersy.constants import (
    ANSWER_BUDGET_MAX,
    ANSWERS_MAX,
    BUSY_PER_SECOND_MAX,
    KEYED_ANSWERED_IN_ALL_MAX,
    KEYED_ANSWERED_MAX,
    SYMBOLS_ANSWERED_IN_ALL_MAX,
    SYMBOLS_ANSWERED_MAX,
    SYMBOLS_SOURCES_MAX,
    TREES_ANSWERED_IN_ALL_MAX,
    TREES_ANSWERED_MAX,
    TREES_SOURCES_MAX,
)
from dispersy.protocol.address import Address
from dispersy.protocol.flow.per_second import PerSecond
from dispersy.protocol.holdings import ItemHoldings
from dispersy.protocol.hosts import host_of
from dispersy.protocol.large_messages.fragment_answer import FragmentAnswer
from dispersy.protocol.shares import Shares
from dispersy.protocol.sync.allowance import Allowance, FragmentsGiven
from dispersy.protocol.sync.answer import Answer, answer_audit
from dispersy.protocol.sync.answers_in_work import AnswersInWork
from dispersy.protocol.sync.served import Served
from dispersy.protocol.sync.symbols_answer import SymbolSets, answer_symbols
from dispersy.protocol.sync.tree_answer import answer_tree
from dispersy.protocol.wire.frames import (
    AuditRequest,
    Busy,
    FragmentRequest,
    SymbolsRequest,
    SyncRequest,
    TreeRequest,
    frame,
)
from dispersy.protocol.wire.numbers import FrameType
from dispersy.protocol.wire.summary import Summary
from dispersy.protocol.wire.sync_frames import RangeDescribed

BUSY_MS = 200
TURN_MS = 500
"""How long who has to wait for others that are given much is to wait, and meanwhile asks somebody else."""
FRAGMENTS_SERVED_MAX = 3
"""Neighbours that are given fragments at once; a fourth on a slow uplink has the others lose theirs."""
TREE_BUSY_MS = RANGE_BUSY_MS = 500
SPENT_MS = 30_000
"""How long who has had all that it may is to wait: then it may have a little."""
AUDITS_MAX = 16
"""Audits that wait, one an address: sixty bytes ask for a look at 100,000 ids."""
AUDIT_REST = 9.0
"""Times what an audit took, until the next: audits have a tenth of the time at most."""
LARGE_PER_ANSWER = 16
"""Large messages that are as dear to name as an answer without any."""

Request = SyncRequest | SymbolsRequest | TreeRequest | FragmentRequest | AuditRequest
Sent = tuple[int, Address, list[bytes]]
"""Community, to whom, and frames of one datagram each."""


class Asker(Protocol):
    """What the community itself is asking its neighbours meanwhile (puller.py)."""

    def described_to(self, source: Address) -> bytes | None:
        """The symbols that this neighbour was asked with and has not answered yet."""

    def pulls_from(self, source: Address) -> bool:
        """Whether this neighbour is giving us something."""

    def draw(self, source: Address, now: float) -> None:
        """This neighbour gets what it lacks by asking for it."""

    def share(self, source: Address, now: float) -> None:
        """This neighbour finds out what differs: it need not be asked."""


@dataclass(slots=True)
class AnsweredCommunity:
    """A community that answers are given of.

    number       of it on this node
    asker        its own asking side
    counts       by name (workers/counters.py)
    budget_max   datagrams of one answer, whatever was asked for; at_once_max: answers in work
    """

    number: int
    holdings: ItemHoldings
    asker: Asker
    counts: Counter[str]
    budget_max: int = ANSWER_BUDGET_MAX
    at_once_max: int = ANSWERS_MAX
    symbol_sets: SymbolSets = field(default_factory=SymbolSets)


class Answering:
    """One a process.

    counts   of the whole process: busy, and what is refused of each sort
    """

    def __init__(self, counts: Counter[str]) -> None:
        self._counts = counts
        self.allowance = Allowance()
        self._served = Served()
        # Apart: whoever waits with large messages gets its small ones.
        self._served_fragments = Served(most=FRAGMENTS_SERVED_MAX, little_max=0)
        self._answers = AnswersInWork.of_sync_requests()
        self._fragment_answers = AnswersInWork.of_fragment_requests()
        self._fragments = FragmentsGiven()
        self._symbols = Shares(
            in_all=SYMBOLS_ANSWERED_IN_ALL_MAX,
            per_address=SYMBOLS_ANSWERED_MAX,
            sources_max=SYMBOLS_SOURCES_MAX,
        )
        self._trees = Shares(
            in_all=TREES_ANSWERED_IN_ALL_MAX, per_address=TREES_ANSWERED_MAX, sources_max=TREES_SOURCES_MAX
        )
        self._ranges = Shares(
            in_all=KEYED_ANSWERED_IN_ALL_MAX, per_address=KEYED_ANSWERED_MAX, sources_max=SYMBOLS_SOURCES_MAX
        )
        self._busy: PerSecond[Address] = PerSecond(limit=BUSY_PER_SECOND_MAX, keys_max=SYMBOLS_SOURCES_MAX)
        self._audits: deque[tuple[AnsweredCommunity, Address, AuditRequest]] = deque()
        self._audits_from = 0.0

    def keep(self, communities: Collection[int]) -> None:
        """Others are not served any longer."""
        self._answers.keep(communities)
        self._fragment_answers.keep(communities)
        self.allowance.keep(communities)
        self._served.keep(communities)
        self._served_fragments.keep(communities)
        self._audits = deque(each for each in self._audits if each[0].number in communities)

    # -- requests --------------------------------------------------------------------------------------------

    def receive(
        self,
        community: AnsweredCommunity,
        source: Address,
        request: Request,
        summary: Summary | None,
        now: float,
    ) -> list[bytes]:
        """Take a request; what is to be sent at once, frames of one datagram each.

        summary   of our live set, as neighbours are told it
        raises    WireError, as Answer and answer_symbols()
        """
        match request:
            case SyncRequest():
                return self._receive_sync_request(community, source, request, summary, now)
            case SymbolsRequest():
                return self._receive_symbols_request(community, source, request, summary, now)
            case TreeRequest():
                return self._receive_tree_request(community, source, request, now)
            case FragmentRequest():
                return self._receive_fragment_request(community, source, request, now)
            case AuditRequest():
                self._receive_audit_request(community, source, request, now)
        return []

    def _receive_sync_request(
        self,
        community: AnsweredCommunity,
        source: Address,
        request: SyncRequest,
        summary: Summary | None,
        now: float,
    ) -> list[bytes]:
        if not self._answers.admits(community.number, source, of_community_max=community.at_once_max):
            return self._refuse(community, source, request.number, BUSY_MS, now)
        if not self._serves(community, source, now):
            return self._refuse(community, source, request.number, TURN_MS, now)
        left = self.allowance.datagrams(community.number, source, community.holdings, now)
        if not left:
            return self._refuse(community, source, request.number, SPENT_MS, now)
        answer = Answer(request, community.holdings, summary, budget_max=min(left, community.budget_max))
        self._answers.add(community.number, source, answer)
        community.asker.draw(source, now)
        community.counts["answers"] += 1
        return []

    def _receive_fragment_request(
        self, community: AnsweredCommunity, source: Address, request: FragmentRequest, now: float
    ) -> list[bytes]:
        if not self._fragment_answers.admits(community.number, source):
            return self._refuse(community, source, request.number, BUSY_MS, now)
        # By host: nothing is given to everybody here, and one with all its ports must not have all turns.
        waits_as = host_of(source) or source
        if not self._served_fragments.admits(community.number, waits_as, now):
            return self._refuse(community, source, request.number, TURN_MS, now)
        if not self._fragments.admits(community.number, source, request, now):
            self._served_fragments.end(community.number, waits_as)
            return self._refuse(community, source, request.number, SPENT_MS, now)
        answer = FragmentAnswer(request, community.holdings)
        self._fragment_answers.add(community.number, source, answer)
        return []

    def _receive_symbols_request(
        self,
        community: AnsweredCommunity,
        source: Address,
        request: SymbolsRequest,
        summary: Summary | None,
        now: float,
    ) -> list[bytes]:
        """A description costs some hundred microseconds, and up to 146 look-ups, each a seek in every run of
        the index, some ten milliseconds; a range under a key of its own a look at up to 8,192 ids. So few are
        answered in a second, and the others not at all, but that of ranges more are asked for at once."""
        is_range = isinstance(request.asked, RangeDescribed)
        limit = self._ranges if is_range else self._symbols
        left = 0
        if not self._serves(community, source, now):
            return self._refuse(community, source, request.number, TURN_MS, now)
        if limit.admit(source, now):
            left = self.allowance.datagrams(community.number, source, community.holdings, now)
        if not left:
            self._counts["symbols-refused"] += 1
            return [frame(FrameType.BUSY, Busy(request.number, RANGE_BUSY_MS).encode())] if is_range else []
        answered = answer_symbols(
            request,
            community.holdings,
            community.symbol_sets,
            summary,
            budget_max=min(left, community.budget_max),
            described=community.asker.described_to(source),
        )
        limit.charge(source, answered.large // LARGE_PER_ANSWER)
        size = sum(map(len, answered.frames))
        self._served.charge(community.number, source, size)
        self.allowance.charge(community.number, source, size=size, examined=answered.examined)
        if answered.is_shared:
            community.asker.share(source, now)
        community.counts["symbols-answers"] += 1
        return answered.frames

    def _serves(self, community: AnsweredCommunity, source: Address, now: float) -> bool:
        """Whether it has a turn, or needs none."""
        return community.asker.pulls_from(source) or self._served.admits(community.number, source, now)

    def _receive_tree_request(
        self, community: AnsweredCommunity, source: Address, request: TreeRequest, now: float
    ) -> list[bytes]:
        """Trees cost up to a thousand look-ups, some milliseconds."""
        if not self._trees.admit(source, now) or not self.allowance.admits(
            community.number, source, community.holdings, now
        ):
            self._counts["trees-refused"] += 1
            return [frame(FrameType.BUSY, Busy(request.number, TREE_BUSY_MS).encode())]
        frames = answer_tree(request, community.holdings)
        self.allowance.charge(community.number, source, size=sum(map(len, frames)))
        community.counts["tree-answers"] += 1
        return frames

    def _receive_audit_request(
        self, community: AnsweredCommunity, source: Address, request: AuditRequest, now: float
    ) -> None:
        """Audits wait for their turn, one of each address."""
        if (
            len(self._audits) >= AUDITS_MAX
            or any(source == asker for _, asker, _ in self._audits)
            or not self.allowance.admits(community.number, source, community.holdings, now)
        ):
            self._counts["audit-refused"] += 1
            return
        self._audits.append((community, source, request))

    def _refuse(
        self, community: AnsweredCommunity, source: Address, number: int, wait_ms: int, now: float
    ) -> list[bytes]:
        """There is too much to do, or it has had enough: it shall ask again later."""
        self._counts["busy"] += 1
        community.counts["busy"] += 1
        # Who goes on all the same is not told so each time.
        if not self._busy.admit(source, now, count=BUSY_PER_SECOND_MAX if wait_ms == SPENT_MS else 1):
            return []
        return [frame(FrameType.BUSY, Busy(number, wait_ms).encode())]

    # -- work ------------------------------------------------------------------------------------------------

    def __bool__(self) -> bool:
        """Whether step_answer() or step_fragments() have something to do."""
        return bool(self._answers or self._fragment_answers)

    def step_answer(self) -> Sent | None:
        """A few datagrams of the oldest answer."""
        if not self._answers:
            return None
        number, source, sent, examined = self._answers.step()
        size = sum(map(len, sent))
        self._served.charge(number, source, size)
        self.allowance.charge(number, source, size=size, examined=examined)
        return number, source, sent

    def step_fragments(self) -> Sent | None:
        """The same of what is asked for in fragments."""
        if not self._fragment_answers:
            return None
        number, source, sent, _ = self._fragment_answers.step()
        return number, source, sent

    def next_audit(self) -> float | None:
        """When step_audit() may have something to do."""
        return self._audits_from if self._audits else None

    def step_audit(self, now: float) -> Sent | None:
        """Answer the next audit, if it is time; rest() follows."""
        if not self._audits or now < self._audits_from:
            return None
        community, source, request = self._audits.popleft()
        audit = answer_audit(request, community.holdings)
        self.allowance.charge(community.number, source, examined=audit.count)
        return community.number, source, [frame(FrameType.AUDIT, audit.encode())]

    def rest(self, now: float, took_s: float) -> None:
        """The audit took so long: the next one waits many times that."""
        self._audits_from = now + AUDIT_REST * took_s
