"""Goal: each way in which a frame can be wrong has its name, and datagrams keep to their sizes."""

from __future__ import annotations

from dataclasses import replace

import pytest

from dispersy.constants import (
    DATAGRAM_HEADER_SIZE,
    DATAGRAM_MESSAGE_SIZE_MAX,
    FILTER_BITS_PER_SET_MAX,
    FILTER_UNCODED_SIZE_MAX,
    FRAMES_PER_DATAGRAM_MAX,
    FRAMES_SIZE_MAX,
    TOKEN_DATAGRAM_SIZE,
)
from dispersy.errors import WireError
from dispersy.ext.digest import tokens_many
from dispersy.ext.wire import DROP_REASONS, split
from dispersy.protocol.address import parse_address
from dispersy.protocol.identifiers import ORDER_LOW, ORDER_TOP, MemberId, OrderKey
from dispersy.protocol.wire import frames, records
from dispersy.protocol.wire.introductions import EXTENSION_SIZE_MAX
from dispersy.protocol.wire.numbers import FRAMES_SPOKEN, FrameType, MessagesFlag
from dispersy.protocol.wire.summary import Summary

NUMBER = b"\0\0\0\1"
MEMBER = MemberId(b"\1" * 32)
KEY = b"\2" * 32
LONGEST_KEY = OrderKey(b"\1" * 24)
BOUNDS_ALL = b"\0\xff"
TAG, TOKEN, SECRET = b"\3" * 8, b"\4" * 8, b"\5" * 16


def sync_request(
    *, flags: int = 0, budget: int = 1, bounds: bytes = BOUNDS_ALL, hashes: int = 0, bits: bytes = b""
) -> bytes:
    return NUMBER + bytes((flags, budget)) + bounds + bytes(4) + bytes((hashes,)) + bits


