"""Stretches of a lane that come below others: taken without a look at each message, and never wrongly."""

from __future__ import annotations

from pathlib import Path

import pytest

from dispersy.protocol.intake import lane_round
from dispersy.protocol.intake.received import pack
from dispersy.storage.lmdb_store import LmdbStore
from dispersy.storage.memory_store import MemoryStore
from dispersy.storage.store import EntryType, StoreWriter
from tests.unit.governed import COMMUNITY, OPEN, TALK, Author, GovernedNode, id_of, master

STRETCH = 40


def stretches(author: Author, count: int) -> list[list[bytes]]:
    """Of one lane, in order."""
    rows = range(1, 1 + count * STRETCH)
    messages = [author.data(OPEN, 10 + at, sequence=at) for at in rows]
    return [messages[at : at + STRETCH] for at in range(0, len(messages), STRETCH)]


@pytest.fixture(params=["memory", "lmdb"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> StoreWriter:
    return MemoryStore() if request.param == "memory" else LmdbStore(tmp_path / "store")


def test_a_stretch_between_others_is_taken_without_a_look_at_its_lane(
    store: StoreWriter, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Goal: what two neighbours or two verifiers bring costs no more than what comes in order."""
    node, author = GovernedNode(tmp_path, store), Author(2)
    parts = stretches(author, 5)
    node.receive(*parts[0])
    node.receive(*parts[4])

    def look(*_: object, **__: object) -> None:
        raise AssertionError("a lane was looked at")

    monkeypatch.setattr(lane_round.LaneRound, "__init__", look)
    # Two in one round, and one that stands between them in the next.
    node.receive(*parts[1], *parts[3])
    node.receive(*parts[2])
    every = [message for part in parts for message in part]
    assert node.shows(*every) == [True] * len(every)
    assert store.heads.get(node.number, author.id, OPEN) == (5 * STRETCH, 10 + 5 * STRETCH, False)


Row = tuple[int, int]
"""Sequence and global time."""
STORED: list[Row] = [(1, 10), (2, 20), (9, 90), (10, 100)]


@pytest.mark.parametrize(
    ("stored", "batches"),
    [
        pytest.param(STORED, [[(4, 40), (5, 50)]], id="fits"),
        pytest.param(STORED, [[(4, 40), (5, 95)]], id="overtaken"),
        pytest.param(STORED, [[(4, 15), (5, 50)]], id="overtakes"),
        pytest.param(STORED, [[(4, 50), (5, 40)]], id="falls"),
        pytest.param(STORED, [[(4, 40), (4, 40)]], id="twice"),
        pytest.param(STORED, [[(4, 40), (4, 41)]], id="two-in-a-slot"),
        pytest.param(STORED, [[(4, 40), (9, 89)]], id="in-a-stored-slot"),
        pytest.param(STORED, [[(4, 40), (5, 50)], [(4, 40), (5, 50)]], id="twice-in-a-round"),
        pytest.param(STORED, [[(4, 40), (6, 60)], [(5, 70), (7, 80)]], id="across-another"),
        pytest.param(STORED, [[(4, 40), (6, 60)], [(7, 70), (8, 80)]], id="beside-another"),
        pytest.param([(1, 10), (5, 50), (6, 30)], [[(3, 40), (4, 45)]], id="irregular"),
        pytest.param([(1, 10), (2, 20)], [[(9, 90)], [(4, 95), (5, 96)]], id="below-what-is-new"),
    ],
)
def test_however_a_stretch_comes_the_same_is_shown(
    stored: list[Row], batches: list[list[Row]], tmp_path: Path
) -> None:
    """Goal: it is taken at once only where that is what comes of it message by message."""
    author = Author(2)
    written = {row: author.data(OPEN, row[1], sequence=row[0]) for part in (stored, *batches) for row in part}
    one_by_one = GovernedNode(tmp_path / "one", MemoryStore())
    for row in sorted(written):
        one_by_one.receive(written[row])
    node = GovernedNode(tmp_path / "other", MemoryStore())
    node.receive(*(written[row] for row in stored))
    for batch in batches:
        node.ledger.receive(node.number, len(batch), *pack([written[row] for row in batch], COMMUNITY))
    node.commit()
    assert node.shows(*written.values()) == one_by_one.shows(*written.values())
    assert node.store.last_cursor() - len(node.told) == len(written), "something is stored twice"


def test_what_is_stored_and_comes_again_with_its_permission_is_stored_once(tmp_path: Path) -> None:
    """Goal: a stretch may be in the log already, not live, though nothing live is between its neighbours."""
    node, founder, author = GovernedNode(tmp_path, MemoryStore()), master(), Author(2)
    messages = [author.data(TALK, 10 * at, sequence=at) for at in range(1, 5)]
    node.receive(*messages)
    closed = founder.settings(15, is_linear=True)
    opened = founder.settings(35, is_linear=False)
    node.receive(closed, opened)
    assert node.shows(*messages) == [False, False, False, True]
    stored = node.store.last_cursor()
    node.receive(founder.settings(16, is_linear=False), *messages[1:3])
    assert node.shows(*messages) == [False, True, True, True]
    entries = node.store.log(stored + 1, 100)
    assert not {id_of(each) for each in messages} & {
        each.message_id for each in entries if each.type == EntryType.MESSAGE
    }
