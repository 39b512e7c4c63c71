"""Operations on whom this node does not listen to."""

from __future__ import annotations

from typing import Any

from dispersy.errors import UsageError
from dispersy.service.interface import requests
from dispersy.service.interface.orders import Orders
from dispersy.service.interface.view import View
from dispersy.storage.blocklist import EVERYWHERE, canonical_address

MEMBER_SIZE = 32


class Blocking:
    """block, unblock and blocked."""

    def __init__(self, view: View, orders: Orders) -> None:
        self._view = view
        self._orders = orders

    def change(self, client: bytes, request: requests.Block | requests.Unblock) -> None:
        """A member by its 32 bytes, or an address; an address is one for all communities."""
        if bool(request.member) == bool(request.address):
            raise UsageError(
                "either a member or an address is blocked", code="malformed", hint="give one of both"
            )
        if request.member and len(request.member) != MEMBER_SIZE:
            raise UsageError(
                f"a member has {MEMBER_SIZE} bytes, not {len(request.member)}",
                code="malformed",
                hint="give its key",
            )
        if request.address and request.community:
            raise UsageError(
                "an address is blocked for all communities", code="malformed", hint="leave the community out"
            )
        community = EVERYWHERE
        if request.community:
            # Where it was left, too, a block can be taken back: nothing else would end it.
            left = isinstance(request, requests.Unblock)
            community = self._view.directory.resolve(request.community, left=left).number
        order = {
            "op": "block" if isinstance(request, requests.Block) else "unblock",
            "community": community,
            "member": request.member,
            "address": canonical_address(request.address) if request.address else "",
        }
        self._orders.place(client, request.id, order, repeatable=True)

    def blocked(self, _: bytes, __: requests.Blocked) -> dict[str, Any]:
        """A member with the community in which it is blocked (empty: in all), or an address."""
        return {
            "blocked": [
                {
                    "member": record.member,
                    "address": record.address,
                    "community": self._view.directory.community_id(record.community),
                }
                for record in self._view.store().blocked()
            ]
        }
