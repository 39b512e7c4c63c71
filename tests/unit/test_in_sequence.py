"""Delivery in sequence: a message waits for those below it, they are asked for, and waiting ends."""

from __future__ import annotations

import random
from collections.abc import Iterable
from pathlib import Path

import pytest

from dispersy.constants import PURGE_ENTRIES_MAX
from dispersy.ext.verify import public_key
from dispersy.ext.wire import split_payloads
from dispersy.protocol.definitions.definition import Definition, Kind, encode_definition
from dispersy.protocol.definitions.policies import choose
from dispersy.protocol.identifiers import CommunityId
from dispersy.protocol.intake.received import pack
from dispersy.protocol.intake.waiting import WAIT_MAX_S, Awaited
from dispersy.protocol.wire.frames import MissingSequences
from dispersy.protocol.wire.message import NO_PREVIOUS, create_message
from dispersy.storage.keyring import Keyring
from dispersy.storage.memory_store import MemoryStore
from dispersy.storage.store import Batch, CommunityRecord, EntryType
from dispersy.workers.ledger import Ledger

SEED = bytes(range(32))
MASTER = CommunityId(public_key(SEED))
ALICE, BOB = bytes([1]) * 32, bytes([2]) * 32
NUMBER = 3
LOG, PLAIN = 64, 65
KINDS = (
    Kind(number=LOG, name="log", distribution=choose("distribution", "full-sync", in_sequence=1)),
    Kind(number=PLAIN, name="plain"),
)


def definition(kinds: tuple[Kind, ...] = KINDS, *, time: int = 1) -> bytes:
    return create_message(
        MASTER,
        SEED + MASTER,
        kind=0,
        global_time=time,
        sequence=time,
        payloads=[encode_definition(Definition("test", kinds))],
        previous=NO_PREVIOUS,
    )


def text(sequence: int, *, seed: bytes = ALICE, kind: int = LOG, payload: str = "") -> bytes:
    """The author's message of that sequence, its payload, unless told otherwise, the sequence."""
    return create_message(
        MASTER,
        seed + public_key(seed),
        kind=kind,
        global_time=sequence + 1,
        sequence=sequence,
        payloads=[(payload or str(sequence)).encode()],
    )


class Node:
    """A ledger of a community with one kind that is delivered in sequence."""

    def __init__(self, folder: Path) -> None:
        self.store = MemoryStore()
        raw = definition()
        self.store.commit(Batch(communities=[CommunityRecord(NUMBER, MASTER, "test", MASTER, raw)]))
        self.ledger = Ledger(self.store, Keyring(folder / "keys"), now_ms=1_000)
        self.wanted: list[tuple[bytes, int, int, int]] = []

    def receive(self, *messages: bytes) -> None:
        """A batch, and the commit that follows."""
        self.ledger.receive(NUMBER, len(messages), *pack(messages, MASTER))
        self.commit()

    def commit(self) -> None:
        note, _ = self.ledger.commit(now_ms=2_000)
        if note is not None and NUMBER in note.wanted:
            self.wanted = note.wanted[NUMBER].ranges

    def delivered(self, *, kind: int = LOG) -> list[int]:
        """Payloads in the order of the log, as numbers."""
        entries = [entry.message for entry in self.store.log(1, 10_000) if entry.type == EntryType.MESSAGE]
        return [int(split_payloads(message)[0]) for message in entries if message[0] == kind]

    def gaps(self) -> list[tuple[int, int]]:
        return [(low, high) for _, _, low, high in self.wanted]


@pytest.fixture
def node(tmp_path: Path) -> Node:
    return Node(tmp_path)


def texts(sequences: Iterable[int], *, seed: bytes = ALICE) -> list[bytes]:
    return [text(sequence, seed=seed) for sequence in sequences]


def test_five_first_asks_for_one_to_four_and_ten_then_for_six_to_nine(node: Node) -> None:
    """Goal: the story of the original, at the writer."""
    node.receive(text(5))
    assert node.delivered() == []
    assert node.wanted == [(public_key(ALICE), LOG, 1, 4)]
    node.receive(*texts([4, 2, 1, 3]))
    assert node.delivered() == [1, 2, 3, 4, 5]
    assert node.wanted == []
    node.receive(text(10))
    assert node.gaps() == [(6, 9)]
    node.receive(*texts(range(6, 10)))
    assert node.delivered() == list(range(1, 11))
    assert node.wanted == []


