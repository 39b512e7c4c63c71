"""Goal: nothing but its address links what one node sends in two communities: no key, id, tag, token or salt.

Two neighbours, each with one address in both communities, get everything that the node sends. Every eight
bytes that stand in a datagram of the one community and in one of the other would be a link, but for what is
taken out first: addresses, which have to be told, the definition that both communities were made with, and
what is too poor to name anybody, as zeros, ends of ranges and small numbers.
"""

from __future__ import annotations

import secrets
import select
import socket
import time
from collections import defaultdict, deque
from collections.abc import Callable

from dispersy.ext.verify import sign_many
from dispersy.protocol.address import encode_address, make_address, parse_address
from dispersy.protocol.definitions.definition import default_definition, encode_definition
from dispersy.protocol.identifiers import ORDER_LOW, ORDER_TOP
from dispersy.protocol.wire.frames import (
    AuditRequest,
    IntroductionRequest,
    RequestMissing,
    datagram,
    frame,
    introduction_signed_bytes,
)
from dispersy.protocol.wire.missing import MissingLast
from dispersy.protocol.wire.numbers import FrameType
from dispersy.protocol.wire.packing import encode_uvarint
from dispersy.protocol.wire.summary import Summary
from tests.integration.node import Node
from tests.integration.peer import Peer, Received, _read, fence

LINK_SIZE = 8
DIFFERENT_MIN = 5
"""Eight random bytes have fewer different values once in some hundred million times."""
TAG = slice(2, 10)
MESSAGES = 40
LIMIT_S = 60.0
SPOKEN = {
    FrameType.TOKEN,
    FrameType.INTRODUCTION_REQUEST,
    FrameType.INTRODUCTION_RESPONSE,
    FrameType.PUNCTURE_REQUEST,
    FrameType.RANGE_REQUEST,
    FrameType.MESSAGES,
    FrameType.AUDIT,
}
"""What the node must have said before it is judged."""


class Line:
    """One UDP address, whose datagrams are kept by community tag."""

    def __init__(self) -> None:
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind(("127.0.0.1", 0))
        self.waiting: dict[bytes, deque[bytes]] = defaultdict(deque)
        self.recorded: dict[bytes, list[bytes]] = defaultdict(list)

    def receive(self, tag: bytes, limit_s: float) -> bytes | None:
        """The next datagram with this tag; None when none comes by the limit."""
        limit = time.monotonic() + limit_s
        while not self.waiting[tag]:
            if not select.select([self.socket], [], [], max(0.0, limit - time.monotonic()))[0]:
                return None
            data = self.socket.recv(65_536)
            self.waiting[data[TAG]].append(data)
            self.recorded[data[TAG]].append(data)
        return self.waiting[tag].popleft()


class Neighbour(Peer):
    """A peer whose address serves other communities, too."""

    def __init__(self, community_id: bytes, node: str, line: Line) -> None:
        super().__init__(community_id, node)
        self.socket.close()
        self.socket = line.socket
        self._line = line

    def receive(self, *, limit_s: float = 10.0) -> Received | None:
        data = self._line.receive(self.tag, limit_s)
        return None if data is None else _read(data)

    def number(self) -> int:
        """The node echoes it: one of our own that is no link."""
        self._number = secrets.randbelow((1 << 32) - 1) + 1
        return self._number

    def heard(self) -> set[int]:
        """The frame types of all that came for this community."""
        return {kind for data in self._line.recorded[self.tag] for kind, _ in _read(data).frames}

    def claim(self, summary: Summary) -> None:
        """An introduction that says we hold another set: the node asks for it."""
        request = IntroductionRequest(
            number=self.number(),
            member=self.author.public,
            receiver=make_address(*self.node),
            summary=summary,
            asks_introduction=True,
        )
        unsigned = request.unsigned()
        signed = introduction_signed_bytes(self.tag, self.token, request.type, unsigned, receiver_member=None)
        body = unsigned + sign_many(self.author.secret, [signed])
        given = frame(FrameType.TOKEN, self.own_token)
        self.send(datagram(self.tag, self.token, (given, frame(request.type, body))))


