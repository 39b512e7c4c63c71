"""The wire kernel in plain Python, written from docs/wire.md: slow and obvious."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from hashlib import sha256

MASK = (1 << 64) - 1
SPOKEN = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 26, 27, 28}
NUMBERED = range(1, 29)
TokenFunction = Callable[[bytes, bytes, int], bytes]
"""(18-byte address, tag, epoch) -> the 8-byte token."""


class MalformedError(Exception):
    """What the drop counter of this part is called."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Frame:
    datagram: int
    offset: int
    length: int
    community: int
    type: int
    token_state: int


@dataclass(frozen=True, slots=True)
class Envelope:
    datagram: int
    number: int
    offset: int
    length: int
    community: int
    count: int
    flags: int
    token_state: int
    low: bytes
    high: bytes
    summary: bytes


@dataclass(frozen=True, slots=True)
class ParsedMessage:
    offset: int
    length: int
    global_time: int
    sequence: int
    header_size: int
    kind: int
    flags: int
    payload_count: int
    signature_count: int
    state: int = 0


@dataclass
class Split:
    frames: list[Frame] = field(default_factory=list)
    envelopes: list[Envelope] = field(default_factory=list)
    drops: Counter[str] = field(default_factory=Counter)


def siphash(key: bytes, data: bytes) -> bytes:
    """SipHash-2-4, Aumasson and Bernstein 2012; the 8 bytes in the order of its reference code."""
    first, second = int.from_bytes(key[:8], "little"), int.from_bytes(key[8:], "little")
    state = [
        first ^ 0x736F6D6570736575,
        second ^ 0x646F72616E646F6D,
        first ^ 0x6C7967656E657261,
        second ^ 0x7465646279746573,
    ]

    def turn(word: int, by: int) -> int:
        return (word << by | word >> 64 - by) & MASK

    def rounds(count: int) -> None:
        a, b, c, d = state
        for _ in range(count):
            a, c = (a + b) & MASK, (c + d) & MASK
            b, d = turn(b, 13) ^ a, turn(d, 16) ^ c
            a, c = (turn(a, 32) + d) & MASK, (c + b) & MASK
            b, d = turn(b, 17) ^ c, turn(d, 21) ^ a
            c = turn(c, 32)
        state[:] = a, b, c, d

    padded = data + bytes(7 - len(data) % 8) + bytes([len(data) % 256])
    for at in range(0, len(padded), 8):
        word = int.from_bytes(padded[at : at + 8], "little")
        state[3] ^= word
        rounds(2)
        state[0] ^= word
    state[2] ^= 0xFF
    rounds(4)
    return (state[0] ^ state[1] ^ state[2] ^ state[3]).to_bytes(8, "little")


def token(secret: bytes, address: bytes, tag: bytes, epoch: int) -> bytes:
    """Bit 63 is the lowest bit of the epoch, the other 63 are SipHash's."""
    number = int.from_bytes(siphash(secret, address + tag + epoch.to_bytes(8, "big")), "big")
    return (number & (1 << 63) - 1 | (epoch & 1) << 63).to_bytes(8, "big")


def uvarint(value: int) -> bytes:
    out = b""
    while value >= 128:
        out += bytes([value % 128 + 128])
        value //= 128
    return out + bytes([value])


def read_uvarint(data: bytes, at: int) -> tuple[int, int, bool]:
    """(value, where it ends, whether it is the shortest form); MalformedError "cut" or "over"."""
    size = 0
    while True:
        if size == 9:
            raise MalformedError("over")
        if at + size >= len(data):
            raise MalformedError("cut")
        size += 1
        if data[at + size - 1] < 128:
            break
    value = sum((byte % 128) << 7 * index for index, byte in enumerate(data[at : at + size]))
    return value, at + size, data[at : at + size] == uvarint(value)


def read_pair(data: bytes, at: int) -> tuple[bytes, int, bool]:
    """uvarint length ‖ bytes: (bytes, where they end, whether the length is in its shortest form)."""
    size, at, shortest = read_uvarint(data, at)
    if at + size > len(data):
        raise MalformedError("cut")
    return data[at : at + size], at + size, shortest


def read_bound(data: bytes, at: int) -> tuple[bytes, int]:
    if at >= len(data):
        raise MalformedError("messages-malformed")
    size = data[at]
    if size == 255:
        return b"\xff" * 24, at + 1
    value = data[at + 1 : at + 1 + size]
    if size > 24 or len(value) < size or value[-1:] == b"\0" or value == b"\xff" * 24:
        raise MalformedError("messages-malformed")
    return value.ljust(24, b"\0"), at + 1 + size


