"""Goal: a push is bounded on both sides, and what is relayed goes no farther than its author lets it."""

from __future__ import annotations

from collections import Counter
from random import Random

import pytest

from dispersy.errors import WireError
from dispersy.ext.verify import public_key, sign_many
from dispersy.protocol.address import Address, make_address
from dispersy.protocol.identifiers import CommunityId, MemberId
from dispersy.protocol.spreading.pusher import (
    PUSHES_PER_ADDRESS_MAX,
    PUSHES_PER_HOST_MAX,
    PUSHES_SENT_PER_SECOND_MAX,
    RELAYED_PER_SECOND_MAX,
    RELAYED_TO_MAX,
    RELAYS_PENDING_MAX,
    Pusher,
    Target,
)
from dispersy.protocol.wire.frames import Large, LargeName
from dispersy.protocol.wire.message import draft_message
from dispersy.protocol.wire.numbers import FrameType
from dispersy.protocol.wire.push import Push, chain_link, check_hops, n_hop_field

COMMUNITY = CommunityId(bytes(32))
SEED = bytes(range(32))
AUTHOR = MemberId(public_key(SEED))
SECRET = bytes(16)
HOPS = 3
SOURCE = make_address("192.0.2.1", 6421)


def neighbour(number: int) -> tuple[Address, MemberId]:
    return make_address(f"198.51.100.{number}", 6421), MemberId(bytes([number]) * 32)


NEIGHBOURS = [neighbour(number) for number in range(1, 21)]


def message(*, hops: int = 0, sequence: int = 1) -> bytes:
    draft = draft_message(
        COMMUNITY,
        kind=70,
        authors=(AUTHOR,),
        global_time=1,
        sequence=sequence,
        payloads=[b"hello"],
        n_hop=n_hop_field(SECRET, hops) if hops else None,
    )
    return draft.complete((sign_many(SEED + AUTHOR, [draft.signed]),))


def hop(hops_left: int, *, sequence: int = 1) -> Push:
    """A frame as an honest node sends it."""
    return Push(hops_left, message(hops=HOPS, sequence=sequence), chain_link(SECRET, HOPS - hops_left))


@pytest.fixture
def counts() -> Counter[str]:
    return Counter()


@pytest.fixture
def pusher(counts: Counter[str]) -> Pusher:
    return Pusher(COMMUNITY, rng=Random(1), counts=counts)


@pytest.mark.parametrize("hops_left", [0, 1, 2])
def test_hops_that_the_author_gave_are_taken(pusher: Pusher, hops_left: int) -> None:
    push = hop(hops_left)
    assert pusher.receive_push(SOURCE, push.encode(), 0.0) == push


@pytest.mark.parametrize("raised", range(1, 256))
def test_the_hops_cannot_be_raised(pusher: Pusher, raised: int) -> None:
    """Whoever has the frame with 0 hops left has its link and all that follows from it, and no other."""
    last = hop(0)
    for link in (last.link, chain_link(last.link, 1), bytes(15) + b"\1"):
        with pytest.raises(WireError, match="hop-chain-wrong"):
            pusher.receive_push(SOURCE, Push(raised, last.message, link).encode(), float(raised))


def test_not_even_the_secret_gives_as_many_as_there_are() -> None:
    """n hops are n receivers in a row: the first has n - 1 left."""
    field = n_hop_field(SECRET, HOPS)
    with pytest.raises(WireError, match="hop-chain-wrong"):
        check_hops(field, Push(HOPS, message(hops=HOPS), SECRET))
    check_hops(field, hop(HOPS - 1))


def test_what_was_accepted_is_passed_on_once_with_one_hop_less(pusher: Pusher) -> None:
    """To a few, not back, not to its author; and nothing before it was accepted."""
    push = hop(2)
    near = [*NEIGHBOURS, (SOURCE, MemberId(bytes(32))), (make_address("192.0.2.2", 1), AUTHOR)]
    pusher.receive_push(SOURCE, push.encode(), 0.0)
    assert pusher.drain() == []
    for _ in range(2):
        pusher.relay(push.message, near, 0.0)
    sent = pusher.drain()
    assert len({each.address for each in sent}) == len(sent) == RELAYED_TO_MAX
    assert {each.address for each in sent} <= {address for address, _ in NEIGHBOURS}
    assert {Push.decode(each.body) for each in sent} == {hop(1)}


