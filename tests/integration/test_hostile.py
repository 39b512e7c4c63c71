"""Goal: a hostile peer costs a node no more than it sends, brings no role down, and keeps nobody else out."""

from __future__ import annotations

import secrets
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack
from random import Random

import pytest

from dispersy.constants import ANSWER_BUDGET_MAX, CLOCK_AHEAD_MAX
from dispersy.ext.wire import pack
from dispersy.protocol.address import Address, make_address
from dispersy.protocol.identifiers import ORDER_LOW, ORDER_TOP, MessageId
from dispersy.protocol.wire.frames import (
    NO_TOKEN,
    AuditRequest,
    Frame,
    MessagesHeader,
    MissingLast,
    MissingMessages,
    MissingSequences,
    PunctureRequest,
    RequestMissing,
    StrippedHeader,
    SyncRequest,
    Wanted,
    frame,
)
from dispersy.protocol.wire.numbers import ControlKind, FrameType
from dispersy.protocol.wire.packing import encode_uvarint
from dispersy.protocol.wire.stripped import strip
from tests.integration.peer import TEXT_KIND, Author, Peer, Received, fence, split_area
from tests.integration.target import LIMIT_S, Target, running_target

SEEDS = [20261123]
GREATEST = (1 << 63) - 1
TYPES = range(1, 27)
"""All numbered frames, and one that is not."""


@pytest.fixture(scope="module")
def target() -> Iterator[Target]:
    with running_target() as running:
        yield running


# -- spoofing --------------------------------------------------------------------------------------------


def _bodies(peer: Peer) -> dict[int, bytes]:
    """A good body of every frame that is spoken; the rest get random ones."""
    author = Author(peer.author.community_id)
    spoken: list[Frame] = [
        SyncRequest(number=1, budget=ANSWER_BUDGET_MAX),
        PunctureRequest(1, peer.address, peer.address),
        AuditRequest(1, bytes(16), ORDER_LOW, ORDER_TOP),
        RequestMissing(1, 255, MissingLast(ControlKind.DEFINITION, 255)),
    ]
    ((_, area),) = pack([author.message(b"not proven")], 1_000)
    bodies = {int(each.type): each.encode() for each in spoken}
    bodies[FrameType.MESSAGES] = MessagesHeader().encode() + area
    ((_, left),) = pack([bytes(strip(author.message(b"taken back")))], 1_000)
    bodies[FrameType.STRIPPED] = StrippedHeader().encode() + left
    bodies[FrameType.INTRODUCTION_REQUEST] = peer.introduction()[30:]
    return {number: bodies.get(number, secrets.token_bytes(40)) for number in TYPES}


@pytest.mark.parametrize("header", ["zeros", "forged", "of another port"])
def test_an_unproven_address_gets_28_bytes_a_token_frame(target: Target, header: str) -> None:
    """Whatever frame it sends, nothing but a token comes back, and never more bytes than it sent."""
    count = target.count()
    with target.peer() as peer, target.proven() as other:
        token = {"zeros": NO_TOKEN, "forged": secrets.token_bytes(8), "of another port": other.token}[header]
        given = frame(FrameType.TOKEN, peer.own_token)
        for number, body in _bodies(peer).items():
            if number == FrameType.TOKEN:
                continue
            single = bytes((number,)) + encode_uvarint(len(body)) + body
            peer.send_frames(single, token=token)
            assert fence(peer) == [], f"frame {number} without a token frame was answered"
            before = peer.sent_bytes
            peer.send_frames(given, single, single, given, token=token)
            sent = peer.sent_bytes - before
            answers = fence(peer)
            assert [len(each.data) for each in answers] == [28], f"frame {number}"
            assert sum(len(each.data) for each in answers) <= sent
        other.introduce()  # A way through every role: what the others had led to is here now.
        assert fence(peer) == []
    assert target.count() == count


def test_many_token_frames_are_answered_as_one(target: Target) -> None:
    """A datagram full of token frames is no way to multiply a forged flood."""
    with target.peer() as peer:
        peer.send_frames(*[frame(FrameType.TOKEN, peer.own_token)] * 118, token=NO_TOKEN)
        assert [len(each.data) for each in fence(peer)] == [28]


def test_a_recorded_introduction_is_worth_nothing_elsewhere(target: Target) -> None:
    """Neither from an unproven port, nor from a proven one under either token."""
    since = target.counted()
    with target.proven() as victim, target.peer() as unproven, target.proven() as proven:
        recorded = victim.introduction()
        victim.introduce()
        unproven.send(recorded)
        assert [len(each.data) for each in fence(unproven)] == [28]
        proven.send(recorded)
        proven.send(recorded[:10] + proven.token + recorded[18:])
        assert target.wait_for_counted("introduction-signature-wrong", since=since)
        assert [len(each.data) for each in fence(proven)] == [28]
        for neighbour in target.client.peers("target"):
            assert not neighbour["address"].endswith(f":{proven.socket.getsockname()[1]}")


