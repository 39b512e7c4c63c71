"""A lane by itself: stories of rules 13 to 15, and what a round tells the store to change."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

from hypothesis import given
from hypothesis import strategies as st

from dispersy.constants import LANE_ALLOWANCE, LANE_ALLOWANCE_MAX, LANE_MESSAGES_MAX
from dispersy.ext.table import Heads
from dispersy.protocol.identifiers import MemberId
from dispersy.protocol.intake.lane import PLAIN, LaneEntry, LaneRules, decide_lane
from dispersy.protocol.intake.lane_round import Allowance, Fate, LaneRound, LaneSlot
from dispersy.protocol.intake.marks import DENIED, HIDDEN_BY_EQUIVOCATION, HIDDEN_BY_ORDER
from dispersy.storage.memory_store import MemoryStore
from dispersy.storage.store import SlotEntry
from tests.oracle.lanes import Written, equivocated, live_of, overtaken
from tests.unit.governed import STATUS, Author, GovernedNode

AUTHOR = bytes(32)


def entry(sequence: int, name: str, global_time: int) -> LaneEntry:
    return LaneEntry(AUTHOR, sequence, name.encode(), global_time)


@given(
    st.sets(st.tuples(st.integers(1, 5), st.binary(min_size=1, max_size=1), st.integers(1, 6)), max_size=12)
)
def test_a_lane_is_decided_as_the_rules_say(rows: set[tuple[int, bytes, int]]) -> None:
    """Goal: the one pass over the lane agrees with the rules read message by message."""
    by_id = {row[1]: row for row in rows}
    entries = [LaneEntry(AUTHOR, *row) for row in by_id.values()]
    live = live_of(Written(AUTHOR, 64, row[0], row[2], row[1]) for row in by_id.values())
    twice, late = equivocated(live), overtaken(live)
    assert decide_lane(entries).marks == {
        each.message_id: HIDDEN_BY_EQUIVOCATION * (each in twice) + HIDDEN_BY_ORDER * (each in late)
        for each in live
    }


def test_two_in_a_slot_do_not_overtake_each_other() -> None:
    """Goal: rule 14 compares different sequences only."""
    decided = decide_lane([entry(1, "a", 9), entry(1, "b", 1)]).marks
    assert decided == {b"a": HIDDEN_BY_EQUIVOCATION, b"b": HIDDEN_BY_EQUIVOCATION}


def test_a_hidden_message_still_overtakes() -> None:
    """Goal: what is live decides, shown or not."""
    decided = decide_lane([entry(1, "a", 9), entry(2, "b", 1), entry(2, "c", 1)]).marks
    assert decided[b"a"] == HIDDEN_BY_ORDER


@dataclass
class LaneInMemory:
    """What a lane asks of a store, for one lane."""

    stored: list[SlotEntry] = field(default_factory=list)
    heads: Heads = field(default_factory=Heads)
    looks: int = 0

    def slot(self, _c: int, _a: bytes, _k: int, sequence: int, *, unlive: bool = False) -> list[SlotEntry]:
        return [each for each in self.stored if each.sequence == sequence and (each.live or unlive)]

    def neighbours(
        self, _c: int, _a: bytes, _k: int, sequence: int
    ) -> tuple[LaneSlot | None, LaneSlot | None]:
        lower = [each for each in self.stored if each.sequence < sequence and each.live]
        higher = [each for each in self.stored if each.sequence > sequence and each.live]
        return max(lower, key=lambda e: e.sequence, default=None), min(
            higher, key=lambda e: e.sequence, default=None
        )

    def lane(self, _c: int, _a: bytes, _k: int, *, unlive: bool = False) -> Iterator[LaneSlot]:
        for stored in sorted(self.stored, key=lambda e: (e.sequence, e.message_id)):
            if stored.live or unlive:
                self.looks += 1
                yield stored

    def store(self, sequence: int, name: str, global_time: int, *, marks: int = 0) -> None:
        cursor, live = 100 + len(self.stored), not marks & DENIED
        self.stored.append(SlotEntry(sequence, global_time, name.encode(), cursor, marks, live))
        head = self.heads.get(1, AUTHOR, 64) or (0, 0, False)
        self.heads.put(1, AUTHOR, 64, max(head[0], sequence), max(head[1], global_time), head[2])


def begin(
    lane: LaneInMemory, rules: LaneRules = PLAIN, *, denied: Callable[[int], bool] = lambda _: False
) -> LaneRound:
    """A round of the lane; denied: the sequences that are not permitted."""
    return LaneRound(
        lane,
        community=1,
        kind=64,
        lanes={AUTHOR: (MemberId(AUTHOR),)},
        rules=rules,
        judge=lambda _authors, _kind, _time, sequence: "revoked" if denied(sequence) else "",
        form=lambda _kind, _slot: "",
    )


def marks_of(fates: dict[bytes, Fate], *, stored: bool) -> dict[bytes, int | None]:
    return {each: fate.marks for each, fate in fates.items() if (fate.stored is not None) == stored}


def decide(
    lane: LaneInMemory, *entries: LaneEntry, rules: LaneRules = PLAIN
) -> tuple[dict[bytes, int | None], dict[bytes, int | None], bool]:
    """(marks of what is stored and changes, marks of what is new, whether the lane is irregular now)"""
    round_ = begin(lane, rules)
    for each in entries:
        assert round_.receive(each) == ""
        assert round_.receive(each) == "duplicate"
    fates: dict[bytes, Fate] = {}
    round_.decide(fates, Allowance())
    head = lane.heads.get(1, AUTHOR, 64)
    assert head is not None
    return marks_of(fates, stored=True), marks_of(fates, stored=False), head[2]


def test_a_gap_that_fills_keeps_the_lane_regular() -> None:
    """Goal: late but rising messages need no look at the whole lane."""
    lane = LaneInMemory()
    lane.store(1, "a", 10)
    lane.store(9, "b", 90)
    assert decide(lane, entry(5, "c", 50), entry(3, "d", 30), entry(4, "e", 40)) == ({}, {}, False)


def test_an_equivocation_hides_what_was_shown() -> None:
    """Goal: both of a slot are hidden, and the stored one is denied once."""
    lane = LaneInMemory()
    lane.store(1, "b", 10)
    changes, fates, irregular = decide(lane, entry(1, "a", 10))
    assert changes == {b"b": HIDDEN_BY_EQUIVOCATION}
    assert fates == {b"a": HIDDEN_BY_EQUIVOCATION}
    assert irregular


def test_beyond_everything_the_lane_is_not_read() -> None:
    """Goal: an author who once erred goes on cheaply, and what still comes between is decided with it."""
    lane = LaneInMemory()
    lane.store(1, "b", 10, marks=HIDDEN_BY_EQUIVOCATION)
    decide(lane, entry(1, "a", 10))
    lane.store(1, "a", 10, marks=HIDDEN_BY_EQUIVOCATION)
    assert decide(lane, entry(2, "c", 11)) == ({}, {}, True)
    assert decide(lane, entry(4, "e", 13), entry(5, "d", 12))[1] == {b"e": HIDDEN_BY_ORDER, b"d": 0}


def test_lower_ids_put_a_stored_one_out() -> None:
    """Goal: two lower ids in one round take the place of a shown message, which is denied."""
    lane = LaneInMemory()
    lane.store(1, "z", 10)
    changes, fates, _ = decide(lane, entry(1, "a", 10), entry(1, "b", 10))
    assert changes == {b"z": None}
    assert set(fates.values()) == {HIDDEN_BY_EQUIVOCATION}


def test_the_third_of_a_slot_costs_no_look_at_the_lane() -> None:
    """Goal: one that is higher than both of its slot is turned away by the slot alone."""
    lane = LaneInMemory()
    lane.store(1, "a", 10)
    lane.store(1, "b", 10)
    round_ = begin(lane)
    assert [round_.receive(entry(1, "c", 10)) for _ in range(3)] == ["slot-full"] * 3


def test_a_long_lane_is_read_only_as_far_as_was_saved_up() -> None:
    """Goal: one who misbehaves in a long lane is put off, cheaply each time, and is judged in the end."""
    lane = LaneInMemory()
    length = 3_000
    for sequence in range(1, length + 1):
        lane.store(sequence, f"{sequence:06}", 10 * sequence)
    allowance = Allowance()
    allowance.spend((AUTHOR, 64), LANE_ALLOWANCE_MAX - 1_000, LANE_MESSAGES_MAX)
    late = entry(7, "again", 70)
    looks = rounds = 0
    for _ in range(length):
        round_ = begin(lane)
        assert round_.receive(late) == ""
        fates: dict[bytes, Fate] = {}
        before = lane.looks
        round_.decide(fates, allowance)
        looks += lane.looks - before
        if fates[b"again"].reason != "lane-refused":
            break
        allowance.gain(1)
        rounds += 1
    assert marks_of(fates, stored=False) == {b"again": HIDDEN_BY_EQUIVOCATION}
    assert marks_of(fates, stored=True) == {b"000007": HIDDEN_BY_EQUIVOCATION}
    assert rounds >= (length - 1_000) // LANE_ALLOWANCE
    assert looks <= 1_000 + LANE_ALLOWANCE * rounds + 2


def test_what_overtook_is_put_out_and_the_hidden_one_comes_back() -> None:
    """Goal: a message hidden by order is restored when the one that hid it is no longer live."""
    lane = LaneInMemory()
    lane.store(1, "m", 50, marks=HIDDEN_BY_ORDER)
    lane.store(2, "z", 10)
    lane.heads.put(1, AUTHOR, 64, 2, 50, True)
    changes, _, _ = decide(lane, entry(2, "a", 60), entry(2, "b", 60))
    assert changes == {b"m": 0, b"z": None}


def test_an_equal_global_time_is_not_in_order() -> None:
    """Goal: equal counts as overtaken, from above and from below."""
    lane = LaneInMemory()
    lane.store(5, "m", 50)
    assert decide(lane, entry(4, "a", 50))[1] == {b"a": HIDDEN_BY_ORDER}
    lane = LaneInMemory()
    lane.store(5, "m", 50)
    assert decide(lane, entry(6, "a", 50))[0] == {b"m": HIDDEN_BY_ORDER}


# -- newest and rate


def test_only_the_newest_stay() -> None:
    """Goal: a newer one puts the oldest out, and only as many entries are looked at as stay."""
    lane = LaneInMemory()
    for sequence in range(1, 9):
        lane.store(sequence, f"{sequence}", 10 * sequence, marks=0 if sequence > 5 else DENIED)
    changes, fates, irregular = decide(lane, entry(9, "9", 90), rules=LaneRules(newest=3))
    assert (changes, fates, irregular) == ({b"6": None}, {b"9": 0}, False)
    assert lane.looks == 0


def test_an_older_one_does_not_come_back() -> None:
    """Goal: what was put out, or comes late and would be, is not taken."""
    lane = LaneInMemory()
    lane.store(2, "old", 20, marks=DENIED)
    lane.store(3, "new", 30)
    round_ = begin(lane, LaneRules(newest=1))
    assert round_.receive(entry(2, "old", 20)) == "duplicate"
    assert round_.receive(entry(1, "older", 10)) == ""
    fates: dict[bytes, Fate] = {}
    round_.decide(fates, Allowance())
    assert [(fate.marks, fate.reason) for fate in fates.values()] == [(None, "superseded")]


def test_of_two_lanes_the_newest_count_together() -> None:
    """Goal: rule 14 for a pair: both lanes compete, and each is hidden by its own order alone."""
    one, other = bytes(32), bytes([1]) * 32
    entries = [LaneEntry(one, 1, b"a", 10), LaneEntry(other, 7, b"b", 20), LaneEntry(one, 2, b"c", 30)]
    decision = decide_lane(entries, LaneRules(newest=2))
    assert decision.marks == {b"b": 0, b"c": 0}
    assert decision.refused == {b"a": "superseded"}


def test_a_rate_holds_within_a_block() -> None:
    """Goal: the lowest sequences of a block of global times count, and of the next block as many again."""
    lane = LaneInMemory()
    lane.store(1, "a", 10)
    lane.store(2, "b", 20)
    rules = LaneRules(rate=2)
    _, fates, _ = decide(lane, entry(3, "c", 30), entry(4, "d", 1_024), rules=rules)
    assert fates == {b"c": None, b"d": 0}
    changes, fates, _ = decide(lane, entry(0, "z", 5), rules=rules)
    assert (changes, fates) == ({b"b": None}, {b"z": 0})


@given(
    st.sets(st.tuples(st.integers(1, 4), st.binary(min_size=1, max_size=1), st.integers(1, 6)), max_size=10),
    st.sampled_from([PLAIN, LaneRules(newest=2), LaneRules(rate=2), LaneRules(newest=2, rate=1)]),
    st.randoms(use_true_random=False),
)
def test_what_is_not_live_has_no_influence(
    rows: set[tuple[int, bytes, int]], rules: LaneRules, random: Random
) -> None:
    """Goal: whoever drops any of what was kept out decides the same."""
    entries = [LaneEntry(AUTHOR, *row) for row in {row[1]: row for row in rows}.values()]
    decision = decide_lane(entries, rules)
    kept = [each for each in entries if each.message_id in decision.marks or random.random() < 0.5]
    assert decide_lane(kept, rules).marks == decision.marks


# -- lanes that a control message touches


def test_a_touched_lane_is_judged_with_what_was_denied() -> None:
    """Goal: what is permitted no more goes, what is permitted again is back with the marks of its place."""
    lane = LaneInMemory()
    lane.store(1, "a", 10)
    lane.store(2, "b", 50, marks=DENIED)
    lane.store(3, "c", 30)
    round_ = begin(lane, denied=lambda sequence: sequence == 1)
    round_.touch()
    fates: dict[bytes, Fate] = {}
    round_.decide(fates, Allowance())
    assert {each: (fate.marks, fate.reason) for each, fate in fates.items()} == {
        b"a": (None, "revoked"),
        b"b": (HIDDEN_BY_ORDER, ""),
    }
    # From now on nobody takes the lane for one that rises.
    assert lane.heads.get(1, AUTHOR, 64) == (3, 50, True)


def test_a_touched_lane_does_not_wait_for_an_allowance() -> None:
    """Goal: what a revoke takes is taken at once, whoever has misbehaved before."""
    lane = LaneInMemory()
    lane.store(1, "a", 10)
    allowance = Allowance()
    allowance.spend((AUTHOR, 64), LANE_ALLOWANCE_MAX, LANE_MESSAGES_MAX)
    round_ = begin(lane, denied=lambda _: True)
    round_.touch()
    fates: dict[bytes, Fate] = {}
    round_.decide(fates, allowance)
    assert fates[b"a"].marks is None


class CountingStore(MemoryStore):
    """Counts the looks to both sides of a place, each of which passes over all that is not live there."""

    looks = 0

    def neighbours(
        self, community: int, name: bytes, kind: int, sequence: int
    ) -> tuple[SlotEntry | None, SlotEntry | None]:
        self.looks += 1
        return super().neighbours(community, name, kind, sequence)


def test_what_is_older_than_the_newest_costs_no_look_beside_the_allowance(tmp_path: Path) -> None:
    """Goal: a writer may sign any number of these; and one that stands between the newest is still told."""
    store = CountingStore()
    node, writer = GovernedNode(tmp_path, store), Author(2)
    for at in range(20, 30, 2):
        node.receive(writer.data(STATUS, at, sequence=at), writer.data(STATUS, at + 1, sequence=at + 1))
    store.looks = 0
    node.receive(*(writer.data(STATUS, at, "late", sequence=at) for at in range(1, 10)))
    assert store.looks == 0
    overtaking = writer.data(STATUS, 40, sequence=5)
    node.receive(overtaking)
    assert store.heads.get(node.number, writer.id, STATUS) == (29, 40, True)
    assert node.shows(overtaking) == [False]
