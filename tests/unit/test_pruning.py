"""What is too old leaves: first out of what is offered, then out of the store, on every node alike."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path

import pytest

from dispersy.constants import CLOCK_AHEAD_MAX, CLOCK_AHEAD_MIN
from dispersy.protocol.definitions.definition import Kind
from dispersy.protocol.definitions.policies import choose
from dispersy.protocol.intake import clock
from dispersy.protocol.intake.marks import DENIED, INACTIVE
from dispersy.protocol.pruning import Pruning, horizon_at, is_later, step_of
from dispersy.storage.lmdb_store import LmdbStore
from dispersy.storage.memory_store import MemoryStore
from dispersy.storage.store import EntryType, SlotEntry
from dispersy.workers.keeping import pruning
from tests.unit.governed import MASTER, NUMBER, OPEN, Author, GovernedNode, id_of, master

NEWS, RARE = 70, 71
"""Kinds: inactive at 16 and gone at 32, in steps of 2; the same, with one message a block of each author."""
ANNA, BERT = Author(2), Author(3)


def thresholds(inactive: int, prune: int) -> dict[str, object]:
    return {"pruning": choose("pruning", "global-time", inactive_threshold=inactive, prune_threshold=prune)}


def kinds(inactive: int = 16, prune: int = 32) -> tuple[Kind, ...]:
    return (
        Kind(number=OPEN, name="open"),
        Kind(number=NEWS, name="news", **thresholds(inactive, prune)),  # type: ignore[arg-type]
        Kind(
            number=RARE,
            name="rare",
            payload=choose("payload", "utf-8", rate=1),
            **thresholds(inactive, prune),  # type: ignore[arg-type]
        ),
    )


@pytest.fixture
def node(tmp_path: Path) -> GovernedNode:
    return GovernedNode(tmp_path, None, *kinds())


def settle(node: GovernedNode) -> None:
    """Let all leave that is too old."""
    node.commit()
    while node.ledger.has_more:
        node.commit()


def receive(node: GovernedNode, *raws: bytes) -> None:
    node.receive(*raws)
    settle(node)


def pass_time(node: GovernedNode, author: Author, low: int, high: int) -> None:
    """Messages of the kind that stays, one at each global time from low to high."""
    receive(node, *[author.data(OPEN, time) for time in range(low, high + 1)])


def state_of(node: GovernedNode, raw: bytes) -> str:
    (live,) = node.store.find_ids(id_of(raw))
    (held,) = node.store.find_ids(id_of(raw), inactive=True)
    if live is not None:
        return "live"
    return "inactive" if held is not None else "gone"


def removed(node: GovernedNode) -> list[tuple[int, int]]:
    entries = node.store.log(1, 10_000)
    return [(entry.message_cursor, entry.cursor) for entry in entries if entry.type == EntryType.REMOVED]


def states(node: GovernedNode, raws: Sequence[bytes]) -> list[str]:
    return [state_of(node, raw) for raw in raws]


def test_steps_are_powers_of_two_within_an_eighth() -> None:
    """Goal: every kind's step is a multiple of the smallest, and nothing leaves early or much too late."""
    for inactive in range(1, 2_000):
        row = Pruning(inactive, inactive + 1)
        assert row.step & (row.step - 1) == 0
        assert row.step == 1 or inactive / 16 < row.step <= inactive / 8
        for time in (0, inactive, inactive + row.step, 5 * inactive + 3):
            assert time - inactive - row.step < row.inactive_to(time) <= time - inactive
            assert row.pruned_to(time) == row.inactive_to(time) - 1
    assert step_of([Pruning(100, 200), Pruning(50, 5_000)]) == 4
    assert step_of([]) == 0


def test_horizons_go_round() -> None:
    """Goal: of two horizons less than half of the circle apart the later one is known, across zero too."""
    assert horizon_at(12_345, 0) == 0
    assert horizon_at((1 << 63) - 1, 1) == 0xFFFF
    assert is_later(horizon_at(65_536 * 2, 2), horizon_at(65_536 * 2 - 2, 2))
    assert is_later(5, 4)
    assert not is_later(4, 5)
    assert not is_later(4, 4)


def test_the_least_threshold_bounds_how_far_a_message_lifts_the_clock() -> None:
    """Goal: one message makes nobody forget more than a hundredth of what the shortest kind keeps active."""
    assert clock.ahead_max([]) == CLOCK_AHEAD_MAX
    assert clock.ahead_max([Pruning(50_000, 60_000), Pruning(40_000, 1 << 40)]) == 400
    assert clock.ahead_max([Pruning(1 << 40, 1 << 41)]) == CLOCK_AHEAD_MAX
    assert clock.ahead_max([Pruning(1, 2)]) == CLOCK_AHEAD_MIN


