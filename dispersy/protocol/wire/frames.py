"""Frame bodies: one frozen dataclass each, with encode() -> body and decode(body) of the canonical form only.

decode() raises WireError with a named reason for whatever a peer may have sent; encode() asserts, for what it
is given is our own. The messages inside a messages frame are packed and split by dispersy.ext.wire.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, get_args

from dispersy.constants import (
    DATAGRAM_SIZE_MAX,
    FRAMES_PER_DATAGRAM_MAX,
    FRAMES_SIZE_MAX,
    TOKEN_SIZE,
)
from dispersy.errors import WireError
from dispersy.protocol.address import Address, decode_address, encode_address
from dispersy.protocol.identifiers import ORDER_LOW, OrderKey
from dispersy.protocol.wire.announcements import Have, Want
from dispersy.protocol.wire.introductions import (
    IntroductionRequest,
    IntroductionResponse,
    introduction_signed_bytes,
)
from dispersy.protocol.wire.large_frames import Fragment, FragmentRequest, Large, LargeName
from dispersy.protocol.wire.missing import (
    MissingLast,
    MissingMessages,
    MissingNewest,
    MissingProof,
    MissingSequences,
    RequestMissing,
    Wanted,
)
from dispersy.protocol.wire.numbers import BINDING_FLAGS, FrameType, MessagesFlag
from dispersy.protocol.wire.packing import FieldReader, decode_bound, encode_bound, encode_uvarint
from dispersy.protocol.wire.pings import Ping, Pong
from dispersy.protocol.wire.push import Push
from dispersy.protocol.wire.range_frames import RangeRequest, SyncRequest
from dispersy.protocol.wire.signatures import SignatureRequest, SignatureResponse
from dispersy.protocol.wire.summary import Summary
from dispersy.protocol.wire.sync_frames import Symbols, SymbolsRequest
from dispersy.protocol.wire.tree_frames import Tree, TreeRequest

__all__ = [
    "FRAME_CLASSES",
    "NO_TOKEN",
    "Audit",
    "AuditRequest",
    "Busy",
    "Fragment",
    "FragmentRequest",
    "Frame",
    "Have",
    "IntroductionRequest",
    "IntroductionResponse",
    "Large",
    "LargeName",
    "MessagesHeader",
    "MissingLast",
    "MissingMessages",
    "MissingNewest",
    "MissingProof",
    "MissingSequences",
    "Ping",
    "Pong",
    "PunctureRequest",
    "Push",
    "RangeRequest",
    "RequestMissing",
    "SignatureRequest",
    "SignatureResponse",
    "Symbols",
    "SymbolsRequest",
    "SyncRequest",
    "TokenFrame",
    "Tree",
    "TreeRequest",
    "Want",
    "Wanted",
    "datagram",
    "decode_frame",
    "frame",
    "introduction_signed_bytes",
    "token_datagram",
]

DATAGRAM_MARK = 0xD3
AUDIT_KEY_SIZE = 16
SUM_SIZE = 12
# An int: the complement of an IntFlag leaves out the very bits that mean nothing.
_MESSAGES_FLAGS_REFUSED = BINDING_FLAGS & ~sum(MessagesFlag)
NO_TOKEN = bytes(TOKEN_SIZE)


def frame(frame_type: FrameType, body: bytes) -> bytes:
    """A frame as it stands in a datagram: type, length, body."""
    return bytes((frame_type,)) + encode_uvarint(len(body)) + body


def datagram(tag: bytes, token: bytes, frames: Sequence[bytes]) -> bytes:
    """A datagram of at most FRAMES_PER_DATAGRAM_MAX whole frames.

    tag    8 bytes, identifiers.community_tag()
    token  8 bytes: what the receiver last gave us, or NO_TOKEN
    """
    assert len(tag) == TOKEN_SIZE
    assert len(token) == TOKEN_SIZE
    assert len(frames) <= FRAMES_PER_DATAGRAM_MAX
    content = b"".join(frames)
    assert len(content) <= FRAMES_SIZE_MAX <= DATAGRAM_SIZE_MAX
    return bytes((DATAGRAM_MARK, 0)) + tag + token + content


def token_datagram(tag: bytes, token: bytes, given: bytes) -> bytes:
    """The 28 bytes that may go to an address that has not proven itself: one token frame, giving `given`."""
    return datagram(tag, token, (frame(FrameType.TOKEN, TokenFrame(given).encode()),))


@dataclass(frozen=True, slots=True)
class TokenFrame:
    """token    8 bytes, not zeros: what the receiver shall put into its datagrams to the sender"""

    type: ClassVar[FrameType] = FrameType.TOKEN

    token: bytes

    def encode(self) -> bytes:
        assert len(self.token) == TOKEN_SIZE
        assert self.token != NO_TOKEN
        return self.token

    @classmethod
    def decode(cls, body: bytes) -> TokenFrame:
        reader = FieldReader(body)
        token = reader.take(TOKEN_SIZE)
        reader.finish()
        if token == NO_TOKEN:
            raise WireError("token-malformed")
        return cls(token)


@dataclass(frozen=True, slots=True)
class PunctureRequest:
    """Asks the receiver to open its NAT towards a walker: its address in its LAN and as others see it."""

    type: ClassVar[FrameType] = FrameType.PUNCTURE_REQUEST

    number: int
    walker_lan: Address
    walker_wan: Address

    def encode(self) -> bytes:
        addresses = encode_address(self.walker_lan) + encode_address(self.walker_wan)
        return self.number.to_bytes(4, "big") + addresses

    @classmethod
    def decode(cls, body: bytes) -> PunctureRequest:
        reader = FieldReader(body)
        request = cls(reader.integer(4), reader.part(decode_address), reader.part(decode_address))
        reader.finish()
        return request


@dataclass(slots=True, kw_only=True)
class MessagesHeader:
    """What stands before the messages of a messages frame: the interval that this datagram covers.

    number        of the request that this answers, 0 unasked
    low, high     order keys, half open, low <= high
    end_of_range  everything asked for at or above low has been sent or was in the filter
    last          this is the answer's last datagram; the next request goes on at high
    summary       of the sender's live set, where the answer ends
    """

    type: ClassVar[FrameType] = FrameType.MESSAGES

    number: int = 0
    low: OrderKey = ORDER_LOW
    high: OrderKey = ORDER_LOW
    end_of_range: bool = False
    last: bool = False
    summary: Summary | None = None

    def encode(self) -> bytes:
        """The envelope; the packed messages (ext.wire.pack) go behind it."""
        assert self.low <= self.high
        flags = (
            (MessagesFlag.END_OF_RANGE if self.end_of_range else 0)
            | (MessagesFlag.LAST_OF_ANSWER if self.last else 0)
            | (MessagesFlag.SUMMARY if self.summary is not None else 0)
        )
        return (
            self.number.to_bytes(4, "big")
            + bytes((flags,))
            + encode_bound(self.low)
            + encode_bound(self.high)
            + (b"" if self.summary is None else self.summary.encode())
        )

    @classmethod
    def decode(cls, body: bytes) -> tuple[MessagesHeader, bytes]:
        """The header and the packed messages behind it (ext.wire.parse_messages reads them)."""
        reader = FieldReader(body)
        number, flags = reader.integer(4), reader.integer(1)
        if flags & _MESSAGES_FLAGS_REFUSED:
            raise WireError("flags-unknown")
        low, high = reader.part(decode_bound), reader.part(decode_bound)
        if low > high:
            raise WireError("messages-malformed")
        header = cls(
            number=number,
            low=low,
            high=high,
            end_of_range=bool(flags & MessagesFlag.END_OF_RANGE),
            last=bool(flags & MessagesFlag.LAST_OF_ANSWER),
            summary=Summary.read(reader) if flags & MessagesFlag.SUMMARY else None,
        )
        return header, reader.rest()


@dataclass(frozen=True, slots=True)
class StrippedHeader:
    """What stands before the stripped messages of a stripped frame.

    It covers no interval: the messages frame behind it in the same datagram, under the same number, covers
    what is in both.
    """

    type: ClassVar[FrameType] = FrameType.STRIPPED

    number: int = 0

    def encode(self) -> bytes:
        """The packed stripped messages go behind it."""
        return self.number.to_bytes(4, "big")

    @classmethod
    def decode(cls, body: bytes) -> tuple[StrippedHeader, bytes]:
        """The header and the packed stripped messages behind it."""
        reader = FieldReader(body)
        return cls(reader.integer(4)), reader.rest()


@dataclass(frozen=True, slots=True)
class Busy:
    """The answer comes no sooner than in wait_ms (u16) milliseconds, when asked again."""

    type: ClassVar[FrameType] = FrameType.BUSY

    number: int
    wait_ms: int

    def encode(self) -> bytes:
        return self.number.to_bytes(4, "big") + self.wait_ms.to_bytes(2, "big")

    @classmethod
    def decode(cls, body: bytes) -> Busy:
        reader = FieldReader(body)
        busy = cls(reader.integer(4), reader.integer(2))
        reader.finish()
        return busy


@dataclass(frozen=True, slots=True)
class AuditRequest:
    """Asks for the count and the sum under `key` (16 bytes, fresh) of the ids in a range; low < high."""

    type: ClassVar[FrameType] = FrameType.AUDIT_REQUEST

    number: int
    key: bytes
    low: OrderKey
    high: OrderKey

    def encode(self) -> bytes:
        assert len(self.key) == AUDIT_KEY_SIZE
        assert self.low < self.high
        return self.number.to_bytes(4, "big") + self.key + encode_bound(self.low) + encode_bound(self.high)

    @classmethod
    def decode(cls, body: bytes) -> AuditRequest:
        reader = FieldReader(body)
        request = cls(reader.integer(4), reader.take(AUDIT_KEY_SIZE), *reader.key_range())
        reader.finish()
        return request


@dataclass(frozen=True, slots=True)
class Audit:
    """The answer to an AuditRequest: count (u32) and sum (below 2^96)."""

    type: ClassVar[FrameType] = FrameType.AUDIT

    number: int
    count: int
    sum: int

    def encode(self) -> bytes:
        numbers = self.number.to_bytes(4, "big") + self.count.to_bytes(4, "big")
        return numbers + self.sum.to_bytes(SUM_SIZE, "big")

    @classmethod
    def decode(cls, body: bytes) -> Audit:
        reader = FieldReader(body)
        audit = cls(reader.integer(4), reader.integer(4), reader.integer(SUM_SIZE))
        reader.finish()
        return audit


Frame = (
    TokenFrame
    | IntroductionRequest
    | IntroductionResponse
    | PunctureRequest
    | SyncRequest
    | RangeRequest
    | Busy
    | Have
    | Want
    | Push
    | SymbolsRequest
    | Symbols
    | TreeRequest
    | Tree
    | AuditRequest
    | Audit
    | RequestMissing
    | SignatureRequest
    | SignatureResponse
    | Ping
    | Pong
    | FragmentRequest
    | Fragment
    | Large
)

_CLASSES: tuple[type[Frame], ...] = get_args(Frame)
FRAME_CLASSES: dict[FrameType, type[Frame]] = {each.type: each for each in _CLASSES}
"""All spoken frames but messages, whose bodies MessagesHeader.decode() and the wire kernel share."""
_CLASSES_BY_NUMBER: dict[int, type[Frame]] = dict(FRAME_CLASSES.items())


def decode_frame(frame_type: int, body: bytes) -> Frame:
    """The frame of a body by its type; frame-unsupported for lists of messages and what is not spoken."""
    frame_class = _CLASSES_BY_NUMBER.get(frame_type)
    if frame_class is None:
        raise WireError("frame-unsupported")
    return frame_class.decode(body)
