"""Small and nasty histories of a community: what its members write on several nodes, and what reaches whom.

A history is a function of its seed. Its nodes hold messages, forget what is not live, and learn from each
other what is; partitions come and go. Members have rights, mostly, and misuse them: they fork, back-date,
fill gaps, revoke each other, pin too little, and undo what nobody has seen yet. Some kinds are kept by
nobody, and of some others what is fetched first is not what was written first.
"""

from __future__ import annotations

import random
from collections.abc import Callable

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
from tests.oracle.kinds import KindMaking
from tests.oracle.node import Node
from tests.oracle.pinning import HonestRevoke, pinned_by, withdrawal
from tests.oracle.state import DataMessage, DefinitionMessage, Message
from tests.oracle.timeline import Oracle
from tests.oracle.writing import ORDERS, Pen

STEPS = (8, 40)
MOODS = {
    "mixed": {"authorize": 20, "revoke": 18, "write": 22, "settle_policy": 8, "undo": 7},
    "control": {"authorize": 20, "revoke": 22, "write": 4, "settle_policy": 3, "undo": 8},
    "chains": {"authorize": 20, "revoke": 28, "write": 1, "settle_policy": 1, "undo": 10},
    "crowded": {"authorize": 5, "revoke": 5, "write": 60, "settle_policy": 3, "undo": 2},
}
"""What a history is mostly about: how often its members do what."""
PRUNED_SHARE = 0.4
"""Of histories that have kinds which are pruned."""
LONG_SHARE = 0.3
"""Of histories in which some messages are longer than some definitions admit: in them much is undone, and
most communities end."""
NODES = (2, 4)
MEMBERS = (2, 2, 3, 3, 4)


