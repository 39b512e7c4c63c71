"""A walker, and neighbours that walk to it, as the wire and the verifier hand them over."""

from __future__ import annotations

from random import Random

from dispersy.protocol.address import Address, make_address
from dispersy.protocol.identifiers import MemberId
from dispersy.protocol.walk.shared_pace import SharedPace
from dispersy.protocol.walk.walk_events import WalkEvent
from dispersy.protocol.walk.walker import Walker
from dispersy.protocol.wire.frames import IntroductionRequest
from dispersy.protocol.wire.records import TOKEN_CURRENT
from dispersy.protocol.wire.summary import Summary

TAG = b"community"[:8]
US = MemberId(b"\1" * 32)
HERE = make_address("198.51.100.1", 6421)
SUMMARY = Summary(highest=3, count=3, sum=5)


def address(index: int, port: int = 6421) -> Address:
    return make_address(f"203.0.{index >> 8}.{index & 255}", port)


def member(index: int) -> MemberId:
    return MemberId(index.to_bytes(32, "little"))


def token(index: int) -> bytes:
    return index.to_bytes(8, "little")


def make_walker(*bootstrap: Address, pace: SharedPace | None = None) -> Walker:
    walker = Walker(tag=TAG, member=US, rng=Random(1), bootstrap=bootstrap, now=0.0, pace=pace)
    walker.set_summary(SUMMARY, 0.0)
    return walker


def stumble(walker: Walker, index: int, now: float, **fields: object) -> list[WalkEvent]:
    """Neighbour `index` walks to us, as the wire and the verifier hand it over."""
    walker.receive_token(address(index), TOKEN_CURRENT, token(1), token(index), now)
    assert walker.drain() == []
    values = {"number": 7, "member": member(index), "receiver": HERE, **fields}
    walker.receive_introduction_request(address(index), IntroductionRequest(**values), now)  # type: ignore[arg-type]
    return walker.drain()


def of(events: list[WalkEvent], kind: type) -> list[WalkEvent]:
    return [event for event in events if isinstance(event, kind)]
