"""Questions to neighbours on their way: which of them share a datagram."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from dispersy.constants import FRAMES_PER_DATAGRAM_MAX, FRAMES_SIZE_MAX
from dispersy.protocol.address import Address
from dispersy.protocol.wire.frames import frame
from dispersy.protocol.wire.numbers import FrameType


@dataclass(frozen=True, slots=True)
class Send:
    """A frame to a neighbour."""

    address: Address
    frame_type: FrameType
    body: bytes


def in_datagrams(sends: Iterable[Send]) -> list[tuple[Address, FrameType, bytes]]:
    """(to whom, the type of the last frame, the frames) of each datagram, in the order of what is sent.

    Requests for ranges are short and many, and leave together where a path takes them at once: a header for
    each would be a third of them. Everything else, and what describes much, has a datagram of its own.
    """
    found: list[tuple[Address, FrameType, bytes]] = []
    joined = 0
    for send in sends:
        encoded = frame(send.frame_type, send.body)
        joins = (
            found
            and found[-1][:2] == (send.address, send.frame_type)
            and send.frame_type is FrameType.RANGE_REQUEST
            and joined < FRAMES_PER_DATAGRAM_MAX
            and len(found[-1][2]) + len(encoded) <= FRAMES_SIZE_MAX
        )
        if joins:
            found[-1] = (send.address, send.frame_type, found[-1][2] + encoded)
            joined += 1
        else:
            found.append((send.address, send.frame_type, encoded))
            joined = 1
    return found
