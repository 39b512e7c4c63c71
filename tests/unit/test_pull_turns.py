"""Goal: what happens between two turns of a pull, and what comes too late, neither stops nor burdens it."""

from __future__ import annotations

from collections import Counter
from random import Random

import pytest

from dispersy.constants import BACKLOG_MAX, PULL_GAPS_MAX, TURN_S
from dispersy.protocol.address import make_address
from dispersy.protocol.flow.backlog import Backlog
from dispersy.protocol.flow.flow_control import FlowControl
from dispersy.protocol.holdings import first_key_of, key_after, time_of
from dispersy.protocol.identifiers import ORDER_LOW, ORDER_TOP
from dispersy.protocol.sync.course import Asking
from dispersy.protocol.sync.courses import make_course
from dispersy.protocol.sync.means import Means
from dispersy.protocol.sync.outline import Outline
from dispersy.protocol.sync.pull import Pull
from dispersy.protocol.sync.pull_sources import Source
from dispersy.protocol.sync.puller import Puller
from dispersy.protocol.sync.questions import Send
from dispersy.protocol.sync.range_course import RangeCourse
from dispersy.protocol.sync.transfer import Transfer
from dispersy.protocol.wire.frames import Audit, AuditRequest, Busy, RangeRequest
from dispersy.protocol.wire.numbers import FrameType
from dispersy.protocol.wire.records import LAST_OF_ANSWER
from dispersy.protocol.wire.summary import Summary
from simulation.holdings import history, make_holdings

SOURCE = make_address("203.0.113.1", 6421)
OTHER = make_address("203.0.113.2", 6421)
THEIRS = Summary(highest=900, count=5_000, sum=77)


def asked(puller: Puller, frame_type: FrameType) -> list[Send]:
    """What the source is asked with this frame."""
    return [each for each in puller.drain() if (each.address, each.frame_type) == (SOURCE, frame_type)]


def begun_course() -> tuple[RangeCourse, Source, Transfer]:
    """Everything of a source is to be asked for."""
    source, transfer = Source(THEIRS, 0.0), Transfer(Outline())
    transfer.add((ORDER_LOW, ORDER_TOP))
    asking = Asking(Random(1), make_holdings(), Backlog(), Counter(), budget_max=64)
    return RangeCourse(asking, source, means=Means.TIP, transfer=transfer), source, transfer


def answer_two(flow: FlowControl) -> None:
    """Two requests were answered whole, so that a rate is known."""
    for number in (1, 2):
        flow.ask(number, 40, number / 10)
        for _ in range(40):
            flow.arrive(number, (number + 1) / 10)
        flow.close(number, lost=0)


def test_a_pull_goes_on_after_a_repair_from_the_same_source() -> None:
    """A source that makes room, fails an audit and is then busy has a request under way that is nobody's."""
    holdings = make_holdings()
    holdings.add(history(300))
    puller = Puller(rng=Random(1), holdings=holdings, now=0.0, audit_chance=1.0, audit_interval_s=0.0)
    puller.set_definition_known(0.0)
    puller.receive_summary(SOURCE, THEIRS, 0.0)
    puller.receive_summary(OTHER, THEIRS, 0.1)
    now = 0.2
    while requests := asked(puller, FrameType.RANGE_REQUEST):
        for each in requests:
            request = RangeRequest.decode(each.body)
            high = key_after(request.low)
            puller.receive_envelope(
                SOURCE, request.number, LAST_OF_ANSWER, request.low, high, None, 1, 100, now
            )
        puller.proceed(now)
        puller.set_processed(int(now * 1_000), now)
        now += TURN_S / 6
    assert now > TURN_S
    # The turn is the other's now, until both say the very set that is here; and one of them is audited.
    puller.receive_summary(SOURCE, holdings.summary(), now)
    puller.receive_summary(OTHER, holdings.summary(), now)
    puller.handle_timer(now + 1)
    [audit] = asked(puller, FrameType.AUDIT_REQUEST)
    puller.receive_audit(SOURCE, Audit(AuditRequest.decode(audit.body).number, 5, 5), now + 1)
    [repair] = asked(puller, FrameType.RANGE_REQUEST)
    puller.receive_busy(SOURCE, Busy(RangeRequest.decode(repair.body).number, 100), now + 1)
    assert puller.counts["repairs"] == 1
    puller.receive_summary(SOURCE, THEIRS, now + 2)
    for step in range(30):
        puller.handle_timer(now + 2 + step)
    assert asked(puller, FrameType.RANGE_REQUEST)


