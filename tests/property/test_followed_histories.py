"""Followers beside the rules of the timeline: whoever applies the events of a node ends where its state is.

The nodes are those of tests/oracle/intake_node.py; every third has its store on disk.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from itertools import count
from pathlib import Path

import msgspec

from dispersy.protocol.wire.numbers import COMMUNITY_KIND_MIN
from dispersy.service.interface.directory import Directory
from dispersy.service.interface.event import Event
from dispersy.service.interface.requests import CREDIT_MAX
from dispersy.service.operations.follow import Follow
from dispersy.storage.lmdb_store import LmdbStore
from dispersy.storage.store import StoreWriter
from tests.oracle.decisions import Decisions
from tests.oracle.histories import History
from tests.oracle.intake_node import WrittenNode
from tests.oracle.node import Node
from tests.oracle.state import DataMessage, DefinitionMessage, Marks, Message
from tests.oracle.writing import Pen

HISTORIES = 15
ON_DISK_EVERY = 3


class EveryKind(Directory):
    """Calls every kind of data by one name, and communities by their numbers."""

    def kind_name(self, _: int, kind: int) -> str:
        return "data" if kind >= COMMUNITY_KIND_MIN else ""

    def community_id(self, number: int) -> bytes:
        return b"%d" % number


class FollowedNode(WrittenNode):
    """A node with a follower from its beginning that shows what it is told to.

    shown  (community, message id) of what it shows; messages of histories have one payload
    known  all data that ever came, also what is gone
    """

    stores = count()

    def __init__(self, pen: Pen, decisions: Decisions, keys: Path) -> None:
        self.shown: set[tuple[bytes, bytes]] = set()
        self.told: list[tuple[str, bytes, str]] = []
        self.known: dict[bytes, DataMessage] = {}
        self._directory = EveryKind()
        self._follow = Follow(1, None, frozenset(), 0, CREDIT_MAX, True)
        super().__init__(pen, decisions, keys)

    def new_store(self) -> StoreWriter:
        number = next(self.stores)
        if number % ON_DISK_EVERY:
            return super().new_store()
        return LmdbStore(self.keys / f"store-{number}")

    def receive(self, messages: Iterable[Message], source: Node | None = None) -> bool:
        messages = list(messages)
        self.known |= {each.id: each for each in messages if isinstance(each, DataMessage)}
        return super().receive(messages, source)

    def commit(self) -> None:
        super().commit()
        more = True
        while more:
            self._follow.grant(CREDIT_MAX)
            more = self._follow.pump(self.store, self._directory, self._hear)

    def check_marks(self, expected: dict[bytes, Marks]) -> None:
        """What is shown is as the rules say, too."""
        super().check_marks(expected)
        live = self.stored_live()
        wanted = {
            message.id
            for message in self.held.values()
            if isinstance(message, DataMessage)
            and message.id in live
            and is_shown(expected.get(message.id, Marks()))
        }
        number = b"%d" % self.number
        self.shown -= {(number, each) for each in self.pushed_out(live) | self.grown_old()}
        wrong = {each for other, each in self.shown if other == number} ^ wanted
        assert not wrong, self.told_of(wrong, expected)

    def pushed_out(self, live: set[bytes]) -> set[bytes]:
        """What newer messages have taken the place of: no event tells it to who shows the newest."""
        definitions = (each for each in self.held.values() if isinstance(each, DefinitionMessage))
        kinds = {kind for each in definitions for kind, rules in each.kinds if rules.newest}
        data = (each for each in self.held.values() if isinstance(each, DataMessage))
        return {each.id for each in data if each.kind in kinds and each.id not in live}

    def grown_old(self) -> set[bytes]:
        """What the pruning rule says is inactive by now, still held or not: no event tells it to who listens.

        What is missing for any other reason is not forgiven: somebody would have had to tell it.
        """
        rules = self.decisions.oracle(self.held.values(), self.time)
        shown = [self.known[each] for number, each in self.shown if number == b"%d" % self.number]
        return {each.id for each in shown if each.kind in rules.rules and rules.is_inactive(each)}

    def told_of(self, wrong: set[bytes], expected: dict[bytes, Marks]) -> str:
        """What the events of these messages were, and what the rules say of each."""
        lines = [f"{each.hex()[:8]}: {expected.get(each, Marks())}" for each in wrong]
        lines += [
            f"{name} of {each.hex()[:8]}: {reason}" for name, each, reason in self.told if each in wrong
        ]
        return "\n".join(lines)

    def _hear(self, frame: bytes) -> bool:
        event = msgspec.msgpack.decode(frame, type=Event)
        self.told.append((event.event, event.message_id, event.reason))
        key = (event.community, event.message_id)
        match event.event:
            case "message":
                assert key not in self.shown, "told twice"
                self.shown.add(key)
            case "restored":
                assert event.payloads, "nothing to show again"
                self.shown.add(key)
            case "denied" | "undone":
                self.shown.discard(key)
        return True


def is_shown(marks: Marks) -> bool:
    """Whether its one payload is to be seen."""
    return marks.is_shown and not marks.erased and 0 not in marks.indices


def play(seeds: range, folder: Path) -> None:
    """Histories whose followers are compared after every round."""
    for seed in seeds:
        history = History(f"followed {seed}", node=partial(FollowedNode, keys=folder))
        for _ in range(2):
            history.run()
            history.settle()
        for node in history.nodes:
            node.close()


def test_a_follower_shows_what_the_rules_do(tmp_path: Path) -> None:
    """Goal: messages, denials, undos and restorations add up to the state, after every commit, on either
    store."""
    play(range(HISTORIES), tmp_path)