class History(Community):
    """Runs step by step; what was written and in which order is in `written`."""

    def __init__(
        self, seed: int | str, *, node: Callable[[Pen, Decisions], Node], oracle: type[Oracle] = Oracle
    ) -> None:
        self.rng = rng = random.Random(seed)
        # Of their own, so that histories without it are what they were before there was pruning, a second
        # form, ranks, length.
        ages = random.Random(f"{seed} ages")
        self.forms = random.Random(f"{seed} forms")
        self.ranks = random.Random(f"{seed} ranks")
        self.requests = random.Random(f"{seed} requests")
        self.sizes = random.Random(f"{seed} sizes")
        self.has_long = self.sizes.random() < LONG_SHARE
        self.has_pruning = ages.random() < PRUNED_SHARE
        self.mood = rng.choice(list(MOODS))
        pen = Pen(rng)
        members = [pen.key() for _ in range(rng.choice(MEMBERS))]
        super().__init__(pen, members, node, rng.randint(*NODES), oracle)
        self.has_revoke = self.has_partition = False
        self.pace = rng.choice((1, 1, 1, 400))
        if self.has_pruning:
            # So that each clock is within reach of what is left of the others' messages.
            self.pace = 1
        self.making = KindMaking(
            rng,
            ages,
            self.ranks,
            self.requests,
            self.sizes,
            is_crowded=self.mood == "crowded",
            has_pruning=self.has_pruning,
            has_long=self.has_long,
        )
        self.kinds = self.making.kinds()
        self.has_destroy = rng.random() < (0.7 if self.has_long else 0.1)

    def begin(self) -> None:
        """A definition and some grants that everybody has."""
        self.define(self.nodes[0])
        for _ in range(self.rng.randint(0, 3)):
            self.authorize(self.nodes[0])
        for node in self.nodes:
            node.receive(self.written)

    def run(self) -> None:
        if not self.written:
            self.begin()
        for _ in range(self.rng.randint(*STEPS)):
            self.step()

    def step(self) -> None:
        node = self.rng.choice(self.nodes)
        actions = self.actions()
        (action,) = self.rng.choices(list(actions), weights=list(actions.values()))
        action(node)

    def actions(self) -> dict[Callable[[Node], None], int]:
        """What may happen next, and how often."""
        mood = {getattr(self, name): weight for name, weight in MOODS[self.mood].items()}
        if self.has_long:
            mood |= {self.write: 25, self.undo: 25}
        return mood | {
            self.destroy: (5 if self.has_long else 3) if self.has_destroy else 0,
            self.redefine: 8 if self.has_long else 1,
            self.exchange: 25,
            self.hand_on: 8,
            self.forget: 12,
            self.divide: 6,
        }

    # -- what members write ----------------------------------------------------------------------------------

    def authorize(self, node: Node) -> None:
        kind = self.rng.choice(list(self.kinds))
        author = self.author(node, kind, Permission.AUTHORIZE)
        holds = Permission(31) if author == self.master else self.held_by(node, author, kind)
        some = Permission(self.rng.randint(1, 31)) | (self.rng.random() < 0.4 and Permission.AUTHORIZE)
        permissions = some & holds if self.rng.random() < 0.9 else some
        if permissions:
            candidates = [*self.members, self.master] if self.rng.random() < 0.05 else self.members
            members = sorted(self.rng.sample(candidates, k=self.rng.choice((1, 1, 2))))
            grants = tuple(Grant(member, kind, permissions) for member in members)
            self.govern(node, author, Authorize(grants))

    def revoke(self, node: Node) -> None:
        kind = self.rng.choice(list(self.kinds))
        author = self.author(node, kind, Permission.REVOKE)
        holders = sorted({power.member for power in node.state().powers if power.kind == kind})
        has_power = holders and self.rng.random() < 0.9
        member = self.rng.choice(holders) if has_power else self.rng.choice(self.members)
        permissions = Permission(self.rng.choice((31, 31, 7, 1, 2, 4, self.rng.randint(1, 31))))
        taken = withdrawal(self.rng, node, member, kind, permissions)
        message = self.govern(node, author, Revoke((taken,)))
        self.has_revoke = True
        if author == self.master:
            pinned = frozenset(pinned_by(taken, node.held))
            self.revokes.append(HonestRevoke(message, taken, pinned, len(self.written)))

    def settle_policy(self, node: Node) -> None:
        kind = self.rng.choice(list(self.kinds))
        if self.kinds[kind].resolution != "dynamic" and self.rng.random() < 0.9:
            return
        author = self.author(node, kind, Permission.SETTINGS)
        if self.rng.random() < 0.4:
            self.govern(node, author, Settings(kind, is_linear=False))
            return
        stay = [
            message
            for message in node.live()
            if isinstance(message, DataMessage) and message.kind == kind and self.rng.random() < 0.8
        ]
        cut, pair_cut = cut_of(stay)
        halved = self.rng.random() < 0.3
        first = self.govern(node, author, Settings(kind, True, cut[halved:], pair_cut[halved:]))
        if halved:
            self.govern(node, author, Settings(kind, True, cut[:1], pair_cut[:1], first.id))

    def undo(self, node: Node) -> None:
        # Of what any node holds: it may be undone before it is seen here.
        source = self.rng.choice(self.nodes) if self.rng.random() < 0.3 else node
        # What has no author waits, where its kind is not known yet, and is nobody's own.
        targets = [each for each in source.held.values() if isinstance(each, DataMessage) and each.authors]
        if not targets:
            return
        target = self.rng.choice(targets)
        is_own = self.rng.random() < 0.4
        author = (
            self.rng.choice(target.authors) if is_own else self.author(node, target.kind, Permission.UNDO)
        )
        index = 0 if self.rng.random() < 0.3 else None
        early = self.rng.random() < 0.1
        at = None if early else max(self.time(node), target.global_time + 1)
        body = Undo(target.id, target.kind, target.global_time, index)
        self.govern(node, author, body, global_time=at)

    def destroy(self, node: Node) -> None:
        later = [
            each.global_time
            for each in node.held.values()
            if isinstance(each, DefinitionMessage) and any(row.admits_long for _, row in each.kinds)
        ]
        if later and self.sizes.random() < 0.7:
            # With these goes what they alone admit.
            end = max(1, min(later) - 1)
            self.enter(node, self.pen.control(self.master, end, None, Destroy(is_hard=False)))
            return
        author = self.master if self.rng.random() < 0.5 else self.rng.choice(self.members)
        self.govern(node, author, Destroy(is_hard=self.rng.random() < 0.2))

    def write(self, node: Node) -> None:
        kind = self.rng.choice(list(self.kinds))
        count = self.kinds[kind].author_count
        author = self.author(node, kind, Permission.PERMIT)
        if self.kinds[kind].spread != "kept":
            self.say(node, author, kind)
            return
        others = [member for member in (*self.members, self.master) if member != author]
        authors = (author, *self.rng.sample(others, k=count - 1))
        if count == 2 and len(self.written) % 5 == 0:
            authors = (author, author)  # two places and one key: nothing forbids it
        sequence = highest_sequence((authors, kind), node.held.values()) + 1
        nasty = self.rng.random()
        if nasty < (0.4 if self.mood == "crowded" else 0.12):
            sequence = self.rng.randint(1, sequence)  # once more, or into a gap
        elif nasty > 0.92:
            sequence += self.rng.randint(1, 2)
        is_long = self.has_long and self.sizes.random() < 0.5
        global_time = self.time(node)
        if is_long and self.sizes.random() < 0.6:
            # Below the definitions that admit it, which an end may take away.
            global_time = self.sizes.randint(1, max(1, clock_of(node)))
        self.enter(node, self.pen.data(authors, kind, global_time, sequence, is_long=is_long))

    def say(self, node: Node, author: MemberId, kind: int) -> None:
        """What nobody keeps: it comes to some of the others now, twice to some, or never."""
        rules, ranks = self.kinds[kind], self.ranks
        authors = (author,) if rules.author_count else ()
        used = [each.sequence for each in self.data() if each.lane == (authors, kind)]
        # Once more, or so far ahead that the window lets go of those before.
        ahead = ranks.choice((1, 1, 1, 2, 40, 70, 0))
        sequence = ranks.choice(used) if used and not ahead else max(used, default=0) + (ahead or 1)
        message = self.pen.data(
            authors,
            kind,
            self.time(node),
            sequence if authors else 0,
            recipient=ranks.choice((self.master, *self.members)) if rules.spread == "direct" else None,
            hops=rules.hops and ranks.randint(1, rules.hops + (ranks.random() < 0.2)),
        )
        self.enter(node, message)
        for other in self.nodes:
            for _ in range(ranks.choice((0, 1, 1, 2))):
                if self.may_meet(node, other):
                    other.receive([message])

    def define(self, node: Node) -> None:
        self.enter(node, self.pen.definition(self.time(node), self.kinds))

    def redefine(self, node: Node) -> None:
        """Other limits, and what is frozen; the resolution that it states changes nothing."""
        kind = self.rng.choice(list(self.kinds))
        rows = self.kinds | {kind: self.making.changed(self.kinds[kind])}
        self.enter(node, self.pen.definition(self.time(node), rows))

    def govern(
        self, node: Node, author: MemberId, body: Body, *, global_time: int | None = None
    ) -> ControlMessage:
        own = chain_of(node, author)
        previous = own[-1] if own else None
        if own and author != self.master and self.rng.random() < 0.15:
            previous = self.rng.choice([None, *own])
        at = self.time(node) if global_time is None else global_time
        if author == self.master and previous is not None:
            at = max(at, previous.global_time + 1)
        message = self.pen.control(author, at, previous.id if previous else None, body)
        self.enter(node, message)
        return message

    def time(self, node: Node) -> int:
        clock = clock_of(node)
        if self.rng.random() < 0.25:
            return self.rng.randint(1, clock + 1)  # back-dated
        return clock + self.rng.randint(1, self.pace)

    def author(self, node: Node, kind: int, permission: Permission) -> MemberId:
        """Mostly somebody who held this once."""
        holders = {
            power.member
            for power in node.state().powers
            if (power.kind, power.permission) == (kind, permission)
        }
        chance = self.rng.random()
        if chance < 0.2:
            return self.master
        if chance < 0.92 and holders:
            return self.rng.choice(sorted(holders))
        return self.rng.choice(self.members)

    def held_by(self, node: Node, member: MemberId, kind: int) -> Permission:
        powers = node.state().powers
        held = (power.permission for power in powers if (power.member, power.kind) == (member, kind))
        found = Permission(0)
        for permission in held:
            found |= permission
        return found

    # -- what reaches whom -----------------------------------------------------------------------------------

    def exchange(self, node: Node) -> None:
        """One learns what another finds live, or most of it."""
        others = [other for other in self.nodes if other is not node and self.may_meet(node, other)]
        if others:
            share = self.rng.choice((1.0, 1.0, 0.6))
            other = self.rng.choice(others)
            given = [each for each in other.live() if self.rng.random() < share]
            # What is on request is there for who asks: some do.
            given = [each for each in given if not other.is_on_request(each) or self.requests.random() < 0.3]
            if any(rules.priority != 128 or rules.order != "ascending" for rules in self.kinds.values()):
                given = self.ranked(given)[: self.ranks.randint(1, 1 + len(given))]
            node.receive(given, other)

    def ranked(self, messages: list[Message]) -> list[Message]:
        """As they are fetched: what governs, then kinds of high priority, each in its order; whoever fetches
        may break off."""

        def rank(message: Message) -> tuple[int, int, float]:
            if not isinstance(message, DataMessage):
                return 0, 0, message.global_time
            rules = self.kinds[message.kind]
            place = {"ascending": 1, "descending": -1}.get(rules.order)
            within = message.global_time * place if place else self.ranks.random()
            return 1 + 255 - rules.priority, ORDERS.index(rules.order), within

        return sorted(messages, key=rank)

    def hand_on(self, node: Node) -> None:
        """Somebody brings along anything that was ever written, live or not, past every partition, in the
        form that some node has it in."""
        count = self.rng.randint(1, 3)
        messages = self.rng.sample(self.written, k=min(count, len(self.written)))
        node.receive(messages, self.forms.choice(self.nodes))

    def forget(self, node: Node) -> None:
        node.forget(self.rng, self.rng.choice((0.5, 1.0, 1.0)))

    def divide(self, _: Node) -> None:
        """Into two groups that do not meet, or into one."""
        if len(self.groups) > 1:
            self.heal()
            return
        numbers = self.rng.sample(range(len(self.nodes)), k=len(self.nodes))
        border = self.rng.randint(1, len(numbers) - 1)
        self.groups = frozenset(numbers[:border]), frozenset(numbers[border:])
        self.has_partition = True

    def settle(self) -> None:
        """Until nobody learns anything."""
        self.converge(self.rng)
