"""Goal: what leaves keeps to the budget; the walk waits for no answers, and no neighbour for a greedy one."""

from __future__ import annotations

from random import Random

import pytest

from dispersy.protocol.address import Address, make_address
from dispersy.protocol.spreading.upload import BURST_MIN, ROW_SIZE_MIN, Row, Upload, row_of, size_on_wire
from dispersy.protocol.wire.numbers import FrameType

RATE = 8_000
NEIGHBOURS = [make_address(f"192.0.2.{number}", 6421) for number in range(1, 9)]


def datagram(frame_type: FrameType, size: int = 1_000) -> bytes:
    return bytes(18) + bytes((frame_type,)) + bytes(size - 19)


def run(upload: Upload, seconds: float, *, began: float = 0.0) -> list[tuple[float, Address, bytes]]:
    """All that leaves in this time, and when, as a loop that sleeps until each deadline sees it."""
    now, sent = began, []
    while now < began + seconds:
        sent += [(now, Address(address), data) for address, data in upload.take(now)]
        due = upload.next_deadline()
        if due is None:
            break
        assert due > now
        now = due
    return sent


def test_what_leaves_stays_within_the_rate_and_one_burst() -> None:
    """Headers included, over every stretch of time, however the demand comes."""
    rng = Random(7)
    upload = Upload(RATE, now=0.0)
    sent: list[tuple[float, int]] = []
    now = 0.0
    while now < 60.0:
        for _ in range(rng.choice((0, 0, 1, 40))):
            kind = rng.choice((FrameType.MESSAGES, FrameType.PUSH, FrameType.INTRODUCTION_REQUEST))
            upload.add(rng.choice(NEIGHBOURS), datagram(kind, rng.randrange(60, 1_200)))
        sent += [(now, size_on_wire(*each)) for each in upload.take(now)]
        now += rng.choice((0.01, 0.1, 1.0, 3.0))
    assert sum(size for _, size in sent) > 0.3 * RATE * 60
    for first in range(0, len(sent), 7):
        for last in range(first, len(sent), 5):
            size = sum(size for _, size in sent[first : last + 1])
            # The last datagram of a burst may overdraw.
            assert size <= RATE * (sent[last][0] - sent[first][0]) + BURST_MIN + 1_280


def test_a_demand_that_is_always_there_uses_all_of_the_rate() -> None:
    upload = Upload(RATE, now=0.0)
    sent = 0
    for second in range(30):
        for _ in range(12):
            upload.add(NEIGHBOURS[0], datagram(FrameType.MESSAGES))
        sent += sum(size_on_wire(to, data) for _, to, data in run(upload, 1.0, began=float(second)))
    assert sent >= 0.97 * RATE * 30


def test_the_walk_does_not_wait_for_answers() -> None:
    upload = Upload(RATE, now=0.0)
    for _ in range(30):
        upload.add(NEIGHBOURS[0], datagram(FrameType.MESSAGES))
    upload.take(0.0)
    upload.add(NEIGHBOURS[1], datagram(FrameType.MESSAGES))
    upload.add(NEIGHBOURS[1], datagram(FrameType.PUSH))
    upload.add(NEIGHBOURS[1], datagram(FrameType.SYNC_REQUEST))
    order = [row_of(data) for _, _, data in run(upload, 10.0)]
    assert set(order[:2]) == {Row.FIRST, Row.NEWS}
    assert set(order[2:]) == {Row.ANSWERS}


def test_a_flood_of_the_walk_leaves_answers_a_share() -> None:
    upload = Upload(RATE, now=0.0)
    answers = 0
    for second in range(20):
        for _ in range(300):
            upload.add(NEIGHBOURS[0], datagram(FrameType.TOKEN, 60))
        upload.add(NEIGHBOURS[1], datagram(FrameType.MESSAGES))
        answers += sum(row_of(data) == Row.ANSWERS for _, _, data in run(upload, 1.0, began=float(second)))
    assert answers >= 18
    assert upload.counts["upload-dropped-first"]
    assert not upload.counts["upload-dropped-answers"]


@pytest.mark.parametrize("ports", [1, 50])
def test_a_greedy_neighbour_waits_for_itself(ports: int) -> None:
    """Whatever it asks for, and from however many ports; the others get what they ask for."""
    upload = Upload(RATE, now=0.0)
    got = dict.fromkeys((to[:16] for to in NEIGHBOURS), 0)
    for second in range(60):
        for number in range(60):
            greedy = make_address("192.0.2.1", 7_000 + number % ports)
            upload.add(greedy, datagram(FrameType.MESSAGES))
        for to in NEIGHBOURS[1:]:
            upload.add(to, datagram(FrameType.MESSAGES, 900))
        for _, to, data in run(upload, 1.0, began=float(second)):
            got[to[:16]] += size_on_wire(to, data)
    modest = [got[to[:16]] for to in NEIGHBOURS[1:]]
    # Each wants a little less than its part, and has all of it.
    assert min(modest) >= 0.98 * 60 * 928, got
    assert upload.keeps_waiting(NEIGHBOURS[0])
    assert not any(map(upload.keeps_waiting, NEIGHBOURS[1:]))


def test_who_comes_one_by_one_gets_no_more_than_who_comes_at_once() -> None:
    upload = Upload(RATE, now=0.0)
    patient, quick = NEIGHBOURS[:2]
    got = {patient: 0, quick: 0}
    now = 0.0
    upload.add(quick, datagram(FrameType.MESSAGES))
    while now < 60.0:
        while upload.waiting < 15_000:
            upload.add(patient, datagram(FrameType.MESSAGES))
        for to, _ in upload.take(now):
            got[Address(to)] += 1
            if to == quick:
                upload.add(quick, datagram(FrameType.MESSAGES))
        now += 0.05
    assert abs(got[patient] - got[quick]) <= 5, got


def test_rows_are_bounded_and_what_is_dropped_is_counted() -> None:
    upload = Upload(RATE, now=0.0)
    for _ in range(500):
        for kind in (FrameType.MESSAGES, FrameType.HAVE, FrameType.PING):
            upload.add(NEIGHBOURS[0], datagram(kind))
    assert upload.waiting <= 3 * ROW_SIZE_MIN
    kept = [upload.counts[f"upload-dropped-{row.label}"] for row in Row]
    assert all(460 <= dropped < 500 for dropped in kept), kept


def test_after_a_sleep_there_is_one_burst() -> None:
    """A machine that slept for a day is owed nothing for it."""
    upload = Upload(RATE, now=0.0)
    for _ in range(30):
        upload.add(NEIGHBOURS[0], datagram(FrameType.MESSAGES))
    upload.take(0.0)
    assert sum(size_on_wire(*each) for each in upload.take(86_400.0)) <= BURST_MIN + 1_280
