"""The intake beside the rules of the timeline: whatever its nodes learn and forget, and in whatever order.

Every node is a ledger over a store (tests/oracle/intake_node.py). `python bench/histories.py` searches on.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path

import pytest

from dispersy.protocol.definitions.held_definitions import HeldDefinitions
from dispersy.protocol.intake import lane, lane_round
from dispersy.protocol.intake.data_intake import DataIntake
from dispersy.protocol.intake.ended_forms import EndedForms
from dispersy.protocol.intake.unstored import ReplayWindows
from dispersy.protocol.permissions.timeline import Timeline
from dispersy.protocol.wire.stripped import strip
from dispersy.storage.store import Batch
from tests.oracle.histories import History
from tests.oracle.intake_node import WrittenNode
from tests.oracle.node import Node
from tests.oracle.state import DataMessage, Message

HISTORIES = 50
FAULT_WITHIN = 100
FOUND = (167, 329)
"""Seeds whose histories once showed something wrong: an undo had waited in vain, and the next one took what
was not live for live; the third of a slot was refused in the very round that made room for it."""


class LateNode(WrittenNode):
    """One that gets half of the messages first as what is left of them, whoever gives them, and the whole
    ones only after that."""

    def sent(self, messages: list[Message], source: Node | None) -> list[bytes]:
        raws = super().sent(messages, source)
        return [
            strip(self.pen.raws[each.id]) if self.is_first(each) else raw
            for each, raw in zip(messages, raws, strict=True)
        ]

    def is_first(self, message: Message) -> bool:
        is_signed = isinstance(message, DataMessage) and message.authors
        return bool(is_signed and message.id[0] & 1) and message.id not in self.bare


class Regrets(History):
    """Members take back much of what they say, and what is left of it goes round by itself."""

    def actions(self) -> dict[Callable[[Node], None], int]:
        return super().actions() | {self.write: 40, self.undo: 40, self.hand_on: 30}


@pytest.mark.parametrize("seed", range(200, 230))
def test_what_comes_stripped_is_decided_as_the_whole_message_is(seed: int, tmp_path: Path) -> None:
    """Goal: a node that never had the payloads has the live set and the marks of those that had."""
    history = Regrets(seed, node=partial(LateNode, keys=tmp_path))
    for _ in range(2):
        history.run()
        history.settle()
        assert all(node.shared() == history.nodes[0].shared() for node in history.nodes)


@pytest.mark.parametrize("start", range(0, HISTORIES, 25))
def test_the_intake_decides_as_the_rules_do(start: int, tmp_path: Path) -> None:
    """Goal: after every round the store has the live set and the marks that the rules give; in the end all
    nodes have the same."""
    write(range(start, start + 25), tmp_path)


def test_what_was_found_once_stays_right(tmp_path: Path) -> None:
    """Goal: as before, in histories that were wrong."""
    write(FOUND, tmp_path)


def write(seeds: Iterable[int], keys: Path) -> None:
    """Run histories, comparing after every round."""
    for seed in seeds:
        history = History(seed, node=partial(WrittenNode, keys=keys))
        for _ in range(2):
            history.run()
            history.settle()
            assert all(node.shared() == history.nodes[0].shared() for node in history.nodes)


def test_a_store_of_before_is_told_which_payloads_are_undone(tmp_path: Path) -> None:
    """Goal: it has no such facts; the first commit makes them, though nothing has come."""
    history = History("undone", node=partial(WrittenNode, keys=tmp_path))
    history.actions = lambda: {history.write: 1, history.undo: 1}  # type: ignore[method-assign]
    history.run()
    (node, *_) = [each for each in history.nodes if isinstance(each, WrittenNode)]
    cursors = range(1, node.store.last_cursor() + 1)
    before = node.store.undone(cursors)
    assert before
    node.store.commit(Batch(undone=[(cursor, ()) for cursor in before]))
    assert not node.store.undone(cursors)
    node.start()
    assert node.ledger.has_more
    node.commit()
    assert node.store.undone(cursors) == before


def test_a_slot_that_the_lower_id_wins_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Goal: the comparison bites: an intake in which the lowest id of a slot alone lives goes red."""
    monkeypatch.setattr(lane, "SLOT_MAX", 1)
    monkeypatch.setattr(lane_round, "SLOT_MAX", 1)
    with pytest.raises(AssertionError):
        write(range(FAULT_WITHIN), tmp_path)


@pytest.mark.parametrize(
    ("owner", "name", "wrong", "first"),
    [
        (ReplayWindows, "is_fresh", lambda *_: True, 15),
        (HeldDefinitions, "is_stored", lambda *_: True, 0),
        (Timeline, "is_permitted", lambda *_: True, 0),
        (DataIntake, "release_late", lambda *_: None, 338),
        (EndedForms, "refusal", lambda *_: "", 61),
        (EndedForms, "forgiven", lambda *_: iter(()), 61),
    ],
    ids=["taken twice", "all is kept", "all is permitted", "never late", "no form ends", "none is forgiven"],
)
def test_a_fault_in_what_passes_or_waits_is_found(
    owner: object, name: str, wrong: object, first: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Goal: the same of kinds that nobody keeps, of those that are delivered in sequence, and of what
    only a definition admits that an end takes away.

    first    where to begin, so that it does not take long
    """
    monkeypatch.setattr(owner, name, wrong)
    with pytest.raises(AssertionError):
        write(range(first, first + FAULT_WITHIN), tmp_path)
