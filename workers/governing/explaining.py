"""What became of a message, and by which other messages: the writer's part of `explain`."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from dispersy.protocol.identifiers import CommunityId, MemberId, MessageId
from dispersy.protocol.permissions.control_messages import Undo, read_control
from dispersy.protocol.wire.message import MessageView, read_message
from dispersy.protocol.wire.numbers import COMMUNITY_KIND_MIN, ControlKind
from dispersy.protocol.wire.stripped import Stripped, with_empty_payloads
from dispersy.storage.store import EntryType, LogEntry, StoreWriter, is_cut
from dispersy.workers.keeping.communities import Community
from dispersy.workers.keeping.finding import find_ids

ENTRIES_EXAMINED_MAX = 20_000
"""Newest entries of the log that are searched for a message that no longer counts: some 50 ms."""
PORTION = 1_000
SHOWN_MAX = 16
"""Messages that speak for or against one: a chain of proofs has at most nine, undos may be more."""


def explain(store: StoreWriter, community: Community, message_id: bytes) -> dict[str, Any]:
    """cursor, waits, refused, awaited, counts, proof and against of a message, as the gateway words them."""
    number = community.record.number
    (cursor,) = find_ids(store, number, [message_id], inactive=True)
    waiter = community.intake.waiting.get(message_id)
    told: dict[str, Any] = {
        "cursor": cursor,
        "waits": waiter is not None,
        "awaited": str(waiter.awaited) if waiter is not None else "",
        "refused": community.intake.refusals.reason(message_id),
        "reason": "",
        "counts": True,
        "proof": [],
        "against": [],
    }
    if cursor is None and waiter is None:
        cursor = told["cursor"] = _denied(store, number, message_id)
    if waiter is not None:
        raw = waiter.message
        if isinstance(raw, Stripped):
            # It waits for the undo that would say that its payloads may be missing.
            raw = with_empty_payloads(raw, 1)
    elif cursor is not None:
        raw = store.entries([cursor])[0].message
    else:
        return told
    view = read_message(CommunityId(community.record.community_id), raw)
    if view.kind >= COMMUNITY_KIND_MIN:
        _explain_data(store, community, MessageId(message_id), view, told)
    elif view.kind != ControlKind.DEFINITION:
        _explain_control(store, community, view, told)
    return told


def _explain_data(
    store: StoreWriter, community: Community, message_id: MessageId, view: MessageView, told: dict[str, Any]
) -> None:
    """message_id: that of the view, unless it was erased."""
    timeline = community.intake.timeline
    authors = [author for author in (view.author, view.second_author) if author is not None]
    told["reason"] = community.intake.permission(authors, view.kind, view.global_time, view.sequence)
    if not told["reason"]:
        proof = timeline.proof(authors, view.kind, view.global_time, view.sequence)
        told["proof"] = described(store, community, proof)
        told["against"] = described(
            store, community, [undo for undo in timeline.undos_of(message_id) if timeline.counts(undo)]
        )
        return
    against: list[MessageId] = []
    for author in authors:
        against += _cuts(community, author, view.kind, view.global_time)
    narrowing = timeline.cut_off_by(authors, view.kind, view.global_time, view.sequence)
    against += [narrowing] if narrowing is not None else []
    told["against"] = described(store, community, against)


def _explain_control(
    store: StoreWriter, community: Community, view: MessageView, told: dict[str, Any]
) -> None:
    timeline = community.intake.timeline
    assert view.author is not None
    told["counts"] = timeline.counts(view.id) or view.author == community.record.community_id
    if told["counts"]:
        told["proof"] = described(store, community, timeline.proof_of(view.id))
    else:
        kinds = sorted(set(_kinds_of(view)))
        cuts = [each for kind in kinds for each in _cuts(community, view.author, kind, view.global_time)]
        told["against"] = described(store, community, cuts)


def _kinds_of(view: MessageView) -> Iterable[int]:
    body = read_control(view).body
    for name in ("grants", "withdrawals"):
        yield from (each.kind for each in getattr(body, name, ()))
    kind = getattr(body, "kind", None)
    if kind is not None:
        yield kind


def _cuts(community: Community, author: MemberId, kind: int, global_time: int) -> list[MessageId]:
    """Revokes that cut a power under which the author might have signed something of this time."""
    found: dict[MessageId, None] = {}
    for power, cuts in community.intake.timeline.powers_of(author, kind):
        if power.since.global_time < global_time:
            found |= dict.fromkeys(cut.at.id for cut in cuts)
    return list(found)


def described(store: StoreWriter, community: Community, ids: Sequence[MessageId]) -> list[dict[str, Any]]:
    """Stored control messages as maps: message_id, kind, author, global_time; of an undo also index."""
    rows = []
    for view in control_views(store, community, ids[:SHOWN_MAX]):
        row = {
            "message_id": view.id,
            "kind": view.kind,
            "author": view.author,
            "global_time": view.global_time,
        }
        if view.kind == ControlKind.UNDO:
            body = read_control(view).body
            assert isinstance(body, Undo)
            row["index"] = body.index
        rows.append(row)
    return rows


def control_views(store: StoreWriter, community: Community, ids: Sequence[MessageId]) -> list[MessageView]:
    """Those of these messages that are live and stored, in their order."""
    cursors = find_ids(store, community.record.number, ids)
    entries = store.entries([cursor for cursor in cursors if cursor is not None])
    return [read_message(CommunityId(community.record.community_id), entry.message) for entry in entries]


def _denied(store: StoreWriter, number: int, message_id: bytes) -> int | None:
    """The cursor of a message that is in the log and no longer counts, where that was not too long ago.

    No index leads to those: that they were denied stands in the log, too.
    """
    behind = store.last_cursor() + 1
    examined = 0
    while examined < ENTRIES_EXAMINED_MAX:
        entries: list[LogEntry] = store.log_back(behind, PORTION)
        for entry in entries:
            if entry.community == number and entry.message_id == message_id:
                return entry.message_cursor if entry.type != EntryType.REMOVED else None
        if not is_cut(entries, PORTION):
            return None
        examined += len(entries)
        behind = entries[-1].cursor
    return None
