"""A lane by itself: stories of rules 13 and 14, and what a round tells the store to change."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from hypothesis import given
from hypothesis import strategies as st

from dispersy.constants import LANE_ALLOWANCE, LANE_ALLOWANCE_MAX, LANE_MESSAGES_MAX
from dispersy.ext.table import Heads
from dispersy.protocol.lane import UNLIVE, Allowance, Change, LaneEntry, LaneRound, LaneSlot, decide_lane
from dispersy.protocol.marks import HIDDEN_BY_EQUIVOCATION, HIDDEN_BY_ORDER
from dispersy.storage.store import SlotEntry
from tests.oracle.lanes import Written, equivocated, live_of, overtaken

AUTHOR = bytes(32)


def entry(sequence: int, name: str, global_time: int) -> LaneEntry:
    return LaneEntry(sequence, name.encode(), global_time)


@given(
    st.sets(st.tuples(st.integers(1, 5), st.binary(min_size=1, max_size=1), st.integers(1, 6)), max_size=12)
)
def test_a_lane_is_decided_as_the_rules_say(rows: set[tuple[int, bytes, int]]) -> None:
    """Goal: the one pass over the lane agrees with the rules read message by message."""
    by_id = {row[1]: row for row in rows}
    entries = [LaneEntry(*row) for row in by_id.values()]
    live = live_of(Written(AUTHOR, 64, row[0], row[2], row[1]) for row in by_id.values())
    twice, late = equivocated(live), overtaken(live)
    assert decide_lane(entries) == {
        each.message_id: HIDDEN_BY_EQUIVOCATION * (each in twice) + HIDDEN_BY_ORDER * (each in late)
        for each in live
    }


def test_two_in_a_slot_do_not_overtake_each_other() -> None:
    """Goal: rule 14 compares different sequences only."""
    decided = decide_lane([entry(1, "a", 9), entry(1, "b", 1)])
    assert decided == {b"a": HIDDEN_BY_EQUIVOCATION, b"b": HIDDEN_BY_EQUIVOCATION}


def test_a_hidden_message_still_overtakes() -> None:
    """Goal: what is live decides, shown or not."""
    decided = decide_lane([entry(1, "a", 9), entry(2, "b", 1), entry(2, "c", 1)])
    assert decided[b"a"] == HIDDEN_BY_ORDER


@dataclass
class LaneInMemory:
    """What a lane asks of a store, for one lane."""

    stored: list[SlotEntry] = field(default_factory=list)
    heads: Heads = field(default_factory=Heads)
    looks: int = 0

    def slot(self, _c: int, _a: bytes, _k: int, sequence: int) -> list[SlotEntry]:
        return [each for each in self.stored if each.sequence == sequence][:2]

    def neighbours(
        self, _c: int, _a: bytes, _k: int, sequence: int
    ) -> tuple[LaneSlot | None, LaneSlot | None]:
        lower = [each for each in self.stored if each.sequence < sequence]
        higher = [each for each in self.stored if each.sequence > sequence]
        return max(lower, key=lambda e: e.sequence, default=None), min(
            higher, key=lambda e: e.sequence, default=None
        )

    def lane(self, _c: int, _a: bytes, _k: int) -> Iterator[LaneSlot]:
        for stored in sorted(self.stored, key=lambda e: (e.sequence, e.message_id)):
            self.looks += 1
            yield stored

    def store(self, sequence: int, name: str, global_time: int) -> None:
        self.stored.append(SlotEntry(sequence, global_time, name.encode(), 100 + len(self.stored)))
        head = self.heads.get(1, AUTHOR, 64) or (0, 0, False)
        self.heads.put(1, AUTHOR, 64, max(head[0], sequence), max(head[1], global_time), head[2])


def decide(lane: LaneInMemory, *entries: LaneEntry) -> tuple[list[Change], dict[bytes, int], bool]:
    """(changes, fates of what is new, whether the lane is irregular now)"""
    round_ = LaneRound(lane, community=1, author=AUTHOR, kind=64)
    for each in entries:
        assert round_.receive(each) == ""
        assert round_.receive(each) == "duplicate"
    changes: list[Change] = []
    fates: dict[bytes, int] = {}
    round_.decide(changes, fates, Allowance())
    head = lane.heads.get(1, AUTHOR, 64)
    assert head is not None
    return changes, fates, head[2]


def test_a_gap_that_fills_keeps_the_lane_regular() -> None:
    """Goal: late but rising messages need no look at the whole lane."""
    lane = LaneInMemory()
    lane.store(1, "a", 10)
    lane.store(9, "b", 90)
    assert decide(lane, entry(5, "c", 50), entry(3, "d", 30), entry(4, "e", 40)) == ([], {}, False)


def test_an_equivocation_hides_what_was_shown() -> None:
    """Goal: both of a slot are hidden, and the stored one is denied once."""
    lane = LaneInMemory()
    lane.store(1, "b", 10)
    changes, fates, irregular = decide(lane, entry(1, "a", 10))
    assert changes == [Change(b"b", 100, HIDDEN_BY_EQUIVOCATION, "equivocation")]
    assert fates == {b"a": HIDDEN_BY_EQUIVOCATION}
    assert irregular


def test_beyond_everything_the_lane_is_not_read() -> None:
    """Goal: an author who once erred goes on cheaply, and what still comes between is decided with it."""
    lane = LaneInMemory()
    lane.store(1, "b", 10)
    decide(lane, entry(1, "a", 10))
    lane.store(1, "a", 10)
    assert decide(lane, entry(2, "c", 11)) == ([], {}, True)
    assert decide(lane, entry(4, "e", 13), entry(5, "d", 12))[1] == {b"e": HIDDEN_BY_ORDER, b"d": 0}


def test_lower_ids_put_a_stored_one_out() -> None:
    """Goal: two lower ids in one round take the place of a shown message, which is denied."""
    lane = LaneInMemory()
    lane.store(1, "z", 10)
    changes, fates, _ = decide(lane, entry(1, "a", 10), entry(1, "b", 10))
    assert changes == [Change(b"z", 100, UNLIVE, "equivocation")]
    assert set(fates.values()) == {HIDDEN_BY_EQUIVOCATION}


def test_the_third_of_a_slot_costs_no_look_at_the_lane() -> None:
    """Goal: one that is higher than both of its slot is turned away by the slot alone."""
    lane = LaneInMemory()
    lane.store(1, "a", 10)
    lane.store(1, "b", 10)
    round_ = LaneRound(lane, community=1, author=AUTHOR, kind=64)
    assert [round_.receive(entry(1, "c", 10)) for _ in range(3)] == ["slot-full"] * 3


def test_a_long_lane_is_read_only_as_far_as_was_saved_up() -> None:
    """Goal: one who misbehaves in a long lane is put off, cheaply each time, and is judged in the end."""
    lane = LaneInMemory()
    length = 3_000
    for sequence in range(1, length + 1):
        lane.store(sequence, f"{sequence:06}", 10 * sequence)
    allowance = Allowance()
    allowance.spend((1, AUTHOR, 64), LANE_ALLOWANCE_MAX - 1_000, LANE_MESSAGES_MAX)
    late = entry(7, "again", 70)
    looks = rounds = 0
    for _ in range(length):
        round_ = LaneRound(lane, community=1, author=AUTHOR, kind=64)
        assert round_.receive(late) == ""
        fates: dict[bytes, int] = {}
        before = lane.looks
        round_.decide([], fates, allowance)
        looks += lane.looks - before
        if fates[b"again"] != UNLIVE:
            break
        allowance.gain(1)
        rounds += 1
    assert fates == {b"again": HIDDEN_BY_EQUIVOCATION}
    assert rounds >= (length - 1_000) // LANE_ALLOWANCE
    assert looks <= 1_000 + LANE_ALLOWANCE * rounds + 2


def test_what_overtook_is_put_out_and_the_hidden_one_comes_back() -> None:
    """Goal: a message hidden by order is restored when the one that hid it is no longer live."""
    lane = LaneInMemory()
    lane.store(1, "m", 50)
    lane.store(2, "z", 10)
    lane.heads.put(1, AUTHOR, 64, 2, 50, True)
    changes, _, _ = decide(lane, entry(2, "a", 60), entry(2, "b", 60))
    assert Change(b"m", 100, 0, "restored") in changes
    assert Change(b"z", 101, UNLIVE, "equivocation") in changes


def test_an_equal_global_time_is_not_in_order() -> None:
    """Goal: equal counts as overtaken, from above and from below."""
    lane = LaneInMemory()
    lane.store(5, "m", 50)
    assert decide(lane, entry(4, "a", 50))[1] == {b"a": HIDDEN_BY_ORDER}
    lane = LaneInMemory()
    lane.store(5, "m", 50)
    assert decide(lane, entry(6, "a", 50))[0] == [Change(b"m", 100, HIDDEN_BY_ORDER, "order")]
