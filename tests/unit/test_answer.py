"""Answers: complete, stateless, within budget and datagram, and their intervals join without a gap."""

from __future__ import annotations

from random import Random

import pytest

from dispersy.constants import ANSWER_BUDGET_MAX, FRAMES_SIZE_MAX
from dispersy.errors import WireError
from dispersy.ext import digest, wire
from dispersy.ext.bloom import BloomFilter
from dispersy.protocol import holdings as holdings_module
from dispersy.protocol.holdings import key_behind, sum_range
from dispersy.protocol.identifiers import ORDER_LOW, ORDER_TOP, MessageId, OrderKey
from dispersy.protocol.intake.marks import ERASED
from dispersy.protocol.sync import answer as answer_module
from dispersy.protocol.sync.answer import (
    Answer,
    answer_audit,
    answer_missing,
    named_frames,
    unasked_bodies,
)
from dispersy.protocol.wire.frames import (
    AuditRequest,
    MessagesHeader,
    MissingLast,
    MissingMessages,
    RequestMissing,
    StrippedHeader,
    SyncRequest,
)
from dispersy.protocol.wire.numbers import FrameType
from dispersy.protocol.wire.packing import decode_uvarint
from dispersy.protocol.wire.records import MESSAGE
from dispersy.protocol.wire.selection import Order, Selection
from dispersy.storage.store import Batch
from simulation.holdings import COMMUNITY_ID, StoreHoldings, history, make_holdings


@pytest.fixture(scope="module")
def holdings() -> StoreHoldings:
    """3,000 messages."""
    held = make_holdings()
    held.add(history(3_000))
    return held


@pytest.fixture(scope="module")
def erased() -> StoreHoldings:
    """3,000 messages, of which every third is erased, and a row of a hundred."""
    held = make_holdings()
    held.add(history(3_000))
    held.store.commit(Batch(erased=[*range(1, 3_000, 3), *range(500, 600)]))
    return held


def keys_of(holdings: StoreHoldings) -> list[bytes]:
    keys, _, _ = holdings.scan(ORDER_LOW, ORDER_TOP, 1 << 30)
    return [keys[start : start + 40] for start in range(0, len(keys), 40)]


def cursors_of(holdings: StoreHoldings) -> list[int]:
    _, cursors, _ = holdings.scan(ORDER_LOW, ORDER_TOP, 1 << 30)
    return list(memoryview(cursors).cast("Q"))


def frames_of(request: SyncRequest, holdings: StoreHoldings, *, step: int = 7) -> list[bytes]:
    answer = Answer(request, holdings, holdings.summary())
    found: list[bytes] = []
    while not answer.finished:
        some = answer.frames(step)
        assert 0 < len(some) <= step
        found += some
    assert answer.frames(step) == []
    assert all(len(each) <= FRAMES_SIZE_MAX for each in found)
    return found


def read(frames: bytes) -> tuple[MessagesHeader, bytes, bytes]:
    """Of one datagram: the header, and the packed whole and stripped messages."""
    bodies = {}
    while frames:
        size, start = decode_uvarint(frames, 1)
        bodies[frames[0]] = frames[start : start + size]
        assert frames[0] == FrameType.STRIPPED or start + size == len(frames), "the interval comes last"
        frames = frames[start + size :]
    header, area = MessagesHeader.decode(bodies[FrameType.MESSAGES])
    if FrameType.STRIPPED not in bodies:
        return header, area, b""
    stripped_header, stripped = StrippedHeader.decode(bodies[FrameType.STRIPPED])
    assert stripped_header.number == header.number
    return header, area, stripped


def bodies_of(request: SyncRequest, holdings: StoreHoldings) -> list[bytes]:
    """Of messages frames that are alone in their datagrams."""
    found = [read(frames) for frames in frames_of(request, holdings)]
    assert not any(stripped for _, _, stripped in found)
    return [header.encode() + area for header, area, _ in found]


def ids_in(area: bytes, *, stripped: bool = False) -> list[bytes]:
    drops = bytearray(4 * len(wire.DROP_REASONS))
    records = wire.parse_messages(area, drops, stripped=stripped)
    assert not any(drops)
    digest.identify_many(records, area, COMMUNITY_ID)
    return [fields[11] for fields in MESSAGE.iter_unpack(bytes(records))]


