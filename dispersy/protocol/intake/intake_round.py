"""What a round of the intake comes to: the writer commits it as one transaction."""

from __future__ import annotations

from array import array
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import compress
from typing import Literal

from dispersy.protocol.definitions.definition import Definition
from dispersy.protocol.intake.marks import ON_REQUEST
from dispersy.protocol.intake.received import TIME_WORD
from dispersy.protocol.wire.records import MESSAGE


@dataclass(frozen=True, slots=True)
class Change:
    """A stored message whose marks or place in the live set change.

    before, after    marks; None: not live
    is_inactive      it is live no longer because it is old, and stays readable
    """

    message_id: bytes
    cursor: int
    before: int | None
    after: int | None
    is_inactive: bool = False


@dataclass(frozen=True, slots=True)
class Event:
    """What followers of the log are told of a message.

    cursor    None: the message is one of this round's
    reason    denied: why (equivocation, order, revoked, policy, frozen, destroyed, rate); others:
              "message", or "payload-N" where that payload alone is undone or shown again
    """

    type: Literal["denied", "restored", "undone"]
    message_id: bytes
    cursor: int | None
    reason: str


@dataclass(slots=True)
class Round:
    """What one commit is to make durable, in the order in which it was received.

    blocks        (packed message_records, arena, one byte of marks a record)
    changes       to messages stored earlier
    events        about them, and about messages of the blocks
    moved         (cursor, whether it is on request now) of messages stored earlier
    erased        ids and cursors (None: in the blocks) of messages whose authors have undone them
    undone        the same, and the indices of the payloads that are undone one by one from now on
    definition    (decoded, whole message) when another one is current now
    heard         global times of permitted messages for which there was no place
    destroyed     the whole message of the hard destroy that came: nothing else of the community stays
    """

    blocks: list[tuple[bytes, bytes, bytes]] = field(default_factory=list)
    changes: list[Change] = field(default_factory=list)
    moved: list[tuple[int, bool]] = field(default_factory=list)
    events: list[Event] = field(default_factory=list)
    erased: list[tuple[bytes, int | None]] = field(default_factory=list)
    undone: list[tuple[bytes, int | None, tuple[int, ...]]] = field(default_factory=list)
    definition: tuple[Definition | None, bytes] | None = None
    heard: list[int] = field(default_factory=list)
    destroyed: bytes | None = None

    def global_times(self) -> Iterator[int]:
        """Of all that our clock may follow: it must not run ahead of others' by what they are not offered."""
        yield from self.heard
        for records, _, marks in self.blocks:
            times = array("Q", records)[TIME_WORD :: MESSAGE.size // 8]
            yield from compress(times, (not mark & ON_REQUEST for mark in marks)) if any(marks) else times
