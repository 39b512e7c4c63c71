"""A community seen from above, on all of its nodes at once: what was written, and who may meet whom."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable

from dispersy.protocol.identifiers import MemberId
from dispersy.protocol.permissions.control_messages import AuthorRanges, ControlMessage, PairCut
from tests.oracle.decisions import Decisions
from tests.oracle.node import Node
from tests.oracle.pinning import HonestRevoke, ranges_of
from tests.oracle.state import DataMessage, DefinitionMessage, KindRules, Message
from tests.oracle.timeline import Oracle
from tests.oracle.writing import Pen


class Community:
    """Some members, some nodes, and what becomes of them.

    node     what makes a node: it decides what is live there, and so what it passes on and forgets
    oracle   the rules
    kinds    as the first definition has them
    written  in which order
    revokes  by the founder
    groups   of numbers of nodes that may meet
    """

    def __init__(
        self,
        pen: Pen,
        members: Iterable[MemberId],
        node: Callable[[Pen, Decisions], Node],
        node_count: int,
        oracle: type[Oracle],
    ) -> None:
        self.pen = pen
        self.master = pen.master
        self.members = list(members)
        decisions = Decisions(self.master, oracle)
        self.nodes = [node(pen, decisions) for _ in range(node_count)]
        self.kinds: dict[int, KindRules] = {}
        self.written: list[Message] = []
        self.revokes: list[HonestRevoke] = []
        self.heal()

    def data(self) -> list[DataMessage]:
        return [message for message in self.written if isinstance(message, DataMessage)]

    def resolution(self, kind: int) -> str:
        """What the least definition that was ever written says."""
        definitions = [message for message in self.written if isinstance(message, DefinitionMessage)]
        least = min(definitions, key=lambda message: (message.global_time, message.id))
        return dict(least.kinds)[kind].resolution

    def on_request(self) -> set[int]:
        """The same of which kinds are."""
        definitions = [message for message in self.written if isinstance(message, DefinitionMessage)]
        least = min(definitions, key=lambda message: (message.global_time, message.id))
        return {number for number, rules in least.kinds if rules.is_on_request}

    def enter(self, node: Node, message: Message) -> None:
        """It was written there."""
        self.written.append(message)
        node.receive([message])

    def heal(self) -> None:
        """Everybody may meet everybody."""
        self.groups: tuple[frozenset[int], ...] = (frozenset(range(len(self.nodes))),)

    def may_meet(self, one: Node, other: Node) -> bool:
        numbers = {self.nodes.index(one), self.nodes.index(other)}
        return any(numbers <= group for group in self.groups)

    def converge(self, rng: random.Random) -> None:
        """Everybody tells everybody what is live and offered until nobody learns anything. What is not live
        is forgotten first, and a few times again."""
        for node in self.nodes:
            node.forget(rng, rng.random())
        forgetful = 3
        changed = True
        while changed:
            changed = False
            for node in rng.sample(self.nodes, k=len(self.nodes)):
                for other in self.nodes:
                    if other is not node:
                        changed |= node.receive(other.offered(), other)
                        before = node.time
                        node.hear(other.time)
                        changed |= node.time != before
                if forgetful and rng.random() < 0.5:
                    node.forget(rng, rng.random())
                    forgetful -= 1


def clock_of(node: Node) -> int:
    """The highest global time that it has seen."""
    return max((message.global_time for message in node.held.values()), default=0)


def chain_of(node: Node, author: MemberId) -> list[ControlMessage]:
    """What it holds of what an author governed by, oldest first."""
    control = (message for message in node.held.values() if isinstance(message, ControlMessage))
    own = [message for message in control if message.author == author]
    return sorted(own, key=lambda message: message.global_time)


def highest_sequence(lane: tuple[tuple[MemberId, ...], int], messages: Iterable[Message]) -> int:
    """Of those of a lane; 0 if there is none."""
    data = (message for message in messages if isinstance(message, DataMessage))
    return max((message.sequence for message in data if message.lane == lane), default=0)


def cut_of(messages: Iterable[DataMessage]) -> tuple[tuple[AuthorRanges, ...], tuple[PairCut, ...]]:
    """What settings that say linear have to name so that these messages stay."""
    lanes: dict[tuple[bytes, ...], set[int]] = {}
    for message in messages:
        lanes.setdefault(tuple(each[:16] for each in message.authors), set()).add(message.sequence)
    alone = (AuthorRanges(lane[0], ranges_of(lanes[lane])) for lane in sorted(lanes) if len(lane) == 1)
    pairs = (PairCut(*lane, ranges_of(lanes[lane])) for lane in sorted(lanes) if len(lane) == 2)
    return tuple(alone), tuple(pairs)
