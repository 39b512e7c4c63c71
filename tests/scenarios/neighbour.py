"""A neighbour of a real node that answers what a test lets it answer, and shows what it is asked for."""

from __future__ import annotations

import secrets
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

import pytest

from dispersy.client import Client
from dispersy.ext.verify import public_key
from dispersy.ext.wire import pack, split_payloads
from dispersy.protocol.definitions.definition import Definition, Kind, encode_definition
from dispersy.protocol.identifiers import CommunityId, MemberId, MessageId
from dispersy.protocol.permissions.control_messages import Body, control_kind, encode_body
from dispersy.protocol.wire.frames import MessagesHeader, MissingLast, RequestMissing, Wanted, frame
from dispersy.protocol.wire.message import NO_PREVIOUS, create_message, read_message
from dispersy.protocol.wire.numbers import ControlKind, FrameType
from tests.integration.node import Node
from tests.integration.peer import AREA_SIZE_MAX, Answer, Author, Peer

LIMIT_S = 20.0
COMMUNITY = "asking"
AnyWanted = TypeVar("AnyWanted", bound=Wanted)


class Neighbour(Peer):
    """A peer that has introduced itself, and hears what it is asked for by name."""

    def __enter__(self) -> Neighbour:
        return self

    def asked_for(self, wanted: type[AnyWanted]) -> tuple[RequestMissing, AnyWanted]:
        """The next request for such things."""
        while True:
            received = self.wait_for(
                lambda each: each.body(FrameType.REQUEST_MISSING) is not None, limit_s=LIMIT_S
            )
            body = received.body(FrameType.REQUEST_MISSING)
            assert body is not None
            request = RequestMissing.decode(body)
            if isinstance(request.wanted, wanted):
                return request, request.wanted

    def give(self, request: RequestMissing, messages: Sequence[bytes]) -> None:
        """Answer a request by name with these messages."""
        areas = [area for _, area in pack(list(messages), AREA_SIZE_MAX)] or [b""]
        for index, area in enumerate(areas):
            header = MessagesHeader(number=request.number, last=index == len(areas) - 1)
            self.send_frames(frame(FrameType.MESSAGES, header.encode() + area))

    def ask(self, wanted: Wanted, *, budget: int = 8) -> Answer:
        """Ask the node by name; its whole answer."""
        request = RequestMissing(self.number(), budget, wanted)
        self.send_frame(request)
        return self.answer(request.number, limit_s=LIMIT_S)

    def asks(self) -> Iterator[RequestMissing]:
        """The requests by name that have come already."""
        for received in self.waiting():
            body = received.body(FrameType.REQUEST_MISSING)
            if body is not None:
                yield RequestMissing.decode(body)


class Member(Author):
    """A member that also signs control messages: each names the one before."""

    def __init__(self, community_id: bytes, secret: bytes = b"") -> None:
        super().__init__(community_id)
        if secret:
            self.secret, self.public = secret, MemberId(secret[32:])
        self.previous = NO_PREVIOUS
        self._controls = 0

    def says(self, body: Body, *, global_time: int) -> bytes:
        """A control message."""
        return self.control(control_kind(body), encode_body(body), global_time=global_time)

    def control(self, kind: int, payload: bytes, *, global_time: int) -> bytes:
        """One of Dispersy's own kinds."""
        self._controls += 1
        message = create_message(
            self.community_id,
            self.secret,
            kind=kind,
            global_time=global_time,
            sequence=self._controls,
            payloads=[payload],
            previous=self.previous,
        )
        self.previous = id_of(self.community_id, message)
        return message


def founder() -> Member:
    """Of a new community, whose id is its key."""
    seed = secrets.token_bytes(32)
    public = public_key(seed)
    return Member(public, seed + public)


def id_of(community_id: CommunityId, message: bytes) -> MessageId:
    return read_message(community_id, message).id


@contextmanager
def running(folder: Path) -> Iterator[Client]:
    """A client of a node that was started for this."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_RUNTIME_DIR", str(folder))
        patch.delenv("DISPERSY_HOME", raising=False)
        node = Node(folder, "asking")
        try:
            with node.start() as client:
                yield client
        finally:
            assert node.stop() == 0


@contextmanager
def joined(client: Client, master: Member, *kinds: Kind) -> Iterator[Neighbour]:
    """The node takes part in the master's community; the one neighbour that it has met there has given it the
    definition."""
    client.join(master.community_id, name=COMMUNITY)
    with Neighbour(master.community_id, client.status()["listen"]) as neighbour:
        neighbour.meet()
        neighbour.introduce()
        payload = encode_definition(Definition(COMMUNITY, kinds))
        definition = master.control(ControlKind.DEFINITION, payload, global_time=1)
        request, wanted = neighbour.asked_for(MissingLast)
        assert (wanted.kind, wanted.count) == (ControlKind.DEFINITION, 1)
        neighbour.give(request, [definition])
        client.wait_for_definition(COMMUNITY, timeout_s=LIMIT_S)
        yield neighbour


def texts(messages: Sequence[bytes]) -> list[str]:
    """What each message says."""
    return [split_payloads(message)[0].decode() for message in messages]