def check_intervals(request: SyncRequest, headers: list[MessagesHeader]) -> None:
    """They follow one another from the request's low; only the last is marked so and carries the summary."""
    low = request.low
    for header in headers:
        assert header.number == request.number
        assert header.low == low
        low = header.high
    assert [header.last for header in headers] == [False] * (len(headers) - 1) + [True]
    assert [header.summary is not None for header in headers] == [header.last for header in headers]
    assert all(not header.end_of_range for header in headers[:-1])
    assert headers[-1].end_of_range == (headers[-1].high == request.high)


@pytest.mark.parametrize("share", [0.0, 0.5, 0.99, 1.0])
@pytest.mark.parametrize("budget", [1, 16, ANSWER_BUDGET_MAX])
@pytest.mark.parametrize("held", ["holdings", "erased"])
def test_requests_in_a_row_bring_exactly_what_is_missing(
    request: pytest.FixtureRequest, held: str, share: float, budget: int
) -> None:
    """Asking on from where each answer stopped brings all that no filter covered, each once, in order; what
    is erased comes in the datagram whose interval it is in."""
    holdings: StoreHoldings = request.getfixturevalue(held)
    rng = Random(2)
    keys = keys_of(holdings)[:1_500]
    high = OrderKey(keys_of(holdings)[1_500][:24])
    known = [key[8:] for key in keys if rng.random() < share]
    bloom = BloomFilter.from_capacity(capacity=max(1, len(known)), error_rate=0.01, salt=9)
    bloom.add_many(b"".join(known), 32)
    covered = {key[8:] for key in keys if bloom.missing_many(key[8:], 32) == b"\0"}
    low, received = ORDER_LOW, []
    for number in range(1, 2_000):
        asked = SyncRequest(
            number=number,
            budget=budget,
            low=low,
            high=high,
            salt=bloom.salt if known else 0,
            hash_count=bloom.hash_count if known else 0,
            filter=bloom.to_bytes() if known else b"",
        )
        parts = [read(frames) for frames in frames_of(asked, holdings)]
        assert len(parts) <= budget
        check_intervals(asked, [header for header, _, _ in parts])
        for header, area, stripped in parts:
            whole, left = ids_in(area), ids_in(stripped, stripped=True)
            assert bool(left) <= (held == "erased")
            places = {key[8:]: place for place, key in enumerate(keys)}
            arrived = sorted(whole + left, key=places.__getitem__)
            assert [whole, left] == [[each for each in arrived if each in part] for part in (whole, left)]
            received += arrived
            expected = [
                key[8:] for key in keys if header.low <= key[:24] < header.high and key[8:] not in covered
            ]
            assert arrived == expected
        low = parts[-1][0].high
        if parts[-1][0].end_of_range:
            break
    assert received == [key[8:] for key in keys if key[8:] not in covered]


def test_nothing_missing_is_one_datagram(holdings: StoreHoldings) -> None:
    """It says that the whole range is covered, and how the sender's set looks."""
    request = SyncRequest(number=5, budget=3, low=ORDER_LOW, high=OrderKey(bytes(7) + b"\1" + bytes(16)))
    [body] = bodies_of(request, holdings)
    header, area = MessagesHeader.decode(body)
    assert (header.low, header.high, area) == (request.low, request.high, b"")
    assert header.end_of_range
    assert header.summary == holdings.summary()


def test_newest_first_the_intervals_follow_one_another_downwards(holdings: StoreHoldings) -> None:
    """Each says exactly what is in its datagram, and asking on below the last one brings all."""
    keys = keys_of(holdings)
    high, received = ORDER_TOP, []
    for number in range(1, 100):
        asked = SyncRequest(number=number, budget=16, high=high, selection=Selection(order=Order.DESCENDING))
        parts = [read(frames) for frames in frames_of(asked, holdings)]
        for header, area, _ in parts:
            assert header.high == high
            found = ids_in(area)
            assert found == [key[8:] for key in reversed(keys) if header.low <= key[:24] < header.high]
            received += found
            high = header.low
        assert [header.last for header, _, _ in parts] == [False] * (len(parts) - 1) + [True]
        if parts[-1][0].end_of_range:
            break
    assert high == ORDER_LOW
    assert received == [key[8:] for key in reversed(keys)]


