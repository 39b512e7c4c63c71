"""Goal: decode(encode(x)) == x for every frame, and any bytes are one canonical value or one named fault."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from dispersy.constants import FILTER_BITS_PER_SET_MAX, FRAGMENT_SIZE
from dispersy.errors import WireError
from dispersy.protocol.address import Address
from dispersy.protocol.holdings import first_key_of
from dispersy.protocol.identifiers import ORDER_LOW, ORDER_TOP, MemberId, MessageId, OrderKey
from dispersy.protocol.wire import frames
from dispersy.protocol.wire.announcements import IdPrefix
from dispersy.protocol.wire.numbers import (
    BINDING_FLAGS,
    FRAMES_SPOKEN,
    ConnectionType,
    FrameType,
    SignatureOutcome,
)
from dispersy.protocol.wire.packing import (
    UVARINT_MAX,
    decode_bound,
    decode_uvarint,
    encode_bound,
    encode_uvarint,
)
from dispersy.protocol.wire.selection import Order, Selection
from dispersy.protocol.wire.summary import Summary
from dispersy.protocol.wire.sync_frames import (
    Described,
    Further,
    Items,
    Lacked,
    RangeDescribed,
    SetSymbols,
    Untold,
)

u32 = st.integers(0, 0xFFFFFFFF)
byte = st.integers(0, 255)
positive_byte = st.integers(1, 255)
positive = st.integers(1, UVARINT_MAX)
members = st.binary(min_size=32, max_size=32).map(MemberId)
message_ids = st.binary(min_size=32, max_size=32).map(MessageId)
signatures = st.binary(min_size=64, max_size=64)
addresses = st.one_of(
    st.just(bytes(18)),
    st.binary(min_size=18, max_size=18),
    st.binary(min_size=6, max_size=6).map(lambda tail: bytes(10) + b"\xff\xff" + tail),
).map(Address)
order_keys = st.one_of(
    st.sampled_from([ORDER_LOW, ORDER_TOP]),
    st.binary(min_size=24, max_size=24).map(OrderKey),
    st.binary(max_size=23).map(lambda data: OrderKey(data.ljust(24, b"\0"))),
)
ranges = st.tuples(order_keys, order_keys).map(lambda pair: (min(pair), max(pair)))
some_ranges = ranges.filter(lambda pair: pair[0] < pair[1])
summaries = st.builds(
    Summary,
    highest=st.integers(0, (1 << 48) - 1),
    count=u32,
    horizon=st.integers(0, 0xFFFF),
    sum=st.integers(0, (1 << 96) - 1),
)
# Half of every byte, so that no filter is refused for being full.
filters = st.binary(min_size=1, max_size=1000).map(lambda data: bytes(value & 0x55 for value in data))

tokens = st.binary(min_size=8, max_size=8).filter(any).map(frames.TokenFrame)
requests = st.builds(
    frames.IntroductionRequest,
    number=u32,
    member=members,
    receiver=addresses,
    lan=addresses,
    wan=addresses,
    summary=st.none() | summaries,
    connection=st.sampled_from(ConnectionType),
    asks_introduction=st.booleans(),
    covers_receiver=st.booleans(),
    asks_announcements=st.booleans(),
    capabilities=u32,
    extension=st.binary(max_size=255),
    signature=signatures,
)
responses = st.builds(
    frames.IntroductionResponse,
    number=u32,
    member=members,
    receiver=addresses,
    lan=addresses,
    wan=addresses,
    introduced_lan=addresses,
    introduced_wan=addresses,
    summary=st.none() | summaries,
    connection=st.sampled_from(ConnectionType),
    asks_announcements=st.booleans(),
    capabilities=u32,
    extension=st.binary(max_size=255),
    signature=signatures,
)
punctures = st.builds(frames.PunctureRequest, u32, addresses, addresses)


selections = st.builds(
    lambda kinds, order: Selection(bytes(sorted(kinds)), order),
    st.sets(st.integers(0, 255), max_size=20),
    st.sampled_from(Order),
)


@st.composite
def sync_requests(draw: st.DrawFn) -> frames.SyncRequest:
    low, high = draw(some_ranges)
    bits = draw(st.just(b"") | filters)
    hash_count = draw(st.integers(1, 32)) if bits else 0
    return frames.SyncRequest(
        number=draw(u32),
        budget=draw(positive_byte),
        low=low,
        high=high,
        selection=draw(st.none() | selections),
        salt=draw(u32),
        hash_count=hash_count,
        filter=bits,
    )


times = st.integers(0, UVARINT_MAX) | st.integers(0, 300)


def is_dense(bits: bytes) -> bool:
    """Whether as many bits are set as a coded filter of this size must have."""
    return 8 * len(bits) <= FILTER_BITS_PER_SET_MAX * sum(each.bit_count() for each in bits)


@st.composite
def range_requests(draw: st.DrawFn) -> frames.RangeRequest:
    time, beginning = draw(times), draw(st.binary(max_size=16))
    spans = [draw(st.integers(0, min(200_000, UVARINT_MAX - time))) for _ in range(2)]
    high = first_key_of(time + max(spans)) if max(spans) else ORDER_TOP
    described = first_key_of(time + min(spans)) if 0 < min(spans) < max(spans) else ORDER_TOP
    bits = draw(st.just(b"") | filters.filter(is_dense))
    number = draw(u32)
    return frames.RangeRequest(
        number=number,
        budget=draw(positive_byte),
        low=OrderKey(first_key_of(time)[:8] + beginning.ljust(16, b"\0")),
        high=high,
        salt=number if bits else 0,
        hash_count=draw(st.integers(1, 32)) if bits else 0,
        filter=bits,
        described=described if bits else ORDER_TOP,
    )


headers = st.builds(
    lambda pair, **fields: frames.MessagesHeader(low=pair[0], high=pair[1], **fields),
    ranges,
    number=u32,
    end_of_range=st.booleans(),
    last=st.booleans(),
    summary=st.none() | summaries,
)
busies = st.builds(frames.Busy, u32, st.integers(0, 0xFFFF))
audit_requests = st.builds(
    lambda number, key, pair: frames.AuditRequest(number, key, *pair),
    u32,
    st.binary(min_size=16, max_size=16),
    some_ranges,
)
audits = st.builds(frames.Audit, u32, u32, st.integers(0, (1 << 96) - 1))
wanted = st.one_of(
    st.lists(message_ids, min_size=1, max_size=40).map(lambda ids: frames.MissingMessages(tuple(ids))),
    st.builds(
        lambda author, kind, pair: frames.MissingSequences(author, kind, min(pair), max(pair)),
        members,
        byte,
        st.tuples(positive, positive),
    ),
    st.builds(frames.MissingLast, byte, positive_byte, st.none() | members),
    st.lists(message_ids, min_size=1, max_size=40).map(lambda ids: frames.MissingProof(tuple(ids))),
    st.builds(frames.MissingNewest, members),
)


@st.composite
def pushes(draw: st.DrawFn) -> frames.Push:
    """Any bytes may stand where the message does; its second byte says whether a link follows."""
    flags, link = draw(st.sampled_from([(4, 0), (8, 16), (15, 16), (0, 0)]))
    message = draw(st.binary(min_size=1, max_size=1)) + bytes((flags,)) + draw(st.binary(min_size=3))
    return frames.Push(draw(byte), message, draw(st.binary(min_size=link, max_size=link)))


drafts = st.binary(min_size=1, max_size=200)
signature_requests = st.builds(
    frames.SignatureRequest, number=u32, wait_s=st.integers(1, 0xFFFF), signature=signatures, draft=drafts
)
signature_responses = st.one_of(
    st.builds(
        frames.SignatureResponse,
        number=u32,
        outcome=st.sampled_from([SignatureOutcome.REFUSED, SignatureOutcome.SEQUENCE_TAKEN]),
        signature=signatures,
    ),
    st.builds(
        frames.SignatureResponse,
        number=u32,
        outcome=st.just(SignatureOutcome.SIGNED),
        signature=signatures,
        draft=drafts,
    ),
)
missing = st.builds(frames.RequestMissing, u32, positive_byte, wanted)
pings = st.builds(frames.Ping, u32, summaries)
pongs = st.builds(frames.Pong, u32, summaries)
prefixes = st.lists(st.binary(min_size=8, max_size=8).map(IdPrefix), min_size=1, max_size=20).map(tuple)
haves = st.builds(frames.Have, prefixes)
wants = st.builds(frames.Want, u32, prefixes)
items = st.lists(st.binary(min_size=8, max_size=8), min_size=1, max_size=20).map(b"".join)
symbols = st.lists(st.binary(min_size=13, max_size=13), max_size=20).map(b"".join)
set_names = st.binary(min_size=8, max_size=8)
symbols_requests = st.builds(
    frames.SymbolsRequest,
    u32,
    positive_byte,
    st.one_of(
        st.builds(Described, u32, symbols.filter(bool)),
        st.builds(Further, set_names, st.integers(0, 60_000), st.integers(1, 5_000)),
        st.builds(Items, items),
        some_ranges.flatmap(
            lambda between: st.builds(
                RangeDescribed,
                st.binary(min_size=16, max_size=16),
                st.just(between[0]),
                st.just(between[1]),
                st.integers(0, 65_535),
                symbols.filter(bool),
            )
        ),
    ),
)
told_symbols = st.builds(
    frames.Symbols,
    u32,
    st.booleans(),
    st.builds(SetSymbols, set_names, st.integers(0, 64_980), symbols)
    | st.builds(Lacked, st.integers(0, 65_535), items | st.just(b""))
    | st.builds(Untold, st.integers(0, 65_535), st.integers(0, 65_535)),
)
tree_levels = st.shared(st.integers(1, 10))
node_indexes = tree_levels.flatmap(lambda level: st.integers(0, ((1 << 63) - 1) >> (8 + 6 * level)))
tree_requests = st.builds(
    frames.TreeRequest,
    u32,
    tree_levels,
    st.sets(node_indexes, min_size=1, max_size=16).map(sorted).map(tuple),
)
node_sums = st.just((0, 0)) | st.tuples(st.integers(1, (1 << 32) - 1), st.integers(0, (1 << 96) - 1))
# Global times have 63 bits: two children of the root cover all of them.
children = tree_levels.flatmap(
    lambda level: st.lists(node_sums, min_size=64, max_size=64).map(
        lambda sums: tuple(sums if level < 10 else sums[:2] + [(0, 0)] * 62)
    )
)
trees = st.builds(frames.Tree, u32, tree_levels, node_indexes, children)
large_names = st.builds(frames.LargeName, positive, message_ids, st.integers(1_091, 65_536))
larges = st.builds(frames.Large, u32, st.lists(large_names, min_size=1, max_size=30).map(tuple))
fragment_requests = st.builds(frames.FragmentRequest, u32, order_keys, st.integers(1, (1 << 64) - 1))


@st.composite
def fragments(draw: st.DrawFn) -> frames.Fragment:
    size = draw(st.integers(1, 65_536))
    index = draw(st.integers(0, -(-size // FRAGMENT_SIZE) - 1))
    length = min(FRAGMENT_SIZE, size - index * FRAGMENT_SIZE)
    return frames.Fragment(draw(u32), size, index, draw(byte).to_bytes(1, "big") * length)


every_frame = st.one_of(
    larges,
    fragment_requests,
    fragments() | st.builds(frames.Fragment, u32, st.just(0), st.just(0), st.just(b"")),
    tokens,
    requests,
    responses,
    punctures,
    sync_requests(),
    range_requests(),
    busies,
    pushes(),
    signature_requests,
    signature_responses,
    audit_requests,
    audits,
    missing,
    pings,
    pongs,
    haves,
    wants,
    symbols_requests,
    told_symbols,
    tree_requests,
    trees,
)
ENDS_IN_A_LIST = {
    FrameType.SYNC_REQUEST,
    FrameType.RANGE_REQUEST,
    FrameType.REQUEST_MISSING,
    FrameType.PUSH,
    FrameType.SIGNATURE_REQUEST,
    FrameType.SIGNATURE_RESPONSE,
    FrameType.HAVE,
    FrameType.WANT,
    FrameType.SYMBOLS_REQUEST,
    FrameType.SYMBOLS,
    FrameType.TREE_REQUEST,
    FrameType.LARGE,
    FrameType.FRAGMENT,
}
every_type = st.sampled_from(sorted(FRAMES_SPOKEN - {FrameType.MESSAGES}))

REASONS = {
    "address-malformed",
    "bound-malformed",
    "count-zero",
    "filter-full",
    "filter-malformed",
    "fragment-malformed",
    "flags-unknown",
    "frame-trailing",
    "frame-truncated",
    "introduction-extension",
    "large-malformed",
    "messages-malformed",
    "missing-unknown",
    "range-empty",
    "selection-malformed",
    "signature-outcome",
    "symbols-malformed",
    "tree-malformed",
    "token-malformed",
    "uvarint-malformed",
}


@given(every_frame)
def test_a_frame_is_read_as_it_was_written(frame: frames.Frame) -> None:
    assert frames.decode_frame(frame.type, frame.encode()) == frame


@given(headers, st.binary(max_size=100))
def test_a_messages_header_is_read_as_it_was_written(header: frames.MessagesHeader, area: bytes) -> None:
    assert frames.MessagesHeader.decode(header.encode() + area) == (header, area)


def recode(frame_type: FrameType, body: bytes) -> bytes:
    """The body read and written again."""
    if frame_type == FrameType.MESSAGES:
        header, area = frames.MessagesHeader.decode(body)
        return header.encode() + area
    return frames.decode_frame(frame_type, body).encode()


def understood(frame_type: FrameType, body: bytes) -> bytes:
    """A body without the flags that nobody need understand: they are not kept."""
    if frame_type not in (FrameType.SYNC_REQUEST, FrameType.MESSAGES):
        return body
    return body[:4] + bytes(flags & BINDING_FLAGS for flags in body[4:5]) + body[5:]


def attempt(recoded: Callable[[], bytes]) -> bytes | str:
    """What was read, written again, or the reason why it was refused."""
    try:
        return recoded()
    except WireError as error:
        return error.reason


def beginnings(data: bytes) -> set[bytes]:
    return {data[:size] for size in range(1, len(data) + 1)}


READ_HERE = FRAMES_SPOKEN - {FrameType.STRIPPED}
"""A stripped frame is a number and a list, which the wire kernel alone reads (test_stripped.py)."""


@given(st.sampled_from(sorted(READ_HERE)), st.binary(max_size=300))
def test_any_bytes_are_one_frame_or_a_named_fault(frame_type: FrameType, body: bytes) -> None:
    assert attempt(lambda: recode(frame_type, body)) in {understood(frame_type, body), *REASONS}


@given(every_frame | headers, st.data())
def test_a_damaged_frame_is_one_frame_or_a_named_fault(
    frame: frames.Frame | frames.MessagesHeader, data: st.DataObject
) -> None:
    body = bytearray(frame.encode())
    at = data.draw(st.integers(0, len(body) - 1))
    body[at] ^= data.draw(st.integers(1, 255))
    damaged = bytes(body)
    assert attempt(lambda: recode(frame.type, damaged)) in {understood(frame.type, damaged), *REASONS}


@given(every_frame, st.data())
def test_no_frame_is_the_beginning_of_another(frame: frames.Frame, data: st.DataObject) -> None:
    """But for those that end in a list or may leave out what stands last."""
    body = frame.encode()
    shorter = body[: data.draw(st.integers(0, len(body) - 1))]
    assert attempt(lambda: recode(frame.type, shorter)) in {shorter, *REASONS}
    if frame.type not in ENDS_IN_A_LIST:
        with pytest.raises(WireError, match="frame-truncated"):
            frames.decode_frame(frame.type, shorter)
        with pytest.raises(WireError, match="frame-trailing"):
            frames.decode_frame(frame.type, body + b"\0")


@given(st.integers(0, UVARINT_MAX), st.binary(max_size=3))
@example(UVARINT_MAX, b"")
def test_uvarints_are_read_as_they_were_written(value: int, behind: bytes) -> None:
    encoded = encode_uvarint(value)
    assert len(encoded) <= 9
    assert decode_uvarint(encoded + behind, 0) == (value, len(encoded))


@given(st.binary(max_size=12))
def test_a_uvarint_has_one_form(data: bytes) -> None:
    encoded = attempt(lambda: encode_uvarint(decode_uvarint(data, 0)[0]))
    assert encoded in {*beginnings(data), "uvarint-malformed", "frame-truncated"}


@given(order_keys)
def test_bounds_are_read_as_they_were_written(key: OrderKey) -> None:
    encoded = encode_bound(key)
    assert decode_bound(encoded, 0) == (key, len(encoded))


@given(st.binary(max_size=30))
@example(b"\x18" + b"\xff" * 24)
@example(b"\x01\x00")
@example(b"\x19" + b"\x01" * 25)
def test_a_bound_has_one_form(data: bytes) -> None:
    encoded = attempt(lambda: encode_bound(decode_bound(data, 0)[0]))
    assert encoded in {*beginnings(data), "bound-malformed", "frame-truncated"}
