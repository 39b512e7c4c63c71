"""The wire kernel against its plain twin: valid, damaged and arbitrary bytes, drop counters included."""

from __future__ import annotations

from collections import Counter
from dataclasses import astuple
from functools import partial
from random import Random
from struct import Struct, unpack
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from dispersy import constants
from dispersy.constants import FRAMES_PER_DATAGRAM_MAX, FRAMES_SIZE_MAX, MESSAGE_SIZE_MAX
from dispersy.ext import digest, wire
from dispersy.protocol.wire import frames as frame_bodies
from dispersy.protocol.wire import message as whole_messages
from dispersy.protocol.wire import missing, numbers, packing, records, summary
from dispersy.protocol.wire.numbers import FrameType, MessageFlag, MessagesFlag
from tests.oracle import wire as oracle

SECRET = bytes(range(16))
EPOCH = 41
TAGS = [bytes([number]) * 8 for number in range(1, 101)]
ADDRESS = bytes(10) + b"\xff\xff\x7f\x00\x00\x01\x19\x15"
TOKEN_OF = partial(oracle.token, SECRET)

steady = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
"""A busy machine is no failure."""

uvarint_edges = st.sampled_from([1, 127, 128, 16_383, 16_384, (1 << 56) - 1, 1 << 56, (1 << 63) - 1])
counters = uvarint_edges | st.integers(1, (1 << 63) - 1)
keys = st.binary(min_size=32, max_size=32).filter(any)


@st.composite
def message_parts(draw: st.DrawFn) -> tuple[int, int, bytes, bytes, int, int, bytes, bytes, list[bytes]]:
    """The arguments of encode_message() for a message that is well formed."""
    kind = draw(st.integers(0, 255))
    flags = draw(st.integers(0, 15))
    if flags & 2:
        kind, flags = max(kind, 64), flags & ~1
    author_count = 0 if flags & 2 else 1 + (flags & 1)
    payloads = draw(
        st.lists(st.binary(max_size=60), min_size=1, max_size=8)
        | st.integers(126, 255).map(lambda count: [b"\x07"] * count)
    )
    return (
        kind,
        flags,
        b"".join(draw(keys) for _ in range(author_count)),
        draw(st.binary(min_size=32, max_size=32)) if flags & 4 else b"",
        draw(counters),
        draw(counters) if author_count else 0,
        draw(st.binary(min_size=32, max_size=32)) if kind < 64 else b"",
        draw(st.binary(min_size=17, max_size=17)) if flags & 8 else b"",
        payloads,
    )


def signature_size(flags: int) -> int:
    return 0 if flags & 2 else 64 * (1 + (flags & 1))


@st.composite
def messages(draw: st.DrawFn) -> bytes:
    parts = draw(message_parts())
    return oracle.encode_message(*parts) + b"\x5a" * signature_size(parts[1])


@st.composite
def damaged(draw: st.DrawFn, whole: st.SearchStrategy[bytes]) -> bytes:
    """Valid bytes after what links and enemies do to them: nothing, a cut, a flipped bit, a splice."""
    data = bytearray(draw(whole))
    how = draw(st.sampled_from(["nothing", "cut", "flip", "splice", "insert"]))
    at = draw(st.integers(0, max(0, len(data) - 1)))
    if how == "cut":
        del data[at:]
    elif how == "flip" and data:
        data[at] ^= 1 << draw(st.integers(0, 7))
    elif how == "splice":
        data[at : at + draw(st.integers(0, 8))] = draw(st.binary(max_size=8))
    elif how == "insert":
        data[at:at] = draw(st.sampled_from([b"\x00", b"\x80\x00", b"\x80", b"\xff" * 9]))
    return bytes(data)