def test_in_random_order_only_the_last_datagram_keeps_its_place(holdings: StoreHoldings) -> None:
    """The request's number decides; together they cover what an answer in order would."""
    answers = {}
    for number, order in ((1, Order.RANDOM), (2, Order.RANDOM), (3, Order.ASCENDING)):
        asked = SyncRequest(number=number, budget=16, selection=Selection(order=order))
        answers[number] = [header for header, _, _ in map(read, frames_of(asked, holdings))]
    in_order = [(header.low, header.high) for header in answers[3]]
    for number in (1, 2):
        intervals = [(header.low, header.high) for header in answers[number]]
        assert sorted(intervals) == in_order
        assert intervals[-1] == in_order[-1]
        assert intervals != in_order
        assert [header.last for header in answers[number]] == [False] * 15 + [True]
        assert not any(header.end_of_range for header in answers[number])
    assert answers[1] != answers[2]
    again = SyncRequest(number=1, budget=16, selection=Selection(order=Order.RANDOM))
    assert [header for header, _, _ in map(read, frames_of(again, holdings))] == answers[1]


@pytest.mark.parametrize("order", Order)
def test_of_certain_kinds_an_interval_says_so_much_of_these_alone(order: Order) -> None:
    """Every tenth message is of another kind; the answer is these, within one look at all of them."""
    held = make_holdings()
    messages = history(2_000)
    rare = [bytes([70]) + each[1:] if number % 10 == 0 else each for number, each in enumerate(messages)]
    held.add(rare)
    request = SyncRequest(number=7, budget=64, selection=Selection(bytes([70]), order))
    parts = [read(frames) for frames in frames_of(request, held)]
    found = [message_id for _, area, _ in parts for message_id in ids_in(area)]
    expected = [
        key[8:]
        for key, message in zip(keys_of(held), held.messages(cursors_of(held)), strict=True)
        if message[0] == 70
    ]
    assert len(expected) == 200
    assert sorted(found) == sorted(expected)
    if order is not Order.RANDOM:
        assert found == (expected if order is Order.ASCENDING else expected[::-1])
    assert parts[-1][0].end_of_range


def test_a_look_for_certain_kinds_has_a_limit(
    holdings: StoreHoldings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In messages and in bytes that have to be read; the answer says how far it came."""
    for name, limit in (("SELECTED_SCAN_MAX", 500), ("SELECTED_SIZE_MAX", 100_000)):
        with monkeypatch.context() as patch:
            patch.setattr(answer_module, name, limit)
            request = SyncRequest(number=1, budget=9, selection=Selection(b"\x50"))
            [body] = bodies_of(request, holdings)
        header, area = MessagesHeader.decode(body)
        assert not area
        assert not header.end_of_range
        assert ORDER_LOW < header.high < OrderKey(keys_of(holdings)[1_800][:24])


def test_a_scan_ends_at_its_limit(holdings: StoreHoldings, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where a filter covers more than may be examined, the answer says how far it came."""
    monkeypatch.setattr(answer_module, "SCAN_MAX", 1_500)
    keys = keys_of(holdings)
    bloom = BloomFilter.from_capacity(capacity=len(keys), error_rate=0.001, salt=1)
    bloom.add_many(b"".join(key[8:] for key in keys), 32)
    request = SyncRequest(number=1, budget=9, salt=1, hash_count=bloom.hash_count, filter=bloom.to_bytes())
    [body] = bodies_of(request, holdings)
    header, _ = MessagesHeader.decode(body)
    assert not header.end_of_range
    assert keys[1_499][:24] < header.high <= keys[1_500][:24]


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"low": ORDER_TOP, "high": ORDER_TOP}, "range-empty"),
        ({"budget": ANSWER_BUDGET_MAX + 1}, "budget-too-large"),
        ({"hash_count": 4, "filter": b"\xff" * 64}, "filter-full"),
    ],
)
def test_refusals_have_names(holdings: StoreHoldings, fields: dict[str, object], reason: str) -> None:
    """A request that would cost more than it is worth is refused before any work."""
    values = {"number": 1, "budget": 1, **fields}
    with pytest.raises(WireError) as refused:
        Answer(SyncRequest(**values), holdings, None)  # type: ignore[arg-type]
    assert refused.value.reason == reason


