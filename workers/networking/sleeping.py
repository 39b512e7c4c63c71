"""Communities that are not loaded until somebody speaks to them.

They cost nothing but their tag. A datagram with the tag and a token frame is answered as any stranger's is,
by a token and without a memory of it; only a datagram with that token, whose sender hence receives where it
says it is, has the community loaded. So rubbish and forged addresses wake nothing.
"""

from __future__ import annotations

from collections.abc import Iterable

from dispersy.constants import WAKE_INTERVAL_S
from dispersy.errors import WireError
from dispersy.ext.digest import tokens_many
from dispersy.protocol.identifiers import CommunityId, community_tag
from dispersy.protocol.wire.frames import TokenFrame, token_datagram
from dispersy.protocol.wire.numbers import FrameType
from dispersy.protocol.wire.records import TOKEN_CURRENT
from dispersy.storage.store import CommunityRecord


class Sleeping:
    """Those with autoload on-packet that are not loaded, in the order of their tags."""

    def __init__(self, token_secret: bytes) -> None:
        self._token_secret = token_secret
        self._communities: list[tuple[int, bytes]] = []
        self._woken: dict[int, float] = {}

    def set_communities(self, records: Iterable[CommunityRecord]) -> None:
        self._communities = [
            (record.number, community_tag(CommunityId(record.community_id))) for record in records
        ]
        numbers = {number for number, _ in self._communities}
        self._woken = {number: at for number, at in self._woken.items() if number in numbers}

    @property
    def tags(self) -> bytes:
        return b"".join(tag for _, tag in self._communities)

    def answer(self, index: int, source: bytes, frame_type: int, body: bytes, epoch: int) -> bytes | None:
        """The datagram for one that has proven nothing; None when there is nothing to say."""
        if frame_type != FrameType.TOKEN:
            return None
        try:
            header_token = TokenFrame.decode(body).token
        except WireError:
            return None
        tag = self._communities[index][1]
        return token_datagram(tag, header_token, tokens_many(source, tag, epoch, self._token_secret))

    def wakes(self, index: int, token_state: int, now: float) -> int | None:
        """The number of the community that this frame has loaded; None when its sender has proven nothing, or
        the same was asked a moment ago."""
        number = self._communities[index][0]
        if token_state < TOKEN_CURRENT or now < self._woken.get(number, now):
            return None
        self._woken[number] = now + WAKE_INTERVAL_S
        return number
