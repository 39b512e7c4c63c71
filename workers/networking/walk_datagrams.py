"""Datagrams that a walker wants sent: what it says in one community, with our tokens and signed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

from dispersy.ext.digest import tokens_many
from dispersy.ext.verify import sign_many
from dispersy.protocol.address import Address
from dispersy.protocol.walk.walk_events import SendFrame, SendIntroduction, SendKeepAlive, SendToken
from dispersy.protocol.wire.frames import datagram, frame, introduction_signed_bytes, token_datagram
from dispersy.protocol.wire.numbers import FrameType
from dispersy.workers.counters import count_sent, frame_size

Sent = SendToken | SendIntroduction | SendKeepAlive | SendFrame


class WalkDatagrams:
    """Of one community.

    tag           8 bytes of it
    secret        seed and public key that sign introductions
    token_secret  and the epoch at a time: of our tokens
    counters      where frames and their bytes are counted by type
    """

    def __init__(
        self,
        tag: bytes,
        *,
        secret: bytes,
        token_secret: bytes,
        epoch: Callable[[float], int],
        counters: Counter[str],
    ) -> None:
        self._tag = tag
        self._secret = secret
        self._token_secret = token_secret
        self._epoch = epoch
        self._counters = counters

    def made(self, event: Sent, token: bytes | None, now: float) -> bytes | None:
        """The datagram of an event; None for a frame to somebody who gave no token.

        token  that its receiver gave us last, if any
        """
        match event:
            case SendToken(address, header_token):
                given = self._token(address, now)
                count_sent(self._counters, FrameType.TOKEN, frame_size(len(given)))
                return token_datagram(self._tag, header_token, given)
            case SendIntroduction(address, header_token):
                return self._with_token(address, header_token, self._introduction(event), now)
            case SendKeepAlive(address, header_token, frame_type, body):
                count_sent(self._counters, frame_type, frame_size(len(body)))
                return self._with_token(address, header_token, frame(frame_type, body), now)
            case SendFrame(_, frame_type, body):
                content = frame(frame_type, body)
                if token is None:
                    return None
                count_sent(self._counters, frame_type, len(content))
                return datagram(self._tag, token, (content,))

    def _introduction(self, sent: SendIntroduction) -> bytes:
        signed = introduction_signed_bytes(
            self._tag,
            sent.header_token,
            sent.frame_type,
            sent.unsigned_body,
            receiver_member=sent.receiver_member,
        )
        introduction = frame(sent.frame_type, sent.unsigned_body + sign_many(self._secret, [signed]))
        count_sent(self._counters, sent.frame_type, len(introduction))
        return introduction

    def _with_token(self, address: Address, header_token: bytes, content: bytes, now: float) -> bytes:
        """The token frame lets the receiver answer, and renews what it holds as the walk goes."""
        given = frame(FrameType.TOKEN, self._token(address, now))
        count_sent(self._counters, FrameType.TOKEN, len(given))
        return datagram(self._tag, header_token, (given, content))

    def _token(self, address: Address, now: float) -> bytes:
        return tokens_many(address, self._tag, self._epoch(now), self._token_secret)