def test_late_datagrams_cut_what_is_left_into_a_bounded_number_of_ranges() -> None:
    """Each may cut one range in two, and whoever sends them decides how many there are."""
    transfer = Transfer(Outline())
    transfer.add((ORDER_LOW, ORDER_TOP))
    transfer.next_request(
        holdings=make_holdings(), number=1, budget=4, room=4, error_rate=0.01, rng=Random(1)
    )
    transfer.close(1)
    for time in range(1, 2 * PULL_GAPS_MAX):
        low, high = first_key_of(2 * time), first_key_of(2 * time + 1)
        transfer.receive(number=1, flags=0, low=low, high=high, count=0)
    ranges = 0
    while transfer.has_more():
        transfer.next_request(
            holdings=make_holdings(), number=2 + ranges, budget=4, room=4, error_rate=0.01, rng=Random(1)
        )
        ranges += 1
    assert ranges == PULL_GAPS_MAX


def test_who_waits_for_an_answer_to_end_its_turn_sleeps() -> None:
    """What it waited for before, for the store to take what had come, is a moment that has passed."""
    puller = Puller(rng=Random(1), holdings=make_holdings(), now=0.0, audits=False)
    puller.set_definition_known(0.0)
    puller.receive_summary(SOURCE, THEIRS, 0.0)
    [request] = [RangeRequest.decode(each.body) for each in asked(puller, FrameType.RANGE_REQUEST)]
    now = TURN_S + 0.1
    puller.receive_envelope(SOURCE, request.number, 0, request.low, key_after(request.low), None, 1, 100, now)
    puller.proceed(now)
    assert puller._pull is not None
    puller._pull.settled_at = puller._pull.settle_by = now - 0.05
    puller.receive_summary(OTHER, THEIRS, now)
    deadline = puller.next_deadline()
    assert deadline is not None
    assert deadline > now


@pytest.mark.parametrize("count", [0, 3, 300])
def test_who_waits_for_the_first_answer_of_all_sleeps(count: int) -> None:
    """A moment that has passed, named as the next deadline, would have its role spin until the answer."""
    holdings = make_holdings()
    holdings.add(history(count))
    puller = Puller(rng=Random(1), holdings=holdings, now=0.0, audits=False)
    puller.set_definition_known(0.0)
    puller.receive_summary(SOURCE, Summary(highest=9_000, count=90_000, sum=77), 0.0)
    now = 0.0
    for _ in range(12):
        puller.handle_timer(now)
        deadline = puller.next_deadline()
        if deadline is None:
            break
        assert deadline > now
        now = deadline
    assert puller.counts["requests"] > 1, "what was not answered is asked again"


def test_who_leaves_a_question_unanswered_is_told_to_the_walk_once() -> None:
    """It may be gone, and the walk would find that out much later."""
    puller = Puller(rng=Random(1), holdings=make_holdings(), now=0.0)
    puller.set_definition_known(0.0)
    puller.receive_summary(SOURCE, THEIRS, 0.0)
    assert asked(puller, FrameType.RANGE_REQUEST)
    assert puller.drain_silent() == []
    puller.handle_timer(puller.next_deadline() or 0.0)
    assert puller.drain_silent() == [SOURCE]
    assert puller.drain_silent() == []


def test_who_has_fallen_silent_is_waited_for_to_the_last_bit() -> None:
    """A time-out that is over by the one sum and not by the other would be due again at once."""
    puller = Puller(rng=Random(1), holdings=make_holdings(), now=0.0, audits=False)
    puller.set_definition_known(0.0)
    puller.receive_summary(SOURCE, THEIRS, 0.0)
    now = 0.1
    [request] = [RangeRequest.decode(each.body) for each in asked(puller, FrameType.RANGE_REQUEST)]
    low = request.low
    for count in range(40):
        high = key_after(low)
        puller.receive_envelope(SOURCE, request.number, 0, low, high, None, 1, 100, now)
        puller.set_processed(count + 1, now)
        now, low = now + 0.002, high
    for _ in range(12):
        puller.handle_timer(now)
        deadline = puller.next_deadline()
        assert deadline is not None
        assert deadline > now
        now = deadline
    assert puller.counts["timeouts"] > 5


