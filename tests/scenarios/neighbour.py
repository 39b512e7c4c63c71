"""A neighbour of a real node that answers what a test lets it answer, and shows what it is asked for."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

import pytest

from dispersy.client import Client
from dispersy.ext.wire import pack, split_payloads
from dispersy.protocol.frames import MessagesHeader, RequestMissing, Wanted, frame
from dispersy.protocol.numbers import FrameType
from tests.integration.node import Node
from tests.integration.peer import AREA_SIZE_MAX, Peer

LIMIT_S = 20.0
COMMUNITY = "asking"
AnyWanted = TypeVar("AnyWanted", bound=Wanted)


class Neighbour(Peer):
    """A peer that has introduced itself, and hears what it is asked for by name."""

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

    def asks(self) -> Iterator[RequestMissing]:
        """The requests by name that have come already."""
        for received in self.waiting():
            body = received.body(FrameType.REQUEST_MISSING)
            if body is not None:
                yield RequestMissing.decode(body)


@contextmanager
def running(folder: Path, definition: bytes) -> Iterator[tuple[Client, bytes]]:
    """A node with a community of this definition: (its client, the community's id)."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_RUNTIME_DIR", str(folder))
        patch.delenv("DISPERSY_HOME", raising=False)
        node = Node(folder, "asking")
        try:
            with node.start() as client:
                yield client, client.create(COMMUNITY, definition)["community_id"]
        finally:
            assert node.stop() == 0


def neighbour_of(client: Client, community_id: bytes) -> Neighbour:
    """One that the node knows and may ask."""
    neighbour = Neighbour(community_id, client.status()["listen"])
    neighbour.meet()
    neighbour.introduce()
    return neighbour


def texts(messages: Sequence[bytes]) -> list[str]:
    """What each message says."""
    return [split_payloads(message)[0].decode() for message in messages]
