"""Operations that show who is in a community and who may do what: the writer knows, here are the names."""

from __future__ import annotations

from functools import partial
from typing import Any

from dispersy.protocol.permissions.control_messages import Permission
from dispersy.service.interface import requests
from dispersy.service.interface.orders import Orders
from dispersy.service.interface.view import View
from dispersy.service.operations.publication import require_definition
from dispersy.storage.store import CommunityRecord


class Permissions:
    """members and permissions."""

    def __init__(self, view: View, orders: Orders) -> None:
        self._view = view
        self._orders = orders

    def members(self, client: bytes, request: requests.MemberList) -> None:
        self._view.store()
        record = self._view.directory.resolve(request.community)
        order = {
            "op": "members",
            "community": record.number,
            "limit": request.limit,
            "next": request.next or b"",
        }
        self._orders.place(client, request.id, order, repeatable=True, reply=partial(self._members, record))

    def all(self, client: bytes, request: requests.Permissions) -> None:
        """Of one member or one kind where they are named."""
        self._view.store()
        directory = self._view.directory
        record = directory.resolve(request.community)
        kind = 0
        if request.kind:
            definition = require_definition(
                directory.name(record), directory.definition(record), directory.refusal(record)
            )
            kind = definition.kind_by_name(request.kind).number
        order = {
            "op": "permissions",
            "community": record.number,
            "name": request.member,
            "kind": kind,
            "at": request.at,
            "limit": request.limit,
            "next": request.next or b"",
        }
        self._orders.place(client, request.id, order, repeatable=True, reply=partial(self._powers, record))

    def _members(self, record: CommunityRecord, answer: dict[str, Any]) -> dict[str, Any]:
        members = [
            {
                **row,
                "permissions": {
                    self._kind(record, kind): names_of(bits) for kind, bits in row["permissions"].items()
                },
                "published": {self._kind(record, kind): newest for kind, newest in row["published"].items()},
            }
            for row in answer["members"]
        ]
        return {"community": record.community_id, "members": members, "next": answer["next"]}

    def _powers(self, record: CommunityRecord, answer: dict[str, Any]) -> dict[str, Any]:
        powers = [
            {**row, "kind": self._kind(record, row["kind"]), "permission": names_of(row["permission"])[0]}
            for row in answer["permissions"]
        ]
        kinds = [{**row, "kind": self._kind(record, row["kind"])} for row in answer["kinds"]]
        known = {"community": record.community_id, "founder": record.community_id, "at": answer["at"]}
        return {**known, "kinds": kinds, "permissions": powers, "next": answer["next"]}

    def _kind(self, record: CommunityRecord, number: int) -> str:
        """Its name; the number of one that no definition names, which somebody may hold all the same."""
        return self._view.directory.kind_name(record.number, number) or str(number)


def names_of(bits: int) -> list[str]:
    """The names of these permissions."""
    return [str(permission.name).lower() for permission in Permission(bits)]
