"""Goal: what is not served costs the network role nothing, and only a proven sender wakes what sleeps."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from time import monotonic

import pytest

from dispersy.constants import WAKE_INTERVAL_S
from dispersy.ext.wire import DROP_REASONS, split
from dispersy.protocol.address import make_address
from dispersy.protocol.identifiers import CommunityId, community_tag
from dispersy.protocol.walk.candidate import Category
from dispersy.protocol.wire.frames import TokenFrame, token_datagram
from dispersy.protocol.wire.numbers import FrameType
from dispersy.protocol.wire.records import DATAGRAM, FRAME
from dispersy.protocol.wire.token import SECRET_SIZE
from dispersy.storage.store import Batch, BlockedRecord, CommunityRecord
from dispersy.workers.networking.sleeping import Sleeping
from dispersy.workers.opening import joined
from tests.unit.test_network import House

SECRET = bytes(SECRET_SIZE)
EPOCH = 7
SOURCE = make_address("192.0.2.1", 6421)
OTHER = make_address("192.0.2.2", 6421)
ASLEEP = CommunityRecord(5, b"s" * 32, "asleep", b"m" * 32, autoload="on-packet", loaded=False)
TAG = community_tag(CommunityId(ASLEEP.community_id))


@pytest.fixture
def house(tmp_path: Path) -> House:
    return House(tmp_path)


def judged(sleeping: Sleeping, datagram: bytes, source: bytes) -> tuple[int, bytes, int]:
    """(type, body, token state) of the one frame, as the kernel splits it."""
    drops = bytearray(4 * len(DROP_REASONS))
    record = DATAGRAM.pack(0, len(datagram), source)
    frames, _ = split(datagram, record, tags=sleeping.tags, secret=SECRET, epoch=EPOCH, drops=drops)
    ((_, offset, length, index, frame_type, state, _),) = FRAME.iter_unpack(frames)
    assert index == 0
    return frame_type, datagram[offset : offset + length], state


def test_only_a_proven_sender_wakes() -> None:
    """A stranger gets a token of 28 bytes for its 28; with that token, from that address, it wakes, and again
    only after a while."""
    sleeping = Sleeping(SECRET)
    sleeping.set_communities([ASLEEP])
    theirs = b"\x11" * 8
    frame_type, body, state = judged(sleeping, token_datagram(TAG, bytes(8), theirs), SOURCE)
    assert sleeping.wakes(0, state, 0.0) is None
    answer = sleeping.answer(0, SOURCE, frame_type, body, EPOCH)
    assert answer is not None
    assert len(answer) == 28
    given = TokenFrame.decode(judged(sleeping, answer, OTHER)[1]).token
    proven = token_datagram(TAG, given, theirs)
    # The token is good for the address that it was sent to.
    assert sleeping.wakes(0, judged(sleeping, proven, OTHER)[2], 0.0) is None
    state = judged(sleeping, proven, SOURCE)[2]
    assert sleeping.wakes(0, state, 0.0) == ASLEEP.number
    assert sleeping.wakes(0, state, WAKE_INTERVAL_S / 2) is None
    assert sleeping.wakes(0, state, WAKE_INTERVAL_S) == ASLEEP.number


@pytest.mark.parametrize("body", [b"", b"short", b"\x11" * 9])
def test_rubbish_is_not_answered(body: bytes) -> None:
    """Nor is a frame of another type."""
    sleeping = Sleeping(SECRET)
    sleeping.set_communities([ASLEEP])
    assert sleeping.answer(0, SOURCE, FrameType.TOKEN, body, EPOCH) is None
    assert sleeping.answer(0, SOURCE, FrameType.SYNC_REQUEST, b"\x11" * 8, EPOCH) is None


def test_what_is_not_served_is_dropped(house: House) -> None:
    """Unloaded or left, a community has no neighbourhood, no timer and no tag, but for one that may wake."""
    for number, name in enumerate(("kept", "unloaded", "left", "waking"), 1):
        house.join(number, house.keyring.create(name).public)
    assert house.load() == {1, 2, 3, 4}
    assert len(house.role._communities.tags) == 32
    records = house.store.communities()
    changed = [
        replace(records[1], loaded=False, autoload="never"),
        replace(records[2], loaded=False, left=True, autoload="on-packet"),
        replace(records[3], loaded=False, autoload="on-packet"),
    ]
    house.store.commit(Batch(communities=changed))
    assert house.load() == {1}
    assert [each.number for each in house.role._communities.served] == [1]
    tags = [community_tag(CommunityId(records[at].community_id)) for at in (0, 3)]
    assert house.role._communities.tags == b"".join(tags)
    house.store.commit(Batch(communities=[replace(record, loaded=True) for record in changed[:1]]))
    assert house.load() == {1, 2}


def test_nothing_is_served_before_the_writer_has_begun_this_start(house: House) -> None:
    """What was loaded when the node ended may not be loaded now: until it is known, nobody is spoken to."""
    house.join(1, house.keyring.create("a").public)
    house.store.commit(Batch(start_id="before"))
    assert joined(house.store, "now") == []
    house.store.commit(Batch(start_id="now"))
    assert [record.number for record in joined(house.store, "now")] == [1]


def test_a_blocked_address_is_dropped_first_thing(house: House) -> None:
    """Its datagrams are counted and not looked at; those of others go on as they came."""
    house.join(1, house.keyring.create("a").public)
    house.store.commit(Batch(blocked=[BlockedRecord(0, b"", "192.0.2.1")]))
    house.load()
    mine, other = DATAGRAM.pack(0, 28, SOURCE), DATAGRAM.pack(28, 28, OTHER)
    assert house.role._without_blocked(mine + other + mine) == other
    assert house.role._reporter.counters["in-dropped-blocked"] == 2


def test_a_blocked_member_is_no_neighbour(house: House) -> None:
    """Known ones are forgotten, what they say of themselves is not taken, and others stay."""
    house.join(1, house.keyring.create("a").public)
    house.load()
    walker = house.role._communities.by_number[1]._walker
    member, friend = b"b" * 32, b"f" * 32
    now = monotonic()
    for address, key in ((SOURCE, member), (OTHER, friend)):
        candidate = walker._candidates.hear(address, Category.INTRODUCED, now)
        candidate.member = key
    house.store.commit(Batch(blocked=[BlockedRecord(1, member, "")]))
    house.load()
    assert [each.member for each in walker.candidates(monotonic())] == [friend]
    assert house.role._communities.by_number[1]._is_blocked(member)
    assert not house.role._communities.by_number[1]._is_blocked(friend)
    house.store.commit(Batch(blocked=[BlockedRecord(0, b"", "192.0.2.2")]))
    house.load()
    assert walker.candidates(monotonic()) == []
