"""What the store in memory holds of one community, and where each of its messages stands."""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Iterator
from dataclasses import dataclass, field

from dispersy.protocol.identifiers import CommunityId, sum_key, symbols_key
from dispersy.protocol.wire.numbers import COMMUNITY_KIND_MIN
from dispersy.storage.live_sketch import LiveSketch
from dispersy.storage.live_tree import LiveTree
from dispersy.storage.store import CommunityRecord, CommunityState


@dataclass(slots=True)
class Community:
    """What is held of one community."""

    record: CommunityRecord
    state: CommunityState = field(default_factory=CommunityState)
    order: list[bytes] = field(default_factory=list)
    """40-byte keys of what is live and offered, ascending"""
    requested: list[bytes] = field(default_factory=list)
    """the same of what is live and on request"""
    cursors: dict[bytes, int] = field(default_factory=dict)
    """of all that is live, by 40-byte key"""
    lanes: dict[tuple[bytes, int], list[tuple[int, bytes, int, int]]] = field(default_factory=dict)
    """(sequence, id, global time, cursor) of all that is in the log, ascending, by (name, kind)"""
    control: list[tuple[bytes, int]] = field(default_factory=list)
    """(40-byte key, cursor) of all control messages that are in the log, ascending"""
    retired: list[tuple[int, bytes, int]] = field(default_factory=list)
    """(kind, 40-byte key, cursor) of the data messages that are in the log and not live, ascending"""
    sketch: LiveSketch = field(init=False)
    tree: LiveTree = field(init=False)

    def __post_init__(self) -> None:
        self.sketch = LiveSketch(symbols_key(CommunityId(self.record.community_id)))
        self.tree = LiveTree(sum_key(CommunityId(self.record.community_id)))

    def ids(self) -> Iterator[bytes]:
        """Of what is live and offered."""
        return (key[8:] for key in self.order)

    def part(self, *, on_request: bool) -> list[bytes]:
        """40-byte keys of what is live, offered or on request."""
        return self.requested if on_request else self.order

    def retire(self, place: Place, cursor: int) -> None:
        """A message is not live any more."""
        if place.lane[1] >= COMMUNITY_KIND_MIN:
            insort(self.retired, (place.lane[1], place.key, cursor))

    def unretire(self, place: Place, cursor: int) -> None:
        """It is live again, or gone."""
        if place.lane[1] >= COMMUNITY_KIND_MIN:
            del self.retired[bisect_left(self.retired, (place.lane[1], place.key, cursor))]

    def forget(self, place: Place, cursor: int) -> None:
        """A message that is not live has left the log."""
        self.unretire(place, cursor)
        lane = self.lanes[place.lane]
        lane.remove((place.sequence, place.message_id, place.global_time, cursor))
        if not lane:
            del self.lanes[place.lane]
        if place.lane[1] < COMMUNITY_KIND_MIN:
            self.control.remove((place.key, cursor))


@dataclass(frozen=True, slots=True)
class Place:
    """Where a message of the log stands, live or not."""

    community: int
    key: bytes
    lane: tuple[bytes, int]
    sequence: int
    on_request: bool = False

    @property
    def message_id(self) -> bytes:
        return self.key[8:]

    @property
    def global_time(self) -> int:
        return int.from_bytes(self.key[:8], "big")


def order_key(fields: tuple[int | bytes, ...]) -> bytes:
    """40 bytes: big-endian global time ‖ id."""
    global_time, message_id = fields[2], fields[11]
    assert isinstance(global_time, int)
    assert isinstance(message_id, bytes)
    return global_time.to_bytes(8, "big") + message_id