def test_a_message_is_offered_no_more_and_then_gone(node: GovernedNode) -> None:
    """Goal: at its threshold it leaves the live set and stays readable, at the next it leaves a marker."""
    news = [ANNA.data(NEWS, time) for time in (2, 3, 9)]
    others = [BERT.data(OPEN, 2), master().grant(3, ANNA, kind=OPEN)]
    receive(node, *news, *others)
    pass_time(node, BERT, 4, 17)
    assert states(node, news) == ["live"] * 3
    pass_time(node, BERT, 18, 18)
    assert states(node, news) == ["inactive", "live", "live"]
    (cursor,) = node.store.find_ids(id_of(news[0]), inactive=True)
    assert cursor is not None
    (entry,) = node.store.entries([cursor])
    assert (entry.marks, entry.message) == (INACTIVE, news[0])
    assert node.store.state(NUMBER).summary.horizon == 9
    pass_time(node, BERT, 19, 34)
    assert states(node, news) == ["gone", "inactive", "inactive"]
    assert removed(node) == [(cursor, cursor)]
    pass_time(node, BERT, 35, 36)
    assert states(node, news) == ["gone", "gone", "inactive"]
    assert removed(node) == [(cursor, cursor + 1)]
    assert states(node, others) == ["live", "live"]
    assert node.told == []
    assert node.store.state(NUMBER).summary.count == 1 + 33 + 1


def test_what_is_gone_never_comes_back(node: GovernedNode) -> None:
    """Goal: a neighbour that is behind offers it in vain, whether it is still here or not; it waits not."""
    news = [ANNA.data(NEWS, time) for time in (2, 20)]
    late = BERT.data(NEWS, 4)
    receive(node, news[0])
    pass_time(node, BERT, 4, 22)
    receive(node, *news, late)
    assert states(node, [*news, late]) == ["inactive", "live", "gone"]
    assert node.refused(late) == node.refused(news[0]) == "pruned"
    assert not node.waits(late)
    pass_time(node, BERT, 23, 40)
    receive(node, *news, late)
    assert states(node, [*news, late]) == ["gone", "inactive", "gone"]


