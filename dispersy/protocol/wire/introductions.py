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
from dispersy.protocol.wire.summary import Summary

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
class _Introduction:
    """What who signs it says of itself.

    number               u32: the request's, which the response echoes
    member               the sender's key, under which the signature holds
    receiver             the receiver's address as the sender sees it
    lan, wan             the sender's address in its LAN, and as others see it
    summary              of the sender's live set; None while it summarises nothing
    asks_announcements   new messages shall be announced to the sender
    capabilities         u32 of Capability bits; unknown ones mean nothing
    extension            at most EXTENSION_SIZE_MAX bytes for later versions, empty for now
    signature            64 bytes over introduction_signed_bytes(..., unsigned())
    """

    number: int
    member: MemberId
    receiver: Address = NO_ADDRESS
    lan: Address = NO_ADDRESS
    wan: Address = NO_ADDRESS
    summary: Summary | None = None
    connection: ConnectionType = ConnectionType.UNKNOWN
    asks_announcements: bool = False
    capabilities: int = 0
    extension: bytes = b""
    signature: bytes = NO_SIGNATURE

    def unsigned(self) -> bytes:
        """The body before its signature."""
        raise NotImplementedError

    def encode(self) -> bytes:
        assert len(self.signature) == SIGNATURE_SIZE
        return self.unsigned() + self.signature

    def _unsigned(self, flags: int, *introduced: Address) -> bytes:
        """With the flags and the addresses that one of the two has beside."""
        assert len(self.member) == KEY_SIZE
        assert len(self.extension) <= EXTENSION_SIZE_MAX
        flags |= int(self.connection) << CONNECTION_TYPE_SHIFT
        if self.asks_announcements:
            flags |= IntroductionFlag.ASKS_ANNOUNCEMENTS
        if self.summary is not None:
            flags |= IntroductionFlag.SUMMARY
        return b"".join(
            (
                self.number.to_bytes(4, "big"),
                self.member,
                bytes((flags,)),
                self.capabilities.to_bytes(4, "big"),
                *map(encode_address, (self.receiver, self.lan, self.wan, *introduced)),
                b"" if self.summary is None else self.summary.encode(),
                encode_uvarint(len(self.extension)),
                self.extension,
            )
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class IntroductionRequest(_Introduction):
    """A step of the walk.

    asks_introduction    the response shall introduce somebody
    covers_receiver      the signature covers the receiver's member key, too
    """

    type: ClassVar[FrameType] = FrameType.INTRODUCTION_REQUEST

    asks_introduction: bool = False
    covers_receiver: bool = False

    def unsigned(self) -> bytes:
        flags = IntroductionFlag.ASKS_INTRODUCTION if self.asks_introduction else 0
        return self._unsigned(flags | (IntroductionFlag.RECEIVER if self.covers_receiver else 0))

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
            summary=Summary.read(reader) if flags & IntroductionFlag.SUMMARY else None,
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
class IntroductionResponse(_Introduction):
    """The answer to an IntroductionRequest: whom it introduces (NO_ADDRESS twice: nobody).

    Its signature always covers the receiver's member key: the request has told it.
    """

    type: ClassVar[FrameType] = FrameType.INTRODUCTION_RESPONSE
    covers_receiver: ClassVar[bool] = True

    introduced_lan: Address = NO_ADDRESS
    introduced_wan: Address = NO_ADDRESS

    def unsigned(self) -> bytes:
        return self._unsigned(IntroductionFlag.RECEIVER, self.introduced_lan, self.introduced_wan)

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
            summary=Summary.read(reader) if flags & IntroductionFlag.SUMMARY else None,
            connection=connection,
            asks_announcements=bool(flags & IntroductionFlag.ASKS_ANNOUNCEMENTS),
            capabilities=capabilities,
            extension=_extension(reader),
            signature=reader.take(SIGNATURE_SIZE),
        )
        reader.finish()
        return introduction


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
