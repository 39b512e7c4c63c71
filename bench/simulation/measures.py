"""What a scenario counts of the datagrams: messages, what describes sets, and what the walk costs anyway."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from dispersy.constants import DATAGRAM_HEADER_SIZE
from dispersy.errors import WireError
from dispersy.protocol.address import Address
from dispersy.protocol.wire.frames import MessagesHeader
from dispersy.protocol.wire.numbers import FrameType

WALK = frozenset(
    {
        FrameType.TOKEN,
        FrameType.INTRODUCTION_REQUEST,
        FrameType.INTRODUCTION_RESPONSE,
        FrameType.PUNCTURE_REQUEST,
        FrameType.PING,
        FrameType.PONG,
    }
)
DESCRIBES_MIN = 100
"""Bytes from which on a datagram without messages is taken to describe a set, and not only to ask."""


@dataclass(slots=True)
class Tally:
    """Datagrams of one sort: how many, their bytes, and when the first and the last were sent."""

    count: int = 0
    size: int = 0
    first_at: float | None = None
    last_at: float | None = None

    def add(self, now: float, size: int) -> None:
        self.count += 1
        self.size += size
        self.last_at = now
        if self.first_at is None:
            self.first_at = now


@dataclass(slots=True)
class Meter:
    """All datagrams that are sent, in UDP's bytes.

    walk          introductions, tokens, punctures, pings
    messages      those that carry messages, and message_bytes: the messages' own in them
    description   all others
    describing_by  of those the larger ones, which say what is held, by who sent them
    """

    walk: Tally = field(default_factory=Tally)
    messages: Tally = field(default_factory=Tally)
    description: Tally = field(default_factory=Tally)
    describing_by: Counter[Address] = field(default_factory=Counter)
    message_bytes: int = 0
    by_frame: dict[str, Tally] = field(default_factory=dict)

    def note(self, now: float, source: Address, data: bytes) -> None:
        size = len(data)
        types = []
        carried = 0
        for frame_type, body in frames_of(data):
            types.append(frame_type)
            carried += _message_bytes(frame_type, body)
        last = types[-1] if types else 0
        label = FrameType(last).label if last in FrameType._value2member_map_ else "unknown"
        self.by_frame.setdefault(label, Tally()).add(now, size)
        if carried:
            self.messages.add(now, size)
            self.message_bytes += carried
        elif last in WALK:
            self.walk.add(now, size)
        else:
            self.description.add(now, size)
            if size >= DESCRIBES_MIN:
                self.describing_by[source] += 1


def frames_of(data: bytes) -> list[tuple[int, bytes]]:
    """(type, body) of a well-formed datagram's frames."""
    found = []
    at = DATAGRAM_HEADER_SIZE
    while at + 1 < len(data):
        frame_type, at = data[at], at + 1
        length = shift = 0
        while True:
            byte, at = data[at], at + 1
            length |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                break
        found.append((frame_type, data[at : at + length]))
        at += length
    return found


def _message_bytes(frame_type: int, body: bytes) -> int:
    """Bytes of messages in a frame, length prefixes included."""
    if frame_type == FrameType.MESSAGES:
        try:
            return len(MessagesHeader.decode(body)[1])
        except WireError:
            return 0
    if frame_type in (FrameType.STRIPPED, FrameType.PUSH, FrameType.FRAGMENT):
        return len(body)
    return 0
