"""What a simulated node's walk sends, as datagrams: tokens, signed introductions, signs of life."""

from __future__ import annotations

from dispersy.protocol.walk.walk_events import SendIntroduction, SendKeepAlive, SendToken
from dispersy.protocol.wire.frames import datagram, frame, introduction_signed_bytes, token_datagram
from dispersy.protocol.wire.numbers import FrameType
from simulation.holdings import TAG
from simulation.signing import sign
from simulation.tokens import Tokens


def walk_datagram(
    sent: SendToken | SendIntroduction | SendKeepAlive,
    *,
    secret: bytes,
    tokens: Tokens,
    now: float,
    models: bool,
) -> tuple[str, bytes]:
    """(label of its last frame, the datagram).

    secret   the node's seed and public key
    tokens   what it gives others
    models   whether signatures are (simulation.signing)
    """
    given = tokens.token_for(sent.address, now)
    if isinstance(sent, SendToken):
        return "token", token_datagram(TAG, sent.header_token, given)
    body = sent.body if isinstance(sent, SendKeepAlive) else _signed(sent, secret, models=models)
    frames = (frame(FrameType.TOKEN, given), frame(sent.frame_type, body))
    return sent.frame_type.label, datagram(TAG, sent.header_token, frames)


def _signed(sent: SendIntroduction, secret: bytes, *, models: bool) -> bytes:
    signed = introduction_signed_bytes(
        TAG, sent.header_token, sent.frame_type, sent.unsigned_body, receiver_member=sent.receiver_member
    )
    return sent.unsigned_body + sign(secret, signed, models=models)