@pytest.mark.parametrize("seed", range(30))
def test_in_any_order_and_any_batches_they_are_delivered_in_sequence(node: Node, seed: int) -> None:
    """Goal: whatever comes when, the log has each lane ascending, and in the end all of it."""
    rng = random.Random(seed)
    messages = [*texts(range(1, 15)), *texts(range(1, 9), seed=BOB), *texts([3, 7])]
    rng.shuffle(messages)
    while messages:
        node.receive(*[messages.pop() for _ in range(min(len(messages), rng.randrange(1, 6)))])
        for author, most in ((ALICE, 14), (BOB, 8)):
            mine = [
                entry.message
                for entry in node.store.log(1, 1_000)
                if entry.type == EntryType.MESSAGE and entry.message[2:34] == public_key(author)
            ]
            sequences = [read for read in range(1, most + 1) if text(read, seed=author) in mine]
            assert mine == texts(range(1, len(sequences) + 1), seed=author)
    assert sorted(node.delivered()) == sorted([*range(1, 15), *range(1, 9)])
    assert node.wanted == []


def test_a_gap_that_nobody_fills_is_waited_for_so_long(node: Node) -> None:
    """Goal: what is live does not hang on what nobody has; what follows on it waits for it alone; what comes
    into the gap later is taken, in sequence where it can."""
    limit = WAIT_MAX_S[Awaited.SEQUENCE]
    assert limit == 10.0, "what docs/definition.md says"
    node.receive(text(3), text(5))
    node.ledger.handle_timer(100.0)
    node.ledger.handle_timer(100.0 + limit - 1)
    node.receive(text(9))
    assert node.delivered() == []
    assert node.gaps() == [(1, 2), (4, 4), (6, 8)]
    node.ledger.handle_timer(100.0 + limit)
    node.commit()
    assert node.delivered() == [3, 5]
    assert node.gaps() == [(6, 8)]
    node.receive(text(6))
    assert node.delivered() == [3, 5, 6]
    assert node.gaps() == [(7, 8)]
    node.receive(*texts([1, 2, 4, 8]))
    assert node.delivered() == [3, 5, 6, 1, 2, 4]
    node.receive(text(7))
    assert node.delivered() == [3, 5, 6, 1, 2, 4, 7, 8, 9]


def test_a_huge_sequence_costs_nothing(node: Node) -> None:
    """Goal: the gap below a sequence of 2^62 is two numbers, here and on the wire."""
    huge = 1 << 62
    node.receive(text(huge, payload="huge"))
    assert node.gaps() == [(1, huge - 1)]
    ((author, kind, low, high),) = node.wanted
    assert MissingSequences(author, kind, low, high).high == huge - 1


def test_another_kind_waits_for_nothing(node: Node) -> None:
    """Goal: what is not delivered in sequence comes as it comes, in the same batch too."""
    node.receive(text(7, kind=PLAIN), text(7), text(5, kind=PLAIN))
    assert sorted(node.delivered(kind=PLAIN)) == [5, 7]
    assert node.delivered() == []


def test_a_definition_that_delivers_as_it_comes_releases_them(node: Node) -> None:
    """Goal: nothing waits for what is not asked of it any more."""
    node.receive(text(5))
    plain = (Kind(number=LOG, name="log"), KINDS[1])
    node.receive(definition(plain, time=9))
    assert node.delivered() == [5]
    assert node.wanted == []


def test_what_has_a_place_already_does_not_wait(node: Node) -> None:
    """Goal: a copy is a duplicate, and a fork is judged as one, also above a gap that was given up."""
    node.receive(text(5))
    node.ledger.handle_timer(0.0)
    node.ledger.handle_timer(WAIT_MAX_S[Awaited.SEQUENCE])
    node.commit()
    assert node.delivered() == [5]
    node.receive(text(5), text(5, payload="55"))
    assert sorted(node.delivered()) == [5, 55]
    assert node.wanted == []


def test_nothing_is_taken_late_in_a_community_that_was_left(node: Node) -> None:
    """Goal: a purge goes from the log's end to its beginning; what came behind it would stay for ever."""
    node.receive(*(text(number, kind=PLAIN) for number in range(1, PURGE_ENTRIES_MAX + 2)))
    node.receive(text(5))
    node.ledger.handle_timer(0.0)
    node.ledger.answer("leave", node.ledger.membership.leave(NUMBER, purge=True))
    node.commit()
    assert node.ledger.is_purging
    node.ledger.handle_timer(1e9)
    while node.ledger.has_more:
        node.commit()
    assert node.store.communities() == []
    assert {entry.type for entry in node.store.log(1, 10_000)} == {EntryType.REMOVED}