def test_punctures_are_no_reflector(target: Target) -> None:
    """Without a token none; with one a single 28-byte datagram a target, however often it is asked for."""
    with ExitStack() as stack:
        stranger, neighbour, victim = (stack.enter_context(target.peer()) for _ in range(3))
        request = PunctureRequest(1, victim.address, victim.address)
        stranger.send_frame(request)
        fence(stranger)
        assert not list(victim.waiting())
        neighbour.meet()
        began = time.monotonic()
        for _ in range(50):
            neighbour.send_frame(request)
        fence(neighbour)
        received = [len(each.data) for each in victim.waiting()]
        assert set(received) == {28}
        assert len(received) <= 1 + (time.monotonic() - began)


def test_unusable_addresses_are_not_punctured(target: Target) -> None:
    """No datagram leaves for port 0, a group, everybody, nobody, or the node itself."""
    host, port = target.listen.split(":")
    with target.proven() as peer, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as group:
        group.bind(("", 0))
        listened = group.getsockname()[1]
        unusable = [
            make_address("127.0.0.1", 0),
            make_address("224.0.0.1", listened),
            make_address("255.255.255.255", listened),
            make_address("0.0.0.0", listened),
            make_address("ff02::1", listened),
            make_address(host, int(port)),
            Address(bytes(18)),
        ]
        since = target.counted()
        for _ in range(20):
            for address in unusable:
                peer.send_frame(PunctureRequest(1, address, address))
            fence(peer)
        rise = target.wait_for_counted("frames-in-puncture-request", since=since)
        # The fences' answers, and at most a step or a nudge beside them.
        assert rise["datagrams-out"] + rise["out-refused"] <= 20 + 20
        group.setblocking(False)
        with pytest.raises(BlockingIOError):
            group.recv(2_000)


# -- rubbish ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", SEEDS)
def test_rubbish_takes_nothing_good_along(target: Target, seed: int) -> None:
    """Good messages beside rubbish, in one datagram and in one batch, are stored; bad ones counted."""
    rng = Random(seed)
    count, since = target.count(), target.counted()
    with target.proven() as peer:
        start = target.clock()
        good = [peer.author.message(b"good %d" % at, global_time=start + 1 + at) for at in range(100)]
        real = [peer.introduction(), *(_datagram(peer, [message]) for message in good[:20])]
        for message in good:
            for _ in range(30):
                peer.send(_rubbish(rng, rng.choice(real)))
            peer.send(_among_rubbish(rng, peer, message))
            fence(peer)
        wanted = count + len(good)
        assert target.client.wait_for_count("target", wanted, timeout_s=LIMIT_S) == wanted
        names = (
            "mark-wrong",
            "version-unknown",
            "datagram-short",
            "community-unknown",
            "token-missing",
            "frame-unknown",
            "frame-truncated",
            "messages-truncated",
            "message-short",
            "message-flags",
            "signature-wrong",
        )
        target.wait_for_counted(*names, since=since)
    target.serves()


def _datagram(peer: Peer, messages: list[bytes]) -> bytes:
    ((_, area),) = pack(messages, 1_100)
    body = MessagesHeader().encode() + area
    return bytes((0xD3, 0)) + peer.tag + peer.token + frame(FrameType.MESSAGES, body)


def _rubbish(rng: Random, real: bytes) -> bytes:
    """Random bytes, a part of something real, or something real with some bits turned."""
    match rng.randrange(4):
        case 0:
            return rng.randbytes(rng.randrange(1, 1_400))
        case 1:
            return real[: rng.randrange(1, len(real))]
        case 2:
            return real[:18] + rng.randbytes(rng.randrange(1, 1_182))
        case _:
            flipped = bytearray(real)
            for _ in range(rng.randrange(1, 4)):
                flipped[rng.randrange(len(flipped))] ^= 1 << rng.randrange(8)
            return bytes(flipped)


def _among_rubbish(rng: Random, peer: Peer, message: bytes) -> bytes:
    """One good message among bad ones of every sort, in a datagram with other rubbish around."""
    wrong = message[:-1] + bytes((message[-1] ^ 1,))
    flags = message[:1] + b"\x80" + message[2:]
    items = [b"", rng.randbytes(20), message[:40], wrong, message, wrong, flags]
    area = b"".join(encode_uvarint(len(item)) + item for item in items)
    frames = [
        b"\x1f\x05" + rng.randbytes(5),
        frame(FrameType.MESSAGES, MessagesHeader().encode() + area + b"\x7f cut"),
        b"\x06\x7f cut",
    ]
    return bytes((0xD3, 0)) + peer.tag + peer.token + b"".join(frames)


# -- requests --------------------------------------------------------------------------------------------