@pytest.mark.parametrize(
    ("frame_type", "body", "reason"),
    [
        (FrameType.TOKEN, bytes(8), "token-malformed"),
        (FrameType.TOKEN, b"\1" * 9, "frame-trailing"),
        (FrameType.INTRODUCTION_REQUEST, NUMBER + KEY + b"\x40" + bytes(72), "flags-unknown"),
        (FrameType.INTRODUCTION_REQUEST, NUMBER + KEY + b"\x80" + bytes(72), "flags-unknown"),
        (FrameType.INTRODUCTION_REQUEST, NUMBER + KEY + b"\x18" + bytes(72), "flags-unknown"),
        (FrameType.INTRODUCTION_REQUEST, NUMBER + KEY + bytes(5) + b"\1" + bytes(71), "address-malformed"),
        (FrameType.INTRODUCTION_REQUEST, NUMBER + KEY + b"\4" + bytes(72), "frame-truncated"),
        (FrameType.INTRODUCTION_REQUEST, NUMBER + KEY + bytes(74), "frame-trailing"),
        (FrameType.INTRODUCTION_REQUEST, NUMBER + KEY + bytes(8) + b"\1" + bytes(64), "frame-truncated"),
        (
            FrameType.INTRODUCTION_REQUEST,
            NUMBER + KEY + bytes(8) + b"\x80\2" + bytes(256 + 64),
            "introduction-extension",
        ),
        (
            FrameType.INTRODUCTION_REQUEST,
            NUMBER + KEY + bytes(8) + b"\x80\0" + bytes(64),
            "uvarint-malformed",
        ),
        (FrameType.INTRODUCTION_RESPONSE, NUMBER + KEY + b"\x21" + bytes(74), "flags-unknown"),
        (FrameType.INTRODUCTION_RESPONSE, NUMBER + KEY + bytes(75), "introduction-receiver"),
        *((FrameType.SYNC_REQUEST, sync_request(flags=1 << bit), "flags-unknown") for bit in range(1, 4)),
        (FrameType.SYNC_REQUEST, sync_request(flags=1, bounds=BOUNDS_ALL + b"\3\0"), "selection-malformed"),
        (FrameType.SYNC_REQUEST, sync_request(flags=1, bounds=BOUNDS_ALL + b"\0\2BA"), "selection-malformed"),
        (FrameType.SYNC_REQUEST, sync_request(flags=1, bounds=BOUNDS_ALL + b"\0\2AA"), "selection-malformed"),
        (FrameType.SYNC_REQUEST, sync_request(budget=0), "count-zero"),
        (FrameType.SYNC_REQUEST, sync_request(bounds=b"\xff\xff"), "range-empty"),
        (FrameType.SYNC_REQUEST, sync_request(bounds=b"\1\2\1\1"), "range-empty"),
        (FrameType.SYNC_REQUEST, sync_request(bounds=b"\1\0\xff"), "bound-malformed"),
        (FrameType.SYNC_REQUEST, sync_request(hashes=1), "filter-malformed"),
        (FrameType.SYNC_REQUEST, sync_request(hashes=33, bits=b"\1"), "filter-malformed"),
        (FrameType.SYNC_REQUEST, sync_request(hashes=0, bits=b"\1"), "filter-malformed"),
        (FrameType.SYNC_REQUEST, sync_request(hashes=1, bits=b"\xff" * 100), "filter-full"),
        (FrameType.SYNC_REQUEST, sync_request(hashes=1, bits=b"\x1f"), "filter-full"),
        (FrameType.AUDIT_REQUEST, NUMBER + bytes(16) + b"\0\0", "range-empty"),
        (FrameType.AUDIT, NUMBER + bytes(17), "frame-trailing"),
        (FrameType.BUSY, NUMBER + b"\0", "frame-truncated"),
        (FrameType.REQUEST_MISSING, NUMBER + b"\0\0\1" + KEY, "count-zero"),
        (FrameType.REQUEST_MISSING, NUMBER + b"\1\0\0", "count-zero"),
        (FrameType.REQUEST_MISSING, NUMBER + b"\1\0\2" + KEY, "frame-truncated"),
        (FrameType.REQUEST_MISSING, NUMBER + b"\1\1" + KEY + b"\x40\0\1", "range-empty"),
        (FrameType.REQUEST_MISSING, NUMBER + b"\1\1" + KEY + b"\x40\2\1", "range-empty"),
        (FrameType.REQUEST_MISSING, NUMBER + b"\1\1" + KEY + b"\x40\x81\0\1", "uvarint-malformed"),
        (FrameType.REQUEST_MISSING, NUMBER + b"\1\1" + KEY + b"\x40\1" + b"\x80" * 9, "uvarint-malformed"),
        (FrameType.REQUEST_MISSING, NUMBER + b"\1\2\0\0", "count-zero"),
        (FrameType.REQUEST_MISSING, NUMBER + b"\1\2\0\1" + KEY + b"\0", "frame-trailing"),
        (FrameType.REQUEST_MISSING, NUMBER + b"\1\5" + KEY, "missing-unknown"),
        (FrameType.MESSAGES, b"", "frame-unsupported"),
        (FrameType.PUSH, b"", "frame-truncated"),
        (FrameType.PUSH, b"\0\x40\4" + bytes(2), "frame-truncated"),
        (FrameType.PUSH, b"\0\x40\x08" + bytes(3 + 15), "frame-truncated"),
        (FrameType.HAVE, b"", "count-zero"),
        (FrameType.HAVE, bytes(9), "frame-truncated"),
        (FrameType.WANT, bytes(4), "count-zero"),
        (FrameType.SIMILARITY, b"", "frame-unsupported"),
        (FrameType.LARGE, NUMBER, "frame-truncated"),
        (FrameType.LARGE, NUMBER + b"\1" + KEY + b"\xc2\x08", "large-malformed"),
        (FrameType.LARGE, NUMBER + b"\1" + KEY + b"\x81\x80\x04", "large-malformed"),
        (FrameType.LARGE, NUMBER + b"\0" + KEY + b"\x80\x80\x04", "large-malformed"),
        (FrameType.FRAGMENT_REQUEST, NUMBER + KEY[:24] + bytes(8), "count-zero"),
        (FrameType.FRAGMENT_REQUEST, NUMBER + KEY[:24] + b"\xff" * 9, "frame-trailing"),
        (FrameType.FRAGMENT, NUMBER + b"\0\1", "fragment-malformed"),
        (FrameType.FRAGMENT, NUMBER + b"\0\0\0", "fragment-malformed"),
        (FrameType.FRAGMENT, NUMBER + b"\5\1" + bytes(5), "fragment-malformed"),
        (FrameType.FRAGMENT, NUMBER + b"\5\0" + bytes(6), "fragment-malformed"),
        (FrameType.FRAGMENT, NUMBER + b"\x81\x80\x04\0" + bytes(1152), "fragment-malformed"),
        (FrameType.STRIPPED, b"", "frame-unsupported"),
        (99, b"", "frame-unsupported"),
    ],
)
def test_a_wrong_body_is_refused_by_name(frame_type: int, body: bytes, reason: str) -> None:
    with pytest.raises(WireError) as caught:
        frames.decode_frame(frame_type, body)
    assert caught.value.reason == reason


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (NUMBER + b"\x08\0\0", "flags-unknown"),
        (NUMBER + b"\xf8\0\0", "flags-unknown"),
        (NUMBER + b"\0\xff\0", "messages-malformed"),
        (NUMBER + b"\4\0\0" + bytes(23), "frame-truncated"),
    ],
)
def test_a_wrong_messages_header_is_refused_by_name(body: bytes, reason: str) -> None:
    with pytest.raises(WireError) as caught:
        frames.MessagesHeader.decode(body)
    assert caught.value.reason == reason


