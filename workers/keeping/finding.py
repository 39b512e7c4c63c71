"""The orders `find` and `missing`: where messages are kept, by the index that only the writer has."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import partial

from dispersy.constants import SEQUENCE_MAX
from dispersy.errors import UsageError
from dispersy.protocol.identifiers import ORDER_LOW, ORDER_TOP, MessageId
from dispersy.protocol.wire.frames import (
    MissingLast,
    MissingMessages,
    MissingNewest,
    MissingProof,
    MissingSequences,
    RequestMissing,
)
from dispersy.storage.store import StoreWriter, on_request

FIND_IDS_MAX = 1_000
"""Ids of one order: each costs a seek in every run of the index."""
READ_AT_ONCE = 64
KINDS = range(256)
LOOKS_MAX = 256
"""Messages that one request by name finds: each is a seek in every run of the index, some 10 ms in all."""
PER_DATAGRAM_MAX = 10
"""The shortest messages that an answer's datagram holds: no more are looked for than the budget carries."""

Proof = Callable[[MessageId], Iterable[bytes]]
"""Ids of the control messages that permit a message, those of the master first."""


def find_ids(
    store: StoreWriter, community: int, ids: Sequence[bytes], *, inactive: bool = False
) -> list[int | None]:
    """Cursors of messages that are live in this community, None for those that are not; with `inactive` also
    of those that are too old to be offered and still here.

    raises  UsageError `count` or `malformed`
    """
    if len(ids) > FIND_IDS_MAX:
        raise UsageError(
            f"{len(ids)} ids in one request; at most {FIND_IDS_MAX}", code="count", hint="ask in portions"
        )
    if not all(len(message_id) == 32 for message_id in ids):
        raise UsageError("a message id has 32 bytes", code="malformed", hint="give it whole")
    cursors = store.find_ids(b"".join(ids), inactive=inactive)
    held = [cursor for cursor in cursors if cursor is not None]
    own: set[int] = set()
    # In portions: they may be large.
    for first in range(0, len(held), READ_AT_ONCE):
        entries = store.entries(held[first : first + READ_AT_ONCE])
        own.update(entry.cursor for entry in entries if entry.community == community)
    return [cursor if cursor in own else None for cursor in cursors]


def find_slot(store: StoreWriter, community: int, author: bytes, kind: int, sequence: int) -> list[int]:
    """What is live in a slot: one, two that prove misbehaviour (the lower id first), or none."""
    return [entry.cursor for entry in store.slot(community, author, kind, sequence)]


def find_newest(store: StoreWriter, community: int, author: bytes) -> list[int]:
    """The live message of an author with the highest sequence in each kind, by kind.

    Where two share that slot, both: they prove misbehaviour.
    """
    found: list[int] = []
    for kind in KINDS:
        head = store.heads.get(community, author, kind)
        if head is None:
            continue
        # A head may be held back by what is no longer live: then the highest that is counts.
        slot = store.slot(community, author, kind, head[0])
        if not slot and (below := store.neighbours(community, author, kind, SEQUENCE_MAX + 1)[0]) is not None:
            slot = store.slot(community, author, kind, below.sequence)
        found += [entry.cursor for entry in slot]
    return found


def find_missing(store: StoreWriter, community: int, request: RequestMissing, *, proof: Proof) -> list[int]:
    """Cursors of what a neighbour asks for by name, as far as it is live here, in the order of the answer."""
    limit = min(LOOKS_MAX, PER_DATAGRAM_MAX * request.budget)
    match request.wanted:
        case MissingMessages(ids):
            return _live(store, community, ids[:limit])
        case MissingSequences(lane, kind, low, high):
            return _find_range(store, community, lane, kind, low, high, limit)
        case MissingLast(kind, count, author):
            find = _find_last if author is None else partial(_find_last_of, author=author)
            return find(store, community, kind=kind, count=min(count, limit))
        case MissingProof(ids):
            # What permits several is named once, and what permits that stands before it.
            proven = dict.fromkeys(each for message_id in ids for each in proof(message_id))
            return _live(store, community, list(proven)[:limit])
        case MissingNewest(author):
            return find_newest(store, community, author)


def _live(store: StoreWriter, community: int, ids: Sequence[bytes]) -> list[int]:
    return [cursor for cursor in find_ids(store, community, ids) if cursor is not None]


def _find_range(
    store: StoreWriter, community: int, lane: bytes, kind: int, low: int, high: int, limit: int
) -> list[int]:
    """What there is between two sequences, from the lowest on: each step goes to the next that exists."""
    found: list[int] = []
    after = low - 1
    while len(found) < limit:
        above = store.neighbours(community, lane, kind, after)[1]
        if above is None or above.sequence > high:
            break
        after = above.sequence
        found += find_slot(store, community, lane, kind, after)
    return found[:limit]


def _find_last_of(store: StoreWriter, community: int, *, author: bytes, kind: int, count: int) -> list[int]:
    """The newest of one lane, the newest first."""
    found: list[int] = []
    before = SEQUENCE_MAX + 1
    while len(found) < count:
        below = store.neighbours(community, author, kind, before)[0]
        if below is None:
            break
        before = below.sequence
        found += find_slot(store, community, author, kind, before)
    return found[:count]


def _find_last(store: StoreWriter, community: int, *, kind: int, count: int) -> list[int]:
    """The newest of a kind by whomever, the newest first, among the newest of all kinds that are offered, or
    of all that are on request: what lies deeper is not looked for."""
    of_kind: list[int] = []
    for part in (community, on_request(community)):
        _, packed, _ = store.scan_back(part, ORDER_LOW, ORDER_TOP, LOOKS_MAX)
        cursors = memoryview(packed).cast("Q").tolist()
        messages = store.messages(cursors)
        of_kind += [cursor for cursor, message in zip(cursors, messages, strict=True) if message[0] == kind]
    return of_kind[:count]
