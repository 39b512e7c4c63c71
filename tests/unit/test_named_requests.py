"""Asking by name: one request a thing, merged, to the next neighbour on silence, bounded, and it ends."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise
from random import Random

import pytest

from dispersy.constants import (
    FRAMES_SIZE_MAX,
    MET_MAX,
    MET_PER_HOST_MAX,
    NAMED_BUDGET_MAX,
    NAMED_IDS_MAX,
    NAMED_OUT_MAX,
    NAMED_PER_NEIGHBOUR_MAX,
    NAMED_PER_SECOND_MAX,
    NAMED_ROUNDS_MAX,
    NAMED_SETTLE_S,
    REQUEST_TIMEOUT_START_S,
)
from dispersy.protocol.address import Address, make_address
from dispersy.protocol.hosts import bucket_of
from dispersy.protocol.ranges import divided, merged, without
from dispersy.protocol.sync.named_requests import NamedRequests
from dispersy.protocol.wants import SequenceRange, Wants
from dispersy.protocol.wire.frames import (
    MissingLast,
    MissingMessages,
    MissingProof,
    MissingSequences,
    RequestMissing,
    frame,
)

LANE = bytes(range(32))
KEY = b"key"
Sent = list[tuple[Address, RequestMissing]]


def identifier(number: int) -> bytes:
    return number.to_bytes(32, "big")


def neighbour(number: int, port: int = 1) -> Address:
    return make_address(f"203.0.113.{number}", port)


def asking(*neighbours: Address, seed: int = 1) -> NamedRequests:
    made = NamedRequests(rng=Random(seed), source_key=KEY)
    for each in neighbours:
        made.hear(each, 0.0)
    return made


def gaps(*ranges: tuple[int, int], lane: bytes = LANE) -> Wants:
    return Wants(ranges=[(lane, 70, low, high) for low, high in ranges])


def spans(sent: Sent) -> list[tuple[int, int]]:
    wanted = [request.wanted for _, request in sent]
    return [(each.low, each.high) for each in wanted if isinstance(each, MissingSequences)]


def answer(requests: NamedRequests, sent: Sent, now: float) -> None:
    for source, request in sent:
        assert requests.receive_answer(source, request.number, now)


def test_one_request_a_thing_however_many_want_it() -> None:
    """Goal: what is wanted again and again is asked for once while a request for it is out."""
    requests = asking(neighbour(1), neighbour(2))
    wants = Wants(messages=[identifier(1)] * 3, proofs=[identifier(2)], ranges=[(LANE, 70, 1, 4)] * 5)
    requests.set_wants(wants, 0.0, last=[MissingLast(0, 1), MissingLast(0, 1)])
    sent = requests.step(0.0)
    assert sorted(type(request.wanted).__name__ for _, request in sent) == [
        "MissingLast",
        "MissingMessages",
        "MissingProof",
        "MissingSequences",
    ]
    for turn in range(9):
        requests.set_wants(wants, turn / 10, last=[MissingLast(0, 1)])
        assert requests.step(turn / 10) == []


def test_several_ids_share_a_request() -> None:
    """Goal: few datagrams, each of which fits."""
    requests = asking(neighbour(1))
    ids = [identifier(number) for number in range(NAMED_IDS_MAX + 1)]
    requests.set_wants(Wants(messages=ids, proofs=ids[:2]), 0.0)
    wanted = [request.wanted for _, request in requests.step(0.0)]
    asked = [
        each.ids if isinstance(each, MissingMessages) else each.of
        for each in wanted
        if isinstance(each, MissingMessages | MissingProof)
    ]
    assert [list(each) for each in asked] == [ids[:-1], ids[-1:], ids[:2]]
    body = RequestMissing(1, 1, wanted[0]).encode()
    assert len(frame(RequestMissing.type, body)) <= FRAMES_SIZE_MAX


def test_ranges_are_merged() -> None:
    """Goal: what touches or overlaps is one request, what does not is several."""
    requests = asking(neighbour(1))
    requests.set_wants(gaps((6, 9), (1, 4), (3, 5), (20, 30), (31, 31)), 0.0)
    assert spans(requests.step(0.0)) == [(1, 9), (20, 31)]


def test_no_sequence_is_asked_for_twice_while_it_is_out() -> None:
    """Goal: of a wider gap only what nobody has been asked for; what is left, later."""
    requests = asking(neighbour(1))
    requests.set_wants(gaps((3, 4)), 0.0)
    first = requests.step(0.0)
    assert spans(first) == [(3, 4)]
    requests.set_wants(gaps((1, 6)), 0.1)
    around = requests.step(0.1)
    assert spans(around) == [(1, 2), (5, 6)]
    requests.set_wants(gaps((2, 6)), 0.2)
    assert requests.step(0.2) == []
    answer(requests, first + around, 1.3)
    requests.set_wants(gaps((2, 2), (6, 9)), 1.4)
    # The rest of what was answered may still be on its way to the store; what is new was never asked for.
    assert spans(requests.step(1.4)) == [(7, 9)]
    assert spans(requests.step(1.3 + NAMED_SETTLE_S)) == [(2, 2)]


def test_another_lane_is_another_gap() -> None:
    """Goal: equal sequences of two authors do not hide each other."""
    requests = asking(neighbour(1))
    both = gaps((1, 4)).ranges + gaps((1, 4), lane=bytes(32)).ranges
    requests.set_wants(Wants(ranges=both), 0.0)
    assert spans(requests.step(0.0)) == [(1, 4), (1, 4)]


def test_silence_and_an_answer_that_does_not_help_make_us_ask_the_next() -> None:
    """Goal: every neighbour once before anybody twice."""
    everyone = {neighbour(number) for number in range(1, 5)}
    requests = asking(*everyone)
    requests.set_wants(Wants(messages=[identifier(1)]), 0.0)
    now, asked = 0.0, []
    for turn in range(4):
        ((source, request),) = requests.step(now)
        asked.append(source)
        if turn % 2:
            assert requests.receive_answer(source, request.number, now)
            now += NAMED_SETTLE_S
        else:
            now += REQUEST_TIMEOUT_START_S
    assert set(asked) == everyone


def test_who_offered_the_message_is_asked_for_its_proof() -> None:
    """Goal: the one neighbour that surely can prove it comes first."""
    for seed in range(20):
        requests = asking(*(neighbour(number) for number in range(1, 30)), seed=seed)
        offers = {identifier(1): bucket_of(neighbour(17), key=KEY)}
        requests.set_wants(Wants(proofs=[identifier(1)], offered_by=offers), 0.0)
        ((source, _),) = requests.step(0.0)
        assert bucket_of(source, key=KEY) == offers[identifier(1)]


def test_a_request_expires_once_and_is_answered_once() -> None:
    """Goal: neither a late nor a second answer, nor another's, ends anything."""
    requests = asking(neighbour(1), neighbour(2))
    requests.set_wants(Wants(messages=[identifier(1)]), 0.0)
    ((source, request),) = requests.step(0.0)
    other = neighbour(1) if source == neighbour(2) else neighbour(2)
    assert not requests.receive_answer(other, request.number, 0.1)
    assert not requests.receive_answer(source, request.number ^ 1, 0.1)
    assert requests.step(0.1) == []
    ((again, second),) = requests.step(REQUEST_TIMEOUT_START_S)
    assert again == other
    assert requests.counts["named-timeouts"] == 1
    assert not requests.receive_answer(source, request.number, 1.1)
    assert requests.receive_answer(other, second.number, 1.1)
    assert not requests.receive_answer(other, second.number, 1.1)
    assert requests.counts["named-timeouts"] == 1


