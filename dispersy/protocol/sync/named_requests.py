"""Asking neighbours for things by name: messages, proofs, and the gaps of what is delivered in sequence.

However many wait for a thing, one request for it is out at a time. It goes to one neighbour, of those that
sent what the thing is about where that is known; on silence, and where its answer did not help, the next is
asked. When all have been, all are asked again after a while, and at last only those that are met anew. What
needs a thing says when it has come, by no longer wanting it: nothing that a neighbour claims ends a request
but the answer that was asked for, of the neighbour that was asked, once.

What strangers make us want costs our neighbours little: so many requests a second to each and in all, and
so many datagrams that may be on their way to us.
"""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from random import Random

from dispersy.constants import (
    BACK_OFF_MAX_S,
    NAMED_BUDGET_MAX,
    NAMED_EMPTY_SETTLE_S,
    NAMED_IDS_MAX,
    NAMED_OUT_MAX,
    NAMED_PER_NEIGHBOUR_MAX,
    NAMED_PER_SECOND_MAX,
    NAMED_ROUNDS_MAX,
    NAMED_SETTLE_S,
    REQUEST_TIMEOUT_START_S,
)
from dispersy.protocol.address import Address
from dispersy.protocol.flow.per_second import PerSecond
from dispersy.protocol.hosts import bucket_of, leaves_for
from dispersy.protocol.identifiers import MemberId, MessageId
from dispersy.protocol.ranges import Range, merged, without
from dispersy.protocol.wants import Wants
from dispersy.protocol.ways import Way, number_for
from dispersy.protocol.wire.frames import (
    MissingLast,
    MissingMessages,
    MissingProof,
    MissingSequences,
    RequestMissing,
    Wanted,
)
from dispersy.protocol.wire.missing import decode_wanted, encode_wanted


@dataclass(frozen=True, slots=True)
class _Message:
    message_id: bytes


@dataclass(frozen=True, slots=True)
class _Proof:
    message_id: bytes


@dataclass(frozen=True, slots=True)
class _Gap:
    lane: bytes
    kind: int
    low: int
    high: int


@dataclass(frozen=True, slots=True)
class _Fetch:
    """What an application waits for."""

    wanted: Wanted


_Name = _Message | _Proof | _Gap | MissingLast | _Fetch


class _Thing:
    """What is wanted, and who has been asked for it in this round.

    due_at    when to ask again; None: not before a neighbour is met, or while a request is out
    """

    __slots__ = ("asked", "due_at", "rounds")

    def __init__(self, now: float) -> None:
        self.asked: set[Address] = set()
        self.rounds = 0
        self.due_at: float | None = now


@dataclass(frozen=True, slots=True)
class _Question:
    """What one request asks for.

    names    of the things that it is about
    gap      the part of a gap that it asks for, where it asks for one
    """

    wanted: Wanted
    names: tuple[_Name, ...]
    gap: _Gap | None = None

    @property
    def budget(self) -> int:
        """Datagrams that the answer may take; a message fits one."""
        return min(NAMED_BUDGET_MAX, len(self.names)) if self.is_messages else NAMED_BUDGET_MAX

    @property
    def is_messages(self) -> bool:
        return isinstance(self.wanted, MissingMessages)


@dataclass(frozen=True, slots=True)
class _Request:
    """A question that is out until `due_at`: unanswered, or while what came is on its way to the store."""

    source: Address
    question: _Question
    due_at: float
    is_answered: bool = False
    has_brought: bool = False