def test_hostile_requests_have_bounded_answers(target: Target) -> None:
    """Each is refused by name or answered within its budget, and an honest one beside it at once."""
    since = target.counted()
    with target.proven() as peer:
        full = SyncRequest(number=1, budget=64, salt=1, hash_count=32, filter=bytes(900))
        peer.send_frames(frame(full.type, full.encode()[:-900] + b"\xff" * 900))
        peer.send_frame(SyncRequest(number=2, budget=255))
        everything = peer.sync(SyncRequest(number=3, budget=ANSWER_BUDGET_MAX))
        assert everything.datagrams <= ANSWER_BUDGET_MAX
        assert everything.size_bytes <= ANSWER_BUDGET_MAX * 1_232
        one = peer.sync(SyncRequest(number=4, budget=1))
        assert one.datagrams == 1
        costly = SyncRequest(number=5, budget=1, salt=7, hash_count=32, filter=b"\x55" * 1_000)
        assert peer.sync(costly).datagrams == 1
        dear: list[Wanted] = [
            MissingSequences(peer.author.public, TEXT_KIND, 1, GREATEST),
            MissingSequences(peer.author.public, TEXT_KIND, GREATEST, GREATEST),
            MissingLast(TEXT_KIND, 255),
            MissingMessages(tuple(MessageId(secrets.token_bytes(32)) for _ in range(34))),
        ]
        for number, wanted in enumerate(dear, start=10):
            peer.send_frame(RequestMissing(number, 255, wanted))
        peer.send_frame(SyncRequest(number=20, budget=1))
        # Requests by name are answered first: what the dear ones brought would have come before.
        answers = list(_until_number(peer, 20))
        assert sum(len(each.data) for each in answers) <= 1_232
        target.wait_for_counted("filter-full", "budget-too-large", since=since)
    target.serves()


def _until_number(peer: Peer, number: int) -> Iterator[Received]:
    """Messages frames up to the one that answers this request."""
    while True:
        received = peer.wait_for(lambda each: each.body(FrameType.MESSAGES) is not None)
        yield received
        body = received.body(FrameType.MESSAGES)
        assert body is not None
        if int.from_bytes(body[:4], "big") == number:
            return


def test_a_burst_of_requests_keeps_no_other_waiting(target: Target) -> None:
    """A thousand dear requests from one port, and as many audits: who asks honestly is served at once."""
    since = target.counted()
    with target.proven() as peer:
        for _ in range(1_000):
            peer.send_frame(SyncRequest(number=peer.number(), budget=ANSWER_BUDGET_MAX))
            peer.send_frame(AuditRequest(peer.number(), secrets.token_bytes(16), ORDER_LOW, ORDER_TOP))
        target.serves()
        target.wait_for_counted("busy", "audit-refused", since=since)


# -- messages --------------------------------------------------------------------------------------------


def test_odd_messages_are_stored_or_refused_as_the_rules_say(target: Target) -> None:
    """The greatest numbers are taken and lift no clock; what is not signed by its author is not stored."""
    count, clock, since = target.count(), target.clock(), target.counted()
    with target.proven() as peer:
        strange = Author(secrets.token_bytes(32))
        greatest = peer.author.message(b"greatest", global_time=GREATEST, sequence=GREATEST)
        mine = Author(target.community_id).message(b"mine", global_time=clock + 1)
        (held, *_) = [each for each in peer.sync().messages if each[0] == TEXT_KIND]
        bad = [
            mine[:2] + bytes(32) + mine[34:],
            mine[:-64] + secrets.token_bytes(64),
            mine[:-64] + bytes(64),
            mine[:2] + peer.author.public + mine[34:],
            strange.message(b"of another community"),
            held[:-64] + secrets.token_bytes(64),
        ]
        peer.send_messages(bad)
        peer.send_messages([*bad, mine, greatest])
        assert target.client.wait_for_count("target", count + 2, timeout_s=LIMIT_S) == count + 2
        target.wait_for_counted("message-author-zero", "signature-wrong", "known-held", since=since)
        stored = peer.sync(SyncRequest(number=peer.number(), budget=64)).messages
        assert {mine, greatest, held} <= set(stored)
        assert not set(bad) & set(stored)
    assert target.count() == count + 2
    assert target.clock() <= clock + 1
    published = target.client.publish("target", [b"after"])
    assert len(published.ids) == 1
    assert target.clock() <= clock + CLOCK_AHEAD_MAX
    target.serves()


def test_an_authors_own_disorder_costs_the_others_nothing(target: Target) -> None:
    """Equivocation and falling global times, a thousand in random order: only that author is hidden."""
    count = target.count()
    rng = Random(SEEDS[0])
    with target.proven() as peer:
        clock = target.clock()
        odd = [
            peer.author.message(payload, global_time=clock + 2_000 - index, sequence=index)
            for index in range(1, 501)
            for payload in (b"one", b"other")
        ]
        rng.shuffle(odd)
        for start in range(0, len(odd), 50):
            peer.send_messages(odd[start : start + 50])
            fence(peer)
        target.client.wait_for_count("target", count + 1_000, timeout_s=LIMIT_S)
        events = target.client.follow(["target"], since="begin", idle_s=2.0)
        authors = set()
        for event in events:
            if event.event == "caught-up":
                break
            if event.event == "message":
                authors.add(event.author)
        assert authors
        assert peer.author.public not in authors
    target.serves()


def test_areas_come_apart_as_they_were_packed() -> None:
    """The peer's own reading, on which the tests above rest."""
    messages = [b"a", b"b" * 200, b"c" * 700]
    ((_, area),) = pack(messages, 1_100)
    assert list(split_area(area)) == messages