def read_envelope(body: bytes) -> tuple[int, int, bytes, bytes, bytes, int]:
    """(number, flags, low, high, summary, where the list begins)"""
    if len(body) < 5 or body[4] % 16 > 7:
        raise MalformedError("messages-malformed")
    low, at = read_bound(body, 5)
    high, at = read_bound(body, at)
    if low > high:
        raise MalformedError("messages-malformed")
    summary = bytes(24)
    if body[4] & 4:
        summary = body[at : at + 24]
        at += 24
        if len(summary) < 24:
            raise MalformedError("messages-malformed")
    return int.from_bytes(body[:4], "big"), body[4] % 16, low, high, summary, at


def judge_token(header_token: bytes, address: bytes, tag: bytes, epoch: int, token_of: TokenFunction) -> int:
    if header_token == bytes(8):
        return 0
    if header_token == token_of(address, tag, epoch):
        return 2
    return 3 if header_token == token_of(address, tag, epoch - 1) else 1


def open_datagram(data: bytes, tags: list[bytes]) -> int:
    """Which community it is for."""
    if len(data) < 18:
        raise MalformedError("datagram-short")
    if data[0] != 0xD3:
        raise MalformedError("version-unknown" if 0xD0 <= data[0] <= 0xDF else "mark-wrong")
    if data[1]:
        raise MalformedError("flags-unknown")
    if len(data) - 18 > 1182:
        raise MalformedError("datagram-long")
    if data[2:10] not in tags:
        raise MalformedError("community-unknown")
    return tags.index(data[2:10])


def split_frames(data: bytes, drops: Counter[str]) -> list[tuple[int, int, bytes]]:
    """(type, offset, body) of the frames that are spoken."""
    frames = []
    at = 18
    seen = 0
    while at < len(data):
        if seen == 8:
            drops["frames-many"] += 1
            break
        seen += 1
        kind = data[at]
        try:
            body, at, shortest = read_pair(data, at + 1)
        except MalformedError:
            drops["frame-truncated"] += 1
            break
        if not shortest:
            drops["frame-length-long"] += 1
        elif kind not in NUMBERED:
            drops["frame-unknown"] += 1
        elif kind not in SPOKEN:
            drops["frame-unsupported"] += 1
        else:
            frames.append((kind, at - len(body), body))
    return frames


def whole_pairs(data: bytes, drops: Counter[str]) -> list[tuple[int, bytes, bool]]:
    """(offset, bytes, whether the length is in its shortest form), up to where it stops being a list."""
    pairs = []
    at = 0
    while at < len(data):
        try:
            body, at, shortest = read_pair(data, at)
        except MalformedError:
            drops["messages-truncated"] += 1
            break
        pairs.append((at - len(body), body, shortest))
    return pairs


def split(
    datagrams: list[tuple[bytes, bytes]], *, tags: list[bytes], epoch: int, token_of: TokenFunction
) -> Split:
    """What the kernel makes of (18-byte address, datagram) pairs that lie behind each other in its arena."""
    result = Split()
    start = 0
    for index, (address, data) in enumerate(datagrams):
        try:
            community = open_datagram(data, tags)
        except MalformedError as malformed:
            result.drops[malformed.reason] += 1
        else:
            state = judge_token(data[10:18], address, data[2:10], epoch, token_of)
            _split_one(result, index, start, data, community, state)
        start += len(data)
    return result


def _split_one(result: Split, index: int, start: int, data: bytes, community: int, state: int) -> None:
    frames = split_frames(data, result.drops)
    if state < 2:
        if not frames or any(kind != 1 for kind, _, _ in frames):
            result.drops["token-missing"] += 1
        frames = [frame for frame in frames if frame[0] == 1]
    for kind, offset, body in frames:
        if kind == 1 and len(body) != 8:
            result.drops["token-malformed"] += 1
        elif kind == 6:
            try:
                number, flags, low, high, summary, at = read_envelope(body)
            except MalformedError as malformed:
                result.drops[malformed.reason] += 1
                continue
            pairs = whole_pairs(body[at:], result.drops)
            size = pairs[-1][0] + len(pairs[-1][1]) if pairs else 0
            place = (index, number, start + offset + at, size, community, len(pairs))
            result.envelopes.append(Envelope(*place, flags, state, low, high, summary))
        elif kind == 26 and len(body) < 4:
            result.drops["stripped-malformed"] += 1
        elif kind == 26:
            pairs = whole_pairs(body[4:], result.drops)
            size = pairs[-1][0] + len(pairs[-1][1]) if pairs else 0
            place = (index, int.from_bytes(body[:4], "big"), start + offset + 4, size, community, len(pairs))
            result.envelopes.append(Envelope(*place, 128, state, bytes(24), bytes(24), bytes(24)))
        else:
            result.frames.append(Frame(index, start + offset, len(body), community, kind, state))