def test_a_portion_at_a_time_and_on_after_a_crash(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Goal: however much leaves at once, one commit looks at few; a writer that is started again goes on."""
    monkeypatch.setattr(pruning, "PRUNED_PER_COMMIT_MAX", 3)
    node = GovernedNode(tmp_path, None, *kinds())
    news = [ANNA.data(NEWS, time) for time in range(2, 12)]
    receive(node, *news)
    node.receive(BERT.data(OPEN, 100))
    before = node.store.state(NUMBER).summary
    node.commit()
    assert states(node, news) == ["inactive"] * 3 + ["live"] * 7
    assert node.store.state(NUMBER).summary.horizon == before.horizon
    node.restart()
    assert node.ledger.has_more
    settle(node)
    assert states(node, news) == ["gone"] * 10
    assert node.store.state(NUMBER).summary.horizon == 50
    assert removed(node) == [(1, 10)]


def test_the_founder_may_change_the_thresholds(node: GovernedNode) -> None:
    """Goal: a higher threshold lets live again what is still here, a lower one makes leave what was live."""
    news = [ANNA.data(NEWS, time) for time in (2, 12, 24)]
    receive(node, *news)
    pass_time(node, BERT, 4, 40)
    assert states(node, news) == ["gone", "inactive", "inactive"]
    receive(node, MASTER.define(41, *kinds(200, 400)))
    assert states(node, news) == ["gone", "live", "live"]
    receive(node, news[0])
    assert states(node, news) == ["live", "live", "live"]
    receive(node, MASTER.define(42, *kinds(8, 24)))
    assert states(node, news) == ["gone", "gone", "inactive"]
    receive(node, MASTER.define(43, Kind(number=OPEN, name="open"), Kind(number=NEWS, name="news")))
    assert states(node, news) == ["gone", "gone", "live"]
    assert node.store.state(NUMBER).summary.horizon == 43, "of the other kind, which is as it was"


@pytest.mark.parametrize("commits", range(1, 8))
def test_what_a_step_has_not_come_to_is_left_to_another_definition(
    node: GovernedNode, monkeypatch: pytest.MonkeyPatch, commits: int
) -> None:
    """Goal: one that comes in the middle of a step holds at once: nothing more leaves by the one before."""
    monkeypatch.setattr(pruning, "PRUNED_PER_COMMIT_MAX", 3)
    news = [ANNA.data(NEWS, time) for time in range(2, 14)]
    receive(node, *news)
    node.receive(BERT.data(OPEN, 100))
    for _ in range(commits):
        node.commit()
    gone = states(node, news).count("gone")
    receive(node, MASTER.define(101, *kinds(200, 400)))
    assert states(node, news) == ["gone"] * gone + ["live"] * (12 - gone)
    receive(node, MASTER.define(102, *kinds(16, 32)))
    assert states(node, news) == ["gone"] * 12


def test_nobody_is_made_to_forget_by_what_neighbours_say(tmp_path: Path) -> None:
    """Goal: whoever says that its clock is far ahead lifts ours as far as one message might, however often;
    across a gap only to messages that are held there."""
    node = GovernedNode(tmp_path, None, *kinds(20_000, 40_000))
    news = [ANNA.data(NEWS, time) for time in range(2, 14)]
    receive(node, *news)
    for _ in range(3):
        for is_median in (False, True):
            node.ledger.hear_clock(NUMBER, 1 << 40, is_median=is_median, is_newcomer=False)
            settle(node)
    assert node.store.state(NUMBER).clock == 13 + clock.ahead_max([Pruning(20_000, 40_000)])
    beyond = BERT.data(NEWS, 50_000)
    receive(node, beyond)
    assert states(node, news) == ["live"] * 12
    node.ledger.hear_clock(NUMBER, 50_001, is_median=False, is_newcomer=False)
    settle(node)
    assert states(node, news) == ["live"] * 12
    node.ledger.hear_clock(NUMBER, 50_001, is_median=True, is_newcomer=False)
    settle(node)
    assert node.store.state(NUMBER).clock == 50_001
    assert states(node, [*news, beyond]) == ["gone"] * 12 + ["live"]


def test_a_portion_is_read_in_parts(node: GovernedNode, monkeypatch: pytest.MonkeyPatch) -> None:
    """Goal: however large messages are and however many a step retires, few are in memory at a time."""
    monkeypatch.setattr(pruning, "PRUNED_READ_MAX", 4)
    news = [ANNA.data(NEWS, time) for time in range(2, 14)]
    receive(node, *news)
    sizes: list[int] = []
    read = node.store.messages

    def messages(cursors: Sequence[int]) -> list[bytes]:
        sizes.append(len(cursors))
        return read(cursors)

    monkeypatch.setattr(node.store, "messages", messages)
    receive(node, BERT.data(OPEN, 100))
    assert states(node, news) == ["gone"] * 12
    assert max(sizes) <= 4


def test_a_newcomer_believes_few_neighbours_as_far_as_messages_go(tmp_path: Path) -> None:
    """Goal: who has heard fewer than three is lifted to what is held, also across a gap, and a little on."""
    node = GovernedNode(tmp_path, None, *kinds(20_000, 40_000))
    node.ledger.hear_clock(NUMBER, 1 << 40, is_median=False, is_newcomer=True)
    settle(node)
    ahead = clock.ahead_max([Pruning(20_000, 40_000)])
    assert node.store.state(NUMBER).clock <= 2 + ahead
    receive(node, BERT.data(NEWS, 50_000))
    node.ledger.hear_clock(NUMBER, 1 << 40, is_median=False, is_newcomer=True)
    settle(node)
    assert node.store.state(NUMBER).clock == 50_000 + ahead


def test_an_undo_leaves_with_its_target(node: GovernedNode) -> None:
    """Goal: it is offered no longer than what it takes back, which stays taken back where it is kept."""
    target = ANNA.data(NEWS, 2)
    undo = ANNA.undo(3, target)
    receive(node, target, undo)
    assert node.is_live(undo)
    pass_time(node, BERT, 4, 20)
    assert states(node, [target]) == ["inactive"]
    assert not node.is_live(undo)
    assert node.shown.isdisjoint({id_of(target)})
    receive(node, undo)
    assert not node.is_live(undo)


def test_who_comes_later_decides_the_same(node: GovernedNode, tmp_path: Path) -> None:
    """Goal: what is too old hides nothing and keeps nothing out, on who held it as on who never heard."""
    anna, twice = Author(2), Author(4)
    old, young = anna.data(RARE, 2), anna.data(RARE, 12)
    first, second = twice.data(NEWS, 3, "one", sequence=1), twice.data(NEWS, 12, "two", sequence=1)
    receive(node, old, young, first, second)
    assert states(node, [old, young, first, second]) == ["live", "gone", "live", "live"]
    assert node.shown.isdisjoint({id_of(first), id_of(second)})
    pass_time(node, BERT, 4, 20)
    receive(node, young)
    assert states(node, [old, young, first, second]) == ["inactive", "live", "inactive", "live"]
    assert node.told == [("restored", id_of(second), "message")]
    later = GovernedNode(tmp_path / "later", None, *kinds())
    _, cursors, _ = node.store.scan(NUMBER, bytes(24), b"\xff" * 24, 1_000)
    receive(later, *node.store.messages(memoryview(cursors).cast("Q").tolist()))
    assert later.live() == node.live()
    assert later.shows(young, second) == node.shows(young, second) == [True, True]
    assert later.store.state(NUMBER).summary == node.store.state(NUMBER).summary


def test_what_was_denied_is_removed_with_the_others(tmp_path: Path) -> None:
    """Goal: a message that stopped counting is not kept longer for that."""
    linear = Kind(
        number=NEWS,
        name="news",
        resolution=choose("resolution", "linear"),
        **thresholds(16, 32),  # type: ignore[arg-type]
    )
    node = GovernedNode(tmp_path, None, Kind(number=OPEN, name="open"), linear)
    founder = master()
    news = ANNA.data(NEWS, 3, sequence=1)
    receive(node, founder.grant(2, ANNA, kind=NEWS), news)
    (cursor,) = node.store.find_ids(id_of(news))
    assert cursor is not None
    receive(node, founder.revoke(4, ANNA, kind=NEWS))
    pass_time(node, BERT, 5, 30)
    assert node.store.entries([cursor])[0].marks == DENIED
    pass_time(node, BERT, 31, 36)
    assert removed(node) == [(cursor, cursor)]


def test_an_author_counts_on_when_all_of_his_is_gone(tmp_path: Path) -> None:
    """Goal: sequences go on behind what nobody keeps, also where the store is opened anew."""
    author = Author(5)
    with closing(LmdbStore(tmp_path / "store")) as store:
        node = GovernedNode(tmp_path, store, *kinds())
        receive(node, author.data(NEWS, 2), author.data(NEWS, 3))
        pass_time(node, BERT, 4, 60)
        assert removed(node) == [(1, 2)]
        assert store.heads.get(NUMBER, author.id, NEWS) == (2, 3, False)
    with closing(LmdbStore(tmp_path / "store")) as store:
        assert store.heads.get(NUMBER, author.id, NEWS) == (2, 3, False)


@pytest.mark.parametrize("stored", [2_000, 20_000])
def test_a_step_looks_at_what_leaves(tmp_path: Path, stored: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Goal: however much is stored, a step reads what lies between two cuts."""
    store = MemoryStore()
    node = GovernedNode(tmp_path, store, *kinds())
    author = Author(6)
    receive(node, *[author.data(OPEN, 1_000 + at) for at in range(stored)])
    looked: list[int] = []
    scan = store.scan

    def counted(community: int, low: bytes, high: bytes, limit: int) -> tuple[bytes, bytes, bool]:
        found = scan(community, low, high, limit)
        looked.append(len(found[0]) // 40)
        return found

    monkeypatch.setattr(store, "scan", counted)
    receive(node, author.data(NEWS, 1_000 + stored + 3))
    assert sum(looked) <= 8


def test_who_erred_once_is_not_decided_whole_at_each_step(
    node: GovernedNode, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Goal: what is far ahead of the clock, and stays, is not read for each old message below it; what an old
    one has hidden is shown again all the same."""
    author = Author(6)
    receive(node, author.data(NEWS, 1, "a", sequence=1), author.data(NEWS, 1, "b", sequence=1))
    old = [author.data(NEWS, time) for time in range(2, 12)]
    overtaken = BERT.data(NEWS, 14, sequence=1)
    receive(node, *old, *[author.data(NEWS, 1_000_000 + at) for at in range(500)])
    receive(node, BERT.data(NEWS, 3, sequence=2), overtaken)
    lanes: list[bytes] = []
    lane = node.store.lane

    def counted(community: int, name: bytes, kind: int, *, unlive: bool = False) -> Iterator[SlotEntry]:
        lanes.append(name)
        return lane(community, name, kind, unlive=unlive)

    assert node.shows(overtaken) == [False]
    monkeypatch.setattr(node.store, "lane", counted)
    pass_time(node, ANNA, 2, 24)
    assert states(node, old) == ["inactive"] * 7 + ["live"] * 3
    assert author.id not in lanes
    assert node.shows(overtaken) == [True]
    assert BERT.id in lanes