anything = st.binary(max_size=200)
bounds = st.sampled_from(
    [b"\x00", b"\xff", b"\x08" + b"\x01" * 8, b"\x18" + b"\xff" * 24, b"\x02\x01\x00", b"\x19" + b"\x01" * 25]
) | st.binary(min_size=1, max_size=24).map(lambda value: bytes([len(value)]) + value)
pairs = damaged(messages()).map(lambda data: oracle.uvarint(len(data)) + data) | st.sampled_from(
    [b"\x00", b"\x85\x00abcde", b"\x05\x40\x02\x01\x01\x00", b"\x7f", b"\x80"]
)
envelopes = st.builds(
    lambda number, flags, *parts: number + bytes([flags]) + b"".join(parts),
    st.binary(min_size=4, max_size=4),
    st.integers(0, 7) | st.integers(0, 255),
    bounds,
    bounds,
    st.sampled_from([b"", bytes(range(24))]),
    st.lists(pairs, max_size=4).map(b"".join),
)
stripped_messages = (
    message_parts()
    .filter(lambda parts: len(b"".join(parts[8])) < 500)
    .map(lambda parts: oracle.strip(oracle.encode_message(*parts) + b"\x5a" * signature_size(parts[1])))
)
stripped_pairs = damaged(stripped_messages).map(lambda data: oracle.uvarint(len(data)) + data) | pairs
stripped_lists = st.builds(
    lambda number, rest: number + b"".join(rest),
    st.binary(min_size=4, max_size=4),
    st.lists(stripped_pairs, max_size=4),
)
frames = st.builds(
    lambda kind, body: bytes([kind]) + oracle.uvarint(len(body)) + body,
    st.integers(0, 27) | st.just(1) | st.just(255),
    st.just(b"t" * 8) | st.binary(max_size=30),
) | damaged(envelopes).map(lambda body: b"\x06" + oracle.uvarint(len(body)) + body)
frames |= damaged(stripped_lists).map(lambda body: b"\x1a" + oracle.uvarint(len(body)) + body)

short_frames = st.sampled_from([b"\x07\x00", b"\x00\x00", b"\x08\x00", b"\x01\x08" + b"t" * 8])


@st.composite
def datagrams(draw: st.DrawFn) -> bytes:
    tag = draw(st.sampled_from([*TAGS[:3], TAGS[-1], bytes(8)]))
    minted = [TOKEN_OF(ADDRESS, tag, EPOCH - age) for age in range(3)]
    token = draw(st.sampled_from([bytes(8), b"\x80" + bytes(7), *minted]) | st.binary(min_size=8, max_size=8))
    start = draw(st.sampled_from([b"\xd3\x00"] * 6 + [b"\xd4\x00", b"\xd3\x80", b"\x00\x00"]))
    few, many = st.lists(frames, max_size=4), st.lists(short_frames, min_size=6, max_size=10)
    return start + tag + token + b"".join(draw(few | many))


def new_drops() -> bytearray:
    return bytearray(4 * len(wire.DROP_REASONS))


def counted(drops: bytearray) -> Counter[str]:
    numbers = unpack(f"={len(wire.DROP_REASONS)}I", drops)
    return Counter({name: number for name, number in zip(wire.DROP_REASONS, numbers, strict=True) if number})


def kernel_split(batch: list[bytes], drops: bytearray) -> tuple[bytes, bytes]:
    packed = b""
    offset = 0
    for data in batch:
        packed += records.DATAGRAM.pack(offset, len(data), ADDRESS)
        offset += len(data)
    return wire.split(b"".join(batch), packed, tags=b"".join(TAGS), secret=SECRET, epoch=EPOCH, drops=drops)


def unpacked(layout: Struct, packed: bytes | bytearray) -> list[tuple[Any, ...]]:
    return list(layout.iter_unpack(packed))


def assert_same_split(batch: list[bytes]) -> None:
    drops = new_drops()
    frames_packed, envelopes_packed = kernel_split(batch, drops)
    expected = oracle.split([(ADDRESS, data) for data in batch], tags=TAGS, epoch=EPOCH, token_of=TOKEN_OF)
    assert unpacked(records.FRAME, frames_packed) == [(*astuple(frame), 0) for frame in expected.frames]
    assert unpacked(records.ENVELOPE, envelopes_packed) == [(*astuple(one), 0) for one in expected.envelopes]
    assert counted(drops) == expected.drops


def assert_same_messages(area: bytes, *, stripped: bool = False) -> None:
    drops = new_drops()
    parsed = wire.parse_messages(area, drops, stripped=stripped)
    expected, expected_drops = oracle.parse_messages(area, stripped=stripped)
    unidentified = (0, bytes(32), bytes(32))
    assert unpacked(records.MESSAGE, parsed) == [(*astuple(message), *unidentified) for message in expected]
    assert counted(drops) == expected_drops


def test_records_have_the_sizes_that_python_reads() -> None:
    """Goal: a change of records.h without one of dispersy.protocol.wire.records is noticed."""
    expected = {
        "datagram": records.DATAGRAM.size,
        "frame": records.FRAME.size,
        "envelope": records.ENVELOPE.size,
        "message": records.MESSAGE.size,
    }
    assert expected == wire.RECORD_SIZES


