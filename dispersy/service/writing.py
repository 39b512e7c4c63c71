"""Operations that publish: checked against the definition, so that the writer gets only what it can do."""

from __future__ import annotations

from dispersy.service import requests
from dispersy.service.orders import Orders
from dispersy.service.publication import check_publication
from dispersy.service.view import View


class Writing:
    """publish and publish-many."""

    def __init__(self, view: View, orders: Orders) -> None:
        self._view = view
        self._orders = orders

    def publish(self, client: bytes, request: requests.Publish | requests.PublishMany) -> None:
        """Numbers instead of names for the writer; its answer is the reply."""
        self._view.store()
        directory = self._view.directory
        record = directory.resolve(request.community)
        together = isinstance(request, requests.Publish)
        kind = check_publication(
            directory.name(record),
            directory.definition(record),
            request.kind,
            request.payloads,
            together=together,
            refusal=directory.refusal(record),
        )
        order = {
            "op": "publish",
            "community": record.number,
            "kind": kind,
            "groups": [request.payloads] if together else [[payload] for payload in request.payloads],
            "request_id": request.request_id,
            "as_key": request.as_key,
        }
        self._orders.place(client, request.id, order, repeatable=True)
