"""A stranger with one UDP socket: it meets a node, asks it once, and says when the answer came."""

from __future__ import annotations

import secrets
import socket
import time

from dispersy.protocol.identifiers import CommunityId, community_tag
from dispersy.protocol.wire.frames import NO_TOKEN, SyncRequest, datagram, frame, token_datagram
from dispersy.protocol.wire.numbers import FrameType

HEADER_SIZE = 18
"""Tag, two bytes more, and a token of eight."""
ASK_AGAIN_S = 0.05
DATAGRAM_MAX = 65_536


def await_answer(community_id: bytes, address: str, *, limit_s: float) -> None:
    """Return when the first messages that answer a sync-request have come; RuntimeError after the limit."""
    tag = community_tag(CommunityId(community_id))
    own_token, token = secrets.token_bytes(8), NO_TOKEN
    host, _, port = address.rpartition(":")
    limit = time.monotonic() + limit_s
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asker:
        asker.bind(("127.0.0.1", 0))
        asker.settimeout(ASK_AGAIN_S)
        while time.monotonic() < limit:
            asker.sendto(token_datagram(tag, token, own_token), (host, int(port)))
            if token != NO_TOKEN:
                request = SyncRequest(number=1, budget=4)
                asked = datagram(tag, token, (frame(request.type, request.encode()),))
                asker.sendto(asked, (host, int(port)))
            try:
                while True:
                    data = asker.recv(DATAGRAM_MAX)
                    kind = data[HEADER_SIZE]
                    if kind == FrameType.TOKEN and token == NO_TOKEN:
                        token = data[HEADER_SIZE + 2 : HEADER_SIZE + 10]
                        break
                    if kind == FrameType.MESSAGES:
                        return
            except TimeoutError:
                continue
    raise RuntimeError(f"no answer from {address} within {limit_s:.0f} s")
