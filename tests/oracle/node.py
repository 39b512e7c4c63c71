"""A node of a history: what it holds, and what the rules make of it."""

from __future__ import annotations

import random
from collections.abc import Iterable
from dataclasses import replace

from dispersy.protocol.identifiers import MessageId
from tests.oracle.decisions import Decisions
from tests.oracle.passing import Passed
from tests.oracle.state import DataMessage, Message, State
from tests.oracle.writing import Pen


class Node:
    """What one node holds, and what the rules make of it.

    passed  what it has taken of what nobody keeps
    """

    def __init__(self, pen: Pen, decisions: Decisions) -> None:
        self.pen = pen
        self.decisions = decisions
        self._state: State | None = None
        self.held: dict[MessageId, Message] = {}
        self.time = 0
        """How far pruning has come; it never falls."""
        # All of them have one key, so that what is meant for it is taken by several.
        self.passed = Passed(pen.master)

    def close(self) -> None:
        """The history is over."""

    def receive(self, messages: Iterable[Message], _: Node | None = None) -> bool:
        """Whether any was new; what another node gives comes in the form that it has it in."""
        before = len(self.held)
        messages = list(messages)
        passing = self.passing(messages)
        self.held.update((message.id, message) for message in messages if message not in passing)
        if passing:
            self.passed.take(passing, self.decisions.permitting(self.held.values()))
        if len(self.held) > before:
            self._state = None
        return len(self.held) > before

    def passing(self, messages: Iterable[Message]) -> list[DataMessage]:
        """Those of a kind of which what was held before says that nobody keeps it."""
        # In histories it is told by its form, too: it names whom it is for, or how far it goes.
        data = [each for each in messages if isinstance(each, DataMessage) and (each.recipient or each.hops)]
        if not data:
            return []
        oracle = self.decisions.permitting(self.held.values())
        return [each for each in data if each.kind in oracle.rules and each.kind not in oracle.kept]

    def state(self) -> State:
        while self._state is None:
            decision = self.decisions.of(self.held.values(), self.time)
            if decision.latest <= self.time:
                self._state = decision.state
            self.time = max(self.time, decision.latest)
        return self._state

    def state_of(self, messages: Iterable[Message]) -> State:
        return self.decisions.of(messages, self.time).state

    def hear(self, time: int) -> None:
        """Others' clocks have come so far."""
        if time > self.time:
            self.time = time
            self._state = None

    def prune(self) -> None:
        """Remove what is gone."""
        oracle = self.decisions.oracle(self.held.values(), self.time)
        gone = [each for each in oracle.data if oracle.is_gone(each)] if oracle.hard is None else []
        for message in gone:
            del self.held[message.id]
        self._state = None if gone else self._state

    def live(self) -> list[Message]:
        state = self.state()
        return [message for message in self.held.values() if message.id in state.live]

    def offered(self) -> list[Message]:
        """What is live and told to everybody."""
        return [message for message in self.live() if not self.is_on_request(message)]

    def is_on_request(self, message: Message) -> bool:
        """As far as is known here."""
        on_request = self.decisions.permitting(self.held.values()).on_request
        return isinstance(message, DataMessage) and message.kind in on_request

    def shared(self) -> State:
        """What must be the same on every node: all but what each has of what is on request."""
        state = self.state()
        own = {message.id for message in self.held.values() if self.is_on_request(message)}
        marks = {message_id: marks for message_id, marks in state.marks.items() if message_id not in own}
        return replace(state, live=state.live - own, marks=marks)

    def forget(self, rng: random.Random, share: float) -> None:
        """Drop some of what is not live: that must never change anything."""
        live = self.state().live
        self.prune()
        for message_id in [each for each in self.held if each not in live and rng.random() < share]:
            del self.held[message_id]
            self._state = None
