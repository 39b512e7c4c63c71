"""Flow control alone, on links of its own: how much of a link's rate it gets, and how long the queue grows.

The answering side here has endless data and answers at once; what was lost is asked again as anything new is,
so the share of the rate counts datagrams that arrived for the first time.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from heapq import heappop, heappush
from random import Random

import pytest

from dispersy.constants import ANSWER_TIME_MAX_S, ANSWERS_PER_SOURCE_MAX, REQUEST_TIMEOUT_MAX_S
from dispersy.protocol.flow.delivery_rate import DeliveryRate
from dispersy.protocol.flow.flow_control import REQUESTS_S, WINDOW_START, FlowControl
from dispersy.protocol.flow.round_trips import RoundTrips

DATAGRAM_BITS = 1_232 * 8


@dataclass
class Path:
    """A link with one bottleneck in front of it; seconds, and bits a second.

    queue_s   what the bottleneck holds; it drops what comes on top
    burst_s   how long a loss lasts, 0: each datagram by itself
    pause_s   of silence in every pause_every_s
    busy_s    for which the answering side has other things to do when most requests come, since busy_from
    """

    rate: float
    delay_s: float
    jitter_s: float = 0.0
    loss: float = 0.0
    burst_s: float = 0.0
    pause_s: float = 0.0
    pause_every_s: float = 20.0
    queue_s: float = 0.5
    busy_s: float = 0.0
    busy_from: float = 0.0
    rng: Random = field(default_factory=lambda: Random(1))
    free_at: float = 0.0
    queued_s: float = 0.0

    def __post_init__(self) -> None:
        self._bad_until = [0.0, 0.0]
        self._next_bad = [self.rng.expovariate(self.loss / self.burst_s) if self.burst_s else 0.0] * 2

    def _loses(self, now: float, way: int) -> bool:
        if self.pause_s and now % self.pause_every_s < self.pause_s and now > self.pause_every_s:
            return True
        if not self.burst_s:
            return self.rng.random() < self.loss
        while now >= self._next_bad[way]:
            self._bad_until[way] = self._next_bad[way] + self.burst_s
            self._next_bad[way] += self.rng.expovariate(self.loss / self.burst_s)
        return now < self._bad_until[way]

    def back(self, now: float) -> float | None:
        """When a datagram of an answer arrives; None: it does not."""
        waits_s = max(0.0, self.free_at - now)
        if waits_s > self.queue_s:
            return None
        self.queued_s = max(self.queued_s, waits_s)
        self.free_at = max(now, self.free_at) + DATAGRAM_BITS / self.rate
        if self._loses(self.free_at, 0):
            return None
        return self.free_at + self.delay_s + self.rng.random() * self.jitter_s

    def there(self, now: float) -> float | None:
        """When a request arrives."""
        if self._loses(now, 1):
            return None
        is_busy = self.busy_s and now >= self.busy_from and self.rng.random() < 0.9
        return now + self.delay_s + self.rng.random() * self.jitter_s + is_busy * self.busy_s


class Drive:
    """Asks for as much as flow control allows, for so long.

    late_s   by which whoever asks looks at everything late: its process has other things to do, too
    """

    def __init__(self, path: Path, *, duration_s: float, late_s: float = 0.0, yields: bool = False) -> None:
        self.flow = FlowControl(yields=yields)
        self._late_s = late_s
        self.unique = self.sent = self.asked = self.timeouts = 0
        self.left: dict[int, set[int]] = {}
        self.budgets: dict[int, int] = {}
        self.closed: dict[int, tuple[float, set[int]]] = {}
        self.path = path
        self._way: list[tuple[float, int, int, int]] = []
        self._now = 0.0
        self.go_on(duration_s)
        self.share = self.unique * DATAGRAM_BITS / (path.rate * duration_s)

    def stand_still(self, duration_s: float) -> None:
        """As a process that is stopped: what arrives meanwhile is there when it goes on."""
        self._now += duration_s

    def go_on(self, duration_s: float) -> None:
        ends = self._now + duration_s
        while self._now < ends:
            self._step()
            moments = [
                moment
                for moment in (
                    self._way[0][0] if self._way else None,
                    self.flow.next_room(),
                    self.flow.next_overdue(),
                )
                if moment is not None
            ]
            self._now = max(self._now + 1e-5, min(moments)) + self._late_s
            while self._way and self._way[0][0] <= self._now:
                self._arrive(*heappop(self._way)[2:])
            overdue = self.flow.overdue(self._now)
            nothing = [number for number in overdue if not self.flow.has_arrived(number)]
            if nothing and self.flow.is_silence(self._now):
                self.timeouts += self.flow.fall_silent(self._now)
            for number in overdue:
                self._close(number)

    def _step(self) -> None:
        while (room := self.flow.room(self._now)) > 0:
            self.asked += 1
            budget = min(room, self.flow.budget) if self.flow.rate else room
            self.flow.ask(self.asked, budget, self._now)
            self.left[self.asked], self.budgets[self.asked] = set(range(budget)), budget
            at = self.path.there(self._now)
            for index in range(budget if at is not None else 0):
                self.sent += 1
                arrives = self.path.back(at)  # type: ignore[arg-type]
                if arrives is not None:
                    heappush(self._way, (arrives, self.sent, self.asked, index))

    def _arrive(self, number: int, index: int) -> None:
        if number in self.closed:
            asked_at, left = self.closed[number]
            self.flow.arrive_late(self._now, asked_at)
            self.unique += index in left
            left.discard(index)
            return
        self.unique += 1
        self.left[number].discard(index)
        self.flow.arrive(number, self._now)
        if not self.left[number]:
            self._close(number)

    def _close(self, number: int) -> None:
        left = self.left.pop(number)
        is_cut = self.budgets.pop(number) - 1 in left
        self.closed[number] = (self.flow.close(number, lost=len(left), is_cut=is_cut), left)


LINKS: dict[str, tuple[Callable[[int], Path], float]] = {
    "newcomer": (lambda seed: Path(20e6, 0.05, loss=0.01, rng=Random(seed)), 0.85),
    "3g": (lambda seed: Path(384e3, 0.1, jitter_s=0.1, loss=0.05, burst_s=0.1, rng=Random(seed)), 0.75),
    "wifi": (
        lambda seed: Path(20e6, 0.003, jitter_s=0.02, loss=0.03, burst_s=0.02, pause_s=2, rng=Random(seed)),
        0.80,
    ),
    "lossy": (lambda seed: Path(20e6, 0.05, loss=0.10, rng=Random(seed)), 0.6),
    "short-queue": (lambda seed: Path(1e6, 0.025, queue_s=0.022, rng=Random(seed)), 0.85),
    "short-queue-fast": (lambda seed: Path(10e6, 0.025, queue_s=0.0055, rng=Random(seed)), 0.8),
    "short-queue-near": (lambda seed: Path(20e6, 0.003, queue_s=0.006, rng=Random(seed)), 0.85),
}


@pytest.mark.parametrize("name", LINKS)
def test_a_link_is_used(name: str) -> None:
    """Whatever is lost, and however late things are."""
    make, least = LINKS[name]
    drive = Drive(make(1), duration_s={"3g": 60.0, "wifi": 25.0}.get(name, 8.0))
    assert drive.share >= least, (drive.share, drive.flow.losses.link, drive.flow.rate)
    assert drive.sent <= 1.25 * drive.unique


@pytest.mark.parametrize("seed", range(3))
def test_a_trickle_is_used_though_an_answer_takes_longer_than_anybody_would_wait(seed: int) -> None:
    """5 kbit/s, 2 s of delay: the first answer comes when its request was given up long ago."""
    path = Path(5e3, 2.0, loss=0.1, queue_s=20.0, rng=Random(seed))
    assert Drive(path, duration_s=600.0).share >= 0.5


def test_queueing_slows_and_stays_short() -> None:
    """Where a bottleneck could hold a second of data, no more than a little is ever in it."""
    path = Path(20e6, 0.05, queue_s=1.0)
    drive = Drive(path, duration_s=8.0)
    assert drive.share > 0.85
    assert path.queued_s < 0.25


@pytest.mark.parametrize("busy_s", [0.2, 0.4])
def test_who_is_busy_is_no_queue(busy_s: float) -> None:
    """A neighbour on the same machine that takes long to begin with an answer is asked for more at once: that
    it takes long is not our doing, and to ask for less makes it no faster."""
    before, drive = (
        Drive(Path(20e6, 0.001, busy_s=busy_s, busy_from=2.0), duration_s=duration_s)
        for duration_s in (12.0, 22.0)
    )
    assert drive.unique - before.unique > 0.2 * 10.0 * drive.path.rate / DATAGRAM_BITS


def test_an_answer_has_a_time_of_its_own() -> None:
    """However steadily datagrams of it come, and none is the last one."""
    flow, now = FlowControl(), 0.0
    flow.ask(1, WINDOW_START, now)
    while not flow.overdue(now):
        now += 0.15
        flow.arrive(1, now)
    assert now == pytest.approx(ANSWER_TIME_MAX_S, abs=0.2)


def test_silence_is_probed_and_is_no_loss() -> None:
    """A path that pauses is asked for little meanwhile, and as much as before when it is back."""
    path = Path(20e6, 0.01, pause_s=2.0, pause_every_s=3.0, rng=Random(2))
    drive = Drive(path, duration_s=5.9)
    before = drive.flow.rate
    assert before * DATAGRAM_BITS == pytest.approx(path.rate, rel=0.15)
    assert drive.flow.losses.link < 0.02
    assert not drive.flow.losses.are_ours(in_doubt=True)
    assert drive.flow.budget == 32


def test_who_yields_stops_growing_at_the_first_sign_of_a_queue() -> None:
    """Of a bottleneck that holds a second of data hardly any is used, where others are to find room there."""
    queued = {}
    for yields in (False, True):
        path = Path(1e6, 0.025, queue_s=1.0)
        drive = Drive(path, duration_s=1.5, yields=yields)
        queued[yields] = path.queued_s
        assert drive.share > 0.5
    assert queued[True] < 0.6 * queued[False]


def test_an_answer_that_may_take_any_time_is_waited_for_while_it_comes() -> None:
    """64 KiB at 5 kbit/s take two minutes."""
    flow, now = FlowControl(yields=True), 0.0
    flow.ask(1, 60, now)
    for _ in range(50):
        now += 0.5
        assert (flow.next_overdue() or 0.0) >= now
        assert not flow.overdue(now)
        flow.arrive(1, now)
    deadline = flow.next_overdue()
    assert deadline is not None
    assert flow.overdue(deadline) == [1]


def test_time_outs_without_end_wait_no_longer_than_the_longest() -> None:
    """Two days of them in a row once ended the process."""
    round_trips = RoundTrips()
    for _ in range(5_000):
        round_trips.timed_out()
    assert round_trips.timeout_s() == REQUEST_TIMEOUT_MAX_S


def test_a_guess_counts_for_a_moment_beside_what_is_measured() -> None:
    rate = DeliveryRate()
    rate.guess(0.0, 500.0)
    assert rate.value == 500.0
    for tick in range(1, 200):
        rate.arrive(tick / 100, round_trip_s=0.05, least_s=0.25)
        if tick == 80:
            assert rate.value == 500.0
    assert rate.value == pytest.approx(100.0, rel=0.1)


@pytest.mark.parametrize("slow", [10e3, 30e3, 100e3])
def test_a_path_that_becomes_fast_is_used(slow: float) -> None:
    """Where each answer is here long before the pace lets us ask again, its few datagrams count, too."""
    drive = Drive(Path(slow, 0.005), duration_s=20.0)
    assert drive.flow.rate < 2 * slow / DATAGRAM_BITS
    drive.path.rate = 1e6
    drive.go_on(40.0)
    assert drive.flow.rate > 0.7 * drive.path.rate / DATAGRAM_BITS


def test_a_fast_path_is_used_by_who_always_looks_late() -> None:
    """Where every answer is here before it is asked again, and that is later than the pace would have let us:
    a rate that was measured in a bad moment would stay for ever."""
    drive = Drive(Path(20e6, 0.0005), duration_s=4.0, late_s=0.002)
    assert drive.flow.rate < 1.2 * 20e6 / DATAGRAM_BITS
    drive.path.rate = 100e6
    drive.go_on(8.0)
    assert drive.flow.rate > 0.7 * drive.path.rate / DATAGRAM_BITS


def test_no_more_is_asked_at_once_than_a_source_works_off() -> None:
    """One too many is refused, and a refusal costs 0.2 s: what a window allows leaves in portions."""
    flow, number, now = FlowControl(), 0, 0.0
    together: list[int] = []
    for _ in range(9):
        under_way: dict[int, int] = {}
        while room := flow.room(now):
            number += 1
            under_way[number] = min(room, flow.budget) if flow.has_heard else room
            flow.ask(number, under_way[number], now)
        together.append(len(under_way))
        assert flow.next_room() in (None, pytest.approx(now + REQUESTS_S))
        now += 0.1
        for each, datagrams in under_way.items():
            for _ in range(datagrams):
                flow.arrive(each, now)
            flow.close(each, lost=0)
    assert ANSWERS_PER_SOURCE_MAX / 2 < max(together) < ANSWERS_PER_SOURCE_MAX


@pytest.mark.parametrize("stopped_s", [5.0, 60.0, 3600.0])
def test_who_was_stopped_asks_for_as_much_as_before(stopped_s: float) -> None:
    """However long: the time in which nobody looked at what had come says nothing of the path."""
    drive = Drive(Path(20e6, 0.05), duration_s=4.0)
    rate = drive.flow.rate
    drive.stand_still(stopped_s)
    before = drive.unique
    drive.go_on(4.0)
    assert drive.flow.rate > 0.8 * rate
    assert (drive.unique - before) * DATAGRAM_BITS > 0.7 * 4.0 * drive.path.rate


def test_first_requests_double_where_answers_come_at_once() -> None:
    """A fast path is not asked in many small requests: one for what the window allows, each time for twice
    as much."""
    flow, asked, now = FlowControl(), list[int](), 0.0
    while flow.goes_singly and len(asked) < 20:
        room = flow.room(now, singly=True)
        asked.append(room)
        flow.ask(len(asked), room, now)
        now += 0.1
        for _ in range(room):
            flow.arrive(len(asked), now)
        assert flow.room(now, singly=True) > 0
        flow.close(len(asked), lost=0)
    assert asked == [12, 24, 48, 64, 64]


def test_a_slow_path_is_asked_for_little_at_a_time_at_once() -> None:
    """An answer that takes a quarter of a round trip to arrive shows that a longer one would only queue."""
    flow = FlowControl()
    flow.ask(1, 10, 0.0)
    for index in range(4):
        assert flow.goes_singly
        flow.arrive(1, 0.1 + index * 0.012)
    assert not flow.goes_singly
    assert flow.budget == 3


def test_a_second_request_waits_for_the_first_answer() -> None:
    """However little the first one asks for; and nobody is to look again at once."""
    flow = FlowControl()
    flow.ask(1, 2, 0.0)
    assert flow.room(0.0) == 0
    assert flow.next_room() is None
    flow.arrive(1, 0.1)
    assert flow.room(0.1) > 0
    assert flow.next_room() is not None
