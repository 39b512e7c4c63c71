"""Operations on what this node takes part in and what it serves."""

from __future__ import annotations

from dispersy.service.interface import requests
from dispersy.service.interface.orders import Orders
from dispersy.service.interface.view import View


class Membership:
    """leave, load, unload and autoload. All may be repeated: a second time changes nothing."""

    def __init__(self, view: View, orders: Orders) -> None:
        self._view = view
        self._orders = orders

    def leave(self, client: bytes, request: requests.Leave) -> None:
        """One that was left already can still be purged."""
        record = self._view.directory.resolve(request.community, left=True)
        order = {"op": "leave", "community": record.number, "purge": request.purge}
        known = {"community": record.community_id, "name": self._view.directory.name(record)}
        self._orders.place(
            client, request.id, order, repeatable=True, reply=lambda answer: {**known, **answer}
        )

    def load(self, client: bytes, request: requests.Load | requests.Unload) -> None:
        record = self._view.directory.resolve(request.community)
        op = "load" if isinstance(request, requests.Load) else "unload"
        self._orders.place(client, request.id, {"op": op, "community": record.number}, repeatable=True)

    def autoload(self, client: bytes, request: requests.Autoload) -> None:
        record = self._view.directory.resolve(request.community)
        order = {"op": "autoload", "community": record.number, "autoload": request.mode}
        self._orders.place(client, request.id, order, repeatable=True)
