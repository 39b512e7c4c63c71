"""What may happen to a community, as a state machine: Hypothesis chooses the steps, and shortens what fails.

Histories (tests/oracle/histories.py) are functions of a seed, and many; what fails here ends as the few steps
that are needed for it. Messages that were written may come to any
node again and again, past every partition, in any order.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Collection, Sequence
from dataclasses import replace
from random import Random

from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, initialize, invariant, precondition, rule

from dispersy.protocol.identifiers import MemberId
from dispersy.protocol.permissions.control_messages import (
    Authorize,
    Body,
    ControlMessage,
    Destroy,
    Grant,
    Permission,
    Revoke,
    Settings,
    Undo,
)
from tests.oracle.community import Community, chain_of, clock_of, cut_of, highest_sequence
from tests.oracle.decisions import Decisions
from tests.oracle.drawing import (
    AUTHOR,
    BEHIND,
    CHANCE,
    DESTROY_AFTER,
    KIND,
    KIND_MIN,
    KINDS_MAX,
    MEMBERS,
    NODE,
    NODES,
    PASSING,
    PERMISSIONS,
    PERSON,
    WHEN,
    kept_kinds,
)
from tests.oracle.judging import faults
from tests.oracle.node import Node
from tests.oracle.pinning import HonestRevoke, pinned_by, withdrawal
from tests.oracle.state import DataMessage, DefinitionMessage, KindRules, Message
from tests.oracle.timeline import Oracle
from tests.oracle.writing import Pen


def time_at(node: Node, when: int) -> int:
    """What WHEN means there."""
    if when > 0:
        return clock_of(node) + when
    times = sorted((message.global_time for message in node.held.values()), reverse=True)
    return times[min(-when, len(times) - 1)] if times else 1


class CommunityMachine(RuleBasedStateMachine):
    """Nodes of one sort, after every step: each is in the state that its live messages alone give.

    Nodes that are the product's (tests/oracle/intake_node.py) are compared with the rules in every round,
    too. Whenever everybody has told everybody, what must hold of all of them is looked at (judging.py).
    """

    written = Bundle("written")
    texts = Bundle("texts")

    def __init__(self, node: Callable[[Pen, Decisions], Node], oracle: type[Oracle] = Oracle) -> None:
        super().__init__()
        self._make = node, oracle
        self.community: Community | None = None
        self.revoked: MemberId

    @initialize(
        target=written,
        ids=CHANCE,
        kept=st.lists(kept_kinds(), min_size=1, max_size=KINDS_MAX),
        passing=st.lists(PASSING, max_size=1),
        granted=st.lists(st.tuples(st.integers(1, MEMBERS), PERMISSIONS), max_size=3),
    )
    def found(
        self,
        ids: int,
        kept: list[KindRules],
        passing: list[KindRules],
        granted: list[tuple[int, Permission]],
    ) -> Message:
        """A definition and some grants that everybody has."""
        pen = Pen(Random(ids))
        node, oracle = self._make
        self.community = Community(pen, [pen.key() for _ in range(MEMBERS)], node, NODES, oracle)
        self.community.kinds = dict(enumerate([*kept, *passing], start=KIND_MIN))
        definition = pen.definition(1, self.community.kinds)
        self.revoked = self.community.master
        self.community.enter(self.nodes[0], definition)
        for member, permissions in granted:
            grants = (Grant(self.person(member), KIND_MIN, permissions),)
            self.govern(0, self.community.master, 1, "newest", Authorize(grants))
        for other in self.nodes[1:]:
            other.receive(self.community.written)
        return definition

    @property
    def nodes(self) -> list[Node]:
        return self._everything.nodes

    @property
    def _everything(self) -> Community:
        assert self.community is not None
        return self.community

    @property
    def kept(self) -> list[int]:
        return [number for number, rules in self._everything.kinds.items() if rules.spread == "kept"]

    def kind(self, index: int) -> int:
        return self.kept[index % len(self.kept)]

    def person(self, number: int) -> MemberId:
        return self._everything.members[number - 1] if number else self._everything.master

    def able(self, node: int, kind: int, permission: Permission) -> list[MemberId]:
        """Who was granted this, as far as a node knows; the founder where nobody was."""
        powers = (power for power in self.nodes[node].state().powers if power.kind == kind)
        found = {power.member for power in powers if power.permission & permission}
        return sorted(found - {self._everything.master}) or [self._everything.master]

    def author(self, name: str, node: int, kind: int, permission: Permission) -> MemberId:
        if name.startswith("able"):
            return self.able(node, kind, permission)[-1 if name.endswith("last") else 0]
        if name == "revoked":
            return self.revoked
        return self.person(0 if name == "founder" else int(name))

    # -- what governs ----------------------------------------------------------------------------------------

    def govern(self, node: int, author: MemberId, when: int, behind: str, body: Body) -> ControlMessage:
        at = self.nodes[node]
        own = chain_of(at, author)
        previous = own[0 if behind == "oldest" else -1].id if own and behind != "none" else None
        message = self._everything.pen.control(author, time_at(at, when), previous, body)
        self._everything.enter(at, message)
        return message

    @rule(
        target=written,
        node=NODE,
        author=AUTHOR,
        when=WHEN,
        behind=BEHIND,
        members=st.sets(PERSON.map(lambda number: number or 1), min_size=1, max_size=2),
        kind=KIND,
        permissions=PERMISSIONS,
    )
    def authorize(
        self,
        node: int,
        author: str,
        when: int,
        behind: str,
        members: Collection[int],
        kind: int,
        permissions: Permission,
    ) -> Message:
        number = self.kind(kind)
        names = sorted(self.person(member) for member in members)
        grants = tuple(Grant(name, number, permissions) for name in names)
        person = self.author(author, node, number, Permission.AUTHORIZE)
        return self.govern(node, person, when, behind, Authorize(grants))

    @rule(
        target=written,
        node=NODE,
        author=AUTHOR,
        when=WHEN,
        behind=BEHIND,
        member=AUTHOR,
        kind=KIND,
        permissions=PERMISSIONS,
        care=CHANCE,
    )
    def revoke(
        self,
        node: int,
        author: str,
        when: int,
        behind: str,
        member: str,
        kind: int,
        permissions: Permission,
        care: int,
    ) -> Message:
        """With a pin that names what is live there, or less, or more."""
        at, number = self.nodes[node], self.kind(kind)
        person = self.author(author, node, number, Permission.REVOKE)
        self.revoked = self.author(member, node, number, permissions)
        taken = withdrawal(Random(care), at, self.revoked, number, permissions)
        message = self.govern(node, person, when, behind, Revoke((taken,)))
        if person == self._everything.master:
            pinned = frozenset(pinned_by(taken, at.held))
            self._everything.revokes.append(
                HonestRevoke(message, taken, pinned, len(self._everything.written))
            )
        return message

    @rule(
        target=written,
        node=NODE,
        author=AUTHOR,
        when=WHEN,
        behind=BEHIND,
        kind=KIND,
        is_linear=st.booleans(),
        named=st.sampled_from((1.0, 0.5, 0.0)),
        is_halved=st.booleans(),
    )
    def settle_policy(
        self,
        node: int,
        author: str,
        when: int,
        behind: str,
        kind: int,
        is_linear: bool,
        named: float,
        is_halved: bool,
    ) -> Message:
        """Public, or linear with a cut that names so much of what is live there, in two messages perhaps."""
        number = self.kind(kind)
        person = self.author(author, node, number, Permission.SETTINGS)
        if not is_linear:
            return self.govern(node, person, when, behind, Settings(number, is_linear=False))
        live = (each for each in self.nodes[node].live() if isinstance(each, DataMessage))
        data = [each for each in live if each.kind == number]
        cut, pairs = cut_of(data[: int(named * len(data))])
        whole = Settings(number, True, cut[is_halved:], pairs[is_halved:])
        first = self.govern(node, person, when, behind, whole)
        if is_halved:
            rest = Settings(number, True, cut[:1], pairs[:1], first.id)
            self.govern(node, person, 1, "newest", rest)
        return first

    @rule(
        target=written,
        node=NODE,
        author=st.one_of(st.just("its author"), AUTHOR),
        when=WHEN,
        behind=BEHIND,
        text=texts,
        index=st.sampled_from((None, None, 0, 1)),
    )
    def undo(
        self, node: int, author: str, when: int, behind: str, text: DataMessage, index: int | None
    ) -> Message:
        """By its author, or by somebody; also where nobody has seen it yet."""
        is_own = author == "its author"
        person = text.authors[-1] if is_own else self.author(author, node, text.kind, Permission.UNDO)
        body = Undo(text.id, text.kind, text.global_time, index)
        return self.govern(node, person, when, behind, body)

    @precondition(lambda self: len(self._everything.written) > DESTROY_AFTER)
    @rule(target=written, node=NODE, author=PERSON, when=WHEN, is_hard=st.sampled_from((False, False, True)))
    def destroy(self, node: int, author: int, when: int, is_hard: bool) -> Message:
        return self.govern(node, self.person(author), when, "newest", Destroy(is_hard))

    @rule(target=written, node=NODE, when=WHEN, kind=KIND, rules=kept_kinds(), is_frozen=st.booleans())
    def redefine(self, node: int, when: int, kind: int, rules: KindRules, is_frozen: bool) -> Message:
        """Other limits; who signs, and whether it is kept, stays."""
        community, number = self._everything, self.kind(kind)
        fresh = replace(rules, author_count=community.kinds[number].author_count, is_frozen=is_frozen)
        at = self.nodes[node]
        rows = community.kinds | {number: fresh}
        definition: DefinitionMessage = community.pen.definition(time_at(at, when), rows)
        community.enter(at, definition)
        return definition

    # -- what is said ----------------------------------------------------------------------------------------

    @rule(
        targets=(written, texts),
        node=NODE,
        author=AUTHOR,
        second=PERSON,
        when=WHEN,
        kind=KIND,
        place=st.sampled_from((0, 0, -1, -2, 1, 3)),
        is_long=st.sampled_from((False, False, True)),
    )
    def write(
        self, node: int, author: str, second: int, when: int, kind: int, place: int, is_long: bool
    ) -> Message:
        """place    behind the author's highest sequence: below 0 it is signed anew, above 0 there is a gap"""
        community, number, at = self._everything, self.kind(kind), self.nodes[node]
        first = self.author(author, node, number, Permission.PERMIT)
        authors = (first, self.person(second))[: community.kinds[number].author_count]
        highest = highest_sequence((authors, number), at.held.values())
        sequence = max(1, highest + 1 + place)
        message = community.pen.data(authors, number, time_at(at, when), sequence, is_long=is_long)
        community.enter(at, message)
        return message

    @precondition(lambda self: len(self._everything.kinds) > len(self.kept))
    @rule(
        target=written,
        node=NODE,
        author=PERSON,
        recipient=PERSON,
        when=WHEN,
        ahead=st.sampled_from((1, 1, 0, 2, 40, 70)),
        hops=st.integers(1, 3),
        hearers=st.lists(NODE, max_size=4),
    )
    def say(
        self,
        node: int,
        author: int,
        recipient: int,
        when: int,
        ahead: int,
        hops: int,
        hearers: Sequence[int],
    ) -> Message:
        """What nobody keeps comes to some now, twice to some, or never."""
        community, at = self._everything, self.nodes[node]
        number = max(community.kinds)
        rules = community.kinds[number]
        authors = (self.person(author),)[: rules.author_count]
        highest = highest_sequence((authors, number), community.written)
        message = community.pen.data(
            authors,
            number,
            time_at(at, when),
            max(1, highest + ahead) if authors else 0,
            recipient=self.person(recipient) if rules.spread == "direct" else None,
            hops=rules.hops and hops,
        )
        community.enter(at, message)
        for hearer in hearers:
            if community.may_meet(at, self.nodes[hearer]):
                self.nodes[hearer].receive([message])
        return message

    # -- what reaches whom -----------------------------------------------------------------------------------

    @rule(node=NODE, source=NODE, messages=st.lists(written, min_size=1, max_size=5))
    def hand_on(self, node: int, source: int, messages: list[Message]) -> None:
        """Past every partition, live or not, also twice, in the form that some node has it in."""
        self.nodes[node].receive(messages, self.nodes[source])

    @rule(
        node=NODE,
        source=NODE,
        rounds=st.integers(1, 3),
        order=CHANCE,
        share=st.sampled_from((1.0, 1.0, 0.6)),
        asks=st.booleans(),
        is_clock_heard=st.booleans(),
    )
    def exchange(
        self,
        node: int,
        source: int,
        rounds: int,
        order: int,
        share: float,
        asks: bool,
        is_clock_heard: bool,
    ) -> None:
        """One learns what another finds live or some of it, in any order; what is on request if it asks."""
        one, other, chance = self.nodes[node], self.nodes[source], Random(order)
        if one is other or not self._everything.may_meet(one, other):
            return
        if is_clock_heard:
            one.hear(other.time)
        given = other.live() if asks else other.offered()
        chance.shuffle(given)
        given = given[: int(share * len(given))]
        for number in range(rounds):
            one.receive(given[number::rounds], other)

    @rule(node=NODE, share=st.sampled_from((1.0, 0.5)), chance=CHANCE)
    def forget(self, node: int, share: float, chance: int) -> None:
        """What is not live is dropped: the node is started anew, or all that waits waits in vain."""
        self.nodes[node].forget(Random(chance), share)

    @rule(alone=st.one_of(st.none(), NODE))
    def divide(self, alone: int | None) -> None:
        """From all others, or nobody from anybody any more."""
        self._everything.heal()
        if alone is not None:
            self._everything.groups = (frozenset(range(NODES)) - {alone}, frozenset([alone]))

    @rule(chance=CHANCE)
    def converge(self, chance: int) -> None:
        """Everybody tells everybody; what comes later finds them agreed."""
        self._everything.converge(Random(chance))
        assert not (wrong := list(faults(self._everything))), wrong

    @invariant()
    def what_is_not_live_decides_nothing(self) -> None:
        for node in self.nodes if self.community else ():
            assert node.state_of(node.live()) == node.state()

    def teardown(self) -> None:
        """All end agreed, unless something was wrong already."""
        if self.community is None:
            return
        try:
            if sys.exc_info()[0] is None:
                self.converge(0)
        finally:
            for node in self.nodes:
                node.close()