def parse_message(data: bytes, *, stripped: bool = False) -> ParsedMessage:
    """The fields of one message, its offset 0; MalformedError."""
    if len(data) > 65_536:
        raise MalformedError("message-long")
    if len(data) < 5:
        raise MalformedError("message-short")
    kind, flags = data[0], data[1]
    if flags > 15:
        raise MalformedError("message-flags")
    if flags & 2 and (flags & 1 or kind < 64):
        raise MalformedError("message-kind-flags")
    author_count = 0 if flags & 2 else 1 + (flags & 1)
    end = len(data) - 64 * author_count
    at = 2 + 32 * author_count
    if at > end:
        raise MalformedError("message-short")
    if any(data[2 + 32 * index : 34 + 32 * index] == bytes(32) for index in range(author_count)):
        raise MalformedError("message-author-zero")
    body = data[:end]
    if flags & 4:
        at += 32
    global_time, at = _read_number(body, at, cut="message-short")
    if global_time == 0:
        raise MalformedError("message-time-zero")
    sequence = 0
    if author_count:
        sequence, at = _read_number(body, at, cut="message-short")
        if sequence == 0:
            raise MalformedError("message-sequence-zero")
    at += (32 if kind < 64 else 0) + (17 if flags & 8 else 0)
    header_size = at
    if at > end:
        raise MalformedError("message-short")
    if stripped:
        if flags & 2 or kind < 64:
            raise MalformedError("message-kind-flags")
        if end - at != 32:
            raise MalformedError("message-short" if end - at < 32 else "message-trailing")
        return ParsedMessage(0, len(data), global_time, sequence, at, kind, flags, 1, author_count, 1)
    payload_count, at = _read_number(body, at, cut="message-short")
    if not 1 <= payload_count <= 255:
        raise MalformedError("message-payload-count")
    for _ in range(payload_count):
        size, at = _read_number(body, at, cut="message-payload-truncated")
        if at + size > end:
            raise MalformedError("message-payload-truncated")
        at += size
    if at != end:
        raise MalformedError("message-trailing")
    return ParsedMessage(
        0, len(data), global_time, sequence, header_size, kind, flags, payload_count, author_count
    )


def _read_number(data: bytes, at: int, *, cut: str) -> tuple[int, int]:
    try:
        value, at, shortest = read_uvarint(data, at)
    except MalformedError as malformed:
        raise MalformedError(cut if malformed.reason == "cut" else "message-uvarint") from None
    if not shortest:
        raise MalformedError("message-uvarint")
    return value, at


def parse_messages(area: bytes, *, stripped: bool = False) -> tuple[list[ParsedMessage], Counter[str]]:
    messages = []
    drops: Counter[str] = Counter()
    for offset, data, shortest in whole_pairs(area, drops):
        try:
            if not shortest:
                raise MalformedError("message-length-long")
            parsed = parse_message(data, stripped=stripped)
        except MalformedError as malformed:
            drops[malformed.reason] += 1
            continue
        fields = {name: getattr(parsed, name) for name in ParsedMessage.__slots__}
        messages.append(ParsedMessage(**{**fields, "offset": offset}))
    return messages, drops


def strip(message: bytes) -> bytes:
    """What is left of a well-formed message when its payload part gives way to its digest."""
    parsed = parse_message(message)
    end = len(message) - 64 * parsed.signature_count
    part = message[parsed.header_size : end]
    return message[: parsed.header_size] + sha256(part).digest() + message[end:]


def encode_message(
    kind: int,
    flags: int,
    authors: bytes,
    recipient: bytes,
    global_time: int,
    sequence: int,
    previous: bytes,
    n_hop: bytes,
    payloads: list[bytes],
) -> bytes:
    """A message without its signatures, of parts that fit each other."""
    numbers = uvarint(global_time) + (uvarint(sequence) if authors else b"")
    header = bytes([kind, flags]) + authors + recipient + numbers + previous + n_hop
    return header + uvarint(len(payloads)) + b"".join(uvarint(len(payload)) + payload for payload in payloads)
