"""The order `find`: where messages are kept, from the index that the writer alone has in memory."""

from __future__ import annotations

from collections.abc import Sequence

from dispersy.constants import SEQUENCE_MAX
from dispersy.errors import UsageError
from dispersy.storage.store import StoreWriter

FIND_IDS_MAX = 1_000
"""Ids of one order: each costs a seek in every run of the index."""
KINDS = range(256)


def find_ids(store: StoreWriter, community: int, ids: Sequence[bytes]) -> list[int | None]:
    """Cursors of messages that are live in this community, None for those that are not.

    raises  UsageError `count` or `malformed`
    """
    if len(ids) > FIND_IDS_MAX:
        raise UsageError(
            f"{len(ids)} ids in one request; at most {FIND_IDS_MAX}", code="count", hint="ask in portions"
        )
    if not all(len(message_id) == 32 for message_id in ids):
        raise UsageError("a message id has 32 bytes", code="malformed", hint="give it whole")
    cursors = store.find_ids(b"".join(ids))
    held = [cursor for cursor in cursors if cursor is not None]
    own = {entry.cursor for entry in store.entries(held) if entry.community == community}
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
