"""The puller's rules one by one: when it asks, what it asks for, when it waits, and what hostile answers
cost it."""

from __future__ import annotations

from collections.abc import Callable
from random import Random

import pytest

from dispersy.constants import (
    BACKLOG_MAX,
    BACKLOG_STALL_S,
    LONE_TIMEOUTS_MAX,
    REQUEST_TIMEOUT_START_S,
)
from dispersy.protocol.address import Address, make_address
from dispersy.protocol.flow.backlog import Backlog
from dispersy.protocol.flow.flow_control import WINDOW_START
from dispersy.protocol.flow.round_trips import RoundTrips
from dispersy.protocol.holdings import newest_low
from dispersy.protocol.identifiers import ORDER_LOW, ORDER_TOP, OrderKey
from dispersy.protocol.sync.puller import Puller
from dispersy.protocol.wire.frames import Busy, MissingLast, RequestMissing, SyncRequest, decode_frame
from dispersy.protocol.wire.numbers import ControlKind, FrameType
from dispersy.protocol.wire.records import END_OF_RANGE, LAST_OF_ANSWER
from dispersy.protocol.wire.summary import Summary
from simulation.holdings import StoreHoldings, history, make_holdings, make_message

SOURCE = make_address("203.0.113.1", 6421)
OTHER = make_address("203.0.113.2", 6421)
THEIRS = Summary(highest=900, count=5_000, sum=77)


def key(time: int) -> OrderKey:
    return OrderKey(time.to_bytes(8, "big") + bytes(16))


class Stuttering(Random):
    """Draws each number of a request twice."""

    _again: int | None = None

    def randrange(self, start: int, stop: int | None = None, step: int = 1) -> int:
        drawn, self._again = self._again, None
        if drawn is None:
            drawn = self._again = super().randrange(start, stop, step)
        return drawn


def make_puller(
    messages: int = 0, *, defined: bool = True, rng: Random | None = None
) -> tuple[Puller, StoreHoldings]:
    holdings = make_holdings()
    if messages:
        holdings.add(history(messages))
    puller = Puller(rng=rng or Random(1), holdings=holdings, now=0.0, audits=False)
    if defined:
        puller.set_definition_known(0.0)
    return puller, holdings


def requests_of(puller: Puller) -> list[tuple[Address, SyncRequest]]:
    return [
        (event.address, request)
        for event in puller.drain()
        if isinstance(request := decode_frame(event.frame_type, event.body), SyncRequest)
    ]


def arrive(
    puller: Puller,
    request: SyncRequest,
    *,
    low: OrderKey,
    high: OrderKey,
    flags: int = 0,
    count: int = 5,
    now: float,
    summary: Summary | None = None,
) -> None:
    puller.receive_envelope(SOURCE, request.number, flags, low, high, summary, count, 1_000, now)
    puller.proceed(now)