def test_a_filter_at_the_limit_is_taken() -> None:
    body = sync_request(hashes=1, bits=b"\x07" * 3 + b"\x0f" * 2)
    request = frames.decode_frame(FrameType.SYNC_REQUEST, body)
    assert isinstance(request, frames.SyncRequest)
    assert request.filter == b"\x07" * 3 + b"\x0f" * 2
    assert (request.low, request.high) == (ORDER_LOW, ORDER_TOP)


@pytest.mark.parametrize("ignored", [0x10, 0x20, 0x40, 0x80, 0xF0])
def test_flags_that_nobody_need_understand_are_ignored(ignored: int) -> None:
    request = frames.SyncRequest.decode(sync_request(flags=ignored))
    assert request == frames.SyncRequest.decode(sync_request())
    flags = ignored | MessagesFlag.LAST_OF_ANSWER
    header, _ = frames.MessagesHeader.decode(NUMBER + bytes((flags,)) + b"\0\0")
    assert header == frames.MessagesHeader(number=1, last=True)


def test_every_spoken_type_has_a_decoder() -> None:
    assert {FrameType.MESSAGES, FrameType.STRIPPED, *frames.FRAME_CLASSES} == FRAMES_SPOKEN


def test_the_flags_are_those_of_the_records() -> None:
    assert MessagesFlag.END_OF_RANGE == records.END_OF_RANGE
    assert MessagesFlag.LAST_OF_ANSWER == records.LAST_OF_ANSWER
    assert MessagesFlag.SUMMARY == records.HAS_SUMMARY


def test_the_longest_message_fits_behind_the_longest_header() -> None:
    header = frames.MessagesHeader(
        number=1,
        low=LONGEST_KEY,
        high=OrderKey(b"\2" * 24),
        end_of_range=True,
        last=True,
        summary=Summary(),
    )
    area = b"\xc2\x08" + bytes(DATAGRAM_MESSAGE_SIZE_MAX)
    assert DATAGRAM_MESSAGE_SIZE_MAX == 0x42 + (8 << 7)
    assert len(frames.frame(FrameType.MESSAGES, header.encode() + area)) <= FRAMES_SIZE_MAX