def test_with_no_hop_left_it_goes_no_farther(pusher: Pusher) -> None:
    push = hop(0)
    pusher.receive_push(SOURCE, push.encode(), 0.0)
    pusher.relay(push.message, NEIGHBOURS, 0.0)
    assert pusher.drain() == []


def test_the_longer_way_counts_where_two_come_before_it_is_accepted(pusher: Pusher) -> None:
    for hops_left in (1, 2, 1):
        pusher.receive_push(SOURCE, hop(hops_left).encode(), 0.0)
    pusher.relay(hop(0).message, NEIGHBOURS, 0.0)
    assert {Push.decode(each.body).hops_left for each in pusher.drain()} == {1}


def test_what_waits_to_be_accepted_is_bounded(pusher: Pusher) -> None:
    """The oldest is forgotten, and goes no farther."""
    for sequence in range(1, RELAYS_PENDING_MAX + 2):
        pusher.receive_push(SOURCE, hop(1, sequence=sequence).encode(), sequence / 100)
    assert len(pusher._pending) == RELAYS_PENDING_MAX
    pusher.relay(hop(1, sequence=1).message, NEIGHBOURS, 0.0)
    assert pusher.drain() == []
    pusher.relay(hop(1, sequence=2).message, NEIGHBOURS, 0.0)
    assert len(pusher.drain()) == RELAYED_TO_MAX


def test_too_many_from_an_address_or_a_host_are_not_looked_at(pusher: Pusher, counts: Counter[str]) -> None:
    body = Push(0, message()).encode()
    taken = [pusher.receive_push(SOURCE, body, 0.0) for _ in range(PUSHES_PER_ADDRESS_MAX + 1)]
    assert taken.count(None) == 1
    more = [
        pusher.receive_push(make_address("192.0.2.1", 1 + index // 100), body, 0.0)
        for index in range(PUSHES_PER_HOST_MAX)
    ]
    assert more.count(None) == PUSHES_PER_ADDRESS_MAX + 1
    assert counts["pushes-dropped-rate"] == PUSHES_PER_ADDRESS_MAX + 2
    assert pusher.receive_push(SOURCE, body, 1.0) is not None


def test_what_is_sent_and_passed_on_within_a_second_is_bounded(pusher: Pusher, counts: Counter[str]) -> None:
    for sequence in range(1, RELAYED_PER_SECOND_MAX + 2):
        source = make_address(f"203.0.113.{sequence % 200}", 6421)
        push = hop(1, sequence=sequence)
        pusher.receive_push(source, push.encode(), 0.0)
        pusher.relay(push.message, NEIGHBOURS, 0.0)
    assert len(pusher.drain()) == RELAYED_PER_SECOND_MAX * RELAYED_TO_MAX
    assert counts["relays-dropped-rate"] == 1
    for _ in range(PUSHES_SENT_PER_SECOND_MAX):
        pusher.publish(Push(0, message()), NEIGHBOURS, fan_out=1, now=1.0)
    pusher.publish(Push(0, message()), NEIGHBOURS, fan_out=1, now=1.0)
    assert len(pusher.drain()) == PUSHES_SENT_PER_SECOND_MAX
    assert counts["pushes-dropped-full"] == 1


def test_who_is_named_gets_it_once_and_who_is_gone_is_counted(pusher: Pusher, counts: Counter[str]) -> None:
    """By key and by address: one and the same gets one."""
    address, member = NEIGHBOURS[0]
    targets = [Target(member=member), Target(address=address), Target(member=MemberId(b"g" * 32))]
    pusher.publish(Push(0, message()), NEIGHBOURS, fan_out=0, targets=targets, now=0.0)
    assert [each.address for each in pusher.drain()] == [address]
    assert counts["push-target-unknown"] == 1


def test_what_no_datagram_holds_is_named_instead(pusher: Pusher) -> None:
    """Goal: a fan-out costs a large message's name, and whoever lacks it asks for it."""
    draft = draft_message(
        COMMUNITY, kind=70, authors=(AUTHOR,), global_time=7, sequence=1, payloads=[bytes(60_000)]
    )
    large = draft.complete((sign_many(SEED + AUTHOR, [draft.signed]),))
    pusher.publish(Push(0, large), NEIGHBOURS, fan_out=3, now=0.0)
    sent = pusher.drain()
    assert [each.frame_type for each in sent] == [FrameType.LARGE] * 3
    assert Large.decode(sent[0].body) == Large(0, (LargeName(7, draft.id, len(large)),))
