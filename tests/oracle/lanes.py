"""Rules 13, 14 and 16 as they are written, for messages that are all permitted."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Written:
    """What the rules look at in a data message."""

    author: bytes
    kind: int
    sequence: int
    global_time: int
    message_id: bytes


def live_of(messages: Iterable[Written]) -> set[Written]:
    """Rules 16 and 13: permitted messages, hidden ones too, of each slot the two lowest ids."""
    every = set(messages)
    return {
        message
        for message in every
        if sum(_same_slot(message, other) and other.message_id < message.message_id for other in every) < 2
    }


def equivocated(live: Collection[Written]) -> set[Written]:
    """Rule 13: two messages in one slot hide each other."""
    return {
        message for message in live if any(_same_slot(message, other) and message != other for other in live)
    }


def overtaken(live: Collection[Written]) -> set[Written]:
    """Rule 14: a lower sequence with an equal or later global time is hidden."""
    return {
        message
        for message in live
        if any(
            _same_lane(message, other)
            and message.sequence < other.sequence
            and message.global_time >= other.global_time
            for other in live
        )
    }


def _same_lane(one: Written, other: Written) -> bool:
    return (one.author, one.kind) == (other.author, other.kind)


def _same_slot(one: Written, other: Written) -> bool:
    return _same_lane(one, other) and one.sequence == other.sequence
