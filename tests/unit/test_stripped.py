"""Erased messages: an author takes back a whole message, and its payloads leave every node; what is left
proves what it was, and travels so to those who never had it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from itertools import permutations
from pathlib import Path
from random import Random

import pytest

from dispersy.protocol.identifiers import ORDER_LOW, ORDER_TOP, OrderKey
from dispersy.protocol.intake.marks import ERASED, UNDONE
from dispersy.protocol.permissions.control_messages import Permission, Undo
from dispersy.protocol.sync.outline import Outline
from dispersy.protocol.sync.transfer import Answered, Coverage, Transfer
from dispersy.protocol.wire.records import LAST_OF_ANSWER, STRIPPED_LIST
from dispersy.protocol.wire.stripped import Stripped, strip
from dispersy.storage.lmdb_store import LmdbStore
from dispersy.storage.memory_store import MemoryStore
from dispersy.storage.store import StoreWriter
from simulation.holdings import make_holdings
from tests.unit.governed import COMMUNITY, EDIT, OPEN, PACT, Author, GovernedNode, id_of, master, read_message


@pytest.fixture(params=["lmdb", "memory"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[StoreWriter]:
    with closing(LmdbStore(tmp_path / "store") if request.param == "lmdb" else MemoryStore()) as made:
        yield made


def kept(node: GovernedNode, raw: bytes) -> bytes:
    """As neighbours would get it."""
    view = read_message(COMMUNITY, raw)
    cursor = node.store.find(node.number, view.global_time, view.id)
    assert cursor is not None
    (entry,) = node.store.entries([cursor])
    (message,) = node.store.messages([cursor])
    assert isinstance(message, Stripped) == bool(entry.marks & ERASED) == (strip(raw) == message)
    assert not entry.marks & ERASED or entry.marks & UNDONE
    return message


def test_an_own_undo_takes_the_payloads_out_of_the_store(tmp_path: Path, store: StoreWriter) -> None:
    """Goal: they are gone, in the round that brings both too; the message is live, and not shown."""
    node, alice = GovernedNode(tmp_path, store), Author(2)
    first, second = alice.data(OPEN, 5, "secret one|two"), alice.data(OPEN, 6, "secret three")
    node.receive(first)
    assert kept(node, first) == first
    node.receive(second, alice.undo(7, first), alice.undo(8, second))
    for raw in (first, second):
        assert kept(node, raw) == strip(raw)
        assert node.is_live(raw)
    assert node.shows(first, second) == [False, False]
    assert not any(b"secret" in entry.message for entry in store.log(1, 100))
    node.restart()
    node.receive(first, second)
    assert kept(node, first) == strip(first)


def test_anothers_undo_hides_and_takes_nothing(tmp_path: Path) -> None:
    """Goal: only the author's word removes payloads from nodes that are not his."""
    node, m, alice = GovernedNode(tmp_path), master(), Author(2)
    raw = alice.data(OPEN, 5, "stays")
    node.receive(raw, m.undo(6, raw))
    assert kept(node, raw) == raw
    assert node.shows(raw) == [False]


def test_in_every_order_a_node_that_never_had_it_ends_where_the_others_are(tmp_path: Path) -> None:
    """Goal: stripped, undo and what permits both, one round each: the same live messages, the same marks."""
    m, alice = master(), Author(2)
    grant = m.grant(2, alice)
    raw, later = alice.data(EDIT, 5, "never here"), alice.data(EDIT, 7, "after it")
    undo = alice.undo(6, raw)
    whole = GovernedNode(tmp_path / "whole")
    whole.receive(grant, raw, later, undo)
    for number, order in enumerate(permutations([grant, strip(raw), undo, later])):
        node = GovernedNode(tmp_path / str(number))
        for each in order:
            node.receive(each)
        assert node.live() == whole.live()
        assert kept(node, raw) == kept(whole, raw) == strip(raw)
        assert node.shows(raw, later) == whole.shows(raw, later) == [False, True]
        node.restart()
        node.receive(raw, strip(raw))
        assert node.live() == whole.live()
        assert kept(node, raw) == strip(raw)


def test_what_a_pair_signed_is_erased_by_either(tmp_path: Path, store: StoreWriter) -> None:
    """Goal: two authors, two signatures: both stay, and one of the two has taken it back."""
    node, m, alice, bob = GovernedNode(tmp_path, store), master(), Author(2), Author(3)
    node.receive(m.grant(2, alice, bob, kind=PACT))
    raw = alice.data(PACT, 5, "between us", second=bob)
    node.receive(strip(raw))
    assert node.waits(raw)
    node.receive(bob.undo(6, raw))
    assert kept(node, raw) == strip(raw)


@pytest.mark.parametrize("whose", ["nobody's", "a moderator's", "a payload's", "of another time", "earlier"])
def test_without_an_undo_of_its_author_it_waits(tmp_path: Path, whose: str) -> None:
    """Goal: nobody on the way can take the payloads out of another's message: the whole one is taken."""
    node, m, alice = GovernedNode(tmp_path), master(), Author(2)
    node.receive(m.grant(2, m, kind=OPEN, permissions=Permission.UNDO))
    raw = alice.data(OPEN, 5, "not taken back")
    if whose == "a moderator's":
        node.receive(m.undo(6, raw))
    elif whose == "a payload's":
        node.receive(alice.undo(6, raw, 0))
    elif whose == "of another time":
        node.receive(alice.control(Undo(id_of(raw), OPEN, 4, None), 6))
    elif whose == "earlier":
        node.receive(alice.undo(5, raw))
    node.receive(strip(raw))
    assert not node.is_live(raw)
    assert node.waits(raw)
    node.receive(raw)
    assert node.is_live(raw)
    assert kept(node, raw) == raw
    # It still waits, and is taken for what is held when its undo comes.
    node.receive(alice.undo(9, raw))
    assert kept(node, raw) == strip(raw)
    assert len(node.live()) == len(set(node.live()))


def test_a_stripped_frame_is_part_of_its_datagram() -> None:
    """Goal: its messages count as arrived; the datagram, which the frame behind it covers, counts once."""
    transfer, nothing = Transfer(Outline()), make_holdings()
    transfer.add((ORDER_LOW, ORDER_TOP))
    asked, _ = transfer.next_request(
        holdings=nothing, number=5, budget=2, room=2, error_rate=0.01, rng=Random(1)
    )
    middle = OrderKey(b"\1" * 24)
    for low, high in ((ORDER_LOW, middle), (middle, ORDER_TOP)):
        stripped = transfer.receive(number=5, flags=STRIPPED_LIST, low=ORDER_LOW, high=ORDER_LOW, count=3)
        assert stripped is Coverage.PART
        flags = LAST_OF_ANSWER if high == ORDER_TOP else 0
        heard = transfer.receive(number=asked.number, flags=flags, low=low, high=high, count=0)
        assert heard is (Coverage.WHOLE if flags else Coverage.PART)
    assert transfer.received == 6
    assert transfer.close(5) == Answered(
        lost=0,
        is_cut=False,
        has_come=True,
        count=6,
        progress=True,
        covered=(ORDER_LOW, ORDER_TOP),
        has_ended=True,
        is_again=False,
    )
    assert transfer.is_complete()


def test_what_waits_for_its_undo_is_explained(tmp_path: Path) -> None:
    """Goal: that its payloads are missing is no reason to say nothing of it."""
    node, alice = GovernedNode(tmp_path), Author(2)
    text = alice.data(OPEN, 5)
    node.receive(strip(text))
    told = node.ledger.explain(node.number, id_of(text))
    assert (told["waits"], told["awaited"], told["reason"]) == (True, "undo", "")
