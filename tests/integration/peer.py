"""A peer made of one UDP socket: it can say everything that the wire format knows, and any other bytes.

It runs no machine of its own: what a test does not send is not sent, so every answer is the node's doing. It
answers nothing that the node asks of it, and skips it while it waits for something else.
"""

from __future__ import annotations

import secrets
import select
import socket
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from dispersy.ext.verify import public_key, sign_many
from dispersy.ext.wire import pack
from dispersy.protocol.address import Address, make_address
from dispersy.protocol.identifiers import CommunityId, MemberId, community_tag
from dispersy.protocol.wire.frames import (
    NO_TOKEN,
    Frame,
    IntroductionRequest,
    IntroductionResponse,
    MessagesHeader,
    SyncRequest,
    datagram,
    frame,
    introduction_signed_bytes,
    token_datagram,
)
from dispersy.protocol.wire.message import create_message
from dispersy.protocol.wire.numbers import FrameType
from dispersy.protocol.wire.packing import decode_uvarint

LIMIT_S = 30.0
AREA_SIZE_MAX = 1_100
"""Bytes of messages in a datagram; leaves room for the envelope."""
TEXT_KIND = 64
"""The kind `text` of a community that was created without a definition."""


@dataclass(frozen=True, slots=True)
class Received:
    """A datagram from the node. frames: (type, body) each."""

    data: bytes
    token: bytes
    frames: tuple[tuple[int, bytes], ...]

    def body(self, frame_type: FrameType) -> bytes | None:
        """Of the first frame of this type."""
        return next((body for each, body in self.frames if each == frame_type), None)


class Author:
    """A member key that signs messages, with rising global times and sequences unless told otherwise."""

    def __init__(self, community_id: bytes) -> None:
        seed = secrets.token_bytes(32)
        self.community_id = CommunityId(community_id)
        self.public = MemberId(public_key(seed))
        self.secret = seed + self.public
        self.sequence = 0

    def message(
        self, payload: bytes, *, global_time: int = 0, sequence: int = 0, kind: int = TEXT_KIND
    ) -> bytes:
        """The next message, or the one of these numbers."""
        self.sequence = sequence or self.sequence + 1
        return create_message(
            self.community_id,
            self.secret,
            kind=kind,
            global_time=global_time or self.sequence,
            sequence=self.sequence,
            payloads=[payload],
        )


