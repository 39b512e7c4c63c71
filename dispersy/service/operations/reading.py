"""Operations that only look. Most are answered at once, from the store as it is in this turn; where only the
writer's index knows the place of a message, it is asked for it."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from functools import partial
from typing import Any

from dispersy.errors import UsageError
from dispersy.protocol.identifiers import MemberId, MessageId
from dispersy.protocol.wire.missing import (
    MissingLast,
    MissingMessages,
    MissingSequences,
    Wanted,
    encode_wanted,
)
from dispersy.service.interface import requests
from dispersy.service.interface.orders import Orders
from dispersy.service.interface.view import View
from dispersy.service.operations.explanation import explained
from dispersy.service.operations.listing import list_messages
from dispersy.service.operations.overview import Overview
from dispersy.service.operations.publication import require_definition
from dispersy.service.operations.stored import AUTHOR, described
from dispersy.storage.store import CommunityRecord, LogEntry

FETCHED_MAX = 255
"""Of the newest messages of a kind that neighbours are asked for: no request says more."""


class Reading:
    """count, status, peers, get, list, last and explain."""

    def __init__(self, view: View, orders: Orders, overview: Overview) -> None:
        self._view = view
        self._orders = orders
        self._overview = overview

    def count(self, _: bytes, request: requests.Count) -> dict[str, Any]:
        record = self._view.directory.resolve(request.community)
        return self._overview.count(self._view.store(), record)

    def status(self, _: bytes, request: requests.Status) -> dict[str, Any]:
        """Also while the node starts: that is what it is asked for then."""
        return self._overview.status(self._view.reader, brief=request.brief)

    def peers(self, _: bytes, request: requests.Peers) -> dict[str, Any]:
        of = self._view.directory.resolve(request.community) if request.community else None
        return {"peers": self._overview.peers(of)}

    def get(self, client: bytes, request: requests.Get) -> None:
        """The writer tells the cursors, and what stands there is the reply."""
        self._view.store()
        record = self._view.directory.resolve(request.community)
        order: dict[str, Any] = {"op": "find", "community": record.number}
        if request.message_id and not (request.author or request.kind or request.sequence):
            order["ids"] = [request.message_id]
            wanted: Wanted = MissingMessages((MessageId(request.message_id),))
        elif request.author and request.kind and request.sequence and not request.message_id:
            (kind,) = self._kinds(record, [request.kind])
            order |= {"author": request.author, "kind": kind, "sequence": request.sequence}
            author = MemberId(request.author)
            wanted = MissingSequences(author, kind, request.sequence, request.sequence)
        else:
            raise UsageError(
                "get: a message is named in one of two ways, and in no part of the other",
                code="malformed",
                hint="give message_id alone, or author, kind and sequence",
            )
        if request.fetch:
            order = _fetch_order(record, wanted, request.fetch)
        self._orders.place(client, request.id, order, repeatable=True, reply=self._found)

    def _found(self, answer: dict[str, Any]) -> dict[str, Any]:
        entries = self._entries(answer["cursors"])
        if not entries:
            raise UsageError(
                "this node does not hold that message",
                code="message-unknown",
                hint="`explain` says what is known of it",
            )
        shown = [entry for entry in entries if not self._hides(entry)]
        if not shown:
            raise UsageError(
                "this node does not show what the author of that message writes",
                code="blocked",
                hint="`unblock` shows it again",
            )
        return {"messages": described(shown, self._view.directory, self._view.store())}

    def _entries(self, cursors: Sequence[int | None]) -> list[LogEntry]:
        """What stands where the writer says; nothing where it has been removed since."""
        # The writer has committed it, perhaps since this turn began.
        self._view.refresh()
        found: list[LogEntry] = []
        for cursor in cursors:
            if cursor is not None:
                with suppress(KeyError):
                    found += self._view.store().entries([cursor])
        return found

    def _hides(self, entry: LogEntry) -> bool:
        return self._view.directory.hides(entry.community, entry.message[AUTHOR])

    def page(self, _: bytes, request: requests.ListMessages) -> dict[str, Any]:
        reader = self._view.store()
        record = self._view.directory.resolve(request.community)
        kinds = frozenset(self._kinds(record, request.kinds))
        return list_messages(reader, self._view.directory, record.number, request, kinds)

    def last(self, client: bytes, request: requests.Last) -> dict[str, Any] | None:
        """A list from the end; a `next` of it goes on in a list that falls."""
        if request.fetch:
            self._view.store()
            record = self._view.directory.resolve(request.community)
            (kind,) = self._kinds(record, [request.kind])
            author = MemberId(request.author) if request.author else None
            order = _fetch_order(
                record, MissingLast(kind, min(request.count, FETCHED_MAX), author), request.fetch
            )
            reply = partial(self._fetched, client, request)
            self._orders.place(client, request.id, order, repeatable=True, reply=reply)
            return None
        return self._newest(client, request)

    def _fetched(self, client: bytes, request: requests.Last, _: dict[str, Any]) -> dict[str, Any]:
        # What came stands in the store, perhaps since this turn began.
        self._view.refresh()
        return self._newest(client, request)

    def _newest(self, client: bytes, request: requests.Last) -> dict[str, Any]:
        wanted = requests.ListMessages(
            v=request.v,
            id=request.id,
            community=request.community,
            kinds=[request.kind],
            author=request.author,
            order="descending",
            limit=request.count,
        )
        return self.page(client, wanted)

    def explain(self, client: bytes, request: requests.Explain) -> None:
        self._view.store()
        record = self._view.directory.resolve(request.community)
        order = {"op": "explain", "community": record.number, "ids": [request.message_id]}
        reply = partial(self._explained, record)
        self._orders.place(client, request.id, order, repeatable=True, reply=reply)

    def _explained(self, record: CommunityRecord, answer: dict[str, Any]) -> dict[str, Any]:
        entry = next(iter(self._entries([answer["cursor"]])), None)
        is_defined = self._view.directory.definition(record) is not None
        told = explained(
            entry,
            answer,
            is_defined=is_defined,
            is_blocked=entry is not None and self._hides(entry),
        )
        return {"community": record.community_id, **told}

    def _kinds(self, record: CommunityRecord, names: list[str]) -> list[int]:
        """Numbers of kinds; of all that there are when no names are given."""
        directory = self._view.directory
        definition = require_definition(
            directory.name(record), directory.definition(record), directory.refusal(record)
        )
        chosen = [definition.kind_by_name(name) for name in names] if names else definition.kinds
        return [kind.number for kind in chosen]


def _fetch_order(record: CommunityRecord, wanted: Wanted, limit_s: int) -> dict[str, Any]:
    return {"op": "fetch", "community": record.number, "asked": encode_wanted(wanted), "limit": limit_s}