def introduce(peer: Neighbour) -> None:
    """Asked again as a node would: a worker may hear of a new community a moment after its network role."""
    for _ in range(10):
        peer.send(peer.introduction())
        if peer.receive(limit_s=2.0) is not None:
            return
    raise AssertionError("no introduction was answered")


def converse(neighbours: list[Neighbour]) -> None:
    """Let the node say everything that it can say in one community."""
    first = neighbours[0]
    for peer in neighbours:
        peer.meet()
        introduce(peer)
    # Who was introduced to it is asked to open its way.
    for peer in neighbours:
        peer.introduce()
    first.wait_for(lambda each: each.body(FrameType.PUNCTURE_REQUEST) is not None)
    first.sync()
    first.send_frame(AuditRequest(first.number(), secrets.token_bytes(16), ORDER_LOW, ORDER_TOP))
    first.wait_for(lambda each: each.body(FrameType.AUDIT) is not None)
    first.send_frame(RequestMissing(first.number(), 4, MissingLast(0, 1)))
    first.wait_for(lambda each: each.body(FrameType.MESSAGES) is not None)
    first.send_messages([first.author.message(secrets.token_hex(20).encode()) for _ in range(MESSAGES)])
    first.claim(Summary(highest=1_000, count=1_000, sum=secrets.randbits(90)))
    first.wait_for(lambda each: len(each.body(FrameType.RANGE_REQUEST) or b"") > 50)
    limit = time.monotonic() + LIMIT_S
    while not first.heard() >= SPOKEN:
        assert time.monotonic() < limit, first.heard()
        first.receive(limit_s=1.0)
    for peer in neighbours:
        fence(peer)


def links(first: list[bytes], second: list[bytes], allowed: list[bytes]) -> set[bytes]:
    """Every eight bytes that stand in both, after what is allowed has been taken out."""
    return _names(first, allowed) & _names(second, allowed)


def _names(datagrams: list[bytes], allowed: list[bytes]) -> set[bytes]:
    found = set()
    for data in datagrams:
        for known in allowed:
            while known in data:
                data = data.replace(known, secrets.token_bytes(len(known)), 1)
        windows = (data[start : start + LINK_SIZE] for start in range(len(data) - LINK_SIZE + 1))
        found |= {window for window in windows if len(set(window)) >= DIFFERENT_MIN}
    return found


def test_two_communities_share_no_key_id_or_token(make_node: Callable[..., Node]) -> None:
    """Of one node, towards neighbours that meet it at one address in both."""
    node = make_node("a")
    lines = [Line(), Line()]
    with node.start() as client:
        listen = client.status()["listen"]
        tags = []
        # As many in both would be asked about in the same words: numbers that name nobody.
        for name, count in (("one", MESSAGES), ("two", MESSAGES + 17)):
            made = client.create(name)["community_id"]
            client.publish_many(name, [secrets.token_hex(20).encode() for _ in range(count)])
            neighbours = [Neighbour(made, listen, line) for line in lines]
            tags.append(neighbours[0].tag)
            converse(neighbours)
    addresses = [parse_address(listen), *(make_address(*line.socket.getsockname()) for line in lines)]
    allowed = [encode_address(address) for address in addresses]
    allowed += [encode_definition(default_definition(name)) for name in ("one", "two")]
    # How long such a message is and of which kind: what follows a short bound in every datagram of them.
    message = neighbours[0].author.message(secrets.token_hex(20).encode())
    allowed.append(encode_uvarint(len(message)) + message[:2])
    for line in lines:
        line.socket.close()
    sent = [[data for line in lines for data in line.recorded[tag]] for tag in tags]
    assert links(sent[0], sent[1], allowed) == set()


def test_the_judge_sees_a_link_and_only_that() -> None:
    """A key in the one and in the other is found wherever it stands; a told address and zeros are none."""
    key, address = secrets.token_bytes(32), encode_address(make_address("192.0.2.1", 6421))
    first = [secrets.token_bytes(50) + address + bytes(30), secrets.token_bytes(3) + key]
    second = [address + address + bytes(20) + secrets.token_bytes(40), key[8:24] + secrets.token_bytes(9)]
    found = links(first, second, [address])
    assert found == {key[start : start + LINK_SIZE] for start in range(8, 17)}
