"""Introductions: the two signed frames of the walk. Import them from frames, where all frames are."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from dispersy.constants import TOKEN_SIZE
from dispersy.errors import WireError
from dispersy.protocol.address import NO_ADDRESS, Address, decode_address, encode_address
from dispersy.protocol.identifiers import MemberId
from dispersy.protocol.wire.numbers import (
    CONNECTION_TYPE_MASK,
    CONNECTION_TYPE_SHIFT,
    ConnectionType,
    FrameType,
    IntroductionFlag,
)
from dispersy.protocol.wire.packing import FieldReader, decode_uvarint, encode_uvarint
from dispersy.protocol.wire.summary import SUMMARY_SIZE, Summary

KEY_SIZE = 32
SIGNATURE_SIZE = 64
NO_SIGNATURE = bytes(SIGNATURE_SIZE)
EXTENSION_SIZE_MAX = 255
_FLAGS = sum(IntroductionFlag) | CONNECTION_TYPE_MASK << CONNECTION_TYPE_SHIFT


def introduction_signed_bytes(
    tag: bytes,
    token: bytes,
    frame_type: FrameType,
    body_without_signature: bytes,
    *,
    receiver_member: MemberId | None,
) -> bytes:
    """What an introduction's signature covers.

    token            in the datagram's header: a recorded introduction fits no other receiver
    receiver_member  the receiver's key, None where it is not covered: the token alone does not keep one
                     receiver from passing the introduction on to another whose token it gave as its own
    """
    assert len(tag) == TOKEN_SIZE
    assert len(token) == TOKEN_SIZE
    domain = b"dispersy/3 introduction" + tag + token + bytes((frame_type,))
    return domain + body_without_signature + (receiver_member or b"")


@dataclass(frozen=True, slots=True, kw_only=True)
class IntroductionRequest:
    """A step of the walk.

    number               u32 that the response echoes
    member               the sender's key, under which the signature holds
    receiver             the receiver's address as the sender sees it
    lan, wan             the sender's address in its LAN, and as others see it
    summary              of the sender's live set; None while it summarises nothing
    asks_introduction    the response shall introduce somebody
    asks_announcements   new messages shall be announced to the sender
    covers_receiver      the signature covers the receiver's member key, too
    capabilities         u32 of Capability bits (metered.py); unknown ones mean nothing
    extension            at most EXTENSION_SIZE_MAX bytes for later versions, empty for now
    signature            64 bytes over introduction_signed_bytes(..., unsigned())
    """

    type: ClassVar[FrameType] = FrameType.INTRODUCTION_REQUEST

    number: int
    member: MemberId
    receiver: Address = NO_ADDRESS
    lan: Address = NO_ADDRESS
    wan: Address = NO_ADDRESS
    summary: Summary | None = None
    connection: ConnectionType = ConnectionType.UNKNOWN
    asks_introduction: bool = False
    asks_announcements: bool = False
    covers_receiver: bool = False
    capabilities: int = 0
    extension: bytes = b""
    signature: bytes = NO_SIGNATURE

    def unsigned(self) -> bytes:
        """The body before its signature."""
        flags = _introduction_flags(self.connection, self.summary, announcements=self.asks_announcements)
        if self.asks_introduction:
            flags |= IntroductionFlag.ASKS_INTRODUCTION
        if self.covers_receiver:
            flags |= IntroductionFlag.RECEIVER
        return (
            _introduction_head(self.number, self.member, flags, self.capabilities)
            + b"".join(map(encode_address, (self.receiver, self.lan, self.wan)))
            + _introduction_tail(self.summary, self.extension)
        )

    def encode(self) -> bytes:
        assert len(self.signature) == SIGNATURE_SIZE
        return self.unsigned() + self.signature

    @classmethod
    def decode(cls, body: bytes) -> IntroductionRequest:
        reader = FieldReader(body)
        number, member = reader.integer(4), MemberId(reader.take(KEY_SIZE))
        flags, connection = _decode_introduction_flags(reader.integer(1))
        capabilities = reader.integer(4)
        introduction = cls(
            number=number,
            member=member,
            receiver=reader.part(decode_address),
            lan=reader.part(decode_address),
            wan=reader.part(decode_address),
            summary=_summary(reader) if flags & IntroductionFlag.SUMMARY else None,
            connection=connection,
            asks_introduction=bool(flags & IntroductionFlag.ASKS_INTRODUCTION),
            asks_announcements=bool(flags & IntroductionFlag.ASKS_ANNOUNCEMENTS),
            covers_receiver=bool(flags & IntroductionFlag.RECEIVER),
            capabilities=capabilities,
            extension=_extension(reader),
            signature=reader.take(SIGNATURE_SIZE),
        )
        reader.finish()
        return introduction


@dataclass(frozen=True, slots=True, kw_only=True)
class IntroductionResponse:
    """The answer to an IntroductionRequest: its fields, and whom it introduces (NO_ADDRESS twice: nobody).

    Its signature always covers the receiver's member key: the request has told it.
    """

    type: ClassVar[FrameType] = FrameType.INTRODUCTION_RESPONSE
    covers_receiver: ClassVar[bool] = True

    number: int
    member: MemberId
    receiver: Address = NO_ADDRESS
    lan: Address = NO_ADDRESS
    wan: Address = NO_ADDRESS
    introduced_lan: Address = NO_ADDRESS
    introduced_wan: Address = NO_ADDRESS
    summary: Summary | None = None
    connection: ConnectionType = ConnectionType.UNKNOWN
    asks_announcements: bool = False
    capabilities: int = 0
    extension: bytes = b""
    signature: bytes = NO_SIGNATURE

    def unsigned(self) -> bytes:
        """The body before its signature."""
        flags = IntroductionFlag.RECEIVER | _introduction_flags(
            self.connection, self.summary, announcements=self.asks_announcements
        )
        addresses = (self.receiver, self.lan, self.wan, self.introduced_lan, self.introduced_wan)
        return (
            _introduction_head(self.number, self.member, flags, self.capabilities)
            + b"".join(map(encode_address, addresses))
            + _introduction_tail(self.summary, self.extension)
        )

    def encode(self) -> bytes:
        assert len(self.signature) == SIGNATURE_SIZE
        return self.unsigned() + self.signature

    @classmethod
    def decode(cls, body: bytes) -> IntroductionResponse:
        reader = FieldReader(body)
        number, member = reader.integer(4), MemberId(reader.take(KEY_SIZE))
        flags, connection = _decode_introduction_flags(reader.integer(1))
        if flags & IntroductionFlag.ASKS_INTRODUCTION:
            raise WireError("flags-unknown")
        if not flags & IntroductionFlag.RECEIVER:
            raise WireError("introduction-receiver")
        capabilities = reader.integer(4)
        introduction = cls(
            number=number,
            member=member,
            receiver=reader.part(decode_address),
            lan=reader.part(decode_address),
            wan=reader.part(decode_address),
            introduced_lan=reader.part(decode_address),
            introduced_wan=reader.part(decode_address),
            summary=_summary(reader) if flags & IntroductionFlag.SUMMARY else None,
            connection=connection,
            asks_announcements=bool(flags & IntroductionFlag.ASKS_ANNOUNCEMENTS),
            capabilities=capabilities,
            extension=_extension(reader),
            signature=reader.take(SIGNATURE_SIZE),
        )
        reader.finish()
        return introduction


def _introduction_flags(connection: ConnectionType, summary: Summary | None, *, announcements: bool) -> int:
    flags = int(connection) << CONNECTION_TYPE_SHIFT
    if announcements:
        flags |= IntroductionFlag.ASKS_ANNOUNCEMENTS
    if summary is not None:
        flags |= IntroductionFlag.SUMMARY
    return flags


def _introduction_head(number: int, member: MemberId, flags: int, capabilities: int) -> bytes:
    assert len(member) == KEY_SIZE
    return number.to_bytes(4, "big") + member + bytes((flags,)) + capabilities.to_bytes(4, "big")


def _introduction_tail(summary: Summary | None, extension: bytes) -> bytes:
    assert len(extension) <= EXTENSION_SIZE_MAX
    return (b"" if summary is None else summary.encode()) + encode_uvarint(len(extension)) + extension


def _decode_introduction_flags(flags: int) -> tuple[int, ConnectionType]:
    connection = flags >> CONNECTION_TYPE_SHIFT & CONNECTION_TYPE_MASK
    if flags & ~_FLAGS or connection > max(ConnectionType):
        raise WireError("flags-unknown")
    return flags, ConnectionType(connection)


def _extension(reader: FieldReader) -> bytes:
    size = reader.part(decode_uvarint)
    if size > EXTENSION_SIZE_MAX:
        raise WireError("introduction-extension")
    return reader.take(size)


def _summary(reader: FieldReader) -> Summary:
    return Summary.decode(reader.take(SUMMARY_SIZE))
