"""Which questions share a datagram."""

from __future__ import annotations

from dispersy.constants import FRAMES_PER_DATAGRAM_MAX, FRAMES_SIZE_MAX
from dispersy.protocol.address import make_address
from dispersy.protocol.sync.questions import Send, in_datagrams
from dispersy.protocol.wire.frames import RangeRequest, frame
from dispersy.protocol.wire.numbers import FrameType

ONE, OTHER = make_address("203.0.113.1", 6421), make_address("203.0.113.2", 6421)
RANGE = FrameType.RANGE_REQUEST


def asked(address: bytes = ONE, size: int = 0, frame_type: FrameType = RANGE) -> Send:
    body = RangeRequest(number=1, budget=1).encode() if not size else bytes(size)
    return Send(address, frame_type, body)  # type: ignore[arg-type]


def test_requests_for_ranges_of_one_neighbour_leave_together() -> None:
    """In the order in which they were asked, and what comes between them parts them."""
    sends = [asked(), asked(), asked(OTHER), asked(frame_type=FrameType.SYMBOLS_REQUEST), asked(), asked()]
    sent = in_datagrams(sends)
    assert [(address, kind) for address, kind, _ in sent] == [
        (ONE, RANGE),
        (OTHER, RANGE),
        (ONE, FrameType.SYMBOLS_REQUEST),
        (ONE, RANGE),
    ]
    assert b"".join(frames for *_, frames in sent) == b"".join(
        frame(each.frame_type, each.body) for each in sends
    )


def test_a_datagram_holds_no_more_than_it_may() -> None:
    """Neither frames nor bytes; nothing else is joined, however small."""
    assert [len(frames) for *_, frames in in_datagrams([asked()] * 20)] == [
        count * len(frame(RANGE, asked().body)) for count in (8, 8, 4)
    ]
    assert FRAMES_PER_DATAGRAM_MAX == 8
    large = in_datagrams([asked(size=500)] * 5)
    assert [len(frames) for *_, frames in large] == [1_006, 1_006, 503]
    assert all(len(frames) <= FRAMES_SIZE_MAX for *_, frames in large)
    assert len(in_datagrams([asked(frame_type=FrameType.SYNC_REQUEST)] * 3)) == 3
