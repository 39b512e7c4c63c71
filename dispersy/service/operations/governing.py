"""Operations by which a community governs itself: who may do what, what is taken back, how it ends.

Names become numbers here, and what the writer signs is decided there: it alone has the timeline and the keys.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import reduce
from operator import or_
from typing import Any

from dispersy.errors import UsageError, WireError
from dispersy.protocol.definitions.definition import decode_definition, require_enforced
from dispersy.protocol.permissions.control_messages import Permission
from dispersy.service.interface import requests
from dispersy.service.interface.orders import Orders
from dispersy.service.interface.view import View
from dispersy.service.operations.overview import Overview
from dispersy.service.operations.publication import require_definition
from dispersy.storage.store import CommunityRecord

IN_SYNC = "in sync with"
"""How the state of a community begins that may be pinned as it is here."""


class Governing:
    """authorize, revoke, undo, policy, destroy and define; each may be repeated with its request id."""

    def __init__(self, view: View, orders: Orders, overview: Overview) -> None:
        self._view = view
        self._orders = orders
        self._overview = overview

    def authorize(self, client: bytes, request: requests.Authorize) -> None:
        record = self._resolve(request.community)
        self._place(client, request, record, "authorize", **self._powers(record, request))

    def revoke(self, client: bytes, request: requests.Revoke) -> None:
        record = self._resolve(request.community)
        powers = self._powers(record, request)
        self._require_in_sync(
            record, request.force, "what this member has signed and this node does not hold"
        )
        self._place(client, request, record, "revoke", force=request.force, **powers)

    def undo(self, client: bytes, request: requests.Undo) -> None:
        record = self._resolve(request.community)
        self._place(client, request, record, "undo", message_id=request.message_id, index=request.index)

    def policy(self, client: bytes, request: requests.Policy) -> None:
        record = self._resolve(request.community)
        kinds = self._kinds(record, [request.kind])
        is_linear = request.resolution == "linear"
        if is_linear:
            self._require_in_sync(record, request.force, "what was published and this node does not hold")
        self._place(client, request, record, "policy", kinds=kinds, is_linear=is_linear, force=request.force)

    def destroy(self, client: bytes, request: requests.Destroy) -> None:
        self._place(client, request, self._resolve(request.community), "destroy", is_hard=request.hard)

    def define(self, client: bytes, request: requests.Define) -> None:
        """Refuse what makes sense for no community; what fits this one the writer knows."""
        record = self._resolve(request.community)
        try:
            require_enforced(decode_definition(request.definition))
        except WireError as error:
            raise UsageError(
                f"this is no definition: {error.__cause__ or error}", code=error.reason
            ) from None
        self._place(client, request, record, "define", definition=request.definition)

    def _resolve(self, community: str) -> CommunityRecord:
        self._view.store()
        return self._view.directory.resolve(community)

    def _powers(
        self, record: CommunityRecord, request: requests.Authorize | requests.Revoke
    ) -> dict[str, Any]:
        return {
            "members": request.members,
            "kinds": self._kinds(record, request.kinds),
            "permissions": int(permissions_of(request.permissions)),
        }

    def _kinds(self, record: CommunityRecord, names: Iterable[str]) -> list[int]:
        directory = self._view.directory
        definition = require_definition(
            directory.name(record), directory.definition(record), directory.refusal(record)
        )
        return sorted({definition.kind_by_name(name).number for name in names})

    def _require_in_sync(self, record: CommunityRecord, force: bool, what: str) -> None:
        """UsageError `not-in-sync` where neighbours hold something else, or nobody says what he holds."""
        state = self._overview.state(record)
        if not force and not state.startswith(IN_SYNC):
            raise UsageError(
                f"{self._view.directory.name(record)} is {state}: {what} would be hidden everywhere",
                code="not-in-sync",
                hint="wait until `dispersy community show` says in sync, or force it",
            )

    def _place(
        self, client: bytes, request: requests.Governing, record: CommunityRecord, act: str, **said: Any
    ) -> None:
        order = {
            "op": "govern",
            "community": record.number,
            "control": {"act": act, **said},
            "request_id": request.request_id,
            "as_key": request.as_key,
        }
        self._orders.place(client, request.id, order, repeatable=True, reply=_reply)


def permissions_of(names: Iterable[str]) -> Permission:
    """The permissions of these names."""
    return reduce(or_, (Permission[name.upper()] for name in names))


def _reply(answer: dict[str, Any]) -> dict[str, Any]:
    return {"already": False, **answer}