class NamedRequests:
    """One a community.

    source_key    of the buckets in Wants.offered_by
    counts        named-requests, named-timeouts, named-given-up: since the start
    """

    def __init__(self, *, rng: Random, source_key: bytes) -> None:
        self.counts: Counter[str] = Counter()
        self._rng = rng
        self._source_key = source_key
        self._things: dict[_Name, _Thing] = {}
        self._offered_by: dict[bytes, int] = {}
        self._out: dict[int, _Request] = {}
        self._exhausted: dict[bytes, int] = {}
        # Each neighbour's bucket, those heard longest ago first.
        self._neighbours: OrderedDict[Address, int] = OrderedDict()
        self._per_neighbour: PerSecond[Address] = PerSecond(
            limit=NAMED_PER_NEIGHBOUR_MAX, keys_max=NAMED_PER_SECOND_MAX
        )
        self._in_all: PerSecond[None] = PerSecond(limit=NAMED_PER_SECOND_MAX, keys_max=1)

    def set_wants(self, wants: Wants, now: float, *, last: Iterable[MissingLast] = ()) -> None:
        """All that is wanted from now on; what is out and no longer wanted is not asked for again."""
        names = dict.fromkeys([*_names(wants), *last])
        self._offered_by = wants.offered_by
        self._exhausted = {each: count for each, count in self._exhausted.items() if each in wants.fetches}
        self._things = {name: self._things.get(name) or _Thing(now) for name in names}

    def hear(self, source: Address, now: float) -> None:
        """A neighbour has been met, or met again."""
        if source in self._neighbours:
            self._neighbours.move_to_end(source)
            return
        leaving = leaves_for(source, self._neighbours)
        if leaving is not None:
            del self._neighbours[leaving]
        self._neighbours[source] = bucket_of(source, key=self._source_key)
        for thing in self._things.values():
            if thing.due_at is None and source not in thing.asked:
                thing.due_at = now

    def drain_exhausted(self) -> list[tuple[bytes, int]]:
        """(what an application waits for, neighbours that were asked) where all have answered, or not in
        time, and what they gave has had the time to be stored."""
        exhausted, self._exhausted = list(self._exhausted.items()), {}
        return exhausted

    def receive_messages(self, source: Address, number: int) -> bool:
        """Messages of an answer have come; whether a request of this number is under way there."""
        request = self._out.get(number)
        if request is None or request.source != source:
            return False
        self._out[number] = replace(request, has_brought=True)
        return True

    def receive_answer(self, source: Address, number: int, now: float) -> bool:
        """The last datagram of an answer has come; False for one that is not waited for (any longer)."""
        request = self._out.get(number)
        if request is None or request.source != source or request.is_answered:
            return False
        # Who waits for a message is not kept waiting for the store by answers without one.
        is_fetch = all(isinstance(name, _Fetch) for name in request.question.names)
        settles = NAMED_EMPTY_SETTLE_S if is_fetch and not request.has_brought else NAMED_SETTLE_S
        self._out[number] = replace(request, due_at=now + settles, is_answered=True)
        return True

    def step(self, now: float) -> list[tuple[Address, RequestMissing]]:
        """What to send now."""
        for number, request in list(self._out.items()):
            if now >= request.due_at:
                del self._out[number]
                self.counts["named-timeouts"] += not request.is_answered
                self._make_due(request, now)
        sent: list[tuple[Address, RequestMissing]] = []
        for source, names in self._due(now).items():
            for question in self._questions(names):
                made = self._ask(source, question, now)
                if made is not None:
                    sent.append((source, made))
        return sent

    def next_deadline(self) -> float | None:
        moments = [request.due_at for request in self._out.values()]
        moments += [each.due_at for each in self._things.values() if each.due_at is not None]
        return min(moments, default=None)

    def _due(self, now: float) -> dict[Address, list[_Name]]:
        """Whom to ask for what now: things of one neighbour together, so that they share requests."""
        groups: dict[Address, list[_Name]] = {}
        out = {name for request in self._out.values() for name in request.question.names}
        for name, thing in self._things.items():
            if thing.due_at is None or thing.due_at > now:
                continue
            if not self._parts(name) if isinstance(name, _Gap) else name in out:
                thing.due_at = None
                continue
            source = self._choose(name, thing, now)
            if source is not None:
                groups.setdefault(source, []).append(name)
        return groups

    def _questions(self, names: Iterable[_Name]) -> Iterator[_Question]:
        """What to ask one neighbour to get these: ids together, gaps and others one by one."""
        messages: list[_Name] = []
        proofs: list[_Name] = []
        for name in names:
            match name:
                case _Message():
                    messages.append(name)
                case _Proof():
                    proofs.append(name)
                case _Gap(lane, kind):
                    for low, high in self._parts(name):
                        part = _Gap(lane, kind, low, high)
                        yield _Question(MissingSequences(MemberId(lane), kind, low, high), (name,), part)
                case MissingLast():
                    yield _Question(name, (name,))
                case _Fetch(wanted):
                    yield _Question(wanted, (name,))
        for first in range(0, len(messages), NAMED_IDS_MAX):
            some = tuple(messages[first : first + NAMED_IDS_MAX])
            yield _Question(MissingMessages(_ids(some)), some)
        for first in range(0, len(proofs), NAMED_IDS_MAX):
            some = tuple(proofs[first : first + NAMED_IDS_MAX])
            yield _Question(MissingProof(_ids(some)), some)

    def _choose(self, name: _Name, thing: _Thing, now: float) -> Address | None:
        """A neighbour that was not asked for it in this round, where there is one."""
        free = [source for source in self._neighbours if source not in thing.asked]
        if not free:
            thing.due_at = None
            if not self._neighbours:
                return None
            if isinstance(name, _Fetch):
                self._exhausted[encode_wanted(name.wanted)] = len(thing.asked)
            thing.rounds += 1
            if thing.rounds < NAMED_ROUNDS_MAX:
                thing.asked.clear()
                thing.due_at = now + min(BACK_OFF_MAX_S, REQUEST_TIMEOUT_START_S * 2.0**thing.rounds)
            elif thing.rounds == NAMED_ROUNDS_MAX:
                self.counts["named-given-up"] += 1
            # Neighbours that have left were asked, too: what is remembered of them must not grow.
            thing.asked &= self._neighbours.keys()
            return None
        offered = self._offered_by.get(name.message_id) if isinstance(name, _Proof) else None
        knowing = [source for source in free if self._neighbours[source] == offered]
        return self._rng.choice(knowing or free)

    def _ask(self, source: Address, question: _Question, now: float) -> RequestMissing | None:
        """One more request, unless there are too many; then its things are due in the next second."""
        unanswered = (request for request in self._out.values() if not request.is_answered)
        on_the_way = sum(request.question.budget for request in unanswered)
        if (
            on_the_way + question.budget > NAMED_OUT_MAX
            or not self._per_neighbour.admit(source, now)
            or not self._in_all.admit(None, now)
        ):
            for name in question.names:
                self._things[name].due_at = float(int(now) + 1)
            return None
        number = number_for(Way.NAME, self._rng, self._out)
        self._out[number] = _Request(source, question, now + REQUEST_TIMEOUT_START_S)
        self.counts["named-requests"] += 1
        for name in question.names:
            thing = self._things[name]
            thing.asked.add(source)
            thing.due_at = None
        return RequestMissing(number, question.budget, question.wanted)

    def _make_due(self, request: _Request, now: float) -> None:
        gap = request.question.gap
        for name, thing in self._things.items():
            # What is left of a gap has other bounds, and has waited for the answer as well.
            is_rest = (
                gap is not None and isinstance(name, _Gap) and (name.lane, name.kind) == (gap.lane, gap.kind)
            )
            if is_rest or name in request.question.names:
                thing.due_at = now

    def _parts(self, gap: _Gap) -> list[Range]:
        """What of a gap nobody has been asked for and not answered yet."""
        out = (request.question.gap for request in self._out.values())
        taken = [
            (each.low, each.high) for each in out if each and (each.lane, each.kind) == (gap.lane, gap.kind)
        ]
        return without((gap.low, gap.high), taken)


def _names(wants: Wants) -> Iterator[_Name]:
    for message_id in wants.messages:
        yield _Message(message_id)
    for message_id in wants.proofs:
        yield _Proof(message_id)
    for fetch in wants.fetches:
        yield _Fetch(decode_wanted(fetch))
    lanes: dict[tuple[bytes, int], list[Range]] = {}
    for lane, kind, low, high in wants.ranges:
        lanes.setdefault((lane, kind), []).append((low, high))
    for (lane, kind), ranges in lanes.items():
        for low, high in merged(ranges):
            yield _Gap(lane, kind, low, high)


def _ids(names: Iterable[_Name]) -> tuple[MessageId, ...]:
    return tuple(MessageId(name.message_id) for name in names if isinstance(name, _Message | _Proof))