def test_a_course_that_probes_a_silence_asks_when_it_says_so() -> None:
    """The window of the first requests has room for more than the probe: no reason to look again at once."""
    course, source, _ = begun_course()
    flow = source.flow
    answer_two(flow)
    flow.ask(3, 1, 0.3)
    assert flow.fall_silent(1.0)
    assert flow.room(1.0, singly=True)
    assert not course.step(1.0)
    assert course.next_step() is None


@pytest.mark.parametrize("is_forgotten", [False, True])
def test_a_turn_that_begins_anew_asks_for_what_the_last_one_left_unanswered(is_forgotten: bool) -> None:
    """A source fell silent, others came first, one of them a repair from this very source. Nothing of the
    range is waited for any more, and nothing was asked for again: such a pull never ended."""
    course, source, transfer = begun_course()
    assert course.step(0.0)
    if is_forgotten:
        source.flow.forget()
    course.begin_again()
    assert transfer.has_more()
    assert not transfer.under_way()
    [request] = course.step(5.0)
    assert isinstance(request, RangeRequest)
    assert request.low == ORDER_LOW


def test_what_a_silence_swallows_is_no_loss() -> None:
    """A link that pauses has as much room as before when it is back, and answers may be as long."""
    course, source, _ = begun_course()
    flow = source.flow
    answer_two(flow)
    assert flow.rate
    now = 0.4
    assert course.step(now)
    while flow.is_under_way():
        now = course.next_deadline() or now
        course.handle_timer(now)
    assert not flow.losses.are_ours(in_doubt=True)


def test_a_store_that_takes_nothing_for_a_while_is_not_sent_all_that_the_path_takes() -> None:
    """On a path so fast that it seems to hold any number: what is asked for has room when it comes."""
    puller = Puller(rng=Random(1), holdings=make_holdings(), now=0.0, audits=False)
    puller.set_definition_known(0.0)
    puller.receive_summary(SOURCE, Summary(highest=90_000, count=90_000, sum=77), 0.0)
    now, came, per_datagram = 0.0, 0, 8
    taken = 10_000
    while now < 0.5:
        now += 0.001
        for request in (RangeRequest.decode(each.body) for each in asked(puller, FrameType.RANGE_REQUEST)):
            first, last = time_of(request.low), min(90_000, time_of(request.high))
            for time in range(first, min(last, first + per_datagram * request.budget), per_datagram):
                low, high = first_key_of(time), min(request.high, first_key_of(time + per_datagram))
                count = min(last, time + per_datagram) - time
                is_last = time + 2 * per_datagram > min(last, first + per_datagram * request.budget)
                flags = LAST_OF_ANSWER * is_last
                puller.receive_envelope(SOURCE, request.number, flags, low, high, None, count, 1_000, now)
                came += count
        puller.set_processed(min(came, taken), now)
    assert puller.counts["requests"] > 50
    assert BACKLOG_MAX / 2 < came - taken < 1.25 * BACKLOG_MAX


@pytest.mark.parametrize(("differing", "missing"), [(0, 4_700), (5_300, 5_000), (12_000, 8_350)])
def test_what_is_missing_is_estimated_from_counts_and_from_what_differs(differing: int, missing: int) -> None:
    """Counts say it where nothing says how much differs: half of it is asked for in ranges twice too long,
    and what an answer has no room for is described again."""
    holdings = make_holdings()
    holdings.add(history(300))
    theirs = Summary(highest=holdings.summary().highest, count=5_000, sum=77)
    asking = Asking(Random(1), holdings, Backlog(), Counter(), budget_max=64)
    pull = Pull(SOURCE, Source(theirs, 0.0), holdings.summary(), 0.0)
    pull.differing = differing
    course = make_course(Means.EVERYTHING, asking, pull, is_alone=True)
    assert isinstance(course, RangeCourse)
    assert course.left() == pytest.approx(missing, rel=0.01)
