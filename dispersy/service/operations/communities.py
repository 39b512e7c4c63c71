"""Operations on communities as a whole: which there are, and taking part in them."""

from __future__ import annotations

from typing import Any

from dispersy.errors import UsageError
from dispersy.invite import is_own
from dispersy.protocol.address import format_address, parse_address
from dispersy.service.interface import requests
from dispersy.service.interface.orders import Orders
from dispersy.service.interface.view import View
from dispersy.service.operations.overview import Overview
from dispersy.service.operations.publication import check_name, new_definition
from dispersy.workers.authoring.requests import REQUEST_ID_SIZE


class Communities:
    """communities, create and join."""

    def __init__(self, view: View, orders: Orders, overview: Overview) -> None:
        self._view = view
        self._orders = orders
        self._overview = overview

    def all(self, _: bytes, request: requests.Communities) -> dict[str, Any]:
        return {"communities": self._overview.communities(self._view.store(), left=request.left)}

    def create(self, client: bytes, request: requests.Create) -> None:
        """Repeatable where it has a request id: without one the name is taken by the first."""
        if len(request.request_id) not in (0, REQUEST_ID_SIZE):
            raise UsageError(
                f"a request id has {REQUEST_ID_SIZE} bytes, not {len(request.request_id)}",
                code="request-id",
                hint="6 bytes unix milliseconds, then 10 random ones",
            )
        order = {
            "op": "create",
            "name": request.name,
            "definition": new_definition(request.name, request.definition),
            "as_key": request.as_key,
            "request_id": request.request_id,
        }
        self._orders.place(client, request.id, order, repeatable=bool(request.request_id))

    def join(self, client: bytes, request: requests.Join) -> None:
        if request.name:
            check_name(request.name)
        order = {
            "op": "join",
            "community_id": request.community,
            "name": request.name,
            "peers": self._foreign(request.peers),
            "as_key": request.as_key,
        }
        self._orders.place(client, request.id, order, repeatable=True)

    def _foreign(self, peers: list[str]) -> list[str]:
        """Peers as the network role reads them, which will find them in the store at every start."""
        addresses = [format_address(parse_address(peer)) for peer in peers]
        told = self._overview.status(None, brief=True)
        # One's own invite names oneself: walking there is a waste at every start.
        return [address for address in addresses if not is_own(address, told["listen"], told["addresses"])]
