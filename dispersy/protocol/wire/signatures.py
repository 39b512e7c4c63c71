"""The frames by which two authors sign one message. Import the frames from frames.

The first author drafts it and signs the request, so that nobody asks in its name. The second author signs the
message, perhaps with payloads of its own behind the first's, or says that it does not; then the first adds
its signature, and the message is like any other. A draft is a message without its signatures.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from dispersy.errors import WireError
from dispersy.protocol.identifiers import CommunityId, MemberId
from dispersy.protocol.wire.message import SIGNATURE_SIZE, Draft, MessageView, draft_message, read_message
from dispersy.protocol.wire.numbers import FrameType, MessageFlag, SignatureOutcome
from dispersy.protocol.wire.packing import FieldReader

WAIT_S_MAX = 0xFFFF


@dataclass(frozen=True, slots=True, kw_only=True)
class SignatureRequest:
    """Asks the second author of a draft for its signature.

    number     that the response repeats
    wait_s     for how long from now it is waited for, 1 to 65,535
    signature  of the first author over request_signed_bytes()
    draft      the message without signatures
    """

    type: ClassVar[FrameType] = FrameType.SIGNATURE_REQUEST

    number: int
    wait_s: int
    signature: bytes
    draft: bytes

    def encode(self) -> bytes:
        assert 1 <= self.wait_s <= WAIT_S_MAX
        assert len(self.signature) == SIGNATURE_SIZE
        assert self.draft
        return self.number.to_bytes(4, "big") + self.wait_s.to_bytes(2, "big") + self.signature + self.draft

    @classmethod
    def decode(cls, body: bytes) -> SignatureRequest:
        reader = FieldReader(body)
        number, wait_s = reader.integer(4), reader.integer(2)
        if not wait_s:
            raise WireError("count-zero")
        signature, draft = reader.take(SIGNATURE_SIZE), reader.rest()
        if not draft:
            raise WireError("frame-truncated")
        return cls(number=number, wait_s=wait_s, signature=signature, draft=draft)


@dataclass(frozen=True, slots=True, kw_only=True)
class SignatureResponse:
    """What the second author says.

    number     of the request
    signature  of the second author: over the message where it signed, else over refusal_signed_bytes()
    draft      the message as it has signed it, without signatures; empty where it did not
    """

    type: ClassVar[FrameType] = FrameType.SIGNATURE_RESPONSE

    number: int
    outcome: SignatureOutcome
    signature: bytes
    draft: bytes = b""

    def encode(self) -> bytes:
        assert len(self.signature) == SIGNATURE_SIZE
        assert bool(self.draft) == (self.outcome is SignatureOutcome.SIGNED)
        return self.number.to_bytes(4, "big") + bytes((self.outcome,)) + self.signature + self.draft

    @classmethod
    def decode(cls, body: bytes) -> SignatureResponse:
        reader = FieldReader(body)
        number, outcome = reader.integer(4), reader.integer(1)
        if outcome not in set(SignatureOutcome):
            raise WireError("signature-outcome")
        signature = reader.take(SIGNATURE_SIZE)
        if outcome != SignatureOutcome.SIGNED:
            reader.finish()
        draft = reader.rest()
        if outcome == SignatureOutcome.SIGNED and not draft:
            raise WireError("frame-truncated")
        return cls(number=number, outcome=SignatureOutcome(outcome), signature=signature, draft=draft)


def request_signed_bytes(community_id: CommunityId, number: int, draft: bytes) -> bytes:
    """What the first author's signature of a request covers."""
    return b"dispersy/3 signature-request" + community_id + number.to_bytes(4, "big") + draft


def refusal_signed_bytes(
    community_id: CommunityId, number: int, outcome: SignatureOutcome, draft: bytes
) -> bytes:
    """What the second author's signature covers where it does not sign; draft: the one it was asked for."""
    said = number.to_bytes(4, "big") + bytes((outcome,))
    return b"dispersy/3 signature-response" + community_id + said + draft


def read_draft(community_id: CommunityId, unsigned: bytes) -> tuple[Draft, MessageView]:
    """A draft of two authors, and its fields.

    raises  WireError: as read_message(), and signature-draft for one that two authors cannot sign
    """
    # Its signatures' places are filled, for a message is read whole; what is in them means nothing.
    view = read_message(community_id, unsigned + bytes(2 * SIGNATURE_SIZE))
    if view.flags != MessageFlag.TWO_AUTHORS or view.previous is not None:
        raise WireError("signature-draft")
    return draft_of(community_id, view, view.payloads), view


def draft_of(community_id: CommunityId, view: MessageView, payloads: tuple[bytes, ...]) -> Draft:
    """The same message of two authors with these payloads.

    raises  MessageTooLong, UsageError
    """
    return draft_message(
        community_id,
        kind=view.kind,
        authors=authors_of(view),
        global_time=view.global_time,
        sequence=view.sequence,
        payloads=payloads,
    )


def authors_of(view: MessageView) -> tuple[MemberId, MemberId]:
    """Both authors of a message that has two."""
    assert view.author is not None
    assert view.second_author is not None
    return view.author, view.second_author