def test_numbers_never_clash() -> None:
    """Goal: also where chance would give one number twice, two requests that are out have two."""

    class Repeating(Random):
        def randrange(self, start: int, stop: int | None = None, step: int = 1) -> int:  # noqa: ARG002
            return 1 + int(self.random() * 5)

    requests = NamedRequests(rng=Repeating(3), source_key=KEY)
    requests.hear(neighbour(1), 0.0)
    requests.hear(neighbour(2), 0.0)
    requests.set_wants(gaps((1, 1), (3, 3), (5, 5), (7, 7)), 0.0)
    numbers = [request.number for _, request in requests.step(0.0)]
    assert len(numbers) == len(set(numbers)) == 4


def test_what_has_come_is_not_asked_for_again() -> None:
    """Goal: the store's word ends it, whatever of it was out."""
    requests = asking(neighbour(1), neighbour(2))
    requests.set_wants(Wants(messages=[identifier(1)]), 0.0)
    requests.step(0.0)
    requests.set_wants(Wants(), 0.1)
    assert requests.step(100.0) == []
    assert requests.next_deadline() is None


def test_what_nobody_has_is_given_up_until_somebody_new_is_met() -> None:
    """Goal: asking ends, ever more slowly; a newcomer is asked once, and nothing keeps us awake."""
    requests = asking(neighbour(1), neighbour(2))
    requests.set_wants(Wants(proofs=[identifier(1)]), 0.0)
    asked = Counter[Address]()
    now = 0.0
    while (due := requests.next_deadline()) is not None:
        assert due < 600.0
        now = max(now, due)
        asked.update(source for source, _ in requests.step(now))
    assert asked == {neighbour(1): NAMED_ROUNDS_MAX, neighbour(2): NAMED_ROUNDS_MAX}
    assert requests.counts["named-given-up"] == 1
    requests.hear(neighbour(1), now)
    assert requests.step(now) == []
    requests.hear(neighbour(3), now)
    assert [source for source, _ in requests.step(now)] == [neighbour(3)]
    requests.step(now + REQUEST_TIMEOUT_START_S)
    assert requests.next_deadline() is None