def test_an_audit_is_count_and_sum_under_the_askers_key(holdings: StoreHoldings) -> None:
    """Of exactly the range that was asked."""
    keys = keys_of(holdings)
    request = AuditRequest(3, b"k" * 16, OrderKey(keys[10][:24]), OrderKey(keys[20][:24]))
    audit = answer_audit(request, holdings)
    chosen = [key[8:] for key in keys if request.low <= key[:24] < request.high]
    assert (audit.number, audit.count) == (3, len(chosen))
    assert audit.sum == digest.sum_many(b"".join(chosen), b"k" * 16)
    assert answer_audit(AuditRequest(4, b"j" * 16, request.low, request.high), holdings).sum != audit.sum
    nothing = answer_audit(AuditRequest(5, b"k" * 16, ORDER_LOW, OrderKey(bytes(23) + b"\1")), holdings)
    assert (nothing.count, nothing.sum) == (0, 0)


@pytest.mark.parametrize("limit", [1, 500, 999, 1_000, 1_001, 3_000, 5_000])
def test_ids_are_summed_and_counted_off_in_portions(
    holdings: StoreHoldings, monkeypatch: pytest.MonkeyPatch, limit: int
) -> None:
    """Goal: the same as in one piece, and never more of them in memory than a portion."""
    monkeypatch.setattr(holdings_module, "SUM_PORTION", 250)
    looked: list[int] = []

    class Watched(StoreHoldings):
        def scan(self, low: bytes, high: bytes, limit: int) -> tuple[bytes, bytes, bool]:
            looked.append(limit)
            return super().scan(low, high, limit)

    watched, keys = Watched(holdings.store), keys_of(holdings)
    chosen = keys[:limit]
    total = digest.sum_many(b"".join(key[8:] for key in chosen), b"k" * 16)
    found = sum_range(watched, ORDER_LOW, ORDER_TOP, key=b"k" * 16, limit=limit)
    assert found == (len(chosen), total, limit >= len(keys))
    behind = keys[limit][:24] if limit < len(keys) else None
    assert key_behind(watched, ORDER_LOW, limit) == behind
    assert max(looked) <= 250


def test_what_is_asked_for_by_name_comes_stripped_too(erased: StoreHoldings) -> None:
    """A message that is erased is given as it is; the budget counts datagrams, whatever is in them."""
    request = RequestMissing(8, 3, MissingLast(64, 1))
    messages = erased.messages(list(range(1, 100)))
    parts = [read(frames) for frames in named_frames(request, messages)]
    assert [header.last for header, _, _ in parts] == [False, False, True]
    whole = [each for _, area, _ in parts for each in ids_in(area)]
    left = [each for _, _, stripped in parts for each in ids_in(stripped, stripped=True)]
    entries = erased.store.entries(list(range(1, 100)))
    expected = [entry.message_id for entry in entries][: len(whole) + len(left)]
    assert sorted(whole + left) == sorted(expected)
    assert left == [each for each, entry in zip(expected, entries, strict=False) if entry.marks & ERASED]
    assert len(left) > 5


def test_the_definition_is_given_to_who_asks() -> None:
    """Under the asker's number, marked as the last; nothing where it is unknown or another is asked."""
    request = RequestMissing(8, 1, MissingLast(0, 1))
    [frames] = answer_missing(request, b"the definition")
    header, area, _ = read(frames)
    assert (header.number, header.low, header.high, header.last) == (8, ORDER_LOW, ORDER_LOW, True)
    assert area == bytes((14,)) + b"the definition"
    assert answer_missing(request, b"") == []
    assert answer_missing(RequestMissing(8, 1, MissingLast(64, 1)), b"the definition") == []
    assert answer_missing(RequestMissing(8, 1, MissingMessages((MessageId(bytes(32)),))), b"x") == []


def test_no_more_is_read_than_is_given_unasked(
    holdings: StoreHoldings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A neighbour that says to lack everything is given what a link may carry; the rest stays unread."""
    read: list[int] = []
    messages = holdings.messages
    monkeypatch.setattr(holdings, "messages", lambda cursors: read.extend(cursors) or messages(cursors))
    found = unasked_bodies(holdings, cursors_of(holdings), datagrams_max=4)
    assert len(found) == 4
    assert 4 <= len(read) < 100 < len(cursors_of(holdings))
