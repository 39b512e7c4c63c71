"""What a revoke, or settings to linear, lets go on counting: all that this node holds and that is live.

A pin is what makes revoking safe: what it names was there before, and nobody adds to it by writing in the
past. What it does not name never counts again, so that one message must hold all of it, or whoever revokes
has to say that the rest may go.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

from dispersy.errors import UsageError
from dispersy.protocol.identifiers import CommunityId, MemberId, MessageId
from dispersy.protocol.intake.marks import DENIED
from dispersy.protocol.permissions.control_bodies import PREFIX_SIZE
from dispersy.protocol.permissions.control_messages import (
    AuthorRanges,
    Body,
    PairCut,
    PairRanges,
    Permission,
    Ranges,
    Revoke,
    Settings,
    Withdrawal,
    encode_body,
)
from dispersy.protocol.wire.message import read_message
from dispersy.protocol.wire.numbers import ControlKind, MessageFlag
from dispersy.storage.store import StoreWriter

FIRST, SECOND = slice(2, 34), slice(34, 66)
"""Where a message has its authors."""
FLAGS_AT = 1

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class ControlLink:
    """A stored control message as a link of its author's chain."""

    id: MessageId
    kind: int
    global_time: int
    sequence: int
    previous: MessageId
    is_live: bool


def control_chain(store: StoreWriter, number: int, community_id: bytes, author: bytes) -> list[ControlLink]:
    """All control messages of an author that are stored, definitions too, by (global time, id)."""
    links = []
    for entry in store.control(number):
        if entry.message[FIRST] == author:
            view = read_message(CommunityId(community_id), entry.message)
            assert view.previous is not None
            is_live = not entry.marks & DENIED
            links.append(
                ControlLink(view.id, view.kind, view.global_time, view.sequence, view.previous, is_live)
            )
    return links


def heads_of(chain: Iterable[ControlLink]) -> tuple[MessageId, ...]:
    """Of the live messages of a chain those that no other one follows, ascending.

    They are several where the author has written from several places at once.
    """
    live = [link for link in chain if link.is_live and link.kind != ControlKind.DEFINITION]
    followed = {link.previous for link in live}
    return tuple(sorted(link.id for link in live if link.id not in followed))


def ranges_of(sequences: Iterable[int]) -> Ranges:
    """Rising sequences, perhaps some of them twice, as ranges."""
    ranges: list[tuple[int, int]] = []
    for sequence in sequences:
        if ranges and sequence <= ranges[-1][1] + 1:
            ranges[-1] = (ranges[-1][0], sequence)
        else:
            ranges.append((sequence, sequence))
    return tuple(ranges)


def lanes_with_authors(
    store: StoreWriter, number: int, kind: int
) -> Iterator[tuple[tuple[bytes, ...], Ranges]]:
    """(its author or authors, live sequences) of every lane of a kind in which something is live."""
    for lane in store.lanes(number, kind):
        slots = list(store.lane(number, lane, kind))
        if slots:
            # A lane of two authors is named by a hash of both, so that only its messages tell who they are.
            (entry,) = store.entries([slots[0].cursor])
            message = entry.message
            is_pair = message[FLAGS_AT] & MessageFlag.TWO_AUTHORS
            authors = (message[FIRST], message[SECOND]) if is_pair else (message[FIRST],)
            yield authors, ranges_of(slot.sequence for slot in slots)


def withdrawal_of(
    store: StoreWriter,
    number: int,
    *,
    member: bytes,
    kind: int,
    permissions: Permission,
    chain: Sequence[ControlLink],
    is_double: bool,
) -> Withdrawal:
    """What takes permissions from a member and keeps all that is live of it.

    chain      the member's own
    is_double  whether messages of the kind have two authors
    """
    made = Withdrawal(MemberId(member), kind, permissions, heads_of(chain))
    if not permissions & Permission.PERMIT:
        return made
    ranges = ranges_of(slot.sequence for slot in store.lane(number, member, kind))
    pairs = []
    for authors, shared in lanes_with_authors(store, number, kind) if is_double else ():
        if len(authors) == 2 and member in authors:
            role = authors.index(member)
            pairs.append(PairRanges(MemberId(authors[1 - role]), role, shared))
    return replace(made, ranges=ranges, pairs=tuple(sorted(pairs, key=lambda pair: (pair.other, pair.role))))


def revokes_of(withdrawals: Iterable[Withdrawal], *, force: bool) -> list[Revoke]:
    """As few messages as hold these; force: of a pin that fits no message what is newest.

    raises  UsageError `pin-too-long`
    """
    ordered = sorted(withdrawals, key=lambda each: (each.member, each.kind))
    fitting = []
    for withdrawal in ordered:
        if fits(Revoke((withdrawal,))):
            fitting.append(withdrawal)
        elif force:
            fitting.append(_newest(withdrawal))
        else:
            named = len(withdrawal.ranges) + sum(len(pair.ranges) for pair in withdrawal.pairs)
            raise UsageError(
                f"what goes on counting of {withdrawal.member.hex()[:8]} does not fit one message: {named} "
                f"ranges of sequences and {len(withdrawal.heads)} control messages",
                code="pin-too-long",
                hint="force it to keep only the newest that fit; what is older is hidden then",
            )
    return [Revoke(part) for part in in_portions(fitting, lambda part: fits(Revoke(part)))]


