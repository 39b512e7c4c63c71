"""Tokens prove an address for two epochs and nothing else; those held of others are bounded."""

from __future__ import annotations

from random import Random

import pytest

from dispersy.constants import TOKEN_EPOCH_S, TOKENS_MAX
from dispersy.ext import digest, wire
from dispersy.protocol.address import Address, make_address
from dispersy.protocol.wire.frames import frame
from dispersy.protocol.wire.numbers import FrameType
from dispersy.protocol.wire.records import (
    DATAGRAM,
    FRAME,
    TOKEN_CURRENT,
    TOKEN_INVALID,
    TOKEN_PREVIOUS,
    TOKEN_ZERO,
)
from dispersy.protocol.wire.token import TokenEpochs, TokensHeld

TAG = b"community"[:8]
SECRET = b"s" * 16
HERE = make_address("192.0.2.1", 6421)
THERE = make_address("192.0.2.1", 6422)


def token_of(secret: bytes, address: Address, now: float, *, tag: bytes = TAG) -> bytes:
    """What a process with this secret gives."""
    return digest.tokens_many(address, tag, TokenEpochs(secret).at(now), secret)


def proven(secret: bytes, address: Address, token: bytes, now: float) -> int:
    """records.TOKEN_*: what the same process makes of a datagram with this token."""
    data = bytes((0xD3, 0)) + TAG + token + frame(FrameType.TOKEN, b"\1" * 8)
    frames, _ = wire.split(
        data,
        DATAGRAM.pack(0, len(data), address),
        tags=TAG,
        secret=secret,
        epoch=TokenEpochs(secret).at(now),
        drops=bytearray(4 * len(wire.DROP_REASONS)),
    )
    return int(FRAME.unpack(frames)[5])


@pytest.mark.parametrize(
    ("age_s", "state"),
    [(0, TOKEN_CURRENT), (TOKEN_EPOCH_S, TOKEN_PREVIOUS), (2 * TOKEN_EPOCH_S, TOKEN_INVALID)],
)
def test_a_token_is_valid_in_its_epoch_and_the_next(age_s: float, state: int) -> None:
    token = token_of(SECRET, HERE, 10_000.0)
    assert proven(SECRET, HERE, token, 10_000.0 + age_s) == state


def test_a_token_fits_one_address_one_community_and_one_node() -> None:
    """Another port, tag or secret makes it invalid; zeros are never valid."""
    token = token_of(SECRET, HERE, 0.0)
    assert proven(SECRET, HERE, token, 0.0) == TOKEN_CURRENT
    assert proven(SECRET, THERE, token, 0.0) == TOKEN_INVALID
    assert proven(SECRET, HERE, token_of(SECRET, HERE, 0.0, tag=b"other..."), 0.0) == TOKEN_INVALID
    assert proven(b"t" * 16, HERE, token, 0.0) == TOKEN_INVALID
    assert proven(SECRET, HERE, bytes(8), 0.0) == TOKEN_ZERO


def test_epochs_of_nodes_do_not_align() -> None:
    """Nodes that started together change epochs at different moments."""
    offsets = {
        next(now for now in range(601) if epochs.at(now) != epochs.at(0))
        for epochs in (TokenEpochs(Random(seed).randbytes(16)) for seed in range(20))
    }
    assert len(offsets) > 10


def test_held_tokens_are_bounded_and_neighbours_stay() -> None:
    """A flood of strangers pushes out strangers, not those to keep; all lapse after two epochs."""
    held = TokensHeld(keep={HERE})
    held.put(HERE, b"neighbor", 0.0)
    strangers = [make_address(f"198.51.{index >> 8}.{index & 255}", 1) for index in range(TOKENS_MAX + 50)]
    for stranger in strangers:
        held.put(stranger, b"stranger", 1.0)
    assert held.get(HERE) == b"neighbor"
    assert sum(held.get(stranger) is not None for stranger in strangers) == TOKENS_MAX - 1
    assert held.get(strangers[-1]) is not None
    held.expire(2 * TOKEN_EPOCH_S)
    assert held.get(HERE) is None
    assert held.get(strangers[-1]) is not None
    held.expire(2 * TOKEN_EPOCH_S + 1.0)
    assert held.get(strangers[-1]) is None
