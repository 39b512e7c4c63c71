"""Goal: in whatever order control messages come and go, the timeline's answers are those of what is held."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from random import Random
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from dispersy.protocol.identifiers import MemberId, MessageId
from dispersy.protocol.permissions.control_messages import (
    Authorize,
    AuthorRanges,
    Body,
    ControlMessage,
    Destroy,
    Grant,
    PairCut,
    PairRanges,
    Permission,
    Ranges,
    Revoke,
    Settings,
    Undo,
    Withdrawal,
    control_kind,
)
from dispersy.protocol.permissions.timeline import Timeline
from dispersy.protocol.permissions.undoing import UndoneState
from dispersy.protocol.wire.message import NO_PREVIOUS
from dispersy.protocol.wire.numbers import ControlKind
from dispersy.protocol.wire.records import MESSAGE
from tests.oracle.state import DataMessage, DefinitionMessage, KindRules, Marks
from tests.oracle.timeline import Oracle

MEMBERS = [MemberId(bytes([number]) * 32) for number in range(6)]
MASTER = MEMBERS[0]
KINDS = (64, 65)
TIMES = 14
SEQUENCES = 4
Lane = tuple[MemberId, ...]
DEFINITION = DefinitionMessage(
    MessageId(bytes(32)),
    global_time=0,
    kinds=((64, KindRules("dynamic", "public")), (65, KindRules("dynamic", "linear"))),
)
"""What timeline_of() says of the kinds."""


@dataclass(frozen=True, slots=True)
class Data:
    """A data message, as far as the timeline hears of one."""

    id: MessageId
    authors: Lane
    kind: int
    global_time: int


class History:
    """A random set of control messages of a small community, dense enough that they touch one another.

    live  of data messages that undos name: whether they are just now

    Members grant and revoke whether they may or not; chains fork, break off and name foreign messages; global
    times are few, so that many are equal.
    """

    def __init__(self, rng: Random, *, count: int, destroys: bool) -> None:
        self.rng = rng
        self.messages: list[ControlMessage] = []
        self.data = [Data(self.id(), self.lane(), rng.choice(KINDS), rng.randint(1, TIMES)) for _ in range(4)]
        self.live = dict.fromkeys((data.id for data in self.data), True)
        for _ in range(count):
            self.messages.append(self.message(self.body(destroys)))

    def id(self) -> MessageId:
        return MessageId(self.rng.randbytes(32))

    def lane(self) -> Lane:
        return tuple(self.rng.sample(MEMBERS, self.rng.choice((1, 1, 2))))

    def ranges(self) -> Ranges:
        low = self.rng.randint(1, SEQUENCES)
        return ((low, self.rng.randint(low, SEQUENCES)),)

    def permissions(self) -> Permission:
        if self.rng.random() < 0.3:
            return Permission(31)
        return Permission(self.rng.randint(1, 31))

    def some(self, part: float = 0.5) -> bool:
        return self.rng.random() < part

    def author(self) -> MemberId:
        return MASTER if self.some(0.3) else self.rng.choice(MEMBERS)

    def message(self, body: Body) -> ControlMessage:
        author = self.author()
        own = [each for each in self.messages if each.author == author]
        previous = NO_PREVIOUS
        if own and self.some(0.9):
            previous = (own[-1] if self.some(0.7) else self.rng.choice(own)).id
        elif self.messages and self.some():
            previous = self.rng.choice(self.messages).id
        elif self.some(0.2):
            previous = self.id()
        time = self.rng.randint(1, TIMES)
        if own and self.some(0.7):
            time = min(max(own[-1].global_time, time) + self.rng.randint(0, 2), TIMES)
        return ControlMessage(self.id(), author, control_kind(body), time, previous, body)

    def body(self, destroys: bool) -> Body:
        choice = self.rng.random()
        powers = sorted(
            {(self.rng.choice(MEMBERS), self.rng.choice(KINDS)) for _ in range(self.rng.randint(1, 3))}
        )
        if choice < 0.45:
            return Authorize(tuple(Grant(member, kind, self.permissions()) for member, kind in powers))
        if choice < 0.75:
            return Revoke(tuple(self.withdrawal(member, kind) for member, kind in powers))
        if choice < 0.87:
            target = self.rng.choice(self.data)
            index = self.rng.choice((None, None, 0, 1))
            return Undo(target.id, target.kind, target.global_time - self.some(0.1), index)
        if choice < 0.97 or not destroys:
            return self.settings()
        return Destroy(is_hard=self.some(0.2))

    def withdrawal(self, member: MemberId, kind: int) -> Withdrawal:
        permissions = self.permissions()
        own = [each.id for each in self.messages if each.author == member] + [self.id()]
        heads = set(self.rng.sample(own, self.rng.randint(0, min(2, len(own)))))
        if self.messages and self.some(0.1):
            heads.add(self.rng.choice(self.messages).id)
        if not permissions & Permission.PERMIT:
            return Withdrawal(member, kind, permissions, tuple(sorted(heads)))
        ranges = self.ranges() if self.some() else ()
        pairs = (PairRanges(self.rng.choice(MEMBERS), self.rng.randint(0, 1), self.ranges()),)
        return Withdrawal(
            member, kind, permissions, tuple(sorted(heads)), ranges, pairs if self.some() else ()
        )

    def settings(self) -> Settings:
        kind = self.rng.choice(KINDS)
        if self.some(0.3):
            return Settings(kind, is_linear=False)
        authors = sorted(self.rng.sample(MEMBERS, self.rng.randint(0, 3)))
        cut = tuple(AuthorRanges(member[:16], self.ranges()) for member in authors)
        first, second = self.rng.sample(MEMBERS, 2)
        pair_cut = (PairCut(first[:16], second[:16], self.ranges()),) if self.some() else ()
        earlier = [each.id for each in self.messages if isinstance(each.body, Settings)]
        continues = self.rng.choice(earlier) if earlier and self.some(0.4) else None
        return Settings(kind, True, cut, pair_cut, continues)


def timeline_of(history: History) -> Timeline:
    """With nothing held yet."""
    timeline = Timeline(MASTER)
    timeline.set_resolution(64, ("dynamic", "public"))
    timeline.set_resolution(65, ("dynamic", "linear"))
    for data in history.data:
        tell_target(timeline, history, data)
    return timeline


def tell_target(timeline: Timeline, history: History, data: Data) -> None:
    authors = data.authors if history.live[data.id] else None
    timeline.set_target(data.id, authors, data.kind, data.global_time)


def questions() -> Iterator[tuple[Lane, int, int, int]]:
    """Lane, kind, global time and sequence of data messages of all sorts."""
    lanes: list[Lane] = [(member,) for member in MEMBERS]
    lanes += [(first, second) for first in MEMBERS for second in MEMBERS[:3]]
    for lane in lanes:
        for kind in (*KINDS, 66):
            for time in range(1, TIMES + 2, 3):
                for sequence in range(1, SEQUENCES + 2):
                    yield lane, kind, time, sequence


def answers(timeline: Timeline, history: History) -> dict[str, Any]:
    """All that there is to ask, by name."""
    return {
        "live": {each.id for each in history.messages if timeline.is_live(each.id)},
        "counts": {each.id for each in history.messages if timeline.counts(each.id)},
        "powers": [
            (member, kind, power, [cut.at for cut in cuts]) for member, kind, power, cuts in timeline.powers()
        ],
        "permitted": {asked for asked in questions() if timeline.is_permitted(*asked)},
        "undone": [timeline.undone(data.id) for data in history.data],
        "missing": timeline.missing(),
        "ends": (timeline.soft_destroyed_at, timeline.hard_destroyed),
    }


def check_fast_path(timeline: Timeline) -> Counter[int]:
    """What the kernel says of messages is what the timeline says; returns how often it says what."""
    asked = [
        (lane, kind, time, sequence)
        for lane in [(member,) for member in MEMBERS] + [(MEMBERS[1], MEMBERS[2])]
        for kind in (*KINDS, 66)
        for time in range(1, TIMES + 2)
        for sequence in range(1, SEQUENCES + 2)
    ]
    records, arena = b"", b""
    for lane, kind, time, sequence in asked:
        message = bytes((kind, len(lane) - 1)) + b"".join(lane)
        fields = (len(arena), len(message), time, sequence, 0, kind, len(lane) - 1)
        records += MESSAGE.pack(*fields, 1, len(lane), 0, 0, bytes(32), bytes(32))
        arena += message
    verdicts = timeline.permits.judge(records, arena)
    for verdict, message_asked in zip(verdicts, asked, strict=True):
        assert verdict == 2 or verdict == timeline.is_permitted(*message_asked), message_asked
    assert timeline.spans.judge_many(records, arena, timeline.permits.modes) == verdicts
    return Counter(verdicts)


def at_once(history: History, held: list[ControlMessage]) -> dict[str, Any]:
    timeline = timeline_of(history)
    for message in held:
        timeline.add(message)
    timeline.settle()
    return answers(timeline, history)


@settings(deadline=None, max_examples=150)
@given(st.integers(0, 1 << 64), st.integers(1, 40), st.booleans())
def test_order_and_detours_change_nothing(seed: int, count: int, destroys: bool) -> None:
    """Added one by one or many at once, some taken back and given again: the answers are those of the set."""
    rng = Random(seed)
    history = History(rng, count=count, destroys=destroys)
    timeline = timeline_of(history)
    held: dict[MessageId, ControlMessage] = {}
    for message in rng.sample(history.messages, count):
        timeline.add(message)
        held[message.id] = message
        if rng.random() < 0.2:
            gone = rng.choice(list(held))
            timeline.discard(gone)
            del held[gone]
        if rng.random() < 0.5:
            timeline.settle()
        if rng.random() < 0.2:
            data = rng.choice(history.data)
            history.live[data.id] = not history.live[data.id]
            tell_target(timeline, history, data)
    timeline.settle()
    assert answers(timeline, history) == at_once(history, list(held.values()))
    check_fast_path(timeline)


@settings(deadline=None, max_examples=150)
@given(st.integers(0, 1 << 64), st.integers(1, 40), st.booleans())
def test_only_what_is_live_matters(seed: int, count: int, destroys: bool) -> None:
    history = History(Random(seed), count=count, destroys=destroys)
    timeline = timeline_of(history)
    for message in history.messages:
        timeline.add(message)
    timeline.settle()
    live = [each for each in history.messages if timeline.is_live(each.id)]
    without = at_once(history, live)
    # What a live message names wrongly is not live itself: without it one would ask for it, in vain.
    without["missing"] = frozenset(without["missing"]).difference(each.id for each in history.messages)
    assert answers(timeline, history) == without


@settings(deadline=None, max_examples=200)
@given(st.integers(0, 1 << 64), st.integers(1, 40), st.booleans())
def test_the_rules_as_they_are_written_say_the_same(seed: int, count: int, destroys: bool) -> None:
    """Beside the oracle, which decides everything from nothing."""
    rng = Random(seed)
    history = History(rng, count=count, destroys=destroys)
    data = [
        DataMessage(each.id, each.authors, each.kind, each.global_time, sequence)
        for sequence, each in enumerate(history.data, 1)
    ]
    oracle = Oracle(MASTER, [DEFINITION, *history.messages, *data])
    state = oracle.decide()
    history.live = {each.id: each.id in state.live for each in data}
    timeline = timeline_of(history)
    for message in rng.sample(history.messages, count):
        timeline.add(message)
        if rng.random() < 0.3:
            timeline.settle()
    timeline.settle()
    said = answers(timeline, history)
    assert said["live"] == state.live.difference(each.id for each in (DEFINITION, *data))
    assert said["counts"] == state.counting
    assert {
        (member, kind, power.permission, tuple(power.since), power.depth)
        for member, kind, power, _ in said["powers"]
    } == {(each.member, each.kind, each.permission, each.since, each.depth) for each in state.powers}
    for each, undone in zip(data, said["undone"], strict=True):
        marks = state.marks.get(each.id, Marks())
        expected = UndoneState(marks.undone, marks.indices, marks.erased)
        assert (undone or UndoneState(False, frozenset(), False)) == expected
    assert said["permitted"] == permitted_by(oracle, timeline.soft_destroyed_at)


def permitted_by(oracle: Oracle, end: int | None) -> set[tuple[Lane, int, int, int]]:
    """What the oracle says of the messages that answers() asks about."""
    if oracle.hard is not None:
        return set()
    narrowed = oracle.counting_settings()
    return {
        asked
        for asked in questions()
        if (end is None or asked[2] <= end)
        and oracle.is_permitted(DataMessage(MessageId(b"asked" * 6), *asked), narrowed)
    }


def test_the_fast_path_decides_all_that_is_plain() -> None:
    """Members with uncut grants, strangers, the master: none of them takes a closer look in linear kinds."""
    timeline = Timeline(MASTER)
    timeline.set_resolution(64, "linear")
    timeline.set_resolution(65, "public")
    grants = tuple(Grant(member, 64, Permission.PERMIT) for member in MEMBERS[1:4])
    timeline.add(
        ControlMessage(MessageId(b"g" * 32), MASTER, ControlKind.AUTHORIZE, 5, NO_PREVIOUS, Authorize(grants))
    )
    timeline.settle()
    assert set(check_fast_path(timeline)) == {0, 1, 2}
    assert check_fast_path(timeline)[2] == (TIMES + 1) * (SEQUENCES + 1) * (len(MEMBERS) + 1 + 1)