def test_the_longest_introduction_fits_with_a_token() -> None:
    address = parse_address("[2001:db8::1]:6421")
    response = frames.IntroductionResponse(
        number=1,
        member=MEMBER,
        receiver=address,
        lan=address,
        wan=address,
        introduced_lan=address,
        introduced_wan=address,
        summary=Summary(),
        capabilities=(1 << 32) - 1,
        extension=bytes(EXTENSION_SIZE_MAX),
    )
    parts: list[frames.Frame] = [frames.TokenFrame(TOKEN), response]
    datagram = frames.datagram(TAG, TOKEN, [frames.frame(part.type, part.encode()) for part in parts])
    assert len(datagram) <= DATAGRAM_HEADER_SIZE + FRAMES_SIZE_MAX


def test_the_kernel_splits_a_datagram_into_the_frames_it_was_made_of() -> None:
    address = parse_address("127.0.0.1:6421")
    token = tokens_many(address, TAG, 1, SECRET)
    area = b"\3abc"
    sent: list[frames.Frame] = [frames.TokenFrame(TOKEN), frames.Busy(7, 100)]
    summary_sent = Summary(count=3)
    header = frames.MessagesHeader(number=9, low=LONGEST_KEY, high=ORDER_TOP, last=True, summary=summary_sent)
    parts = [frames.frame(part.type, part.encode()) for part in sent]
    arena = frames.datagram(TAG, token, [*parts, frames.frame(header.type, header.encode() + area)])
    drops = bytearray(4 * len(DROP_REASONS))
    datagrams = records.DATAGRAM.pack(0, len(arena), address)
    packed, envelopes = split(arena, datagrams, tags=TAG, secret=SECRET, epoch=1, drops=drops)

    assert not any(drops)
    received = []
    for _, offset, length, _, frame_type, token_state, _ in records.FRAME.iter_unpack(packed):
        assert token_state == records.TOKEN_CURRENT
        received.append(frames.decode_frame(frame_type, arena[offset : offset + length]))
    assert received == sent
    _, number, offset, length, _, count, flags, _, low, high, summary, _ = records.ENVELOPE.unpack(envelopes)
    assert (number, low, high, count) == (header.number, header.low, header.high, 1)
    assert flags == MessagesFlag.LAST_OF_ANSWER | MessagesFlag.SUMMARY
    assert Summary.decode(summary) == summary_sent
    assert arena[offset : offset + length] == area


def test_the_datagram_that_proves_an_address_is_small() -> None:
    assert len(frames.token_datagram(TAG, frames.NO_TOKEN, TOKEN)) == TOKEN_DATAGRAM_SIZE


def test_a_datagram_holds_no_more_than_it_may() -> None:
    frames.datagram(TAG, TOKEN, [bytes(FRAMES_SIZE_MAX)])
    frames.datagram(TAG, TOKEN, [b"\0\0"] * FRAMES_PER_DATAGRAM_MAX)
    with pytest.raises(AssertionError):
        frames.datagram(TAG, TOKEN, [b"\0\0"] * (FRAMES_PER_DATAGRAM_MAX + 1))
    with pytest.raises(AssertionError):
        frames.datagram(TAG, TOKEN, [bytes(FRAMES_SIZE_MAX), b"\0"])


def test_a_few_bytes_bring_no_large_filter() -> None:
    """What a coded filter takes in memory is bounded by its bytes on the way."""
    step = FILTER_BITS_PER_SET_MAX // 8
    sparse = b"\x01".ljust(step, b"\0") * (FILTER_UNCODED_SIZE_MAX // step)
    request = frames.RangeRequest(number=1, budget=1, salt=1, hash_count=1, filter=sparse)
    assert frames.RangeRequest.decode(request.encode()) == request
    emptier = replace(request, filter=sparse[:-step] + bytes(step))
    assert len(emptier.encode()) > 600
    with pytest.raises(WireError, match="filter-malformed"):
        frames.RangeRequest.decode(emptier.encode())