class Peer:
    """One source port. token is what the node gave us, NO_TOKEN before meet()."""

    def __init__(self, community_id: bytes, node: str, *, author: Author | None = None) -> None:
        self.author = author or Author(community_id)
        self.tag = community_tag(CommunityId(community_id))
        self.token = NO_TOKEN
        self.own_token = secrets.token_bytes(8)
        host, _, port = node.rpartition(":")
        self.node = (host, int(port))
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
        self.socket.bind(("127.0.0.1", 0))
        self.sent_bytes = 0
        self._number = 0

    def __enter__(self) -> Peer:
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()

    @property
    def address(self) -> Address:
        return make_address(*self.socket.getsockname()[:2])

    # What goes out.

    def send(self, data: bytes) -> None:
        """Any bytes as one datagram."""
        self.socket.sendto(data, self.node)
        self.sent_bytes += len(data)

    def send_frames(self, *frames: bytes, token: bytes | None = None) -> None:
        """One datagram, also of more frames than a node would put into it."""
        self.send(datagram(self.tag, self.token if token is None else token, ()) + b"".join(frames))

    def send_frame(self, spoken: Frame) -> None:
        self.send_frames(frame(spoken.type, spoken.encode()))

    def send_token(self) -> None:
        """The first contact's first datagram, or a puncture."""
        self.send(token_datagram(self.tag, self.token, self.own_token))

    def send_messages(self, messages: Sequence[bytes]) -> None:
        """Unasked, as many to a datagram as fit."""
        for _, area in pack(list(messages), AREA_SIZE_MAX):
            self.send_frames(frame(FrameType.MESSAGES, MessagesHeader().encode() + area))

    def introduction(self, *, token: bytes | None = None, receiver: Address | None = None) -> bytes:
        """A whole signed introduction-request datagram that asks for an introduction."""
        header_token = self.token if token is None else token
        request = IntroductionRequest(
            number=self.number(),
            member=self.author.public,
            receiver=receiver or make_address(*self.node),
            asks_introduction=True,
        )
        unsigned = request.unsigned()
        signed = introduction_signed_bytes(
            self.tag, header_token, request.type, unsigned, receiver_member=None
        )
        body = unsigned + sign_many(self.author.secret, [signed])
        given = frame(FrameType.TOKEN, self.own_token)
        return datagram(self.tag, header_token, (given, frame(request.type, body)))

    def number(self) -> int:
        self._number += 1
        return self._number

    # What comes in.

    def receive(self, *, limit_s: float = LIMIT_S) -> Received | None:
        """The next datagram; None when none comes by the limit."""
        if not select.select([self.socket], [], [], max(0.0, limit_s))[0]:
            return None
        return _read(self.socket.recv(65_536))

    def wait_for(self, wanted: Callable[[Received], bool], *, limit_s: float = LIMIT_S) -> Received:
        """The next datagram of this sort; others are skipped."""
        limit = time.monotonic() + limit_s
        while True:
            received = self.receive(limit_s=limit - time.monotonic())
            assert received is not None, f"nothing of this sort within {limit_s} s"
            if wanted(received):
                return received

    def waiting(self) -> Iterator[Received]:
        """All datagrams that have come already."""
        while (received := self.receive(limit_s=0.0)) is not None:
            yield received

    # Exchanges.

    def meet(self) -> None:
        """The first contact: both hold the other's token afterwards."""
        self.send_token()
        answer = self.wait_for(lambda each: each.token == self.own_token)
        token = answer.body(FrameType.TOKEN)
        assert token is not None
        self.token = token
        # Under their token it keeps ours; before, anybody could have sent it.
        self.send_token()

    def introduce(self) -> IntroductionResponse:
        """A step of the walk, and its answer."""
        self.send(self.introduction())
        number = self._number

        def is_answer(received: Received) -> bool:
            body = received.body(FrameType.INTRODUCTION_RESPONSE)
            return body is not None and int.from_bytes(body[:4], "big") == number

        body = self.wait_for(is_answer).body(FrameType.INTRODUCTION_RESPONSE)
        assert body is not None
        return IntroductionResponse.decode(body)

    def sync(self, request: SyncRequest | None = None, *, limit_s: float = LIMIT_S) -> Answer:
        """One sync-request and its whole answer; without one, for the beginning of everything."""
        request = request or SyncRequest(number=self.number(), budget=64)
        self.send_frame(request)
        return self.answer(request.number, limit_s=limit_s)

    def answer(self, number: int, *, limit_s: float = LIMIT_S) -> Answer:
        """Datagrams with this number until the last one, or busy; None is lost on loopback."""
        datagrams, size_bytes, messages = 0, 0, list[bytes]()
        limit = time.monotonic() + limit_s
        while True:
            received = self.wait_for(
                lambda each: _number_of(each) == number, limit_s=limit - time.monotonic()
            )
            datagrams += 1
            size_bytes += len(received.data)
            body = received.body(FrameType.MESSAGES)
            if body is None:
                return Answer(datagrams, size_bytes, tuple(messages), is_busy=True)
            header, area = MessagesHeader.decode(body)
            messages += split_area(area)
            if header.last:
                return Answer(datagrams, size_bytes, tuple(messages), is_busy=False)


@dataclass(frozen=True, slots=True)
class Answer:
    """What came for one request."""

    datagrams: int
    size_bytes: int
    messages: tuple[bytes, ...]
    is_busy: bool


def fence(peer: Peer) -> list[Received]:
    """What came for all that was sent before: a first contact is answered in its turn."""
    peer.own_token = secrets.token_bytes(8)
    peer.send(token_datagram(peer.tag, NO_TOKEN, peer.own_token))
    came: list[Received] = []

    def is_fence(received: Received) -> bool:
        came.append(received)
        return received.token == peer.own_token

    peer.wait_for(is_fence)
    return came[:-1]


def split_area(area: bytes) -> Iterator[bytes]:
    """The messages of a messages frame."""
    position = 0
    while position < len(area):
        length, position = decode_uvarint(area, position)
        yield area[position : position + length]
        position += length


def _number_of(received: Received) -> int | None:
    for frame_type in (FrameType.MESSAGES, FrameType.BUSY):
        body = received.body(frame_type)
        if body is not None:
            return int.from_bytes(body[:4], "big")
    return None


def _read(data: bytes) -> Received:
    frames = []
    position = 18
    while position < len(data):
        length, start = decode_uvarint(data, position + 1)
        frames.append((data[position], data[start : start + length]))
        position = start + length
    return Received(data, data[10:18], tuple(frames))
