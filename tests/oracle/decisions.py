"""What the rules make of sets of messages, each decided once.

The nodes of a history end with the same messages again and again; most of what reaches them is data, so
who holds which powers is mostly known; and clocks go on while messages stay. Nothing is taken for equal
that is not: a decision is found again by every id, by the form in which that was held, and by the pruning
time that it was made of.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass

from dispersy.protocol.identifiers import MemberId, MessageId
from tests.oracle.state import DataMessage, Message, State
from tests.oracle.timeline import Oracle

Held = tuple[frozenset[MessageId], frozenset[MessageId]]
"""Ids of all that is held, and of the long messages that are held whole."""


@dataclass(frozen=True, slots=True)
class Decision:
    """State of a set, and the highest global time that a clock may follow to there."""

    state: State
    latest: int


class Decisions:
    """Of the nodes of one history, by one oracle; it lives no longer than they do.

    _permitting  what is held -> an oracle that has decided what is permitted
    _powerful    ids of control messages -> an oracle that has decided who holds which powers
    """

    def __init__(self, master: MemberId, oracle: type[Oracle] = Oracle) -> None:
        self._master = master
        self._oracle = oracle
        self._permitting: dict[Held, Oracle] = {}
        self._powerful: dict[frozenset[MessageId], Oracle] = {}
        self._known: dict[tuple[Held, int], Decision] = {}

    def oracle(self, messages: Iterable[Message], time: int) -> Oracle:
        """One that has decided nothing yet."""
        return self._oracle(self._master, messages, time)

    def of(self, messages: Iterable[Message], time: int) -> Decision:
        """At a pruning time."""
        messages = list(messages)
        ids = held_ids(messages)
        oracle = self.permitting(messages)
        if not any(rules.inactive for rules in oracle.rules.values()):
            time = 0  # nothing grows old here
        decision = self._known.get((ids, time))
        if decision is None:
            oracle.time = time
            state = oracle.decide() if oracle.hard is not None else oracle.decide_live()
            decision = self._known[ids, time] = Decision(state, oracle.latest(state))
        return decision

    def permitting(self, messages: Iterable[Message]) -> Oracle:
        """One that has decided what is permitted, which no pruning time has a part in."""
        held = {message.id: message for message in messages}
        ids = held_ids(held.values())
        oracle = self._permitting.get(ids)
        if oracle is None:
            oracle = self._permitting[ids] = self._permitted(self.oracle(held.values(), 0))
        return oracle

    def _permitted(self, oracle: Oracle) -> Oracle:
        if oracle.hard is not None:
            return oracle
        known = self._powerful.setdefault(frozenset(oracle.control), oracle)
        if known is oracle:
            oracle.decide_powers()
        else:
            oracle.powers, oracle.cuts, oracle.counting = known.powers, known.cuts, known.counting
        oracle.decide_permitted()
        return oracle


def held_ids(messages: Collection[Message]) -> Held:
    long = (each.id for each in messages if isinstance(each, DataMessage) and each.is_long)
    return frozenset(each.id for each in messages), frozenset(long)
