"""Goal: messages of a kind with a batch window wait for each other, that long and in bounded memory."""

from __future__ import annotations

import pytest

from dispersy.ext.digest import identify_many
from dispersy.ext.verify import public_key
from dispersy.ext.wire import DROP_REASONS, parse_messages
from dispersy.protocol.identifiers import CommunityId
from dispersy.protocol.wire.message import create_many
from dispersy.protocol.wire.packing import encode_uvarint
from dispersy.protocol.wire.records import MESSAGE
from dispersy.workers.keeping import gathering as gathering_module
from dispersy.workers.keeping.gathering import Gathering, Received, joined

SECRET = bytes(32) + public_key(bytes(32))
COMMUNITY = CommunityId(bytes(32))
SLOW, QUICK = 64, 65
WINDOWS = {1: {SLOW: 500}, 2: {}}


def batch(*kinds_and_sequences: tuple[int, int]) -> tuple[bytes, bytes]:
    """Records and arena of messages."""
    area = b""
    for kind, sequence in kinds_and_sequences:
        (message,) = create_many(
            COMMUNITY,
            SECRET,
            kind=kind,
            first_global_time=sequence,
            first_sequence=sequence,
            payload_groups=[[b"x"]],
        )
        area += encode_uvarint(len(message)) + message
    records = parse_messages(area, bytearray(4 * len(DROP_REASONS)))
    identify_many(records, area, COMMUNITY)
    return bytes(records), area


def sequences(records: bytes) -> list[int]:
    return [fields[3] for fields in MESSAGE.iter_unpack(records)]


def told(released: list[Received | str]) -> list[object]:
    return [sequences(each.records) if isinstance(each, Received) else each for each in released]


def gathering(**limits: int) -> Gathering[str]:
    return Gathering(lambda number: WINDOWS[number], **limits)


def test_what_has_a_window_waits_and_the_rest_goes_on() -> None:
    gathered = gathering()
    records, arena = batch((SLOW, 1), (QUICK, 2), (SLOW, 3))
    count, going_on = gathered.receive(1, 7, records, arena, 10.0)
    assert (count, sequences(going_on)) == (5, [2])
    assert gathered.next_deadline() == 10.5
    assert gathered.release(10.499) == []
    (released,) = gathered.release(10.5)
    assert isinstance(released, Received)
    assert (released.number, released.count, released.arena) == (1, 2, arena)
    assert sequences(released.records) == [1, 3]
    assert (gathered.next_deadline(), gathered.release(99.0)) == (None, [])


def test_where_no_kind_has_a_window_nothing_waits() -> None:
    gathered = gathering()
    records, arena = batch((SLOW, 1))
    assert gathered.receive(2, 1, records, arena, 0.0) == (1, records)
    assert gathered.receive(1, 3, b"", b"", 0.0) == (3, b"")
    assert not gathered.hold(2, SLOW, "publish", 1, 0.0)
    assert not gathered.hold(1, QUICK, "publish", 1, 0.0)
    assert gathered.next_deadline() is None


def test_requests_and_messages_leave_together_in_their_order_a_window_after_the_first() -> None:
    gathered = gathering()
    assert gathered.hold(1, SLOW, "first", 5, 0.0)
    gathered.receive(1, 1, *batch((SLOW, 1)), 0.2)
    assert gathered.hold(1, SLOW, "second", 5, 0.4)
    assert gathered.next_deadline() == 0.5
    assert told(gathered.release(0.5)) == ["first", [1], "second"]
    assert gathered.hold(1, SLOW, "third", 5, 0.6)
    assert gathered.next_deadline() == 1.1


def test_what_waits_already_is_a_duplicate_and_waits_once() -> None:
    """Goal: neighbours are asked again for what no store holds yet, and that must not pile up."""
    gathered = gathering()
    gathered.receive(1, 1, *batch((SLOW, 1)), 0.0)
    count, going_on = gathered.receive(1, 3, *batch((SLOW, 1), (SLOW, 2), (SLOW, 2)), 0.1)
    assert (count, going_on) == (2, b"")
    assert gathered.receive(1, 1, *batch((SLOW, 2)), 0.2) == (1, b"")
    assert told(gathered.release(0.5)) == [[1], [2]]


def test_too_much_ends_the_wait_of_everything_at_once() -> None:
    gathered = gathering(size_max=1_000)
    gathered.hold(1, SLOW, "small", 1_000, 5.0)
    assert gathered.release(5.0) == []
    gathered.hold(1, SLOW, "one more", 1, 5.0)
    deadline = gathered.next_deadline()
    assert deadline is not None
    assert deadline <= 5.0
    assert gathered.release(5.0) == ["small", "one more"]
    gathered.hold(1, SLOW, "later", 1_000, 6.0)
    assert gathered.next_deadline() == 6.5, "what left takes no room any more"


def test_what_was_pushed_is_not_accounted_for_as_if_it_had_been_announced() -> None:
    """Or the count of what was dealt with would fall, and whoever pulls would take it for a new writer's."""
    gathered = gathering()
    assert gathered.receive(1, 0, *batch((SLOW, 1), (SLOW, 2)), 0.0) == (0, b"")
    (released,) = gathered.release(1.0)
    assert isinstance(released, Received)
    assert (released.count, sequences(released.records)) == (0, [1, 2])


def test_batches_of_one_community_that_follow_one_another_are_decided_as_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Whatever came between them, and no more than may be copied at once."""
    came = [
        Received(number, 2, *batch((QUICK, at), (QUICK, at + 1))) for number, at in ((1, 1), (1, 3), (2, 5))
    ]
    first, second = list(joined([*came]))
    assert (first.number, first.count, sequences(first.records)) == (1, 4, [1, 2, 3, 4])
    places = [fields[:2] for fields in MESSAGE.iter_unpack(first.records)]
    assert [first.arena[at + 2 : at + 34] for at, _ in places] == [SECRET[32:]] * 4
    assert second == came[2]
    monkeypatch.setattr(gathering_module, "JOINED_SIZE_MAX", len(came[0].arena))
    assert [sequences(each.records) for each in joined(came)] == [[1, 2], [3, 4], [5, 6]]
    assert list(joined([])) == []
