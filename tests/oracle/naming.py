"""What single control messages name: undos their targets, pins and cuts the sequences that stay."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence

from dispersy.protocol.identifiers import MessageId
from dispersy.protocol.permissions.control_messages import ControlMessage, Settings, Undo, Withdrawal
from tests.oracle.state import DataMessage, Marks, order


def marks_of(chosen: Sequence[DataMessage], undos: Iterable[ControlMessage]) -> dict[MessageId, Marks]:
    """[15, 16]"""
    whole: set[MessageId] = set()
    erased: set[MessageId] = set()
    indices: dict[MessageId, set[int]] = defaultdict(set)
    authors = {message.id: message.authors for message in chosen}
    for undo in undos:
        assert isinstance(undo.body, Undo)
        if undo.body.index is not None:
            indices[undo.body.target].add(undo.body.index)
        else:
            whole.add(undo.body.target)
            if undo.author in authors[undo.body.target]:
                erased.add(undo.body.target)
    slots = Counter(message.slot for message in chosen)
    return {
        message.id: Marks(
            equivocation=slots[message.slot] > 1,
            order=any(
                other.sequence > message.sequence
                and other.global_time <= message.global_time
                and other.lane == message.lane
                for other in chosen
            ),
            undone=message.id in whole,
            erased=message.id in erased,
            indices=frozenset(indices[message.id]),
        )
        for message in chosen
    }


def pinned_ranges(withdrawal: Withdrawal, message: DataMessage) -> Sequence[tuple[int, int]]:
    """What a pin says of the lane that a message is in."""
    if len(message.authors) == 1:
        return withdrawal.ranges
    role = message.authors.index(withdrawal.member)
    for pair in withdrawal.pairs:
        if (pair.other, pair.role) == (message.authors[1 - role], role):
            return pair.ranges
    return ()


def cut_names(settings: Settings, message: DataMessage) -> bool:
    """Whether the cut of settings lets a message keep counting."""
    beginnings = [author[:16] for author in message.authors]
    if len(beginnings) == 1:
        ranges = [author.ranges for author in settings.cut if author.prefix == beginnings[0]]
    else:
        ranges = [pair.ranges for pair in settings.pair_cut if [pair.first, pair.second] == beginnings]
    return any(low <= message.sequence <= high for each in ranges for low, high in each)


def kept_lanes(narrowing: ControlMessage, settings: Iterable[ControlMessage]) -> Iterator[tuple[bytes, ...]]:
    """The lanes of which settings to linear, and what continues them, let something stay."""
    for each in settings:
        body, whole = each.body, narrowing.body
        assert isinstance(body, Settings)
        assert isinstance(whole, Settings)
        continues = body.continues == narrowing.id
        if each.id == narrowing.id or (
            continues and (each.author, body.kind) == (narrowing.author, whole.kind)
        ):
            yield from ((author.prefix,) for author in body.cut)
            yield from ((pair.first, pair.second) for pair in body.pair_cut)


def policies_of(settings: Iterable[ControlMessage]) -> tuple[tuple[int, tuple[tuple[int, bool], ...]], ...]:
    """[10] Of each kind, what settings that count make of it: (global time, is linear), the newest last."""
    changes: dict[int, dict[int, bool]] = defaultdict(dict)
    for message in sorted(settings, key=order):
        if isinstance(message.body, Settings) and message.body.continues is None:
            # Of two at one global time the lower id counts.
            changes[message.body.kind].setdefault(message.global_time, message.body.is_linear)
    return tuple((kind, tuple(sorted(changes[kind].items()))) for kind in sorted(changes))
