"""What a revoke of a history says about the past of whom it is against, carefully or not."""

from __future__ import annotations

import random
from collections.abc import Iterable
from dataclasses import dataclass

from dispersy.protocol.identifiers import MemberId, MessageId
from dispersy.protocol.permissions.control_messages import (
    ControlMessage,
    PairRanges,
    Permission,
    Ranges,
    Withdrawal,
)
from tests.oracle.node import Node
from tests.oracle.state import DataMessage, Message


@dataclass(frozen=True, slots=True)
class HonestRevoke:
    """What the master withdrew, at a moment of the history, and which messages its pins let count."""

    message: ControlMessage
    withdrawal: Withdrawal
    pinned: frozenset[MessageId]
    moment: int


def withdrawal(
    rng: random.Random, node: Node, member: MemberId, kind: int, permissions: Permission
) -> Withdrawal:
    """With pins that say all that is live here, or less, or more."""
    live = node.live()
    control = [each for each in live if isinstance(each, ControlMessage) and each.author == member]
    named = {message.previous for message in control}
    heads = [message.id for message in control if message.id not in named]
    lanes: dict[tuple[MemberId, ...], set[int]] = {}
    for message in live:
        if isinstance(message, DataMessage) and message.kind == kind and member in message.authors:
            lanes.setdefault(message.authors, set()).add(message.sequence)
    careless = rng.random()
    if careless < 0.2:  # the newest head only, or nothing
        newest = max(control, key=lambda message: (message.global_time, message.id), default=None)
        heads = [newest.id] if newest is not None and careless < 0.12 else []
    elif careless < 0.4:  # some of it
        heads = [head for head in heads if rng.random() < 0.5]
        lanes = {lane: {each for each in lanes[lane] if rng.random() < 0.5} for lane in lanes}
    elif careless < 0.6:  # whatever is here, also what does not count
        heads = [
            message.id
            for message in node.held.values()
            if isinstance(message, ControlMessage) and message.author == member and rng.random() < 0.4
        ]
    if not permissions & Permission.PERMIT:
        lanes = {}
    pairs = [
        PairRanges(lane[1 - lane.index(member)], lane.index(member), ranges_of(sequences))
        for lane, sequences in lanes.items()
        if len(lane) == 2 and sequences
    ]
    own = ranges_of(lanes.get((member,), ()))
    ordered = tuple(sorted(pairs, key=lambda pair: (pair.other, pair.role)))
    return Withdrawal(member, kind, permissions, tuple(sorted(heads)), own, ordered)


def ranges_of(sequences: Iterable[int]) -> Ranges:
    """Sequences as ranges that are not adjacent."""
    ranges: list[tuple[int, int]] = []
    for sequence in sorted(set(sequences)):
        if ranges and ranges[-1][1] + 1 == sequence:
            ranges[-1] = ranges[-1][0], sequence
        else:
            ranges.append((sequence, sequence))
    return tuple(ranges)


def pinned_by(withdrawal: Withdrawal, held: dict[MessageId, Message]) -> Iterable[MessageId]:
    """The ids of the member's control messages that a pin names or reaches, told without the oracle."""
    for head in withdrawal.heads:
        message = held.get(head)
        while isinstance(message, ControlMessage):
            yield message.id
            message = held.get(message.previous)
