"""The timeline beside its oracle: what each node of a history learns and forgets, in the same order."""

from __future__ import annotations

import random
from collections.abc import Iterable

import pytest

from dispersy.protocol.identifiers import MessageId
from dispersy.protocol.permissions.control_messages import ControlMessage
from dispersy.protocol.permissions.policy_history import Resolution
from dispersy.protocol.permissions.timeline import Timeline
from tests.oracle.decisions import Decisions
from tests.oracle.faulty_product import TIMELINE_FAULTS
from tests.oracle.histories import History
from tests.oracle.node import Node
from tests.oracle.state import DataMessage, Message
from tests.oracle.timeline import Oracle
from tests.oracle.writing import Pen

HISTORIES = 100
FAULT_WITHIN = 400


class Followed(Node):
    """A node of the oracle's that does everything to a timeline too, and compares."""

    def __init__(self, pen: Pen, decisions: Decisions) -> None:
        super().__init__(pen, decisions)
        self.timeline = Timeline(pen.master)
        self._kinds: set[int] = set()
        self._targets: dict[MessageId, DataMessage] = {}

    def receive(self, messages: Iterable[Message], source: Node | None = None) -> bool:
        fresh = [message for message in messages if message.id not in self.held]
        changed = super().receive(fresh, source)
        for message in fresh:
            if isinstance(message, ControlMessage):
                self.timeline.add(message)
        self.compare()
        return changed

    def forget(self, rng: random.Random, share: float) -> None:
        before = dict(self.held)
        super().forget(rng, share)
        for message_id, message in before.items():
            if message_id not in self.held and isinstance(message, ControlMessage):
                self.timeline.discard(message.id)
        self.compare()

    def compare(self) -> None:
        timeline, state = self.timeline, self.state()
        oracle = Oracle(self.pen.master, self.held.values(), self.time)
        for kind in self._kinds | set(oracle.resolutions):
            timeline.set_resolution(kind, _resolution(oracle, kind))
            timeline.set_on_request(kind, kind in oracle.on_request)
        self._kinds = set(oracle.resolutions)
        timeline.settle()
        live = {message.id: message for message in self.held.values() if message.id in state.marks}
        live = {each: message for each, message in live.items() if isinstance(message, DataMessage)}
        for target in self._targets.keys() - live.keys():
            timeline.set_target(target, None, 0, 0)
        for each, message in live.items():
            timeline.set_target(each, message.authors, message.kind, message.global_time)
        self._targets = live
        timeline.settle()
        assert {each for each in self.held if timeline.is_live(each)} == state.live & _control(self.held)
        assert {each for each in self.held if timeline.counts(each)} == set(state.counting)
        assert _powers(timeline) == {
            (each.member, each.kind, each.permission, each.since, each.depth) for each in state.powers
        }
        decided = Oracle(self.pen.master, self.held.values(), self.time)
        if decided.hard is not None:
            assert timeline.hard_destroyed == decided.hard.id
            return
        decided.decide()
        settings = decided.counting_settings()
        for message in decided.data:
            frozen = decided.frozen_from(message.kind)
            if frozen is None or message.global_time <= frozen:
                where = message.authors, message.kind, message.global_time, message.sequence
                # What is in it is none of the timeline's business.
                assert timeline.is_permitted(*where) == decided.may_be_said(message, settings)
        for each, marks in state.marks.items():
            undone = timeline.undone(each)
            seen = (undone.whole, undone.indices, undone.by_author) if undone else (False, frozenset(), False)
            assert seen == (marks.undone, marks.indices, marks.erased)


def _resolution(oracle: Oracle, kind: int) -> Resolution | None:
    if kind not in oracle.resolutions:
        return None
    resolution, initial = oracle.resolutions[kind]
    return ("dynamic", initial) if resolution == "dynamic" else resolution


def _control(held: dict[MessageId, Message]) -> set[MessageId]:
    return {each for each, message in held.items() if isinstance(message, ControlMessage)}


def _powers(timeline: Timeline) -> set[tuple[object, ...]]:
    return {
        (member, kind, power.permission, tuple(power.since), power.depth)
        for member, kind, power, _ in timeline.powers()
    }


def follow(seeds: Iterable[int]) -> None:
    """Run histories, comparing at every step."""
    for seed in seeds:
        history = History(seed, node=Followed)
        for _ in range(2):
            history.run()
            history.settle()


@pytest.mark.parametrize("start", range(0, HISTORIES, 50))
def test_the_timeline_decides_as_the_rules_do(start: int) -> None:
    """Goal: whatever a node learns and forgets, in whatever order, the timeline says what the rules say."""
    follow(range(start, start + 50))


@pytest.mark.parametrize("fault", TIMELINE_FAULTS)
def test_a_fault_in_the_timeline_is_found(fault: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Goal: the comparison bites; each of these faults goes red within a few hundred histories."""
    for owner, name, wrong in TIMELINE_FAULTS[fault]:
        monkeypatch.setattr(owner, name, wrong)
    with pytest.raises(AssertionError):
        follow(range(FAULT_WITHIN))
