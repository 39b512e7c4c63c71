"""Flow control by the receiver: how much to ask of one source, and how fast.

The answering side keeps nothing, so whoever asks decides what is on its way. Unit: datagrams. A request asks
for so many of them and every answer echoes its number, so each answer is a measurement: when its first
datagram came gives a round trip, how many come in a time the delivery rate.

The pace is the highest rate at which datagrams lately arrived, a little more while nothing queues and less
where something does; so a link is kept full and its queue short. Loss says little: on a radio link it is the
link's own, and a window that shrinks with it gets a tenth of such a link. It is learnt in phases that are
slow on purpose, where it cannot be our doing, and the pace makes up for it; only what goes beyond slows us.
Silence is not loss: a link that pauses has as much room as before when it is back.
"""

from __future__ import annotations

from collections import deque
from math import inf

from dispersy.constants import ANSWER_BUDGET_MAX, ANSWER_TIME_MAX_S, ANSWERS_PER_SOURCE_MAX
from dispersy.protocol.flow.burst import Burst
from dispersy.protocol.flow.delivery_rate import MEASURE_S, DeliveryRate
from dispersy.protocol.flow.losses import Losses
from dispersy.protocol.flow.round_trips import RoundTrips

WINDOW_START = 12
"""As many bytes as TCP begins with (RFC 6928)."""
BUDGET_MIN, BUDGET_MAX = 3, 32
BUDGET_S = 0.02
"""Of data a request asks for: long answers would be slow to repair, short ones are many requests."""
REQUESTS_MAX, REQUESTS_S = ANSWERS_PER_SOURCE_MAX - 5, 0.02
"""That leave together, in so many seconds: were they more than a source works off at once, one would be
refused, and all wait for that."""
BURST_SHARE = 0.25
"""Of a round trip: an answer that takes no longer to arrive, from its first datagram to its last, shows a
path that carries much more at once. As long as answers do, requests are as long as may be, for each has its
price."""
SINGLE_MAX = 3 * ANSWER_BUDGET_MAX
"""Datagrams: as long as no more may be under way, one request asks for what the others would."""
PATH_LIFETIME_S = 10.0
PATH_SHARE = 0.35
"""Of what the rate would bring in a round trip: where no more was under way than this, hardly any of it was
spent behind what we had asked for, and for PATH_LIFETIME_S the path is taken to be as long. A busy neighbour
takes its time whatever it is asked for; were that taken for a queue, it would be asked for ever less."""
ROUND_TRIPS_MEASURED = 8
BASE_LIFETIME_S, BASE_ROUND_TRIPS = 10.0, 8
"""Of the shortest round trip: of a slow link a queue that lasts a few of them must not pass for the path. One
that has become longer is noticed in twice this time."""
QUEUE_S, YIELD_S, DEEP_QUEUE_S = 0.03, 0.05, 0.1
SHORT_PATH_S = 0.05
"""Paths shorter than this: what a busy machine takes for an answer is no queue of the network's."""
GROWTH_MIN, FLAT_ROUNDS_MAX = 1.2, 4
TRAIN_MIN, TRAIN_GROWTH = 3, 4.0
"""Datagrams that show by their distance how fast the path is, and at most how many times faster than what was
asked for in a round trip."""
SLOW_PHASE, PHASES = 0, 8
IDLE_GROWTH = 2.0
"""Of a slow pace, where nothing is under way any more when the next may be asked: the path carries more."""
PROBE_MIN_S, PROBE_MAX_S = 0.1, 0.4
PROBE_DATAGRAMS = 2
REORDER_MIN_S, BUSY_MAX_S = 0.005, 1.0


class _Flight:
    """A request under way.

    before   datagrams that were under way when it was asked: behind these its own come
    """

    __slots__ = ("arrived", "asked_at", "before", "budget", "first_at", "is_slow", "last_at")

    def __init__(self, budget: int, asked_at: float, *, before: int, is_slow: bool) -> None:
        self.budget = budget
        self.before = before
        self.asked_at = asked_at
        self.is_slow = is_slow
        self.arrived = 0
        self.first_at = self.last_at = 0.0


