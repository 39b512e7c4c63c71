"""Goal: the next start of a node knows where neighbours answered, whatever became of the file meanwhile."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path
from time import monotonic, time

import pytest

from dispersy.protocol.address import Address
from dispersy.protocol.identifiers import MemberId
from dispersy.storage.store import Batch, BlockedRecord, CommunityRecord
from dispersy.workers.networking.remembering import (
    COMMUNITIES_MAX,
    FILE_SIZE_MAX,
    FIRST_SAVE_S,
    NEIGHBOURS_NAME,
    RENEWED_S,
    SAVE_S,
    Remembering,
)
from tests.unit.test_network import House
from tests.unit.walker_house import address, member

CHAT, NEWS = b"c" * 32, b"n" * 32


class Walk:
    """A community in which these have answered."""

    def __init__(self, remembering: Remembering, community_id: bytes, *indexes: int) -> None:
        self._remembered = remembering.of(community_id, 0.0)
        self.answered = [(address(index), member(index)) for index in indexes]

    def remember(self, unix_now: int, now: float) -> bool:
        return self._remembered.hear(self.answered, unix_now=unix_now, now=now)


def started(home: Path, **options: object) -> tuple[Remembering, Counter[str]]:
    counters: Counter[str] = Counter()
    return Remembering(home, counters=counters, now=0.0, **options), counters  # type: ignore[arg-type]


def save(home: Path, community_id: bytes, *indexes: int) -> Path:
    """As a run leaves it in which these answered."""
    remembering, counters = started(home)
    remembering.note([Walk(remembering, community_id, *indexes)], 1.0)
    remembering.save(1.0)
    assert not counters
    return home / NEIGHBOURS_NAME


def found(home: Path, community_id: bytes = CHAT) -> list[tuple[Address, MemberId]]:
    """Whom the next start asks."""
    remembering, _ = started(home)
    return [(each.address, each.member) for each in remembering.of(community_id, 0.0)]


def both(*indexes: int) -> list[tuple[Address, MemberId]]:
    return [(address(index), member(index)) for index in indexes]


def test_the_next_start_knows_them(tmp_path: Path) -> None:
    """Each community its own, for their owner alone."""
    path = save(tmp_path, CHAT, 2, 3)
    save(tmp_path, NEWS, 4)
    assert found(tmp_path) == both(2, 3)
    assert found(tmp_path, NEWS) == both(4)
    assert path.stat().st_mode & 0o777 == 0o600
    assert [each.name for each in tmp_path.iterdir()] == [NEIGHBOURS_NAME]


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\xff\x00",
        b'{"communities": 7}',
        b'{"communities": {"chat": []}}',
        b'{"communities": {"00": [{"address": "host:1", "member": "' + b"00" * 32 + b'", "heard_at": 1}]}}',
        b'{"communities": {"00": [{"address": "192.0.2.1:1", "member": "00", "heard_at": 1}]}}',
        b'{"communities": {}}'.ljust(FILE_SIZE_MAX + 1),
    ],
)
def test_what_cannot_be_read_is_as_good_as_none(tmp_path: Path, content: bytes) -> None:
    """And is written over by what is heard next."""
    (tmp_path / NEIGHBOURS_NAME).write_bytes(content)
    remembering, counters = started(tmp_path)
    assert list(remembering.of(CHAT, 0.0)) == []
    assert counters == {"neighbours-unreadable": 1}
    save_into(remembering, 2)
    assert found(tmp_path) == both(2)


def save_into(remembering: Remembering, *indexes: int) -> None:
    remembering.note([Walk(remembering, CHAT, *indexes)], 1.0)
    remembering.save(1.0)


def test_a_disk_that_refuses_is_asked_again(tmp_path: Path) -> None:
    home = tmp_path / "gone"
    remembering, counters = started(home)
    save_into(remembering, 2)
    assert counters == {"neighbours-unwritten": 1}
    home.mkdir()
    remembering.save(2.0)
    assert found(home) == both(2)


def test_it_is_written_when_there_is_news_or_a_day_has_passed(tmp_path: Path) -> None:
    """Not with every step: somebody always comes or goes."""
    remembering, _ = started(tmp_path)
    walk = Walk(remembering, CHAT, 2)
    path, now, written = tmp_path / NEIGHBOURS_NAME, 0.0, []
    while now < 2 * RENEWED_S:
        now += FIRST_SAVE_S
        if remembering.is_due(now):
            walk.answered = both(2, int(now)) if now < SAVE_S * 1.5 else walk.answered
            remembering.note([walk], now)
            remembering.save(now)
            if path.exists():
                written.append(now)
                path.unlink()
    assert written[:2] == [FIRST_SAVE_S, FIRST_SAVE_S + SAVE_S]
    assert len(written) == 3


def test_what_was_left_is_forgotten(tmp_path: Path) -> None:
    """In the file, too; what is not loaded at the moment is kept."""
    save(tmp_path, CHAT, 2)
    save(tmp_path, NEWS, 3)
    remembering, _ = started(tmp_path)
    remembering.keep({NEWS})
    remembering.save(1.0)
    assert found(tmp_path) == []
    assert found(tmp_path, NEWS) == both(3)


def test_the_file_is_bounded(tmp_path: Path) -> None:
    remembering, _ = started(tmp_path)
    walks = [Walk(remembering, index.to_bytes(32, "big"), 2) for index in range(COMMUNITIES_MAX + 10)]
    remembering.note(walks, 1.0)
    remembering.save(1.0)
    assert (tmp_path / NEIGHBOURS_NAME).stat().st_size < FILE_SIZE_MAX
    assert found(tmp_path, (COMMUNITIES_MAX - 1).to_bytes(32, "big")) == both(2)
    assert found(tmp_path, COMMUNITIES_MAX.to_bytes(32, "big")) == []


def test_the_role_remembers_for_its_next_start(tmp_path: Path) -> None:
    """Not who is blocked by then, and nobody of a community that was left."""
    house = House(tmp_path)
    chat = b"\1" * 32
    house.join(1, house.keyring.create("alice").public)
    house.load()
    remembered = house.role._communities.by_number[1].remembered
    remembered.hear(both(2, 3), unix_now=int(time()), now=monotonic())
    house.role._communities._remembering._is_changed = True
    house.role._communities.remember(monotonic(), ends=True)
    assert found(tmp_path, chat) == both(2, 3)
    again = House(tmp_path)
    blocked = BlockedRecord(0, bytes(member(2)), "")
    record = CommunityRecord(1, chat, "", house.keyring.by_name("alice").public)
    again.store.commit(Batch(communities=[record], blocked=[blocked]))
    again.load()
    neighbourhood = again.role._communities.by_number[1]
    assert [each.member for each in neighbourhood.remembered] == [member(3)]
    former = neighbourhood._walker._candidates.former
    assert former.take(monotonic() + 60.0) == [address(3)]
    again.store.commit(Batch(communities=[replace(record, left=True, loaded=False)]))
    again.load()
    again.role._communities.remember(monotonic(), ends=True)
    assert found(tmp_path, chat) == []