def test_without_neighbours_it_waits_for_one() -> None:
    """Goal: no deadline that comes again and again for nothing; the first neighbour is asked at once."""
    requests = asking()
    requests.set_wants(gaps((1, 4)), 0.0)
    assert requests.step(0.0) == []
    assert requests.next_deadline() is None
    requests.hear(neighbour(1), 5.0)
    assert spans(requests.step(5.0)) == [(1, 4)]


@pytest.mark.parametrize("answers", [True, False])
def test_a_flood_of_wants_is_asked_for_slowly(answers: bool) -> None:
    """Goal: neither a neighbour nor all of them hear more of us than so much a second, and no more
    datagrams are on their way than a receive buffer holds."""
    everyone = [neighbour(number) for number in range(1, 60)]
    requests = asking(*everyone)
    wants = Wants(
        messages=[identifier(number) for number in range(64)],
        proofs=[identifier(1_000 + number) for number in range(64)],
        ranges=[(identifier(number), 70, 1, 1 << 62) for number in range(64)],
    )
    requests.set_wants(wants, 0.0)
    of_second: Counter[int] = Counter()
    of_neighbour: Counter[tuple[Address, int]] = Counter()
    out: dict[tuple[Address, int], tuple[float, int]] = {}
    for step in range(200):
        now = step / 20
        for source, request in requests.step(now):
            of_second[int(now)] += 1
            of_neighbour[source, int(now)] += 1
            assert 1 <= request.budget <= NAMED_BUDGET_MAX
            out[source, request.number] = (now, request.budget)
        out = {key: each for key, each in out.items() if now < each[0] + REQUEST_TIMEOUT_START_S}
        assert sum(budget for _, budget in out.values()) <= NAMED_OUT_MAX
        if answers:
            for (source, number), _ in list(out.items()):
                requests.receive_answer(source, number, now)
            out.clear()
    assert max(of_second.values()) <= NAMED_PER_SECOND_MAX
    assert max(of_neighbour.values()) <= NAMED_PER_NEIGHBOUR_MAX
    assert sum(of_second.values()) > 20


def test_a_deadline_is_never_in_the_past_for_long() -> None:
    """Goal: whoever sleeps until the deadline has something to do then: the loop does not spin."""
    requests = asking(*(neighbour(number) for number in range(1, 4)))
    ranges: list[SequenceRange] = [(identifier(number), 70, 1, 9) for number in range(64)]
    requests.set_wants(Wants(proofs=[identifier(number) for number in range(64)], ranges=ranges), 0.0)
    now, turns = 0.0, 0
    while (due := requests.next_deadline()) is not None and now < 100.0:
        assert due >= now - 1e-9 or turns == 0
        now = max(now, due)
        requests.step(now)
        after = requests.next_deadline()
        assert after is None or after > now
        turns += 1
    assert turns < 2_000


def test_a_crowd_of_neighbours_is_not_remembered() -> None:
    """Goal: one host with many ports, and very many hosts: both are bounded."""
    requests = asking()
    for port in range(1, 1000):
        requests.hear(neighbour(1, port), 0.0)
    assert len(requests._neighbours) == MET_PER_HOST_MAX
    for number in range(2, 200):
        requests.hear(neighbour(number), 0.0)
    assert len(requests._neighbours) == MET_MAX


@pytest.mark.parametrize("seed", range(30))
def test_ranges_against_sets(seed: int) -> None:
    """Goal: merged(), without() and divided() are what sets of numbers say."""
    rng = Random(seed)
    ranges = [(low := rng.randrange(1, 30), low + rng.randrange(6)) for _ in range(rng.randrange(6))]
    numbers = {number for low, high in ranges for number in range(low, high + 1)}
    joined = merged(ranges)
    assert {number for low, high in joined for number in range(low, high + 1)} == numbers
    assert all(high + 1 < low for (_, high), (low, _) in pairwise(joined))
    low = rng.randrange(1, 30)
    high = low + rng.randrange(12)
    left = without((low, high), ranges)
    assert {number for first, last in left for number in range(first, last + 1)} == {
        *range(low, high + 1)
    } - numbers
    others = merged((low := rng.randrange(1, 30), low + rng.randrange(6)) for _ in range(rng.randrange(6)))
    for part in divided(joined, others):
        assert part == sorted(part)
        assert all(low <= high for low, high in part)
    by = {number for low, high in others for number in range(low, high + 1)}
    inside, outside = (
        [number for low, high in part for number in range(low, high + 1)] for part in divided(joined, others)
    )
    assert (inside, outside) == (sorted(numbers & by), sorted(numbers - by))