def cut_of(store: StoreWriter, number: int, kind: int) -> tuple[list[AuthorRanges], list[PairCut]]:
    """All that is live of a kind, as settings to linear name it; ascending."""
    single: dict[bytes, list[tuple[int, int]]] = {}
    double: dict[tuple[bytes, bytes], list[tuple[int, int]]] = {}
    for authors, ranges in lanes_with_authors(store, number, kind):
        prefixes = [author[:PREFIX_SIZE] for author in authors]
        if len(prefixes) == 2:
            double.setdefault((prefixes[0], prefixes[1]), []).extend(ranges)
        else:
            single.setdefault(prefixes[0], []).extend(ranges)
    return (
        [AuthorRanges(prefix, _joined(single[prefix])) for prefix in sorted(single)],
        [PairCut(*prefixes, _joined(double[prefixes])) for prefixes in sorted(double)],
    )


def settings_of(kind: int, single: Sequence[AuthorRanges], double: Sequence[PairCut]) -> list[Settings]:
    """As few settings to linear as hold this cut; those after the first are to continue it."""
    whole = Settings(kind, is_linear=True, continues=MessageId(bytes(32)))
    parts: list[Settings] = []
    for authors in in_portions(_split(single), lambda part: fits(replace(whole, cut=part))):
        parts.append(replace(whole, cut=authors))
    for pairs in in_portions(_split(double), lambda part: fits(replace(whole, pair_cut=part))):
        parts.append(replace(whole, pair_cut=pairs))
    first, *rest = parts or [whole]
    return [replace(first, continues=None), *rest]


def in_portions(rows: Iterable[T], fits: Callable[[tuple[T, ...]], bool]) -> list[tuple[T, ...]]:
    """Rows in their order in as few portions as fit, of which none is empty; each row fits alone."""
    portions: list[tuple[T, ...]] = []
    for row in rows:
        if portions and fits((*portions[-1], row)):
            portions[-1] = (*portions[-1], row)
        else:
            portions.append((row,))
    return portions


RANGES_PER_ENTRY_MAX = 32
"""Of one author in one settings message: 32 ranges of the longest numbers are 576 bytes, which always fit.
Who has more is named in several."""


def _split(rows: Iterable[T]) -> Iterator[T]:
    for row in rows:
        assert isinstance(row, AuthorRanges | PairCut)
        for first in range(0, len(row.ranges), RANGES_PER_ENTRY_MAX):
            yield replace(row, ranges=row.ranges[first : first + RANGES_PER_ENTRY_MAX])


def _joined(ranges: Iterable[tuple[int, int]]) -> Ranges:
    """Ranges of several lanes, which may overlap where two keys begin alike."""
    joined: list[tuple[int, int]] = []
    for low, high in sorted(ranges):
        if joined and low <= joined[-1][1] + 1:
            joined[-1] = (joined[-1][0], max(joined[-1][1], high))
        else:
            joined.append((low, high))
    return tuple(joined)


def _newest(withdrawal: Withdrawal) -> Withdrawal:
    """As much of a pin as fits: the newest ranges; where not even one of each lane does, fewer heads and
    lanes."""
    most = max([len(withdrawal.ranges), *(len(pair.ranges) for pair in withdrawal.pairs)], default=0)
    for kept in _fewer(most):
        pairs = tuple(replace(pair, ranges=pair.ranges[-kept:]) for pair in withdrawal.pairs)
        part = replace(withdrawal, ranges=withdrawal.ranges[-kept:], pairs=pairs)
        if fits(Revoke((part,))):
            return part
    bare = replace(withdrawal, ranges=withdrawal.ranges[-1:], pairs=())
    for kept in _fewer(len(withdrawal.pairs)):
        pairs = tuple(replace(pair, ranges=pair.ranges[-1:]) for pair in withdrawal.pairs[:kept])
        if fits(Revoke((replace(bare, pairs=pairs),))):
            return replace(bare, pairs=pairs)
    return next(
        part
        for kept in range(len(bare.heads), -1, -1)
        if fits(Revoke(((part := replace(bare, heads=bare.heads[:kept])),)))
    )


def _fewer(most: int) -> Iterator[int]:
    """most, and then ever fewer, down to 1."""
    while most > 0:
        yield most
        most -= max(1, most // 8)


def fits(body: Body) -> bool:
    """Whether one message holds it."""
    try:
        encode_body(body)
    except UsageError as error:
        # Two entries of one author are not canonical: then the second goes into the next message.
        if error.code not in ("control-too-long", "control-not-canonical"):
            raise
        return False
    return True