def test_the_kernel_is_compiled_with_the_numbers_of_python() -> None:
    """Goal: a size, flag or frame that one side knows and the other does not is noticed."""
    time = packing.UVARINT_MAX
    parts = (0, 13, b"a" * 64, b"r" * 32, time, time, b"p" * 32, b"n" * 17, [b""])
    counted_out = {
        "MESSAGE_FLAGS": sum(MessageFlag),
        "MESSAGES_FRAME_FLAGS": sum(MessagesFlag),
        "HEADER_SIZE_MAX": len(oracle.encode_message(*parts)) - len(b"\x01\x00"),
    }
    modules = (constants, frame_bodies, whole_messages, missing, numbers, packing, summary)
    for name, value in wire.CONSTANTS.items():
        assert {where[name] for where in (counted_out, *map(vars, modules)) if name in where} == {value}, name
    assert wire.FRAMES_SPOKEN == numbers.FRAMES_SPOKEN
    assert set(FrameType) == wire.FRAMES_NUMBERED


def test_flags_that_nobody_need_understand_are_ignored() -> None:
    """Goal: of a messages frame's flags the low half binds: the kernel takes and hands on no other."""
    header = b"\xd3\x00" + TAGS[0] + TOKEN_OF(ADDRESS, TAGS[0], EPOCH)
    taken = {}
    for flags in range(256):
        body = bytes(4) + bytes([flags]) + b"\x00\xff" + bytes(24)
        _, packed = kernel_split([header + b"\x06" + bytes([len(body)]) + body], new_drops())
        taken[flags] = [row[6] for row in unpacked(records.ENVELOPE, packed)]
    assert taken == {flags: [flags % 16] if flags % 16 < 8 else [] for flags in range(256)}


def test_the_twin_knows_every_frame() -> None:
    """Goal: a frame that only one of them speaks is found at once, not when chance draws its number."""
    assert oracle.SPOKEN == wire.FRAMES_SPOKEN


@steady
@given(st.lists(damaged(datagrams()), min_size=1, max_size=4))
def test_split_is_what_the_format_says(batch: list[bytes]) -> None:
    """Goal: the kernel and its twin agree on frames, envelopes and counters, damaged datagrams included."""
    assert_same_split(batch)


@steady
@given(st.lists(st.binary(max_size=1300), min_size=1, max_size=4), st.booleans())
@example([b"", bytes(1232)], False)
@example([b"\x00" * 1182, b"\x00" * 1183], True)
def test_split_takes_any_bytes(batch: list[bytes], headed: bool) -> None:
    """Goal: no bytes raise, with and without a header that lets them in."""
    header = b"\xd3\x00" + TAGS[0] + TOKEN_OF(ADDRESS, TAGS[0], EPOCH)
    assert_same_split([header + data if headed else data for data in batch])


@steady
@given(st.lists(pairs, max_size=6).map(b"".join) | anything)
def test_messages_parse_as_the_format_says(area: bytes) -> None:
    """Goal: the kernel and its twin agree on every field and every counter, damaged messages included."""
    assert_same_messages(area)


@steady
@given(damaged(messages()))
def test_a_damaged_message_is_judged_alike(message: bytes) -> None:
    """Goal: also where only one message is in the list, so that no framing hides it."""
    assert_same_messages(oracle.uvarint(len(message)) + message)


@steady
@given(message_parts())
def test_what_is_encoded_decodes_to_itself(
    parts: tuple[int, int, bytes, bytes, int, int, bytes, bytes, list[bytes]],
) -> None:
    """Goal: decode(encode(x)) == x, and the bytes are those that the format demands."""
    flags, payloads = parts[1], parts[8]
    expected = oracle.encode_message(*parts)
    if len(expected) + signature_size(flags) > MESSAGE_SIZE_MAX:
        with pytest.raises(ValueError, match="longer"):
            wire.encode_message(*parts)
        return
    encoded = wire.encode_message(*parts)
    assert encoded == expected
    message = encoded + b"\x5a" * signature_size(flags)
    assert wire.split_payloads(message) == payloads
    area = oracle.uvarint(len(message)) + message
    (record,) = unpacked(records.MESSAGE, wire.parse_messages(area, new_drops()))
    assert record[2:4] == (parts[4], parts[5])
    assert record[5:7] == (parts[0], flags)
    assert message[record[4] : record[4] + 1] == oracle.uvarint(len(payloads))[:1]


@steady
@given(st.lists(messages(), min_size=1, max_size=5), st.lists(damaged(messages()), max_size=5), st.randoms())
def test_good_messages_survive_beside_garbage(good: list[bytes], bad: list[bytes], rng: Random) -> None:
    """Goal: whatever lies beside them in the list, all good messages come out, in order."""
    good = [message for message in good if len(message) <= MESSAGE_SIZE_MAX]
    mixed = good + bad
    rng.shuffle(mixed)
    area = b"".join(oracle.uvarint(len(message)) + message for message in mixed)
    found = [
        area[offset : offset + length]
        for offset, length, *_ in records.MESSAGE.iter_unpack(wire.parse_messages(area, new_drops()))
    ]
    assert [message for message in found if message in good] == [one for one in mixed if one in good]


