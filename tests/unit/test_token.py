"""Tokens prove an address for two epochs and nothing else; those held of others are bounded."""

from __future__ import annotations

from random import Random

import pytest

from dispersy.constants import TOKEN_EPOCH_S, TOKENS_MAX
from dispersy.ext import wire
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
from dispersy.protocol.wire.token import Tokens, TokensHeld

TAG = b"community"[:8]
HERE = make_address("192.0.2.1", 6421)
THERE = make_address("192.0.2.1", 6422)


def kernel_state(tokens: Tokens, address: Address, token: bytes, now: float) -> int:
    """What the wire kernel makes of a datagram with this token."""
    data = bytes((0xD3, 0)) + TAG + token + frame(FrameType.TOKEN, b"\1" * 8)
    frames, _ = wire.split(
        data,
        DATAGRAM.pack(0, len(data), address),
        tags=TAG,
        secret=tokens.secret,
        epoch=tokens.epoch(now),
        drops=bytearray(4 * len(wire.DROP_REASONS)),
    )
    return int(FRAME.unpack(frames)[5])


@pytest.mark.parametrize(
    ("age_s", "state"),
    [(0, TOKEN_CURRENT), (TOKEN_EPOCH_S, TOKEN_PREVIOUS), (2 * TOKEN_EPOCH_S, TOKEN_INVALID)],
)
def test_a_token_is_valid_in_its_epoch_and_the_next(age_s: float, state: int) -> None:
    """The twin and the wire kernel agree on every age."""
    tokens = Tokens(secret=b"s" * 16, tag=TAG)
    token = tokens.token_for(HERE, 10_000.0)
    assert tokens.check(HERE, token, 10_000.0 + age_s) == state
    assert kernel_state(tokens, HERE, token, 10_000.0 + age_s) == state


def test_a_token_fits_one_address_one_community_and_one_node() -> None:
    """Another port, tag or secret makes it invalid; zeros are never valid."""
    tokens = Tokens(secret=b"s" * 16, tag=TAG)
    token = tokens.token_for(HERE, 0.0)
    assert tokens.check(THERE, token, 0.0) == TOKEN_INVALID
    assert Tokens(secret=b"s" * 16, tag=b"other..."[:8]).check(HERE, token, 0.0) == TOKEN_INVALID
    assert Tokens(secret=b"t" * 16, tag=TAG).check(HERE, token, 0.0) == TOKEN_INVALID
    assert tokens.check(HERE, bytes(8), 0.0) == TOKEN_ZERO


def test_epochs_of_nodes_do_not_align() -> None:
    """Nodes that started together change epochs at different moments; a node's communities at one."""
    offsets = {
        next(now for now in range(601) if tokens.epoch(now) != tokens.epoch(0))
        for tokens in (Tokens(secret=Random(seed).randbytes(16), tag=TAG) for seed in range(20))
    }
    assert len(offsets) > 10
    same = {Tokens(secret=b"s" * 16, tag=bytes([tag]) * 8).epoch(12_345.0) for tag in range(5)}
    assert len(same) == 1


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