class FlowControl:
    """Towards one source.

    yields        it leaves room for others that ask the same source, and for what else comes on this way: the
                  first sign of a queue ends the start, and until more is known what is lost is our doing.
                  An answer may take any time as long as something comes
    round_trips   with the time-outs that follow from them
    losses        of what was asked for
    """

    def __init__(self, *, yields: bool = False) -> None:
        self._yields = yields
        self._answer_time_s = inf if yields else ANSWER_TIME_MAX_S
        self.round_trips = RoundTrips()
        self.losses = Losses()
        # By when they were asked.
        self._flights: dict[int, _Flight] = {}
        self._in_flight = 0
        self._window = WINDOW_START
        self._burst = Burst(BUDGET_MIN, BUDGET_MAX)
        self._is_starting = self._comes_at_once = True
        self._stands_idle = False
        self._best = 0.0
        self._flat_rounds = 0
        self._round_ends = 0.0
        self._delivery = DeliveryRate()
        self._recent: deque[float] = deque(maxlen=ROUND_TRIPS_MEASURED)
        # Of these; like the rate it is asked for with every datagram, and seldom another one.
        self._round_trip_s = 0.0
        self._path_s = self._path_until = 0.0
        self._base = self._base_next = 0.0
        self._base_from = 0.0
        self._phase = 1
        self._phase_ends = 0.0
        self._may_ask_at = 0.0
        self._together, self._together_from = 0, float("-inf")
        self._heard_at, self._stopped_until = 0.0, float("-inf")
        self._front = 0.0
        self._reorder_s = REORDER_MIN_S
        self._is_silent = False
        self._probe_s = PROBE_MIN_S

    @property
    def rate(self) -> float:
        """Datagrams a second, the most of those measured lately; 0.0 before any is known."""
        return self._delivery.value

    @property
    def budget(self) -> int:
        """What one of several requests asks for."""
        wanted = self._window // 8 if self._is_starting else round(self.rate * BUDGET_S)
        return max(BUDGET_MIN, min(self._burst.limit, wanted))

    @property
    def goes_singly(self) -> bool:
        """Whether one request may ask for all that may be under way: the first ones, on a path that takes
        it."""
        return self._is_starting and self._comes_at_once and self._window <= SINGLE_MAX

    def burst(self, most: int) -> int:
        """How many of so many datagrams the path may well carry at once; all while nothing is known of it."""
        return most if self._is_starting else max(1, min(most, self._allowed()))

    @property
    def has_heard(self) -> bool:
        """Whether anything has ever come."""
        return self.round_trips.mean_s is not None

    def in_flight(self) -> int:
        """Datagrams asked for of which it is not known yet what became."""
        return self._in_flight

    def on_path(self) -> float:
        """Datagrams that the path holds when it is full and nothing queues; 0.0 while that is not known."""
        return self.rate * max(self._base, self._path_s)

    def is_under_way(self) -> bool:
        return bool(self._flights)

    def forget(self) -> None:
        """What is under way belongs to nobody any more."""
        self._flights.clear()
        self._in_flight = 0

    # Asking.

    def room(self, now: float, *, singly: bool = False, least: int = 0) -> int:
        """Datagrams that may be asked for now; all at once only before the path is known.

        singly   one request is to ask for all of it
        least    fewer are not worth their request, unless a third of the path's own are fewer
        """
        return 0 if now < self._may_ask_at else self._room(singly, least)

    def next_room(self, *, singly: bool = False, least: int = 0) -> float | None:
        """When room() may change though nothing arrives; None: not before something does, or a time-out."""
        return self._may_ask_at if self._room(singly, least) else None

    def _room(self, singly: bool, least: int) -> int:
        if self._flights and not self.has_heard:
            # A second request is no better than the first.
            return 0
        if singly and self.has_heard:
            # The last few of the one before may be lost: as if they were here already.
            most = min(ANSWER_BUDGET_MAX, self._window + self._in_flight)
            return most if self._in_flight <= most // 8 else 0
        allowed = self._allowed()
        left = allowed - self.in_flight()
        # Half a request would be as dear as a whole one.
        least = max(min(self.budget, allowed), min(least, allowed // 3))
        return left if left >= least else 0

    def ask(self, number: int, datagrams: int, now: float) -> None:
        """A request for so many leaves."""
        if not self._flights:
            self._leave_idle(now)
            if not self._is_silent:
                self._heard_at = now
        self._stands_idle = not self._flights and self.rate * BUDGET_S <= BUDGET_MIN
        self._turn_phase(now)
        is_slow = self._phase == SLOW_PHASE
        self._flights[number] = _Flight(datagrams, now, before=self._in_flight, is_slow=is_slow)
        self._in_flight += datagrams
        if self._is_silent:
            self._may_ask_at = now + self._probe_s
            self._probe_s = min(max(PROBE_MAX_S, 2 * self._round_trip_s), self._probe_s * 1.5)
        elif not self._is_starting:
            self._may_ask_at = max(self._may_ask_at, now - BUDGET_S) + datagrams / self._pace()
        if now >= self._together_from + REQUESTS_S:
            self._together, self._together_from = 0, now
        self._together += 1
        if self._together >= REQUESTS_MAX:
            self._may_ask_at = max(self._may_ask_at, self._together_from + REQUESTS_S)

    def _leave_idle(self, now: float) -> None:
        """Nothing was under way, and now something will be.

        Time in which nothing was asked for says nothing about the path and is left out. Where it was our own
        pace that let nothing be asked, or what the pace makes up for, it counts: else a pace that is too low
        would stay for ever, and where answers come faster than they are asked for every pace is.
        """
        idle_from = max(self._may_ask_at, self._heard_at)
        own_s = max(BUDGET_S, 1 / self.rate) if self.rate else 0.0
        self._delivery.leave_out(now, max(0.0, now - idle_from - own_s))

    # What arrives, and what does not.

    def arrive(self, number: int, now: float) -> None:
        """A datagram of this request has come."""
        flight = self._flights.get(number)
        self.round_trips.timeouts = 0
        if self._flights and not self._is_silent and self._was_stopped(now):
            self._stopped_until = now
            self._delivery.measure_anew(now)
        self._heard_at = now
        if self._is_silent:
            self._end_silence(now)
        least_s = 0.05 if self._is_starting else max(MEASURE_S, self._round_trip_s)
        self._delivery.arrive(now, round_trip_s=self._round_trip_s, least_s=least_s)
        if flight is None:
            return
        flight.arrived += 1
        flight.last_at = now
        self._in_flight -= flight.arrived <= flight.budget
        self._front = max(self._front, flight.asked_at)
        if flight.asked_at <= self._stopped_until:
            return
        if flight.arrived == 1:
            flight.first_at = now
            self._measure(now - flight.asked_at, now, before=flight.before)
        elif now - flight.first_at > BURST_SHARE * self._base:
            self._comes_at_once = False
        if self._is_starting:
            self._start(now)

    def arrive_late(self, now: float, asked_at: float) -> None:
        """A datagram of a request given up has come: whatever it was, it was not lost."""
        late = self._front - asked_at
        self._reorder_s = min(max(self._reorder_s, late), max(0.5, self._round_trip_s))
        if self.round_trips.timeouts or self._is_silent:
            # We waited too little, and without this we would again.
            self._measure(now - asked_at, now, before=self._in_flight)
        self.arrive(0, now)

    def close(self, number: int, *, lost: int, is_cut: bool = False) -> float:
        """A request is over, with so many datagrams that did not come; when it was asked.

        is_cut   the last of them did not
        """
        flight = self._flights.pop(number)
        self._in_flight -= max(0, flight.budget - flight.arrived)
        if flight.arrived and not self._is_silent:
            self._learn_burst(flight, lost if is_cut else 0)
        if not self._is_silent and (flight.arrived or lost):
            self.losses.note(flight.arrived, lost, is_slow=flight.is_slow)
        return flight.asked_at

    def _learn_burst(self, flight: _Flight, lost: int) -> None:
        if not lost:
            self._burst.took()
            return
        self._burst.cut(flight.arrived, lost, link_loss=self.losses.link)
        if not self._is_starting:
            return
        self._window = max(PROBE_DATAGRAMS, self._window - lost)
        took_s = flight.last_at - flight.first_at if flight.first_at else 0.0
        if lost >= flight.arrived >= TRAIN_MIN and min(took_s, self._round_trip_s) > 0:
            # What may be under way was to double, and half of it found no room. What did came as fast as the
            # path can, if it does not delay each as it likes.
            most = TRAIN_GROWTH * flight.budget / self._round_trip_s
            self._delivery.guess(flight.last_at, min(most, (flight.arrived - 1) / took_s))
            self._is_starting = False

    def overdue(self, now: float) -> list[int]:
        """Requests of which nothing more is to be waited for: later ones were answered, or nothing comes."""
        if not self._flights:
            return []
        oldest = next(iter(self._flights.values())).asked_at
        if now == self._heard_at and oldest > max(self._front - self._reorder_s, now - self._answer_time_s):
            # So it is with nearly all datagrams that arrive: no time-out needs to be worked out.
            return []
        timeout_s = self.timeout_s()
        # Reckoned as next_overdue() does, to the last bit: else what is due then would be due again at once.
        patience_s = max(self._answer_time_s, 2 * timeout_s)
        if now >= self._heard_at + timeout_s:
            patience_s = timeout_s
        behind = self._front - self._reorder_s
        found = []
        for number, flight in self._flights.items():
            if flight.asked_at > behind and flight.asked_at + patience_s > now:
                break
            found.append(number)
        return found

    def requests(self) -> list[int]:
        """The numbers of those under way, the oldest first."""
        return list(self._flights)

    def has_asked(self, number: int) -> bool:
        """Whether this request is under way."""
        return number in self._flights

    def is_under_way_beside(self, number: int) -> bool:
        """Whether another request is under way."""
        return any(each != number for each in self._flights)

    def refused(self, number: int, wait_s: float, now: float) -> None:
        """A request was one too many: it is not lost, and nothing is asked for a while."""
        self.close(number, lost=0)
        self._heard_at = now
        self._may_ask_at = max(self._may_ask_at, now + min(wait_s, BUSY_MAX_S))
        self._window = max(PROBE_DATAGRAMS, self._window // 2)

    def has_arrived(self, number: int) -> bool:
        """Whether anything of a request's answer has come."""
        return self._flights[number].arrived > 0

    def is_silence(self, now: float) -> bool:
        """Whether nothing at all has come for a time-out."""
        return now >= self._heard_at + self.timeout_s()

    def next_overdue(self) -> float | None:
        """When overdue() names somebody, if nothing arrives."""
        if not self._flights:
            return None
        timeout_s = self.timeout_s()
        oldest = next(iter(self._flights.values())).asked_at
        due = max(self._heard_at, oldest) + timeout_s
        return min(due, oldest + max(self._answer_time_s, 2 * timeout_s))

    def timeout_s(self) -> float:
        return self._probe_s if self._is_silent else self.round_trips.timeout_s()

    def fall_silent(self, now: float) -> bool:
        """Nothing has come for a time-out; whether that counts, as probes in between do not."""
        if self.rate and not self._is_silent:
            self._is_silent = True
            self._probe_s = max(PROBE_MIN_S, self._round_trip_s)
            self._may_ask_at = now
        if self._is_silent and now < self._heard_at + 2 * self.round_trips.timeout_s():
            return False
        self.round_trips.timed_out()
        if self._is_starting and self.round_trips.timeouts > 1:
            self._comes_at_once = False
            # One silence is as likely a request that was lost as an answer that was too much.
            self._window = max(PROBE_DATAGRAMS, self._window // 2)
        return True

    # The path as measured.

    def _queue_s(self) -> float:
        """Of a round trip, what may be of our making."""
        return self._round_trip_s - max(self._base, self._path_s)

    def _allowed(self) -> int:
        """Datagrams that may be under way."""
        if self._is_silent:
            return PROBE_DATAGRAMS
        if self._is_starting:
            return self._window
        rate, base = self.rate, max(self._base, self._path_s, SHORT_PATH_S)
        if self._queue_s() > max(DEEP_QUEUE_S, 6 / rate):
            return int(1.1 * rate * base) + 2
        return int(2 * rate * (base + self.round_trips.deviation_s)) + 4

    def _pace(self) -> float:
        rate = self.rate
        queue_s, limit_s = self._queue_s(), max(QUEUE_S, 6 / rate)
        if self._phase == SLOW_PHASE:
            pace = 0.85 * rate
        elif self.losses.are_ours(in_doubt=self._yields):
            pace = rate
        elif queue_s < 0.4 * limit_s:
            pace = (IDLE_GROWTH if self._stands_idle else 1.2) * rate
        else:
            pace = rate if queue_s < limit_s else 0.8 * rate
        return pace / (1 - min(0.5, self.losses.link))

    def _turn_phase(self, now: float) -> None:
        if now >= self._phase_ends:
            self._phase = (self._phase + 1) % PHASES
            self._phase_ends = now + max(MEASURE_S, 2 * self._round_trip_s)

    def _measure(self, round_trip_s: float, now: float, *, before: int) -> None:
        self.round_trips.measure(round_trip_s)
        self._recent.append(round_trip_s)
        self._round_trip_s = min(self._recent)
        if before <= self.rate * round_trip_s * PATH_SHARE:
            self._path_s += (round_trip_s - self._path_s) / 4
            self._path_until = now + PATH_LIFETIME_S
        elif now >= self._path_until:
            self._path_s = 0.0
        lifetime_s = max(BASE_LIFETIME_S, BASE_ROUND_TRIPS * self._round_trip_s)
        if not self._base or now >= self._base_from + lifetime_s:
            self._base, self._base_from = self._base_next or round_trip_s, now
            self._base_next = round_trip_s
        self._base = min(self._base, round_trip_s)
        self._base_next = min(self._base_next, round_trip_s)

    def _start(self, now: float) -> None:
        """The window grows by what arrives, until the path is full."""
        self._window += 1
        rate = self.rate
        if now >= self._round_ends:
            self._round_ends = now + self._round_trip_s
            if rate >= GROWTH_MIN * self._best:
                self._best, self._flat_rounds = rate, 0
            elif rate:
                self._flat_rounds += 1
        if not rate:
            return
        limit_s = max(0.02, self._base / 5, 3 / rate)
        is_full = len(self._recent) == ROUND_TRIPS_MEASURED and self._queue_s() > limit_s
        if self._yields:
            is_full = self._recent[-1] - self._base > max(YIELD_S, self._base / 4)
        if is_full or self._flat_rounds >= FLAT_ROUNDS_MAX:
            self._is_starting = False
            self._may_ask_at = now

    def _end_silence(self, now: float) -> None:
        """It is back: go on as before."""
        self._is_silent = False
        self._delivery.measure_anew(now)
        self._may_ask_at = now

    def _was_stopped(self, now: float) -> bool:
        """Whether longer has passed than a silence takes to be noticed: nobody looked, because this process
        or all of its machine stood still. What comes now has waited for us, and tells nothing of the path;
        taken for its rate, it would have us ask for less than a datagram a second for minutes."""
        # Asked with every datagram: mostly the first has not passed, and no time-out is worked out.
        return now > self._heard_at + ANSWER_TIME_MAX_S and now > self._heard_at + self.timeout_s()