@steady
@given(st.lists(damaged(datagrams()) | st.binary(max_size=60), max_size=4), st.integers(0, 4))
def test_a_good_datagram_survives_beside_garbage(garbage: list[bytes], at: int) -> None:
    """Goal: whatever else is in the batch, a good datagram yields its frame and its envelope."""
    envelope = b"\x00\x00\x00\x07\x03\x00\xff" + b"\x05\x40\x02\x01\x01\x00"
    good = b"\xd3\x00" + TAGS[5] + TOKEN_OF(ADDRESS, TAGS[5], EPOCH) + b"\x07\x06" + bytes(6)
    good += b"\x06" + oracle.uvarint(len(envelope)) + envelope
    batch = [*garbage[:at], good, *garbage[at:]]
    index = len(garbage[:at])
    frames_packed, envelopes_packed = kernel_split(batch, new_drops())
    assert [row[4] for row in unpacked(records.FRAME, frames_packed) if row[0] == index] == [7]
    mine = [row for row in unpacked(records.ENVELOPE, envelopes_packed) if row[0] == index]
    assert [(row[1], row[5], row[6], row[7]) for row in mine] == [(7, 1, 3, records.TOKEN_CURRENT)]


@steady
@given(st.lists(messages(), max_size=12), st.integers(1100, 1300))
def test_packed_messages_come_back_in_order_and_lists_are_full(batch: list[bytes], size_max: int) -> None:
    """Goal: nothing is lost or moved, no list is too long, none ends where the next would still fit."""
    batch = [message for message in batch if len(message) <= MESSAGE_SIZE_MAX]
    packed = wire.pack(batch, size_max)
    whole = [oracle.uvarint(len(message)) + message for message in batch]
    assert b"".join(area for _, area in packed) == b"".join(whole)
    assert sum(count for count, _ in packed) == len(batch)
    at = 0
    for count, area in packed:
        at += count
        assert area.endswith(whole[at - 1])
        assert len(area) <= size_max
        assert at == len(batch) or len(area) + len(whole[at]) > size_max


@steady
@given(st.binary(min_size=18, max_size=18), st.integers(1, (1 << 40)))
def test_tokens_of_the_two_kernels_and_the_format_are_the_same(address: bytes, epoch: int) -> None:
    """Goal: what the digest kernel gives the wire kernel takes, and both are what the format says."""
    assert digest.tokens_many(address, TAGS[0], epoch, SECRET) == TOKEN_OF(address, TAGS[0], epoch)


def test_every_bit_of_a_token_counts() -> None:
    """Goal: a token of this epoch and one of the last are told apart; with any bit wrong, neither is one."""
    minted = [TOKEN_OF(ADDRESS, TAGS[0], EPOCH - age) for age in range(2)]
    wrong = [bytes(8)] + [
        (int.from_bytes(token, "big") ^ 1 << bit).to_bytes(8, "big") for token in minted for bit in range(64)
    ]
    datagrams = [b"\xd3\x00" + TAGS[0] + token + b"\x01\x08" + b"t" * 8 for token in minted + wrong]
    drops = new_drops()
    frames_packed, _ = kernel_split(datagrams, drops)
    states = [row[5] for row in unpacked(records.FRAME, frames_packed)]
    good = [records.TOKEN_CURRENT, records.TOKEN_PREVIOUS]
    assert states == [*good, records.TOKEN_ZERO] + [records.TOKEN_INVALID] * 128
    assert not any(drops)


