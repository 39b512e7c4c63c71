"""What a walker asks of the network role and tells it: the events of Walker.drain()."""

from __future__ import annotations

from dataclasses import dataclass

from dispersy.protocol.address import Address
from dispersy.protocol.identifiers import MemberId
from dispersy.protocol.walk.candidate import Candidate, Category
from dispersy.protocol.wire.numbers import ConnectionType, FrameType
from dispersy.protocol.wire.summary import Summary


@dataclass(frozen=True, slots=True)
class SendToken:
    """A datagram of 28 bytes: our token for this address, under header_token (zeros where we have none)."""

    address: Address
    header_token: bytes


@dataclass(frozen=True, slots=True)
class SendIntroduction:
    """A datagram of a token frame and an introduction, whose body is signed before it leaves.

    receiver_member  what the signature covers besides; None where the receiver's key is not known
    """

    address: Address
    header_token: bytes
    frame_type: FrameType
    unsigned_body: bytes
    receiver_member: MemberId | None


@dataclass(frozen=True, slots=True)
class SendFrame:
    """A datagram of this one frame, under token_for(address)."""

    address: Address
    frame_type: FrameType
    body: bytes


@dataclass(frozen=True, slots=True)
class SendKeepAlive:
    """A datagram of a token frame and a ping or pong."""

    address: Address
    header_token: bytes
    frame_type: FrameType
    body: bytes


@dataclass(frozen=True, slots=True)
class SummaryHeard:
    """A neighbour's newest word; summary None: it summarises nothing yet."""

    source: Address
    member: MemberId
    summary: Summary | None


@dataclass(frozen=True, slots=True)
class CandidateFound:
    """A candidate is verified that was not before."""

    source: Address
    member: MemberId


@dataclass(frozen=True, slots=True)
class OwnAddress:
    """Neighbours now see us at this address."""

    address: Address


@dataclass(frozen=True, slots=True)
class SameKeyElsewhere:
    """Another node signs with our member key: two nodes that publish as one member harm each other."""

    source: Address


WalkEvent = (
    SendToken
    | SendIntroduction
    | SendFrame
    | SendKeepAlive
    | SummaryHeard
    | CandidateFound
    | OwnAddress
    | SameKeyElsewhere
)


@dataclass(frozen=True, slots=True)
class CandidateView:
    """A candidate as people are shown it; ages and round trip in seconds, None: never, or not measured.

    in_sync     whether it last said the set that we hold; None: it said nothing, or we do not yet
    is_tracker  it makes others known, and holds nothing
    """

    address: Address
    member: MemberId | None
    category: Category
    proven_age_s: float | None
    round_trip_s: float | None
    connection: ConnectionType
    lan: Address
    wan: Address
    summary: Summary | None
    summary_age_s: float | None
    in_sync: bool | None
    is_tracker: bool

    @classmethod
    def of(cls, candidate: Candidate, category: Category, ours: Summary | None, now: float) -> CandidateView:
        """A candidate that is in this category now, beside our own summary."""
        return cls(
            address=candidate.address,
            member=candidate.member,
            category=category,
            proven_age_s=None if candidate.member is None else now - candidate.proven_at,
            round_trip_s=candidate.round_trip_s,
            connection=candidate.connection,
            lan=candidate.lan,
            wan=candidate.wan,
            summary=candidate.summary,
            summary_age_s=None if candidate.member is None else now - candidate.summary_at,
            in_sync=candidate.in_sync_with(ours),
            is_tracker=candidate.is_tracker,
        )