def test_requests_for_ranges_of_their_own_are_under_way_at_once() -> None:
    """One before anything is known of the path, then several, one range behind the other, where an answer
    takes a while to arrive."""
    puller, _ = make_puller()
    puller.receive_summary(SOURCE, THEIRS, 0.0)
    [(address, request)] = requests_of(puller)
    assert address == SOURCE
    assert (request.low, request.hash_count, request.budget) == (ORDER_LOW, 0, WINDOW_START + 2)
    # It is thought to hold 5,000 messages of 900 times.
    assert request.high == key(WINDOW_START * 5 * 900 // 5_000 + 2)
    for time in range(4):
        arrive(puller, request, low=key(time), high=key(time + 1), now=0.1 + time / 100)
    following = [each for _, each in requests_of(puller)]
    assert len(following) > 1
    assert len({each.number for each in following}) == len(following)
    assert [each.low for each in following] == [request.high, *(each.high for each in following[:-1])]


def test_requests_under_way_have_numbers_of_their_own() -> None:
    """Chance gives the same one twice now and then; the first of two would never end."""
    puller, _ = make_puller(rng=Stuttering(1))
    puller.receive_summary(SOURCE, THEIRS, 0.0)
    [(_, request)] = requests_of(puller)
    for time in range(4):
        arrive(puller, request, low=key(time), high=key(time + 1), now=0.1 + time / 100)
    numbers = [request.number, *(each.number for _, each in requests_of(puller))]
    assert len(numbers) > 2
    assert len(set(numbers)) == len(numbers)


def test_a_gap_is_asked_for_again_and_only_the_gap() -> None:
    """As soon as a later request has been answered, whatever is in the store by then; unless it came late."""
    puller, _ = make_puller()
    puller.receive_summary(SOURCE, THEIRS, 0.0)
    [(_, request)] = requests_of(puller)
    for low, high in ((0, 1), (2, 3), (4, 5)):
        arrive(puller, request, low=key(low), high=key(high), now=0.1 + low / 50)
    [(_, second), *_] = requests_of(puller)
    arrive(puller, request, low=key(5), high=request.high, flags=LAST_OF_ANSWER | END_OF_RANGE, now=0.2)
    arrive(puller, request, low=key(3), high=key(4), now=0.2)
    assert (key(1), key(2)) not in [(each.low, each.high) for _, each in requests_of(puller)]
    arrive(puller, second, low=second.low, high=second.high, flags=LAST_OF_ANSWER, now=0.3)
    again = [(each.low, each.high) for _, each in requests_of(puller)]
    assert (key(1), key(2)) in again
    assert (key(3), key(4)) not in again


def test_it_pauses_while_too_much_is_on_its_way() -> None:
    """Above BACKLOG_MAX no request leaves; it leaves at once when the backlog falls below."""
    puller, _ = make_puller()
    puller.receive_summary(SOURCE, THEIRS, 0.0)
    [(_, request)] = requests_of(puller)
    arrive(puller, request, low=ORDER_LOW, high=key(9), flags=LAST_OF_ANSWER, count=BACKLOG_MAX + 10, now=0.1)
    assert puller.drain() == []
    puller.set_processed(10, 0.2)
    assert puller.drain() == []
    puller.set_processed(11, 0.3)
    assert requests_of(puller)


def test_a_backlog_that_does_not_move_is_forgotten() -> None:
    """The counts of a role that died never come; after a second they are no reason to wait."""
    puller, _ = make_puller()
    puller.receive_summary(SOURCE, THEIRS, 0.0)
    [(_, request)] = requests_of(puller)
    arrive(puller, request, low=ORDER_LOW, high=key(9), flags=LAST_OF_ANSWER, count=BACKLOG_MAX, now=0.1)
    deadline = puller.next_deadline()
    assert deadline == pytest.approx(0.1 + BACKLOG_STALL_S)
    puller.handle_timer(deadline)
    assert requests_of(puller)


def test_backlog_counts_may_start_again() -> None:
    """A total below the one before is a new count from zero."""
    backlog = Backlog()
    backlog.announce(100, 0.0)
    backlog.process(40, 0.1)
    assert backlog.count == 60
    backlog.process(10, 0.2)
    assert backlog.count == 50
    backlog.process(500, 0.3)
    assert backlog.count == 0


def test_silence_is_asked_again_and_then_left_alone() -> None:
    """A lone source gets a bounded number of requests, at growing intervals."""
    puller, _ = make_puller()
    puller.receive_summary(SOURCE, THEIRS, 0.0)
    sent = [0.0 for _ in requests_of(puller)]
    now = 0.0
    while now < 60.0:
        deadline = puller.next_deadline()
        if deadline is None:
            break
        now = max(now + 0.001, deadline)
        puller.handle_timer(now)
        sent += [now for _ in requests_of(puller)]
    assert sent[1] == pytest.approx(REQUEST_TIMEOUT_START_S, abs=0.01)
    assert len(sent) == LONE_TIMEOUTS_MAX
    assert sent[-1] - sent[-2] > 5 * (sent[2] - sent[1])
    puller.receive_summary(SOURCE, THEIRS, now)
    assert len(requests_of(puller)) == 1


def test_who_does_not_answer_makes_room_at_once_for_who_speaks() -> None:
    """Nobody is waited for where another has spoken since, however long its time-out has become."""
    puller, _ = make_puller()
    puller.receive_summary(SOURCE, THEIRS, 0.0)
    now = 0.0
    while puller.counts["timeouts"] < 5:
        now = puller.next_deadline() or 100.0
        puller.handle_timer(now)
    assert {address for address, _ in requests_of(puller)} == {SOURCE}
    puller.receive_summary(OTHER, Summary(highest=1, count=10, sum=3), now + 0.1)
    assert [address for address, _ in requests_of(puller)] == [OTHER]
    # And it comes behind whoever is not silent, until it is heard again.
    sources = puller._sources
    for seed in range(20):
        assert sources.choose(Summary(), now + 60, last=OTHER, rng=Random(seed)) == OTHER
    puller.receive_summary(SOURCE, THEIRS, now + 0.2)
    assert sources.choose(Summary(), now + 60, last=OTHER, rng=Random(1)) == SOURCE


def test_one_silence_is_enough_where_another_waits() -> None:
    puller, _ = make_puller()
    puller.receive_summary(SOURCE, THEIRS, 0.0)
    puller.receive_summary(OTHER, Summary(highest=1, count=10, sum=3), 0.0)
    assert [address for address, _ in requests_of(puller)] == [SOURCE]
    puller.handle_timer(REQUEST_TIMEOUT_START_S + 0.001)
    assert [address for address, _ in requests_of(puller)] == [OTHER]


def test_another_source_has_its_turn() -> None:
    """When the first stays silent and another differs too, the other is asked."""
    puller, _ = make_puller()
    puller.receive_summary(SOURCE, THEIRS, 0.0)
    puller.receive_summary(OTHER, Summary(highest=1, count=10, sum=3), 0.0)
    asked = [address for address, _ in requests_of(puller)]
    now = 0.0
    while OTHER not in asked and now < 15.0:
        now = max(now + 0.001, puller.next_deadline() or 100.0)
        puller.handle_timer(now)
        asked += [address for address, _ in requests_of(puller)]
    assert asked[0] == SOURCE
    assert OTHER in asked


def test_messages_of_others_do_not_hold_a_transfer_open() -> None:
    """What others send unasked, and never is dealt with, keeps no transfer from being over."""
    puller, _ = make_puller()
    puller.receive_summary(SOURCE, THEIRS, 0.0)
    [(_, request)] = requests_of(puller)
    flags = LAST_OF_ANSWER | END_OF_RANGE
    arrive(puller, request, low=ORDER_LOW, high=ORDER_TOP, flags=flags, count=1, now=0.1)
    puller.receive_summary(OTHER, THEIRS, 0.1)
    now, processed = 0.1, 0
    asked: list[Address] = []
    while not asked and now < 5.0:
        now += 0.04
        puller.receive_envelope(OTHER, 0, 0, ORDER_LOW, ORDER_LOW, None, 3, 100, now)
        processed += 1
        puller.set_processed(processed, now)
        puller.handle_timer(now)
        asked = [address for address, _ in requests_of(puller)]
    assert asked
    assert now < 1.0


def test_busy_is_respected() -> None:
    """For as long as it says, and only from whom and for what was asked."""
    puller, _ = make_puller()
    puller.receive_summary(SOURCE, THEIRS, 0.0)
    [(_, request)] = requests_of(puller)
    puller.receive_busy(SOURCE, Busy(request.number ^ 1, 5_000), 0.1)
    puller.receive_busy(OTHER, Busy(request.number, 5_000), 0.1)
    puller.receive_busy(SOURCE, Busy(request.number, 5_000), 0.1)
    assert puller.next_deadline() == pytest.approx(5.1)
    puller.handle_timer(5.0)
    assert puller.drain() == []
    puller.handle_timer(5.2)
    assert len(requests_of(puller)) == 1


def test_one_request_too_many_ends_nothing() -> None:
    """Busy for one of several: the others go on, and its range is asked again, later."""
    puller, _ = make_puller()
    puller.receive_summary(SOURCE, THEIRS, 0.0)
    [(_, request)] = requests_of(puller)
    for time in range(4):
        arrive(puller, request, low=key(time), high=key(time + 1), now=0.1 + time / 100)
    following = [each for _, each in requests_of(puller)]
    puller.receive_busy(SOURCE, Busy(following[-1].number, 200), 0.2)
    assert requests_of(puller) == []
    for time in range(4, 8):
        arrive(puller, request, low=key(time), high=key(time + 1), now=0.2)
    assert requests_of(puller) == []
    puller.handle_timer(0.41)
    [(_, again), *_] = requests_of(puller)
    assert again.low == following[-1].low


def test_equal_summaries_ask_nothing() -> None:
    """Nor does a neighbour that has nothing at all."""
    puller, holdings = make_puller(100)
    puller.receive_summary(SOURCE, holdings.summary(), 0.0)
    puller.receive_summary(OTHER, Summary(), 0.0)
    assert puller.drain() == []
    assert puller.next_deadline() is None


def test_deadlines_are_told_without_reading_the_store(monkeypatch: pytest.MonkeyPatch) -> None:
    """A role asks how long it may sleep when it has let go of its snapshot: a read would open another."""
    puller, holdings = make_puller(10)
    puller.receive_summary(SOURCE, THEIRS, 0.0)
    [(_, request)] = requests_of(puller)
    puller.receive_busy(SOURCE, Busy(request.number, 1_000), 0.0)
    monkeypatch.setattr(holdings, "summary", None)
    monkeypatch.setattr(holdings, "scan", None)
    assert puller.next_deadline() == pytest.approx(1.0)


def test_without_a_definition_only_that_is_asked_for() -> None:
    """Again after a time-out, those first that have a summary; then pulling begins."""
    puller, _ = make_puller(defined=False)
    puller.receive_peer(OTHER, 0.0)
    [first] = puller.drain()
    assert (first.address, first.frame_type) == (OTHER, FrameType.REQUEST_MISSING)
    assert RequestMissing.decode(first.body).wanted == MissingLast(ControlKind.DEFINITION, 1)
    puller.receive_summary(SOURCE, THEIRS, 0.1)
    assert [event.address for event in puller.drain()] == [SOURCE]
    puller.handle_timer(0.5)
    assert puller.drain() == []
    puller.handle_timer(0.1 + REQUEST_TIMEOUT_START_S)
    assert [event.address for event in puller.drain()] == [SOURCE]
    puller.set_definition_known(2.0)
    assert [address for address, _ in requests_of(puller)] == [SOURCE]


Hostile = Callable[[Puller, SyncRequest, float], None]


def empty_end(puller: Puller, request: SyncRequest, now: float) -> None:
    """Everything is covered, and nothing comes."""
    flags = LAST_OF_ANSWER | END_OF_RANGE
    arrive(puller, request, low=request.low, high=request.high, flags=flags, count=0, now=now)


def same_range(puller: Puller, request: SyncRequest, now: float) -> None:
    """The same interval each time, whatever was asked."""
    arrive(puller, request, low=key(1), high=key(2), flags=LAST_OF_ANSWER, count=0, now=now)


def creeping(puller: Puller, request: SyncRequest, now: float) -> None:
    """One key further each time, without a message."""
    high = OrderKey((int.from_bytes(request.low, "big") + 1).to_bytes(24, "big"))
    arrive(puller, request, low=request.low, high=high, flags=LAST_OF_ANSWER, count=0, now=now)


def creeping_with_rubbish(puller: Puller, request: SyncRequest, now: float) -> None:
    """One key further each time, with a message that the store never takes."""
    high = OrderKey((int.from_bytes(request.low, "big") + 1).to_bytes(24, "big"))
    arrive(puller, request, low=request.low, high=high, flags=LAST_OF_ANSWER, count=1, now=now)


def outside(puller: Puller, request: SyncRequest, now: float) -> None:
    """Intervals that run backwards and over both ends."""
    arrive(puller, request, low=ORDER_TOP, high=ORDER_LOW, flags=LAST_OF_ANSWER, count=0, now=now)


def new_summary_each_time(puller: Puller, request: SyncRequest, now: float) -> None:
    """A larger garbage summary with every answer, and another right behind it."""
    flags = LAST_OF_ANSWER | END_OF_RANGE
    garbage = Summary(count=10_000 + request.number % 1_000_000, sum=request.number)
    arrive(
        puller, request, low=request.low, high=request.high, flags=flags, count=0, now=now, summary=garbage
    )
    puller.receive_summary(SOURCE, Summary(count=garbage.count + 1, sum=1), now)


HOSTILE = [empty_end, same_range, creeping, creeping_with_rubbish, outside, new_summary_each_time]


@pytest.mark.parametrize("held", [0, 3_000])
@pytest.mark.parametrize("hostile", HOSTILE)
def test_hostile_answers_cost_a_bounded_number_of_requests(hostile: Hostile, held: int) -> None:
    """Whatever one neighbour answers within a millisecond, it gets few requests a second from us."""
    puller, _ = make_puller(held)
    puller.receive_summary(SOURCE, Summary(highest=1, count=10_000, sum=5), 0.0)
    now, requests, duration_s = 0.0, 0, 30.0
    while now < duration_s:
        now += 0.001
        deadline = puller.next_deadline()
        if deadline is not None and deadline <= now:
            puller.handle_timer(now)
        for _, request in requests_of(puller):
            requests += 1
            hostile(puller, request, now)
    assert 1 <= requests <= 20 * duration_s, requests


def test_nothing_found_where_much_was_promised_is_asked_for_as_one() -> None:
    """A claim cuts ranges finely only as long as something comes: a million empty ones end with a few."""
    puller, _ = make_puller()
    puller.receive_summary(SOURCE, Summary(highest=1 << 40, count=1 << 31, sum=5), 0.0)
    now, requests = 0.0, 0
    while now < 0.2:
        now += 0.001
        for _, request in requests_of(puller):
            requests += 1
            empty_end(puller, request, now)
    assert 2 <= requests <= 20, requests


def test_duplicates_for_ever_do_not_keep_us_busy() -> None:
    """A neighbour that sends what we hold again and again brings no fruit, and waits ever longer."""
    puller, _ = make_puller(50)
    puller.receive_summary(SOURCE, THEIRS, 0.0)
    now, requests, processed = 0.0, 0, 0
    while now < 60.0:
        now += 0.001
        deadline = puller.next_deadline()
        if deadline is not None and deadline <= now:
            puller.handle_timer(now)
        for _, request in requests_of(puller):
            requests += 1
            flags = LAST_OF_ANSWER | END_OF_RANGE
            arrive(puller, request, low=request.low, high=request.high, flags=flags, count=10, now=now)
            processed += 10
            puller.set_processed(processed, now)
    assert requests <= 200, requests


@pytest.mark.parametrize("wanted", [2, 64, 900])
@pytest.mark.parametrize("times", ["dense", "one-time", "outlier"])
def test_the_newest_are_found_from_below(wanted: int, times: str) -> None:
    """About as many as wanted, however global times are spread."""
    holdings = make_holdings()
    count = 2_500
    messages = []
    for index in range(1, count + 1):
        time = index if times != "one-time" else 7
        if times == "outlier" and index == count:
            time = 1 << 62
        messages.append(make_message(author=b"\1" * 32, global_time=time, sequence=index, payload=b"x"))
    holdings.add(messages)
    low = newest_low(holdings, wanted)
    found = len(holdings.scan(low, ORDER_TOP, count)[0]) // 40
    if times == "one-time":
        assert found == count
    else:
        assert wanted // 2 <= found <= 2 * wanted


def test_time_outs_are_learnt() -> None:
    """They follow round trips, and double in silence."""
    round_trips = RoundTrips()
    assert round_trips.timeout_s() == REQUEST_TIMEOUT_START_S
    for _ in range(30):
        round_trips.measure(0.5)
    assert 0.5 < round_trips.timeout_s() < 0.7
    before = round_trips.timeout_s()
    for _ in range(3):
        round_trips.timed_out()
    assert round_trips.timeout_s() == pytest.approx(4 * before)
