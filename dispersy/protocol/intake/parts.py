"""Which stored messages change between what is offered and what is on request, because an older definition
has come that says so of their kind."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Protocol

from dispersy.protocol.intake.lane_round import LaneSlot
from dispersy.protocol.intake.marks import ON_REQUEST


class PartStore(Protocol):
    """What is asked of the writer's store."""

    def lanes(self, community: int, kind: int) -> Iterator[bytes]: ...
    def lane(self, community: int, name: bytes, kind: int, *, unlive: bool = False) -> Iterator[LaneSlot]: ...


def moved_messages(store: PartStore, community: int, kinds: Mapping[int, bool]) -> Iterator[tuple[int, bool]]:
    """(cursor, whether it is on request now) of all that the log has of these kinds.

    kinds    kind -> whether its messages are on request now, and were not before, or the other way round
    """
    for kind, on_request in sorted(kinds.items()):
        for name in store.lanes(community, kind):
            for slot in store.lane(community, name, kind, unlive=True):
                yield slot.cursor, on_request


def marks_by_kind(on_request: Mapping[int, bool]) -> bytes:
    """By kind, the mark that a message of it is stored with."""
    return bytes(ON_REQUEST if on_request.get(kind) else 0 for kind in range(256))