def test_every_drop_reason_can_happen() -> None:
    """Goal: each counter is reached by a smallest example, so none is dead and none is counted as another."""
    token = TOKEN_OF(ADDRESS, TAGS[0], EPOCH)
    header = b"\xd3\x00" + TAGS[0] + token
    author = b"\x41" * 32
    message = oracle.encode_message(64, 0, author, b"", 1, 1, b"", b"", [b"x"]) + bytes(64)
    by_datagram = {
        "datagram-short": header[:17],
        "mark-wrong": b"\x00" + header[1:],
        "version-unknown": b"\xd4" + header[1:],
        "flags-unknown": b"\xd3\x80" + header[2:],
        "datagram-long": header + bytes(FRAMES_SIZE_MAX + 1),
        "community-unknown": header[:2] + b"unknown!" + token,
        "token-missing": b"\xd3\x00" + TAGS[0] + bytes(8),
        "token-malformed": header + b"\x01\x07" + bytes(7),
        "frame-truncated": header + b"\x07\x06" + bytes(5),
        "frame-length-long": header + b"\x07\x86\x00" + bytes(6),
        "frame-unknown": header + b"\x3f\x00",
        "frame-unsupported": header + b"\x19\x00",
        "frames-many": header + (b"\x07\x06" + bytes(6)) * (FRAMES_PER_DATAGRAM_MAX + 1),
        "messages-malformed": header + b"\x06\x04" + bytes(4),
        "messages-truncated": header + b"\x06\x09" + bytes(7) + b"\x02\x40",
        "stripped-malformed": header + b"\x1a\x03" + bytes(3),
    }
    by_message = {
        "message-long": bytes(MESSAGE_SIZE_MAX + 1),
        "message-short": message[:100],
        "message-flags": message[:1] + b"\x10" + message[2:],
        "message-kind-flags": b"\x01\x02" + message[2:],
        "message-author-zero": message[:2] + bytes(32) + message[34:],
        "message-uvarint": message[:34] + b"\x81\x00" + message[35:],
        "message-time-zero": message[:34] + b"\x00" + message[35:],
        "message-sequence-zero": message[:35] + b"\x00" + message[36:],
        "message-payload-count": message[:36] + b"\x00" + message[37:],
        "message-payload-truncated": message[:37] + b"\x02" + message[38:],
        "message-trailing": message[:38] + b"!" + message[38:],
    }
    for reason, data in by_datagram.items():
        drops = new_drops()
        kernel_split([data], drops)
        assert counted(drops) == {reason: 1}
    for reason, data in by_message.items():
        drops = new_drops()
        assert wire.parse_messages(oracle.uvarint(len(data)) + data, drops) == b""
        assert counted(drops) == {reason: 1}
    drops = new_drops()
    assert wire.parse_messages(b"\x85\x00" + bytes(5), drops) == b""
    assert counted(drops) == {"message-length-long": 1}
    assert {*by_datagram, *by_message, "message-length-long"} == set(wire.DROP_REASONS)


@pytest.mark.parametrize(
    ("change", "what"),
    [
        ({"kind": 256}, "kind"),
        ({"flags": 16}, "flags"),
        ({"flags": 2}, "authors"),
        ({"flags": 3}, "without author"),
        ({"authors": bytes(32)}, "zeros"),
        ({"authors": b"a" * 31}, "authors"),
        ({"recipient": b"r" * 32}, "recipient"),
        ({"previous": b"p" * 32}, "previous"),
        ({"kind": 0}, "previous"),
        ({"n_hop": b"n" * 17}, "n_hop"),
        ({"global_time": 0}, "global time"),
        ({"global_time": 1 << 63}, "global time"),
        ({"sequence": 0}, "sequence"),
        ({"payloads": []}, "payloads"),
        ({"payloads": [b""] * 256}, "payloads"),
        ({"payloads": [bytes(65_536)]}, "longer"),
    ],
)
def test_parts_that_contradict_each_other_are_refused(change: dict[str, object], what: str) -> None:
    """Goal: what this node encodes is always what another accepts; the error says which part is wrong."""
    parts: dict[str, Any] = {
        "kind": 64, "flags": 0, "authors": b"a" * 32, "recipient": b"", "global_time": 1, "sequence": 1,
        "previous": b"", "n_hop": b"", "payloads": [b"x"],
    }  # fmt: skip
    with pytest.raises(ValueError, match=what):
        wire.encode_message(**(parts | change))


def test_a_caller_s_fault_is_an_error() -> None:
    """Goal: sizes that do not fit and records outside the arena raise before anything is read."""
    good: dict[str, Any] = {"tags": TAGS[0], "secret": SECRET, "epoch": EPOCH}
    record = records.DATAGRAM.pack(1, 20, ADDRESS)
    with pytest.raises(ValueError, match="lie in the arena"):
        wire.split(bytes(20), record, drops=new_drops(), **good)
    with pytest.raises(ValueError, match="whole number of datagram_records"):
        wire.split(bytes(40), record[1:], drops=new_drops(), **good)
    with pytest.raises(ValueError, match="drops"):
        wire.split(bytes(40), record, drops=bytearray(4), **good)
    with pytest.raises(ValueError, match="drops"):
        wire.parse_messages(b"", bytearray())
    with pytest.raises(ValueError, match="does not fit"):
        wire.pack([bytes(10)], 10)
    with pytest.raises(ValueError, match="message-trailing"):
        wire.split_payloads(b"\x40\x02\x01\x01\x00\x00")
